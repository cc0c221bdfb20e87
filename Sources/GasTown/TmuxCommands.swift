// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// The hooks that a pane runs when its process dies, taken out of the way for a moment.
public struct PaneHooks: Sendable, Hashable {
    /// `pane-died` is an option of the window, which a pane can have of its own (tmux(1), HOOKS).
    public enum Level: String, Sendable, Hashable {
        case window = "-w"
        case pane = "-p"
    }
    public struct Entry: Sendable, Hashable {
        public let level: Level
        /// The place in the option's array.
        public let index: Int
        /// The command, as tmux prints and takes it.
        public let command: String

        public init(level: Level, index: Int, command: String) {
            self.level = level
            self.index = index
            self.command = command
        }
    }
    public var entries: [Entry]

    public init(entries: [Entry]) { self.entries = entries }
}

/// Command lines for the town's tmux server.
///
/// Several commands go in one call: between them no event of the pane can come.
public struct TmuxCommands: Sendable {
    /// The program's absolute path.
    public let program: String
    /// The server's socket, as `$TMUX` of an agent names it.
    public let socket: String

    public init(program: String, socket: String) {
        self.program = program
        self.socket = socket
    }

    private func call(_ commands: [[String]]) -> [String] {
        [program, "-u", "-S", socket] + Array(commands.joined(separator: [";"]))
    }

    /// Asks for the pane's session, process and hooks; see ``PaneReport``.
    public func inspect(pane: String) -> [String] {
        call([
            [
                "display-message", "-p", "-t", pane,
                "#{session_name}\t#{pane_pid}\t#{pane_dead}\t#{pid}\t#{pane_dead_status}",
            ],
            ["show-hooks", "-w", "-t", pane], ["display-message", "-p", "-t", pane, PaneReport.paneLevel],
            ["show-hooks", "-p", "-t", pane],
        ])
    }

    /// Keeps the pane when its process ends, and puts a hook that does nothing in the place of the ones there.
    public func setHooksAside(pane: String, hooks: PaneHooks) -> [String] {
        var commands = [["set-option", "-w", "-t", pane, "remain-on-exit", "on"]]
        if hooks.entries.contains(where: { $0.level == .pane }) {
            commands.append(["set-hook", "-p", "-u", "-t", pane, "pane-died"])
        }
        // Unset alone would let a global hook through.
        commands.append(["set-hook", "-w", "-u", "-t", pane, "pane-died"])
        commands.append(["set-hook", "-w", "-t", pane, "pane-died[0]", "set-option -wq @gasclawd-reload 1"])
        return call(commands)
    }

    /// Runs the pane's stored command again, then puts the hooks back.
    public func respawn(pane: String, hooks: PaneHooks) -> [String] {
        call([["respawn-pane", "-k", "-t", pane]] + restoration(pane: pane, hooks: hooks))
    }

    /// Puts the hooks back.
    public func restoreHooks(pane: String, hooks: PaneHooks) -> [String] {
        call(restoration(pane: pane, hooks: hooks))
    }

    private func restoration(pane: String, hooks: PaneHooks) -> [[String]] {
        [["set-hook", "-w", "-u", "-t", pane, "pane-died"]]
            + hooks.entries.map { ["set-hook", $0.level.rawValue, "-t", pane, "pane-died[\($0.index)]", $0.command] }
    }

    /// Puts a folder first in the PATH that new panes get.
    public func setGlobalPath(_ path: String) -> [String] {
        call([["set-environment", "-g", "PATH", path]])
    }

    /// Lists the panes of a session; see ``TownPane``.
    public func panes(of session: String) -> [String] {
        call([["list-panes", "-s", "-t", "=\(session):", "-F", TownPane.format]])
    }

    /// Lists all panes of the server; see ``TownPane``.
    public func allPanes() -> [String] { call([["list-panes", "-a", "-F", TownPane.format]]) }

    /// Runs the stored command of a session's pane again; its hooks stay.
    public func respawn(session: String) -> [String] { call([["respawn-pane", "-k", "-t", "=\(session):"]]) }

    /// Nobody brings the pane's process back any more.
    public func removeHooks(pane: String) -> [String] {
        call([
            ["set-hook", "-p", "-u", "-t", pane, "pane-died"], ["set-hook", "-w", "-u", "-t", pane, "pane-died"],
            ["set-hook", "-w", "-t", pane, "pane-died[0]", "set-option -wq @gasclawd-stop 1"],
        ])
    }

    public func endSession(_ session: String) -> [String] { call([["kill-session", "-t", "=\(session)"]]) }
    public func endServer() -> [String] { call([["kill-server"]]) }

    /// Prints the PATH that new panes get.
    public func globalPath() -> [String] { call([["show-environment", "-g", "PATH"]]) }
}

/// A pane, as `TmuxCommands.allPanes` lists it.
public struct TownPane: Sendable, Hashable {
    public let session: String
    /// `%4`
    public let pane: String
    public let pid: Int32
    public let isDead: Bool
    /// The tmux server's process.
    public let server: Int32

    static let format = "#{session_name}\t#{pane_id}\t#{pane_pid}\t#{pane_dead}\t#{pid}"

    /// Lines of another form are passed over.
    public static func parse(_ output: String) -> [TownPane] {
        output.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            guard fields.count == 5, let pid = Int32(fields[2]), let server = Int32(fields[4]) else { return nil }
            return TownPane(
                session: String(fields[0]), pane: String(fields[1]), pid: pid, isDead: fields[3] == "1", server: server)
        }
    }
}

/// What `TmuxCommands.inspect` printed.
public struct PaneReport: Sendable, Hashable {
    public let session: String
    public let pid: Int32
    public let isDead: Bool
    /// The exit code of a dead pane's process; nil where a signal ended it.
    public let exitStatus: Int32?
    /// The tmux server's process: pane numbers begin anew with another one.
    public let server: Int32
    public let hooks: PaneHooks

    static let paneLevel = "pane level"

    public init?(_ output: String) {
        var lines = output.split(separator: "\n", omittingEmptySubsequences: true)
        guard let first = lines.first else { return nil }
        lines.removeFirst()
        let fields = first.split(separator: "\t", omittingEmptySubsequences: false)
        guard fields.count >= 4, let pid = Int32(fields[1]), let server = Int32(fields[3]) else { return nil }
        self.server = server
        session = String(fields[0])
        self.pid = pid
        isDead = fields[2] == "1"
        exitStatus = fields.count > 4 ? Int32(fields[4]) : nil
        var level = PaneHooks.Level.window
        var entries: [PaneHooks.Entry] = []
        for line in lines {
            if line == Self.paneLevel { level = .pane }
            guard line.hasPrefix("pane-died["), let end = line.firstIndex(of: "]"),
                let index = Int(line[line.index(line.startIndex, offsetBy: 10)..<end])
            else { continue }
            // The command as it can be set again: what is stored is not the text, but the parsed command.
            let command = line[line.index(after: end)...].drop { $0 == " " }
            guard !command.isEmpty, !command.contains("@gasclawd-reload") else { continue }
            entries.append(PaneHooks.Entry(level: level, index: index, command: String(command)))
        }
        hooks = PaneHooks(entries: entries)
    }
}
