// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import Timekeeping

/// The demo's live view: redrawn in place on a terminal, plain lines of what changed elsewhere.
struct DemoView {
    private let isTerminal: Bool
    private var notices: [String] = []
    private var eventsShown = 0
    private var agentsShown: [String: String] = [:]
    private var isDrawing = false

    init(isTerminal: Bool) { self.isTerminal = isTerminal }

    /// Something the demo does.
    mutating func say(_ text: String) {
        let line = "\(Timestamp.now.timeOfDay) \(text)"
        notices.append(line)
        if !isTerminal || !isDrawing { Terminal.say(line) }
    }

    mutating func draw(_ record: DemoRecord) {
        if isTerminal { redraw(record) } else { printChanges(record) }
    }

    /// Leaves the last picture on the screen and shows the cursor again.
    mutating func close() {
        if isDrawing { Terminal.write("\u{1B}[?25h\n") }
        isDrawing = false
    }

    // MARK: - On a terminal

    private mutating func redraw(_ record: DemoRecord) {
        if !isDrawing { Terminal.write("\u{1B}[?25l\u{1B}[2J") }
        isDrawing = true
        let status = record.status
        let size = Terminal.size
        var lines = [
            "gasclawd demo · Ctrl-C ends it",
            "\(status?["state"]?.string ?? "?") · \(status?["detail"]?.string ?? "")", "", "KEYS",
        ]
        for key in status?["keys"]?["items"]?.array ?? [] {
            let until = key["until"]?.string.map { " until \($0.dropFirst(11).prefix(8))" } ?? ""
            let cause = key["cause"]?.string.map { " (\($0)\(until))" } ?? ""
            lines.append(
                "  \(Self.padded(key["id"]?.string, 14))account \(Self.padded(key["account"]?.string, 6))"
                    + Self.padded(key["state"]?.string, 10) + "leases \(key["leases"]?.integer ?? 0)\(cause)")
        }
        lines += ["", "AGENTS"]
        for agent in status?["agents"]?.array ?? [] { lines.append("  " + Self.describe(agent, record)) }
        // What the demo says is never cut: a path in it is to be copied.
        let foot = ["", "DEMO"] + notices.suffix(4).map { "  " + $0 }
        let room = size.rows - 1 - lines.count - foot.reduce(0) { $0 + 1 + max(0, $1.count - 1) / size.columns } - 2
        let story = record.events.filter { event in Self.told.contains(event["type"]?.string ?? "") }
        if room > 0 { lines += ["", "EVENTS"] + story.suffix(room).map { "  " + Self.describe($0) } }
        lines = lines.map { String($0.prefix(size.columns)) } + foot
        // Home, each line cleared to its end, then all below.
        Terminal.write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\n") + "\u{1B}[J")
    }

    /// The events that tell the story; the others can be seen with `gasclawd events`.
    private static let told: Set<String> = [
        "key.added", "key.removed", "key.cooled", "key.activated", "key.recovered", "keys.rejected", "keys.exhausted",
        "sighting", "agent.reload.started", "agent.reload.finished", "agent.reload.failed", "config.rejected",
    ]

    // MARK: - Elsewhere

    private mutating func printChanges(_ record: DemoRecord) {
        for event in record.events.dropFirst(eventsShown) { Terminal.say(Self.describe(event)) }
        eventsShown = record.events.count
        for agent in record.status?["agents"]?.array ?? [] {
            guard let session = agent["session"]?.string else { continue }
            let line = Self.describe(agent, record)
            if agentsShown.updateValue(line, forKey: session) != line {
                Terminal.say("\(Timestamp.now.timeOfDay) \(line)")
            }
        }
    }

    // MARK: - Lines

    private static func describe(_ agent: JSONValue, _ record: DemoRecord) -> String {
        let request = record.lastRequest(of: agent["pid"]?.integer)
        let turn = request.map { "turn \($0.turn) of \($0.session.prefix(8))" } ?? "no turn yet"
        let isStalled = agent["stalled"]?.bool == true
        return padded(agent["session"]?.string, 16) + "key " + padded(agent["key"]?.string ?? "-", 14) + turn
            + (isStalled ? " · stalled" : "")
    }

    private static func describe(_ event: JSONValue) -> String {
        var text = "\(event["time"]?.string?.dropFirst(11).prefix(8) ?? "") \(event["type"]?.string ?? "?")"
        for name in ["id", "account", "session", "cause", "until", "name", "reason", "detail"] {
            if let value = event[name]?.string, !value.isEmpty { text += " \(name)=\(value)" }
        }
        return String(text.prefix(150))
    }

    private static func padded(_ text: String?, _ width: Int) -> String {
        let text = text ?? ""
        return text + String(repeating: " ", count: max(1, width - text.count))
    }
}
