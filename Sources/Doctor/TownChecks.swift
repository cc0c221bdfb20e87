// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import Glibc
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// The town's folder, and what an operator or gt has switched off in it.
enum TownChecks {
    static func run(_ x: Examination) -> [Check] {
        let checks = [folder(x), installed(x), space(x), fileSystem(x)]
        guard x.isInstalled else { return checks }
        return checks + [rigs(x), switches(x), crashLoops(x), strays(x)]
    }

    private static func folder(_ x: Examination) -> Check {
        let (id, title) = ("town.folder", "town's folder")
        let root = x.town
        guard Syscalls.exists(root) else {
            let parent = Self.nearest(root)
            guard Syscalls.isWritable(parent) else {
                return .failed(
                    id, title, "\(root.shown) is not there, and \(parent.shown) cannot be written",
                    fix: "mkdir -p \(root.shown) and give it to this user (chown), or set town.root")
            }
            return .failed(
                id, title, "\(root.shown) is not there", fix: "gasclawd bootstrap, or set town.root")
        }
        guard Syscalls.isDirectory(root) else {
            return .failed(id, title, "\(root.shown) is no folder", fix: "set town.root")
        }
        guard Syscalls.isWritable(root) else {
            return .failed(
                id, title, "\(root.shown) cannot be written by this user: gt install and all that follows fails",
                fix: "chown -R \(CurrentProcess.userID) \(root.shown), or mount it writable")
        }
        return .ok(id, title, "\(root.shown), writable")
    }

    private static func nearest(_ path: FilePath) -> FilePath {
        var parent = path
        while !Syscalls.exists(parent), parent.removeLastComponent() {}
        return parent
    }

    private static func installed(_ x: Examination) -> Check {
        let (id, title) = ("town.installed", "gt install")
        switch x.json(x.town.appending("mayor/town.json")) {
        case .absent:
            return .failed(
                id, title, "there is no town at \(x.town.shown) (no mayor/town.json)",
                fix: "gasclawd bootstrap (it calls gt install \(x.town.shown) --git)")
        case .unusable(let why):
            return .failed(
                id, title, "mayor/town.json: \(why)",
                fix: "git -C \(x.town.shown) checkout mayor/town.json, or gt install \(x.town.shown) --force")
        case .json(let value):
            return .ok(id, title, value["name"]?.string ?? "?")
        }
    }

    private static func space(_ x: Examination) -> Check {
        let (id, title) = ("town.space", "room on the disks")
        for folder in [x.town, x.configuration.paths.state] {
            let place = nearest(folder)
            let free: (bytes: Int64, files: Int64?)
            do throws(SystemError) { free = try Syscalls.freeSpace(of: place) } catch {
                return .skipped(id, title, "\(error)")
            }
            if free.bytes < 64 << 20 || free.files.map({ $0 < 1000 }) ?? false {
                return .failed(
                    id, title,
                    "\(place.shown): \(free.bytes >> 20) MiB free\(free.files.map { ", \($0) files" } ?? ""): state and logs cannot be written",
                    fix: "df -h \(place.shown); df -i \(place.shown); remove what is not needed")
            }
        }
        return .ok(id, title, "enough")
    }

    /// Magic numbers of file systems whose changes by other machines inotify does not tell (statfs(2)).
    private static let remote: [Int: String] = [
        0x6969: "NFS", 0xFF53_4D42: "CIFS", 0xFE53_4D42: "SMB2", 0x0102_1997: "9P", 0x6573_5546: "FUSE",
        0x00C3_6400: "Ceph",
    ]

    private static func fileSystem(_ x: Examination) -> Check {
        let (id, title) = ("town.file-system", "file systems")
        for folder in [x.town, x.configuration.accounts] where Syscalls.isDirectory(folder) {
            do throws(SystemError) {
                let opened = try Syscalls.open(folder, flags: Syscalls.directory)
                let type = try Syscalls.fileSystemType(of: opened.raw)
                guard let name = remote[type] else { continue }
                return .warning(
                    id, title, "\(folder.shown) is on \(name): changes made elsewhere are seen by polling, within 2 s",
                    fix: "move it to a local disk (town.root, accounts.directory)")
            } catch {
                continue
            }
        }
        return .ok(id, title, "changes are told")
    }

