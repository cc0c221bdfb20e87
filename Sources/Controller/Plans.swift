// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import KeyPool
import Timekeeping

/// Failures that are looked at again later: they have to survive a restart.
extension Controller {
    func addPlans(to object: inout JSONObject) {
        object["deferred"] = .array(
            deferred.sorted { $0.key.text < $1.key.text }.map { process, sighting in
                [
                    "pid": JSONValue(process.pid), "start_time": JSONValue(process.startTime),
                    "cause": .string(sighting.verdict.cause.rawValue),
                    "window": .optional(sighting.verdict.window?.rawValue), "rule": .string(sighting.verdict.rule),
                    "due": .string(sighting.due.rfc3339),
                ]
            })
    }

    mutating func restorePlans(_ state: JSONValue) {
        for value in (state["deferred"]?.array ?? []).prefix(512) {
            guard let pid = value["pid"]?.integer, let pid = Int32(exactly: pid),
                let start = value["start_time"]?.integer, let start = UInt64(exactly: start),
                let cause = value["cause"]?.string.flatMap(Cause.init(rawValue:)),
                let due = value["due"]?.string.flatMap({ Timestamp(rfc3339: $0) })
            else { continue }
            let verdict = Verdict(
                cause: cause, window: value["window"]?.string.flatMap(QuotaWindow.init(rawValue:)),
                rule: value["rule"]?.string ?? "")
            deferred[ProcessName(pid: pid, startTime: start)] = DeferredSighting(verdict: verdict, due: due)
        }
    }
}
