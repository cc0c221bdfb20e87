// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Controller
import GasTown
import Glibc
import LinuxSys
import SystemPackage

/// tmux servers that died while nobody watched: with them went all their agents, also those that gt does not bring back.
enum LostServers {
    private static let logEndMax: Int64 = 256 << 10

    /// - Parameters:
    ///   - ended: Agents that have ended since an earlier process wrote them down.
    ///   - root: The town.
    /// - Returns: Those whose server has died, as far as can be told: its socket is there and nobody answers (one that we
    ///   ended, or a reboot, leaves none), several went with it (sessions are ended one by one), and gt has not written
    ///   that it ended them.
    static func agents(among ended: [Lease], root: FilePath) -> [Lease] {
        let servers = Dictionary(grouping: ended.filter { $0.place != nil && !$0.isNested }) { $0.place?.socket ?? "" }
        var lost: [Lease] = []
        for (socket, leases) in servers where leases.count > 1 && isDead(FilePath(socket)) {
            let log = end(of: root.pushing("logs/town.log"))
            lost += leases.filter { !TownLog.isEnded($0.identity, in: log) }
        }
        return lost
    }

    private static func isDead(_ socket: FilePath) -> Bool {
        guard Syscalls.exists(socket) else { return false }
        do throws(SystemError) {
            _ = try UnixSocket(connectingTo: socket)
            return false
        } catch {
            return error.errno == .connectionRefused
        }
    }

    private static func end(of log: FilePath) -> [UInt8] {
        do throws(SystemError) {
            let file = try Syscalls.open(log, flags: O_RDONLY)
            let size = try Syscalls.status(of: file.raw).size
            var bytes = [UInt8](repeating: 0, count: Int(min(size, logEndMax)))
            let result = bytes.withUnsafeMutableBytes { buffer -> Result<Int?, SystemError> in
                do throws(SystemError) {
                    return .success(
                        try Syscalls.read(file.raw, at: max(0, size - logEndMax), into: buffer))
                } catch { return .failure(error) }
            }
            let count = try result.get() ?? 0
            bytes.removeLast(bytes.count - count)
            return bytes
        } catch {
            // gt has written nothing.
            return []
        }
    }
}
