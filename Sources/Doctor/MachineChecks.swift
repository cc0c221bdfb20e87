// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import Daemon
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// Limits of the machine, and who we are on it.
enum MachineChecks {
    static func run(_ x: Examination) -> [Check] {
        let use = InotifyUse(x)
        return [watches(x, use), instances(x, use), queue(x), polled(x), root(x), journal(x), clock(x)]
    }

    /// What this user's processes have of the kernel's limits, which are per user (inotify(7)).
    struct InotifyUse {
        var instances = 0
        var watches = 0

        init(_ x: Examination) {
            for process in x.processes where process.user == CurrentProcess.userID {
                for name in Holders.descriptors(of: process.pid, ofKind: "anon_inode:inotify") {
                    instances += 1
                    let info = x.text(FilePath("/proc/\(process.pid)/fdinfo").entry(name)) ?? ""
                    watches += info.utf8.split(separator: 10).count { $0.starts(with: "inotify ".utf8) }
                }
            }
        }
    }

    private static func limit(_ x: Examination, _ name: String) -> Int? {
        x.text(x.systemFile("/proc/sys/fs/inotify/\(name)")).flatMap { Int($0.filter(\.isNumber)) }
    }

    private static func watches(_ x: Examination, _ use: InotifyUse) -> Check {
        let (id, title) = ("machine.inotify-watches", "inotify watches")
        guard let max = limit(x, "max_user_watches") else { return .skipped(id, title, "the limit cannot be read") }
        // A daemon that runs has its watches; then only what it could not get matters, which is polled.
        let needed = x.status == nil ? plan(x) : 0
        let free = max - use.watches
        guard free >= needed else {
            return .failed(
                id, title,
                "\(max) for this user, \(use.watches) are used, the town needs \(needed): the rest is polled",
                fix: "sysctl -w fs.inotify.max_user_watches=524288 (and in /etc/sysctl.d)")
        }
        let plan = x.status?["watch"]?["directories"]?.integer ?? needed
        return .ok(id, title, "the town needs \(plan); \(use.watches) of \(max) are used")
    }

    /// About as many folders as the daemon would watch: accounts, the town's own and those of its rigs and agents.
    private static func plan(_ x: Examination) -> Int {
        let accounts = x.names(x.configuration.accounts).count
        let rigs = (x.json(x.town.appending("mayor/rigs.json")).json?["rigs"]?.object?.members ?? []).count
        let agents = x.tmux?.panes.count ?? 0
        return 24 + 2 * accounts + 4 * rigs + 2 * agents
    }

    private static func instances(_ x: Examination, _ use: InotifyUse) -> Check {
        let (id, title) = ("machine.inotify-instances", "inotify instances")
        guard let max = limit(x, "max_user_instances") else { return .skipped(id, title, "the limit cannot be read") }
        // One for the accounts, one for all else.
        let needed = x.status == nil ? 2 : 0
        guard max - use.instances >= needed else {
            return .failed(
                id, title, "\(max) for this user, \(use.instances) are used, gasclawd needs \(needed)",
                fix: "sysctl -w fs.inotify.max_user_instances=512 (and in /etc/sysctl.d)")
        }
        return .ok(id, title, "\(use.instances) of \(max) are used")
    }

    private static func queue(_ x: Examination) -> Check {
        let (id, title) = ("machine.inotify-queue", "inotify queue")
        guard let max = limit(x, "max_queued_events") else { return .skipped(id, title, "the limit cannot be read") }
        guard max >= 1024 else {
            return .warning(
                id, title, "\(max) events: it overflows often, and everything is read again each time",
                fix: "sysctl -w fs.inotify.max_queued_events=16384 (and in /etc/sysctl.d)")
        }
        return .ok(id, title, "\(max) events")
    }

    private static func polled(_ x: Examination) -> Check {
        let (id, title) = ("machine.polled", "paths that cannot be watched")
        guard let polled = x.status?["watch"]?["polled"]?.array else { return .skipped(id, title, "no daemon runs") }
        let names = polled.compactMap(\.string)
        guard names.isEmpty else {
            return .warning(
                id, title, names.joined(separator: "; "),
                fix: "mend what is named: a limit (machine.inotify-…), rights (chmod), or a network file system")
        }
        return .ok(id, title, "none")
    }

    /// Claude Code refuses to bypass permissions as root, except in a sandbox.
    private static func root(_ x: Examination) -> Check {
        let (id, title) = ("machine.root", "user")
        guard CurrentProcess.userID == 0 else { return .ok(id, title, "uid \(CurrentProcess.userID), not root") }
        guard x.configuration.agent.bypassesPermissions else { return .ok(id, title, "root, and agents ask") }
        guard !Machine.isSandboxed(x.configuration.agent.sandboxed) else {
            return .ok(
                id, title, "root in a sandbox (agent.sandboxed = \"\(x.configuration.agent.sandboxed.rawValue)\")")
        }
        return .failed(
            id, title, "root without a sandbox: Claude Code refuses to start with permissions bypassed",
            fix:
                "run it as a user of its own (units/gasclawd.service does), or set agent.sandboxed = \"yes\" in a container"
        )
    }

    private static func journal(_ x: Examination) -> Check {
        let (id, title) = ("machine.journal", "journal")
        guard Syscalls.exists(x.systemFile("/run/systemd/system")) else {
            return .skipped(id, title, "systemd does not run here")
        }
        let socket = x.systemFile("/run/systemd/journal/socket")
        guard x.stat(socket)?.kind == .socket else {
            return .failed(
                id, title, "\(socket.shown) is not there: records are lost", fix: "systemctl restart systemd-journald")
        }
        guard x.processes.contains(where: { $0.name.hasPrefix("systemd-journa") }) || x.system != "/" else {
            return .failed(
                id, title, "journald does not run: records are lost", fix: "systemctl restart systemd-journald")
        }
        return .ok(id, title, "journald listens")
    }

    /// When this program was made; no clock is right that says less.
    private static let oldest = Timestamp(rfc3339: "2026-01-01T00:00:00Z")

    /// Cooldowns are instants of the wall clock.
    private static func clock(_ x: Examination) -> Check {
        let (id, title) = ("machine.clock", "clock")
        let fix = "timedatectl set-ntp true (or set it by hand)"
        if let oldest, x.now < oldest { return .failed(id, title, "it says \(x.now.rfc3339)", fix: fix) }
        let files = [x.configuration.paths.state.appending("keys.json"), x.town.appending("daemon/state.json")]
        if let file = files.first(where: { x.stat($0).map { $0.modifiedAt - x.now > .seconds(3600) } ?? false }) {
            return .warning(id, title, "\(file.shown) was written in the future: the clock was set back", fix: fix)
        }
        return .ok(id, title, x.now.rfc3339)
    }
}
