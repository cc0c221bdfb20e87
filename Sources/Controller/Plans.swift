// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import KeyPool
import Timekeeping

/// What was planned and has to survive a restart: conversations that the next agent in a pane goes on with, and
/// failures that are looked at again.
extension Controller {
    func addPlans(to object: inout JSONObject) {
        object["tickets"] = .array(
            tickets.sorted { ($0.key.socket, $0.key.pane) < ($1.key.socket, $1.key.pane) }.map { place, ticket in
                [
                    "tmux_socket": .string(place.socket), "pane": .string(place.pane),
                    "conversation": .optional(ticket.conversation?.text), "expires": .string(ticket.expires.rfc3339),
                ]
            })
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
        for value in (state["tickets"]?.array ?? []).prefix(512) {
            guard let socket = value["tmux_socket"]?.string, let pane = value["pane"]?.string,
                let expires = value["expires"]?.string.flatMap({ Timestamp(rfc3339: $0) })
            else { continue }
            tickets[PanePlace(socket: socket, pane: pane)] = ResumeTicket(
                conversation: value["conversation"]?.string.flatMap(ConversationID.init), expires: expires)
        }
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
