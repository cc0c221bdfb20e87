// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import Secrets
import SystemPackage

/// A town's tmux server, called as gt calls it: `tmux -u -L <socket> …` (gt-contract.md section 0).
struct Tmux {
    let socket: String

    /// `<basename>-<first 6 hex of SHA-256 of the canonical path>`, unless GT_TMUX_SOCKET says otherwise.
    init(_ town: GtTown) throws(Failure) {
        let root = Disk.realPath(town.root)
        socket =
            Environment.value("GT_TMUX_SOCKET") ?? "\(baseName(root))-\(SHA256.hex(Array(root.utf8)).prefix(6))"
    }

    @discardableResult
    func run(_ arguments: String...) throws(Failure) -> CommandResult { try run(arguments) }

    func run(_ arguments: [String]) throws(Failure) -> CommandResult {
        try Program.run(["tmux", "-u", "-L", socket] + arguments, timeout: .seconds(20))
    }

    /// The same, but a failure of tmux is ours.
    func demand(_ arguments: [String]) throws(Failure) {
        let result = try run(arguments)
        guard result.status.isSuccess else {
            throw Failure("tmux \(arguments.first ?? ""): \(shownText(result.errors.prefix(300)))")
        }
    }

    /// The names of its sessions; none where no server runs.
    func sessions() throws(Failure) -> [String] {
        let result = try run("list-sessions", "-F", "#{session_name}")
        guard result.status.isSuccess else { return [] }
        return String(decoding: result.output, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    func hasSession(_ name: String) throws(Failure) -> Bool { try sessions().contains(name) }

    /// Where the socket's file is.
    var socketPath: String { "\(Environment.value("TMUX_TMPDIR") ?? "/tmp")/tmux-\(getuid())/\(socket)" }

    /// Ends the server with all its sessions. tmux leaves the socket's file behind; it is removed.
    func killServer() throws(Failure) {
        try run("kill-server")
        Disk.remove(socketPath)
    }

    struct Pane {
        let pid: Int32
        let isDead: Bool
    }

    /// The first pane of a session.
    func pane(of session: String) throws(Failure) -> Pane? {
        let result = try run("list-panes", "-t", "=\(session):", "-F", "#{pane_dead} #{pane_pid}")
        guard result.status.isSuccess,
            let line = String(decoding: result.output, as: UTF8.self).split(separator: "\n").first
        else { return nil }
        let words = line.split(separator: " ")
        guard words.count == 2, let pid = Int32(words[1]) else { return nil }
        return Pane(pid: pid, isDead: words[0] == "1")
    }

    /// Whether a process lives in the session's pane, not only the session.
    func isAgentAlive(_ session: String) throws(Failure) -> Bool {
        guard let pane = try pane(of: session) else { return false }
        return !pane.isDead && Program.isAlive(pane.pid)
    }

    func screen(of session: String) throws(Failure) -> String {
        String(decoding: try run("capture-pane", "-p", "-t", "=\(session):", "-S", "-30").output, as: UTF8.self)
    }

    /// Ends a session with its processes, after its hook was taken away (gt-contract.md section 2, 3).
    func end(_ session: String) throws(Failure) {
        try run("set-hook", "-u", "-t", session, "pane-died")
        if let pane = try pane(of: session), !pane.isDead, Program.isAlive(pane.pid) {
            try run("send-keys", "-t", "=\(session):", "C-c")
            _ =
                Program.end(pane.pid, SIGTERM, within: .seconds(2))
                || Program.end(pane.pid, SIGKILL, within: .seconds(2))
        }
        try run("kill-session", "-t", "=\(session)")
    }

    var serverPID: Int32? {
        get throws(Failure) {
            let result = try run("display-message", "-p", "#{pid}")
            guard result.status.isSuccess else { return nil }
            return Int32(String(decoding: result.output, as: UTF8.self).filter { !$0.isWhitespace })
        }
    }
}
