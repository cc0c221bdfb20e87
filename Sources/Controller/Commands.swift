// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON
import KeyPool
import Secrets
import Timekeeping

/// What people do by hand.
extension Controller {
    mutating func perform(_ command: KeyCommand, _ key: KeyID?, _ token: ReplyToken, _ now: Timestamp) {
        if let key, !pool.holds(key) {
            return refuse(token, "not_found", "there is no key \(key.text) (gasclawd keys list shows the ids)")
        }
        let changes: [PoolChange]
        switch (command, key) {
        case (.clear, _): changes = pool.clear(key, at: now)
        case (.disable, let key?): changes = pool.disable(key, at: now)
        case (.enable, let key?): changes = pool.enable(key, at: now)
        default: return refuse(token, "bad_request", "which key? (gasclawd keys list shows the ids)")
        }
        take(changes, now)
        effects.append(.persist)
        if command == .disable, let key { restart(now, .key) { $0.key == key } }
        effects.append(
            .answer(
                token,
                .success([
                    "ok": true, "generation": JSONValue(generation), "active": .optional(pool.active?.text),
                    "changed": .bool(!changes.isEmpty),
                ])))
    }

    mutating func reloadAgents(_ sessions: [String]?, _ token: ReplyToken, _ now: Timestamp) {
        let known = Set(leases.values.map(\.session))
        if let missing = sessions?.first(where: { !known.contains($0) }) {
            return refuse(
                token, "not_found",
                "there is no agent \(redactor.redact(missing)) with a key of the pool (gasclawd agents list shows them)"
            )
        }
        restart(now, .manual) { lease in sessions?.contains(lease.session) ?? true }
        for lease in leases.values where sessions?.contains(lease.session) ?? true {
            // Somebody asked for it: what was tried in vain is tried again.
            leases[lease.process]?.isGivenUp = false
        }
        let due = leases.values.filter { $0.pending != nil }.sorted { $0.session < $1.session }
        var waiting = JSONObject()
        for lease in due {
            if let why = waitsFor(lease) { waiting[redactor.redact(lease.session)] = .string(redactor.redact(why)) }
        }
        effects.append(
            .answer(
                token,
                .success([
                    "ok": true, "agents_to_reload": .array(due.map { .string($0.session) }),
                    "waiting": .object(waiting),
                ])))
    }

    private mutating func refuse(_ token: ReplyToken, _ code: String, _ message: String) {
        effects.append(.answer(token, .failure(ControlError(code: code, message: message))))
    }
}
