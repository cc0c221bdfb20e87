// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import LinuxSys
import SystemPackage

/// Where services run and what they are run with.
struct ServicePlace {
    let files: TownFiles
    let toolbox: Toolbox
    /// The agent that the mayor is.
    let agent: String
    /// Where clients write who they are (`<config_dir>/sessions`).
    let clients: FilePath
    /// `services.dolt_port`.
    let doltPort: UInt16

    var root: FilePath { files.root }
    var isInstalled: Bool { Syscalls.exists(files.town) }
    var tmuxSocket: String { TownSocket.path(root: root, userID: CurrentProcess.userID) }

    /// Where dolt is to answer: what gt has generated goes before all else (gt: doltserver.go), then what the daemon is
    /// told, then our configuration.
    var effectivePort: UInt16 {
        if let port = Self.read(files.doltConfig).flatMap(TownFiles.doltPort) { return port }
        if let port = Self.read(files.daemonSettings).flatMap({ DaemonSettings($0).doltPort }) { return port }
        return doltPort
    }

    /// What gt, dolt and the services get.
    var environment: [String] {
        toolbox.environment.filter { !$0.hasPrefix("GT_DOLT_PORT=") } + ["GT_DOLT_PORT=\(effectivePort)"]
    }

    /// A small file of gt's; nil where it cannot be read, which says nothing.
    static func read(_ path: FilePath) -> [UInt8]? {
        do throws(FileReadError) { return try RegularFile.read(path, limit: 1 << 20).bytes } catch { return nil }
    }

    /// A process for people: `pid 4711 (mysqld)`.
    static func shown(_ pid: Int32) -> String {
        let name = ProcessTable.status(of: pid).map { " (\(shownText($0.name)))" } ?? ""
        return "pid \(pid)\(name)"
    }

    // MARK: - dolt

    /// The town's own server, if it lives: gt's files name it, or it listens on the town's port.
    var dolt: ProcessIdentity? {
        var candidates = [Self.read(files.doltPID).flatMap(TownFiles.pid)]
        do throws(JSONError) {
            if let bytes = Self.read(files.doltState) {
                candidates.append(try JSONValue(parsing: bytes)["pid"]?.integer.flatMap(Int32.init(exactly:)))
            }
        } catch {
            // It is being written: the pid file and the port tell too.
        }
        for pid in candidates.compactMap(\.self) { if let found = townsDolt(pid) { return found } }
        do throws(FileReadError) {
            return try Holders.listener(port: effectivePort)?.pid.flatMap(townsDolt)
        } catch { return nil }
    }

    /// The process of a number, if it is a dolt server of this town: of its configuration or in its data folder.
    func townsDolt(_ pid: Int32) -> ProcessIdentity? {
        guard let status = ProcessTable.status(of: pid), status.isAlive,
            let words = ProcessTable.arguments(of: pid), words.contains("sql-server")
        else { return nil }
        let data = Set([files.doltData, real(files.doltData)].map(\.string))
        let isOurs =
            words.contains { word in
                data.contains { word == $0 || word.hasPrefix($0 + "/") || word.hasSuffix("=\($0)") }
            }
            || ProcessTable.directory(of: pid).map { data.contains($0.string) } ?? false
        return isOurs ? status.identity : nil
    }

    private func real(_ path: FilePath) -> FilePath {
        do throws(SystemError) { return try Syscalls.realPath(path) } catch { return path }
    }

    /// Somebody else has what a service needs.
    struct Conflict {
        let text: String
        /// nil where it is not known.
        let holder: ProcessIdentity?

        init(_ text: String, _ pid: Int32?) {
            self.text = text
            holder = pid.flatMap(ProcessTable.status(of:))?.identity
        }
    }

    /// Who else has what the town's dolt needs; nil if nobody.
    var doltConflict: Conflict? {
        do throws(FileReadError) {
            let port = effectivePort
            if let listener = try Holders.listener(port: port) {
                let who = listener.pid.map(Self.shown) ?? "a process of user \(listener.userID)"
                return Conflict("port \(port) is held by \(who) (end it, or set services.dolt_port)", listener.pid)
            }
            for name in databases {
                let lock = files.doltData.entry(name).pushing(".dolt/noms/LOCK")
                if let pid = try Holders.lockHolder(lock) {
                    return Conflict("\(lock.shown) is held by \(Self.shown(pid)) (end it; never remove the file)", pid)
                }
            }
            return nil
        } catch {
            return nil
        }
    }

    private var databases: [[UInt8]] {
        do throws(SystemError) {
            let folder = try Syscalls.open(files.doltData, flags: Syscalls.directory)
            return try Syscalls.names(inDirectory: folder.raw).filter { $0.first != UInt8(ascii: ".") }
        } catch { return [] }
    }

    // MARK: - The gt daemon

    /// Whoever holds the gt daemon's lock, read without touching it: gt's own probe can make a daemon fail that is just
    /// starting (gt: daemon/daemon.go, IsRunning).
    var daemonLockHolder: ProcessIdentity? {
        do throws(FileReadError) {
            return try Holders.lockHolder(files.daemonLock).flatMap { ProcessTable.status(of: $0)?.identity }
        } catch { return nil }
    }

    static func isDaemon(_ pid: Int32) -> Bool {
        guard let words = ProcessTable.arguments(of: pid) else { return false }
        return words.contains("daemon") && words.contains("run")
    }

    /// The living gt daemon of the town, whoever started it.
    var daemon: ProcessIdentity? { daemonLockHolder.flatMap { Self.isDaemon($0.pid) ? $0 : nil } }

    /// What to say of a gt daemon that is not ours.
    static func strangersDaemon(_ pid: Int32) -> String {
        strangersDaemon(controlGroup: ProcessTable.controlGroup(of: pid))
    }

    /// - Parameter controlGroup: As `/proc/<pid>/cgroup` names it: gt's own unit is a user's.
    static func strangersDaemon(controlGroup: String?) -> String {
        if controlGroup?.split(whereSeparator: { "/\n".contains($0) }).contains("gastown-daemon.service") == true {
            return "gastown-daemon.service runs it (systemctl --user disable --now gastown-daemon.service, or take "
                + "daemon out of services.manage)"
        }
        return "somebody else has started it (gt daemon start)"
    }
}
