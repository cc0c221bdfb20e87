// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON
import LinuxSys
import SystemPackage

/// gasclawd itself: whether it runs, its unit, its sockets.
enum ServiceChecks {
    static func run(_ x: Examination) -> [Check] {
        [user(x), daemon(x), socket(x), tmuxSocket(x), unit(x), unitSettings(x)]
    }

    /// Whoever asks has to be the town's own user, or root, who sees what gt would not.
    static func user(_ x: Examination) -> Check {
        let (id, title) = ("service.user", "the town's user")
        guard x.isAnothers, let user = x.townUser else { return .ok(id, title, "uid \(CurrentProcess.userID)") }
        guard CurrentProcess.userID == 0 else {
            return .failed(
                id, title,
                "the town is uid \(user)'s, and uid \(CurrentProcess.userID) asks: nothing else was looked at",
                fix: "sudo -u '#\(user)' gasclawd doctor")
        }
        return .ok(id, title, "uid \(user); root asks, so gt is not asked")
    }

    private static func daemon(_ x: Examination) -> Check {
        let (id, title) = ("service.daemon", "gasclawd")
        guard let status = x.status else { return .skipped(id, title, "not running (gasclawd run starts it)") }
        let detail = status["detail"]?.string ?? ""
        guard status["state"]?.string == "degraded" else {
            return .ok(id, title, "\(status["state"]?.string ?? "?"), pid \(status["pid"]?.integer ?? 0): \(detail)")
        }
        return .warning(
            id, title, "degraded: \(detail)", fix: "gasclawd status shows all of it, gasclawd events since when")
    }

    /// A socket that nobody listens on is left by a crash; the next start replaces it.
    private static func socket(_ x: Examination) -> Check {
        let (id, title) = ("service.socket", "control socket")
        let path = x.socket
        guard let status = x.stat(path) else { return .skipped(id, title, "\(path.shown) is not there") }
        guard status.kind == .socket else {
            return .failed(id, title, "\(path.shown) is no socket", fix: "rm \(path.shown); gasclawd run")
        }
        do throws(SystemError) { _ = try UnixSocket(connectingTo: path) } catch {
            return .warning(
                id, title, "\(path.shown) is stale: \(error.errno)",
                fix: "gasclawd run replaces it; or rm \(path.shown)")
        }
        guard x.status != nil else {
            return .failed(
                id, title, "somebody listens on \(path.shown) and gives no status within 3 s",
                fix: "gasclawd status; if it hangs: systemctl restart gasclawd, agents live on")
        }
        return .ok(id, title, path.shown)
    }

    private static func tmuxSocket(_ x: Examination) -> Check {
        let (id, title) = ("service.tmux-socket", "the town's tmux server")
        guard let tmux = x.tmux else { return .skipped(id, title, "not running") }
        if tmux.isStale {
            return .warning(
                id, title, "\(tmux.socket) is stale: no server listens", fix: "rm \(tmux.socket) (tmux makes it again)")
        }
        if let problem = tmux.problem {
            return .failed(
                id, title, "\(tmux.socket): \(problem)",
                fix: "tmux -S \(tmux.socket) ls; if it hangs, end its server process")
        }
        return .ok(id, title, "\(tmux.panes.count) \(tmux.panes.count == 1 ? "pane" : "panes"), tmux -S \(tmux.socket)")
    }

    // MARK: - systemd

    private static let properties = [
        "LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "NeedDaemonReload", "KillMode", "PrivateTmp",
        "NRestarts",
    ]

    private static func show(_ x: Examination) -> [String: String]? {
        guard Syscalls.exists(x.systemFile("/run/systemd/system")), let systemctl = x.find("systemctl") else {
            return nil
        }
        let call = ["show", "gasclawd.service", "--no-pager", "--property=\(properties.joined(separator: ","))"]
        let outcomes = x.run([
            .init(words: [systemctl] + call, directory: "/"),
            .init(words: [systemctl, "--user"] + call, directory: "/"),
        ])
        var found: [String: String]?
        for (scope, outcome) in zip(["", "--user "], outcomes) {
            guard case .success(let result) = outcome, result.status.isSuccess else { continue }
            var values: [String: String] = ["scope": scope]
            for line in String(decoding: result.output, as: UTF8.self).split(separator: "\n") {
                let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2 { values[String(parts[0])] = String(parts[1]) }
            }
            guard values["LoadState"] != "not-found", values["LoadState"] != nil else { continue }
            // Of two the one that runs.
            if found == nil || values["ActiveState"] == "active" { found = values }
        }
        return found
    }

    private static func unit(_ x: Examination) -> Check {
        let (id, title) = ("service.unit", "unit")
        guard Syscalls.exists(x.systemFile("/run/systemd/system")) else {
            return .skipped(id, title, "systemd does not run here")
        }
        guard let unit = show(x) else { return .skipped(id, title, "gasclawd.service is not installed") }
        let scope = unit["scope"] ?? ""
        let state = "\(unit["ActiveState"] ?? "?") (\(unit["SubState"] ?? "?"))"
        let restart = "systemctl \(scope)restart gasclawd"
        switch unit["ActiveState"] {
        case "failed":
            return .failed(
                id, title, "\(state), result \(unit["Result"] ?? "?")",
                fix: "journalctl \(scope)-u gasclawd -n 50 -x; then systemctl \(scope)reset-failed gasclawd; \(restart)"
            )
        case "active", "reloading", "activating":
            if unit["NeedDaemonReload"] == "yes" {
                return .warning(
                    id, title, "its file was changed and systemd has not read it",
                    fix: "systemctl \(scope)daemon-reload; \(restart)")
            }
            return .ok(id, title, "\(state), \(unit["UnitFileState"] ?? "?"), \(unit["NRestarts"] ?? "0") restarts")
        default:
            guard ["enabled", "enabled-runtime"].contains(unit["UnitFileState"]) else {
                return .skipped(id, title, "\(state), \(unit["UnitFileState"] ?? "?")")
            }
            return .failed(
                id, title, "\(state) though it is enabled",
                fix: "systemctl \(scope)start gasclawd; journalctl \(scope)-u gasclawd -n 50")
        }
    }

    /// Drop-ins that undo what agents need.
    private static func unitSettings(_ x: Examination) -> Check {
        let (id, title) = ("service.unit-settings", "unit's settings")
        guard let unit = show(x) else { return .skipped(id, title, "there is no unit") }
        var problems: [String] = []
        if let mode = unit["KillMode"], mode != "process" {
            problems.append("KillMode=\(mode): one crash ends all agents (process)")
        }
        if unit["PrivateTmp"] == "yes" { problems.append("PrivateTmp=yes: gt's tmux sockets are out of reach (no)") }
        guard problems.isEmpty else {
            return .warning(
                id, title, problems.joined(separator: "; "),
                fix: "systemctl \(unit["scope"] ?? "")edit gasclawd; systemctl \(unit["scope"] ?? "")daemon-reload")
        }
        return .ok(id, title, "as agents need them")
    }
}