    /// `gt rig add` does not fail silently: it exits 1 where its URL is a bare path.
    private static func rigs(_ x: Examination) -> Check {
        let (id, title) = ("town.rigs", "rigs")
        let file = x.json(x.town.appending("mayor/rigs.json"))
        if case .unusable(let why) = file {
            return .failed(id, title, "mayor/rigs.json: \(why)", fix: "git -C \(x.town.shown) checkout mayor/rigs.json")
        }
        let names = (file.json?["rigs"]?.object?.members ?? []).map(\.name)
        if let gone = names.first(where: { !Syscalls.isDirectory(x.town.appending($0)) }) {
            return .failed(
                id, title, "\(gone) is registered and its folder is not there",
                fix: "git clone or restore \(x.town.appending(gone).shown), or gt rig remove \(gone)")
        }
        // The default, /project, is wanted only where it is.
        let wanted = x.configuration.town.rigs.filter { rig in
            !rig.url.hasPrefix("/") || x.configuration.town.rigs != Configuration.defaultRigs
                || Syscalls.isDirectory(FilePath(rig.url))
        }
        if let missing = wanted.first(where: { !names.contains($0.name) }) {
            let url = missing.url.hasPrefix("/") ? "file://\(missing.url)" : missing.url
            return .failed(
                id, title, "\(missing.name) is not registered",
                fix: "gasclawd bootstrap, or in \(x.town.shown): gt rig add \(missing.name) \(url)")
        }
        return .ok(id, title, names.isEmpty ? "none" : names.joined(separator: ", "))
    }

    /// While one of these is there nobody is started anew.
    private static func switches(_ x: Examination) -> Check {
        let (id, title) = ("town.switches", "switches")
        var on: [(String, String)] = []
        if Syscalls.exists(x.town.appending("ESTOP")) { on.append(("ESTOP: all agents stand still", "gt thaw")) }
        for file in x.names(x.town) where file.lastName.starts(with: "ESTOP.".utf8) {
            let rig = shownText(file.lastName.dropFirst(6))
            on.append(("ESTOP of \(rig): its agents stand still", "gt thaw --rig \(rig)"))
        }
        if x.json(x.town.appending(".runtime/deacon/paused.json")).json?["paused"]?.bool == true {
            on.append(("the deacon is paused", "gt deacon resume"))
        }
        if Syscalls.exists(x.town.appending("daemon/shutting-down")) {
            on.append(("gt is shutting down, or was killed while it did", "gt up; rm daemon/shutting-down if it stays"))
        }
        guard !on.isEmpty else { return .ok(id, title, "nothing is stopped or paused") }
        return .warning(
            id, title, on.map(\.0).joined(separator: "; "),
            fix: "in \(x.town.shown): " + on.map(\.1).joined(separator: "; "))
    }

    /// gt gives an agent up that died five times in 15 minutes (gt: daemon/restart_tracker.go).
    private static func crashLoops(_ x: Examination) -> Check {
        let (id, title) = ("town.crash-loops", "crash loops")
        let agents = x.json(x.town.appending("daemon/restart_state.json")).json?["agents"]?.object?.members ?? []
        let looping = agents.filter { _, agent in
            guard let since = agent["crash_loop_since"]?.string else { return false }
            // Go writes its zero time where there is none.
            return !since.isEmpty && !since.hasPrefix("0001-")
        }.map(\.name)
        guard looping.isEmpty else {
            return .failed(
                id, title, "gt does not start \(looping.joined(separator: ", ")) any more",
                fix: looping.map { "gt daemon clear-backoff \($0)" }.joined(separator: "; "))
        }
        return .ok(id, title, "none")
    }

    /// gt called outside of a town writes its settings where it stands (gt: cmd/config.go, FindFromCwd).
    private static func strays(_ x: Examination) -> Check {
        let (id, title) = ("town.strays", "settings outside of the town")
        let found = ["/settings/config.json", "/mayor/accounts.json", "/opt/gasclaw/settings/config.json"]
            .map(x.systemFile).filter { Syscalls.exists($0) && !$0.starts(with: x.town) }
        guard found.isEmpty else {
            let names = found.map(\.shown).joined(separator: " ")
            return .warning(
                id, title, "\(names): gt was called outside of the town and nothing reads them",
                fix: "look at them, then rm \(names)")
        }
        return .ok(id, title, "none")
    }
}
