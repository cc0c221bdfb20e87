// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import ControlAPI
import JSON
import LinuxSys
import Timekeeping

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show keys, agents and what is wrong.")

    @OptionGroup var options: CommonOptions
    @Flag(help: "Print JSON.") var json = false
    @Flag(help: "Exit with 1 unless the daemon is ready.") var check = false
    @Flag(help: "Show it again at each event, and every 5 s, until Ctrl-C.") var watch = false

    /// Ages and times that are left would stand still until something happens.
    private static let interval = Duration.seconds(5)

    func validate() throws {
        if watch && check { throw ValidationError("--watch does not end, so --check would have nothing to say") }
    }

    mutating func run() throws {
        let client = try options.client()
        guard watch else { return try once(client) }
        try show(client)
        var failure: (any Error)?
        func again() { do { try show(client) } catch { failure = failure ?? error } }
        // For programs there is nothing new without an event.
        let interval = json ? nil : Self.interval
        do throws(ControlClientError) {
            // Behind all that has happened: only what comes is of interest.
            let events = "/v1/events?follow=1&since=\(Int.max)"
            try client.stream(events, to: 1, interval: interval, onPause: again) { _ in again() }
        } catch {
            if case .unread = error { return }
            failure = failure ?? ControlClient.failure(error, socket: client.socket)
        }
        // The picture has no end of line.
        if !json, Output.isTerminal { Output.write("\n") }
        // One that is about to end answers no more questions, or is gone by then.
        if let failure, (failure as? CommandFailure)?.code != 69 { throw failure }
        throw ControlClient.ended
    }

    /// One picture in the place of the last one; JSON one a line.
    private func show(_ client: ControlClient) throws {
        let status = try client.ask("GET", "/v1/status")
        if json { return Output.write(status.line + "\n") }
        let text = StatusText.render(status, now: .now)
        guard let size = Output.terminalSize else { return Output.write(text + "\n") }
        // Home, then each line cleared to its end, then all below (ECMA-48).
        Output.write("\u{1B}[H\(Picture.fitting(text, size).joined(separator: "\u{1B}[K\n"))\u{1B}[J")
    }

    private func once(_ client: ControlClient) throws {
        let status = try client.ask("GET", "/v1/status")
        if json {
            Output.write(String(decoding: status.encoded(indented: true), as: UTF8.self))
        } else {
            Output.write(StatusText.render(status, now: .now))
        }
        if check && status["state"]?.string != "ready" { throw ExitCode(1) }
    }
}

/// A text that is shown in the place of the last one.
enum Picture {
    /// The text's lines, so many and so long as the terminal has room for: what is most important stands above.
    static func fitting(_ text: String, _ size: Output.Size) -> [String] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map {
            String($0.prefix(size.columns))
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        guard lines.count > size.rows, size.rows > 1 else { return lines }
        let left = lines.count - size.rows + 1
        return lines.prefix(size.rows - 1) + ["… \(left) more \(left == 1 ? "line" : "lines")"]
    }
}

/// The status for people.
enum StatusText {
    static func render(_ status: JSONValue, now: Timestamp) -> String {
        let state = status["state"]?.string ?? "?"
        let started = status["started_at"]?.string.flatMap { Timestamp(rfc3339: $0) }
        var text = "gasclawd \(status["version"]?.string ?? "?") · \(state) · pid \(status["pid"]?.integer ?? 0)"
        if let started { text += " · up \((now - started).brief)" }
        text += "\n\(status["detail"]?.string ?? "")\n"
        let town = status["town"]
        text += "town \(town?["root"]?.string ?? "?")"
        if town?["away"]?.bool == true {
            text += " (away)"
        } else if town?["installed"]?.bool != true {
            text += " (not installed: gasclawd bootstrap makes one; town.root says where it is)"
        }
        if town?["estop"]?.bool == true { text += " (emergency stop)" }
        text += "\n"
        if let retry = town?["bootstrap"]?["next_retry_at"]?.string.flatMap({ Timestamp(rfc3339: $0) }) {
            let error = town?["bootstrap"]?["error"]?.string ?? "the bootstrap failed"
            // The second line has it already, unless something worse has happened.
            let isShown = status["detail"]?.string?.contains(error) == true
            text += "\(isShown ? "the bootstrap is" : "\(error):") tried again in \(max(.zero, retry - now).brief)\n"
        }
        for hold in town?["holds"]?.array ?? [] { text += "agents are left alone: \(hold.string ?? "")\n" }
        for file in town?["rejected"]?.array ?? [] {
            text += "refused: \(file["error"]?.string ?? "") (what it said before stays in force)\n"
        }
        let config = status["config"]
        if config?["ok"]?.bool == false {
            let errors = (config?["errors"]?.array ?? []).compactMap(\.string)
            text += "the configuration is refused, the last good one is in force\n"
            // The second line has one already, as a rule.
            if errors.count != 1 || status["detail"]?.string?.hasSuffix(errors[0]) != true {
                for error in errors { text += "  \(error)\n" }
            }
        }
        let keys = status["keys"]?["items"]?.array ?? []
        if !keys.isEmpty {
            text +=
                "\n"
                + TextTable(
                    ["KEY", "ACCOUNT", "STATE", "CAUSE", "READY IN", "AGENTS", "LAST USED"],
                    rows: keys.map { key in keyRow(key, now) }
                ).text
        }
        text += refused(status["keys"])
        if let services = services(status, now: now) { text += "\n" + services }
        if let agents = agents(status, now: now) { text += "\n" + agents }
        for path in status["watch"]?["polled"]?.array ?? [] { text += "polled: \(path.string ?? "")\n" }
        return text
    }

