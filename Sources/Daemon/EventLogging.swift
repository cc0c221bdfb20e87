// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON
import Logging
import SystemdKit

extension Event {
    /// How loud an event is in the log.
    var level: Logger.Level {
        switch type {
        case "daemon.degraded", "agent.stalled", "agent.unmanaged", "watch.overflow", "watch.degraded", "keys.rejected",
            "config.rejected", "key.cooled":
            .warning
        case "service.exited", "service.backoff": .warning
        case "service.parked": .error
        case "keys.exhausted", "key.disabled", "agent.reload.failed", "agent.unsafe_settings": .error
        case "bootstrap.step": self["result"]?.string == "failed" ? .error : .notice
        case "agent.leased", "agent.exited", "key.added", "key.removed": .info
        case "sighting": self["acted"]?.bool == true ? .notice : .info
        default: .notice
        }
    }

    /// The fields as they are; text from outside in them is redacted already.
    var metadata: Logger.Metadata {
        var result: Logger.Metadata = [:]
        if let id = EventCatalog.id(of: type) { result[JournalHandler.messageIDKey] = .string(id) }
        // What there is nothing to say about is left out.
        for field in fields where !field.value.isNull && field.value.string != "" {
            if let list = field.value.array {
                result[field.name] = .array(list.map { .string($0.string ?? $0.line) })
            } else {
                result[field.name] = .string(field.value.string ?? field.value.line)
            }
        }
        return result
    }
}
