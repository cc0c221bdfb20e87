// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// The gt daemon. Its state is read from files: `gt daemon status` always exits 0, and its probe can make a daemon that
/// is starting fail (gt: daemon/daemon.go, IsRunning).
enum DaemonChecks {
    static func run(_ x: Examination) -> [Check] {
        guard x.isInstalled else { return [] }
        let pids = daemons(x)
        return [running(x, pids), second(x, pids), environment(x, pids)]
    }

    /// The daemons of this town.
    private static func daemons(_ x: Examination) -> [Int32] {
        var roots = [x.town]
        do throws(SystemError) { roots.append(try Syscalls.realPath(x.town)) } catch {
            // It is gone by now.
        }
        return x.processes.filter { process in
            guard process.program == "gt" || process.name == "gt", process.words.contains("daemon"),
                process.words.contains("run")
            else { return false }
            do throws(SystemError) {
                return roots.contains(try Syscalls.linkTarget(FilePath("/proc/\(process.pid)/cwd")))
            } catch {
                return false
            }
        }.map(\.pid)
    }

    private static func running(_ x: Examination, _ pids: [Int32]) -> Check {
        let (id, title) = ("daemon.running", "gt daemon")
        let log = "\(x.town.shown)/daemon/daemon.log tells more"
        let file = x.json(x.town.appending("daemon/state.json"))
        let pid = file.json?["pid"]?.integer.flatMap { Int32(exactly: $0) }
        let isAlive =
            pid.flatMap { ProcessTable.status(of: $0) }.map { $0.isAlive && isGt(x, $0.identity.pid) } ?? false
        guard let pid, isAlive || pids.contains(pid) else {
            guard x.configuration.services.managed.contains(.daemon) else {
                return .skipped(id, title, "not running, and not in services.manage")
            }
            let stale = pid.map { "; daemon/state.json names pid \($0), which is gone" } ?? ""
            return .failed(
                id, title,
                pids.isEmpty ? "not running\(stale)" : "pid \(pids[0]) runs and has written no state\(stale)",
                fix: "gasclawd services restart daemon; \(log)")
        }
        let interval = heartbeat(x)
        guard let last = file.json?["last_heartbeat"]?.string.flatMap({ Timestamp(rfc3339: $0) }) else {
            return .warning(
                id, title, "pid \(pid) has written no heartbeat", fix: "gasclawd services restart daemon; \(log)")
        }
        let age = x.now - last
        guard age <= interval * 2 + .seconds(10) else {
            return .failed(
                id, title, "pid \(pid) stands still: its last heartbeat was \(age.brief) ago",
                fix: "gasclawd services restart daemon; \(log)")
        }
        return .ok(id, title, "pid \(pid), heartbeat \(age.brief) ago")
    }

    private static func isGt(_ x: Examination, _ pid: Int32) -> Bool {
        guard let process = x.process(pid) else { return false }
        return process.name == "gt" || process.program == "gt" || process.words.contains("daemon")
    }

    /// `heartbeat.interval`, `3m` where nobody says otherwise (gt: config/operational.go).
    private static func heartbeat(_ x: Examination) -> Duration {
        let text = x.text(TownFiles(x.town).daemonSettings) ?? ""
        return DaemonSettings(Array(text.utf8)).heartbeat
    }

    /// Two supervisors undo each other's work.
    private static func second(_ x: Examination, _ pids: [Int32]) -> Check {
        let (id, title) = ("daemon.supervisors", "supervisors")
        if pids.count > 1 {
            return .failed(
                id, title,
                "\(pids.count) gt daemons run in this town: pids \(pids.map(String.init).joined(separator: ", "))",
                fix: "in \(x.town.shown): gt daemon stop; then gasclawd services restart daemon")
        }
        if let pid = pids.first, x.text(FilePath("/proc/\(pid)/cgroup"))?.contains("gastown-daemon.service") == true {
            return .failed(
                id, title, "the gt daemon, pid \(pid), belongs to gastown-daemon.service, which starts it again too",
                fix: "systemctl --user disable --now gastown-daemon.service")
        }
        let home = x.own.home ?? "/"
        let wanted = FilePath(home).appending(".config/systemd/user/default.target.wants/gastown-daemon.service")
        if Syscalls.exists(wanted) || isLink(wanted), x.configuration.services.managed.contains(.daemon) {
            return .warning(
                id, title, "gastown-daemon.service is enabled and would start a second gt daemon",
                fix: "systemctl --user disable gastown-daemon.service")
        }
        let ours = x.status?["pid"]?.integer
        let others = x.processes.filter { process in
            guard process.name == "gasclawd", process.words.dropFirst().first == "run", Int(process.pid) != ours else {
                return false
            }
            return town(of: process, x) == x.town
        }
        if let found = holder(x, besides: ours, id, title) { return found }
        if let other = others.first, ours != nil {
            return .failed(
                id, title, "another gasclawd, pid \(other.pid), looks after this town too", fix: "kill \(other.pid)")
        }
        return .ok(id, title, "one at most")
    }

    private static func isLink(_ path: FilePath) -> Bool {
        do throws(SystemError) { return try Syscalls.status(of: path, followingLinks: false).kind == .link } catch {
            return false
        }
    }