    /// - Returns: nil where none runs.
    static func agents(_ status: JSONValue, now: Timestamp) -> String? {
        let agents = status["agents"]?.array ?? []
        guard !agents.isEmpty else { return nil }
        return TextTable(
            ["SESSION", "ROLE", "RIG", "RUNNING", "PID", "KEY", "TURN", "UP", "NOTES"],
            rows: agents.map { agentRow($0, now) }
        ).text
    }

    /// - Returns: nil where none is managed.
    static func services(_ status: JSONValue, now: Timestamp) -> String? {
        let services = status["services"]?.array ?? []
        guard !services.isEmpty else { return nil }
        let failure = status["town"]?["bootstrap"]?["error"]?.string
        let rows = services.map { service in
            let retry = service["next_retry_at"]?.string.flatMap { Timestamp(rfc3339: $0) }
            let isWanted = service["wanted"]?.string != "down"
            return [
                service["name"]?.string ?? "",
                (service["state"]?.string ?? "") + (isWanted ? "" : " (stopped by hand)"),
                service["pid"]?.integer.map { "\($0)" } ?? "-", age(service["since"], now),
                "\(service["restarts"]?.integer ?? 0)",
                retry.map { $0 <= now ? "now" : ($0 - now).brief } ?? "-",
                // It stands above, and would stand here once for each.
                service["detail"]?.string.flatMap { detail in
                    detail.isEmpty ? nil : failure.map { detail.replacing($0, with: "the bootstrap failed") } ?? detail
                } ?? "-",
            ]
        }
        return TextTable(["SERVICE", "STATE", "PID", "SINCE", "RESTARTS", "RETRY IN", "DETAIL"], rows: rows).text
    }

    /// The key files that cannot be used, one a line.
    ///
    /// - Parameter areInUse: A daemon runs, which keeps what it knew.
    static func refused(_ keys: JSONValue?, areInUse: Bool = true) -> String {
        let accounts = areInUse ? Set((keys?["items"]?.array ?? []).compactMap { $0["account"]?.string }) : []
        return (keys?["rejected"]?.array ?? []).map { item in
            let error = item["error"]?.string ?? ""
            let path = item["path"]?.string ?? ""
            // An error with a place reads as a compiler's.
            let isPlaced = error.first?.isNumber ?? false
            // …/ACCOUNT/config.toml
            let holdsSome = path.split(separator: "/").dropLast().last.map { accounts.contains(String($0)) } ?? false
            return "refused: \(path):\(isPlaced ? "" : " ")\(error)"
                + (holdsSome ? " (the keys that it held before stay in use)\n" : "\n")
        }.joined()
    }

    private static func age(_ value: JSONValue?, _ now: Timestamp) -> String {
        value?.string.flatMap { Timestamp(rfc3339: $0) }.map { (now - $0).brief } ?? "-"
    }

    private static func keyRow(_ key: JSONValue, _ now: Timestamp) -> [String] {
        let until = key["until"]?.string.flatMap { Timestamp(rfc3339: $0) }
        let used = age(key["last_used"], now)
        return [
            key["id"]?.string ?? "", key["account"]?.string ?? "", key["state"]?.string ?? "",
            key["cause"]?.string ?? "-", until.map { ($0 - now).brief } ?? "-", "\(key["leases"]?.integer ?? 0)",
            used == "-" ? "never" : "\(used) ago",
        ]
    }

    private static func agentRow(_ agent: JSONValue, _ now: Timestamp) -> [String] {
        let isRunning = agent["running"]?.bool == true
        let isStalled = agent["stalled"]?.bool == true
        var notes: [String] = []
        if agent["unmanaged"]?.bool == true { notes.append("unmanaged") }
        if let pending = agent["pending_reload"]?.string { notes.append("reload due (\(pending))") }
        if let detail = agent["detail"]?.string { notes.append(detail) }
        return [
            agent["session"]?.string ?? "", agent["role"]?.string ?? "", agent["rig"]?.string ?? "-",
            isRunning ? "yes" : "no", agent["pid"]?.integer.map { "\($0)" } ?? "-", agent["key"]?.string ?? "-",
            isStalled ? "stalled" : agent["busy"]?.bool.map { $0 ? "busy" : "idle" } ?? "-",
            isRunning ? age(agent["since"], now) : "-", notes.isEmpty ? "-" : notes.joined(separator: ": "),
        ]
    }
}

/// Columns as wide as what is in them.
struct TextTable {
    let text: String

    init(_ header: [String], rows: [[String]]) { self.init([header] + rows) }

    init(_ all: [[String]]) {
        let widths = (all.first ?? []).indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        text = all.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 2) }
            }
            return line + "\n"
        }.joined()
    }
}
