// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON

/// Something that is wrong from one moment to another, as `service.parked` of dolt.
public struct Condition: Sendable, Hashable, Comparable {
    /// The type of the event that begins it.
    public let type: String
    /// What it is about: a key's id, a service, a session, a path; empty where there is only one.
    public let subject: String

    public init(_ type: String, _ subject: String = "") {
        self.type = type
        self.subject = subject
    }

    /// `type` or `type subject`.
    public var text: String { subject.isEmpty ? type : "\(type) \(subject)" }

    /// - Parameter text: As ``text`` gives it.
    init?(text: String) {
        let parts = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        guard let type = parts.first, !type.isEmpty else { return nil }
        self.init(String(type), parts.count == 2 ? String(parts[1]) : "")
    }

    public static func < (a: Condition, b: Condition) -> Bool { (a.type, a.subject) < (b.type, b.subject) }
}

extension Condition {
    /// Which field of a beginning event says what it is about.
    private static let subjects: [String: String] = [
        "keys.exhausted": "", "daemon.degraded": "", "config.rejected": "", "town.estop": "rig", "key.cooled": "id",
        "key.disabled": "id", "keys.rejected": "path", "service.parked": "name", "service.backoff": "name",
        "service.exited": "name", "agent.stalled": "session", "agent.unmanaged": "session",
        "agent.reload.failed": "session", "agent.unsafe_settings": "session", "watch.degraded": "path",
        "bootstrap.step": "step",
    ]

    /// The condition that an event begins; nil for one that tells of a moment alone.
    public init?(begunBy event: Event) {
        guard let field = Self.subjects[event.type] else { return nil }
        // A step that was done is a moment.
        if event.type == "bootstrap.step", event["result"]?.string != "failed" { return nil }
        self.init(event.type, field.isEmpty ? "" : event[field]?.string ?? "")
    }

    /// Whether an event ends it, for what no status tells.
    func isEnded(by event: Event) -> Bool {
        switch type {
        case "agent.reload.failed":
            ["agent.reload.finished", "agent.leased"].contains(event.type) && event["session"]?.string == subject
        case "agent.unsafe_settings": event.type == "agent.leased" && event["session"]?.string == subject
        case "bootstrap.step":
            event.type == type && event["step"]?.string == subject && event["result"]?.string != "failed"
        case "town.estop": event.type == "town.thaw" && (event["rig"]?.string ?? "") == subject
        default: false
        }
    }

    /// Whether it lasts, by the status (contract C); nil where the status does not tell.
    func lasts(in status: JSONValue) -> Bool? {
        switch type {
        case "keys.exhausted": return status["keys"]?["ready"]?.integer == 0
        case "key.disabled": return item(status["keys"]?["items"], "id")?["state"]?.string == "disabled"
        case "key.cooled": return item(status["keys"]?["items"], "id")?["state"]?.string == "cooling"
        case "keys.rejected": return item(status["keys"]?["rejected"], "path") != nil
        case "service.parked", "service.backoff", "service.exited":
            guard let service = item(status["services"], "name") else { return false }
            return service["wanted"]?.string == "up" && service["state"]?.string != "up"
        case "agent.stalled": return item(status["agents"], "session")?["stalled"]?.bool == true
        case "agent.unmanaged": return item(status["agents"], "session")?["unmanaged"]?.bool == true
        case "config.rejected": return status["config"]?["ok"]?.bool == false
        case "daemon.degraded": return status["state"]?.string == "degraded"
        case "watch.degraded":
            return status["watch"]?["polled"]?.array?.contains { $0.string?.hasPrefix("\(subject): ") == true } ?? false
        case "town.estop": return subject.isEmpty ? status["town"]?["estop"]?.bool == true : nil
        default: return nil
        }
    }

    /// What is an incident now: no key is ready, a service is parked, a key is out of use.
    static func incidents(in status: JSONValue) -> Set<Condition> {
        var found: Set<Condition> = []
        let keys = status["keys"]?["items"]?.array ?? []
        if status["keys"]?["ready"]?.integer == 0 { found.insert(Condition("keys.exhausted")) }
        for key in keys where key["state"]?.string == "disabled" {
            if let id = key["id"]?.string { found.insert(Condition("key.disabled", id)) }
        }
        for service in status["services"]?.array ?? [] where service["state"]?.string == "parked" {
            if let name = service["name"]?.string { found.insert(Condition("service.parked", name)) }
        }
        return found
    }

    /// The element of a list that is what this is about.
    func item(_ list: JSONValue?, _ name: String) -> JSONValue? {
        let elements = (list?.array ?? []).filter { $0[name]?.string == subject }
        // A session may stand there twice, once with what is wrong.
        return elements.first { $0["stalled"]?.bool == true || $0["unmanaged"]?.bool == true } ?? elements.first
    }
}