    /// Whoever holds the gt daemon's lock, read without touching it.
    static func lockHolder(_ x: Examination) -> Int32? {
        do throws(FileReadError) { return try Holders.lockHolder(TownFiles(x.town).daemonLock) } catch { return nil }
    }

    /// Whoever has the town's lock and is not our daemon. Whoever can read a folder can lock it: nobody is to be ended for
    /// that who is no gasclawd.
    private static func holder(_ x: Examination, besides ours: Int?, _ id: String, _ title: String) -> Check? {
        let found: Int32?
        do throws(FileReadError) { found = try Holders.lockHolder(x.town) } catch { return nil }
        guard let holder = found, holder != CurrentProcess.pid, Int(holder) != ours else { return nil }
        let process = x.process(holder)
        let who = process.map { " (\($0.name))" } ?? ""
        let user = ProcessTable.userID(of: holder)
        let holds = "pid \(holder)\(who) holds \(x.town.shown)"
        if user != 0, user != CurrentProcess.userID, user != owner(of: x.town) {
            return .warning(
                id, title,
                "\(holds): a process of \(user.map { "user \($0)" } ?? "an unknown user") keeps gasclawd from locking "
                    + "its town, so that a second gasclawd would not be noticed",
                fix: "chmod o-rwx \(x.town.shown)")
        }
        guard let process, process.name.hasPrefix("gasclawd") else {
            return .failed(
                id, title, "\(holds), and is no gasclawd: gasclawd does not start while it does",
                fix: "wait for its end: flock of util-linux, for one, holds a folder as long as its command runs")
        }
        if process.words.dropFirst().first == "bootstrap" {
            return .failed(id, title, "\(holds): it brings the town into being", fix: "wait for its end")
        }
        return .failed(
            id, title,
            "another gasclawd looks after this town: \(holds), with other folders for state and sockets than these",
            fix: "use its configuration (--config), or end it: kill \(holder)")
    }

    private static func owner(of path: FilePath) -> UInt32? {
        do throws(SystemError) { return try Syscalls.status(of: path).owner } catch { return nil }
    }

    /// The town that another gasclawd's configuration names; nil where that cannot be told.
    private static func town(of process: Examination.Process, _ x: Examination) -> FilePath? {
        guard let option = process.words.firstIndex(of: "--config"), option + 1 < process.words.count,
            let text = x.text(FilePath(process.words[option + 1]))
        else { return nil }
        let line = text.split(separator: "\n").first { $0.drop { $0 == " " }.hasPrefix("root") }
        return line.flatMap { $0.split(separator: "\"").dropFirst().first }.map { FilePath(String($0)) }
    }

    /// What the gt daemon has, every agent that it starts gets, in tmux's arguments too.
    private static func environment(_ x: Examination, _ pids: [Int32]) -> Check {
        let (id, title) = ("daemon.environment", "gt daemon's environment")
        guard let pid = pids.first, let names = x.variableNames(of: pid) else {
            return .skipped(id, title, "no gt daemon runs, or it is another user's")
        }
        let bad = SecretChecks.misleading(names)
        guard bad.isEmpty else {
            return .failed(
                id, title,
                "pid \(pid) has \(bad.joined(separator: ", ")): agents would get it, and a key in tmux's arguments",
                fix: "unset it where the daemon is started; gasclawd services restart daemon")
        }
        return .ok(id, title, "no key, nothing that redirects agents")
    }
}

/// The mayor.
enum MayorChecks {
    static func run(_ x: Examination) -> [Check] {
        guard x.isInstalled else { return [] }
        return [running(x)]
    }

    /// A session that is there says nothing of the client in it (gt: mayor/manager.go), so the process is looked at.
    private static func running(_ x: Examination) -> Check {
        let (id, title) = ("mayor.running", "mayor")
        let start = "gasclawd services restart mayor"
        guard let pane = x.tmux?.panes.first(where: { $0.session == "hq-mayor" }) else {
            guard x.configuration.services.managed.contains(.mayor) else {
                return .skipped(id, title, "not running, and not in services.manage")
            }
            return .failed(
                id, title, "not running (its daemon has to run first, and its agent's name has to be known to gt)",
                fix: "\(start), or in \(x.town.shown): gt mayor start --agent \(x.configuration.agent.name)")
        }
        guard !pane.isDead, let process = x.process(pane.pid) else {
            return .failed(
                id, title, "its session is there and its client has ended (a rejected key ends it at once)",
                fix: "gasclawd keys list; \(start)")
        }
        let shells = ["sh", "bash", "dash", "zsh", "fish"]
        if shells.contains(process.name), !x.processes.contains(where: { isClient($0, below: pane.pid) }) {
            return .failed(id, title, "in its session runs \(process.name) and no client", fix: start)
        }
        return .ok(id, title, "pid \(pane.pid)")
    }

    private static func isClient(_ process: Examination.Process, below pid: Int32) -> Bool {
        guard process.name == "claude" || process.name == "node" else { return false }
        var parent = ProcessTable.status(of: process.pid)?.parent ?? 0
        for _ in 0..<16 where parent > 1 {
            if parent == pid { return true }
            parent = ProcessTable.status(of: parent)?.parent ?? 0
        }
        return false
    }
}
