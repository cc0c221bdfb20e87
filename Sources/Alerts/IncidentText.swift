// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// What an incident's bead says: what is wrong, and what an operator can do. Made of the status alone, which holds no
/// key and no text that was not redacted.
enum IncidentText {
    static func title(of condition: Condition) -> String {
        switch condition.type {
        case "keys.exhausted": "no key is ready"
        case "service.parked": "service \(condition.subject) is parked"
        case "key.disabled": "key \(condition.subject) is out of use"
        default: condition.text
        }
    }

    /// Changes only when something changes, or each turn would describe the bead anew.
    static func text(of condition: Condition, in status: JSONValue) -> String {
        switch condition.type {
        case "keys.exhausted": exhausted(status)
        case "service.parked": parked(condition, status)
        case "key.disabled": disabled(condition, status)
        default: condition.text
        }
    }

    private static func exhausted(_ status: JSONValue) -> String {
        let keys = status["keys"]?["items"]?.array ?? []
        let first = keys.compactMap { $0["until"]?.string }.min()
        var lines = [
            keys.isEmpty ? "There is no key." : "No key is ready; nobody is restarted.",
            first.map { "The first one is ready at \($0), and agents that stopped go on then by themselves." }
                ?? "None of them becomes ready by itself.",
        ]
        for key in keys.sorted(by: { ($0["id"]?.string ?? "") < ($1["id"]?.string ?? "") }) {
            let until = key["until"]?.string.map { " until \($0)" } ?? ""
            lines.append("- \(describe(key)): \(key["state"]?.string ?? "?"), \(key["cause"]?.string ?? "?")\(until)")
        }
        lines.append("A further account in the accounts directory takes effect at once.")
        return lines.joined(separator: "\n")
    }

    private static func parked(_ condition: Condition, _ status: JSONValue) -> String {
        let detail = condition.item(status["services"], "name")?["detail"]?.string ?? ""
        return """
            The service \(condition.subject) ended too often\(detail.isEmpty ? "." : ": \(detail)")
            It is tried again every 10 minutes. Once the reason is gone, start it at once:
            gasclawd services restart \(condition.subject)
            """
    }

    private static func disabled(_ condition: Condition, _ status: JSONValue) -> String {
        let key = condition.item(status["keys"]?["items"], "id")
        return """
            The key \(key.map(describe) ?? condition.subject) is not given out any more: \(key?["cause"]?.string ?? "?").
            It comes back when its file changes, or with: gasclawd keys enable \(condition.subject)
            """
    }

    private static func describe(_ key: JSONValue) -> String {
        "\(key["id"]?.string ?? "?") of account \(key["account"]?.string ?? "?")"
    }
}
