// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import ControlServer
import JSON

/// A reload that was refused, as it is answered.
struct ReloadRefusal: Error {
    let reply: ControlReply
}

/// What `gasclawd reload` is answered (contract A).
struct ReloadAnswer {
    let generation: Int
    /// Who was to be started anew.
    let sessions: [String]

    var json: JSONObject {
        [
            "ok": true, "generation": JSONValue(generation),
            "agents_to_reload": .array(sessions.map(JSONValue.string)),
        ]
    }

    /// The answer to who has waited.
    ///
    /// - Parameter outcomes: By session: nil, or why the last attempt failed. Who is in none of them and in
    ///   ``sessions`` was not to be started anew any more.
    func reply(_ outcomes: [String: String?]) -> ControlReply {
        let all = outcomes.sorted { $0.key < $1.key }
        let failed = all.compactMap { session, why in why.map { (session, $0) } }
        var answer = json
        answer["agents_reloaded"] = .array(all.filter { $0.value == nil }.map { .string($0.key) })
        answer["agents_failed"] = .array(
            failed.map { ["session": .string($0.0), "error": .string($0.1)] })
        guard !failed.isEmpty else { return .value(.object(answer)) }
        let words = failed.map { "\($0.0): \($0.1)" }.joined(separator: "; ")
        answer["ok"] = false
        answer["error"] =
            ControlError(code: "unavailable", message: "not started anew: \(words)").json["error"] ?? .null
        return .valueWithStatus(.object(answer), 503)
    }
}
