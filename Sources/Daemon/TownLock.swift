// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import Logging
import SystemPackage

/// A town has one gasclawd, whatever folders for state and sockets it was given: two would start each service twice and
/// end each other's agents.
enum TownLock {
    /// Takes it.
    ///
    /// - Returns: nil where there is no town's folder to lock, or where its file system knows no locks.
    /// - Throws: Exit 75, if somebody else has it.
    static func take(_ root: FilePath, for command: String?, log: Logger) throws(DaemonFailure) -> FolderLock? {
        guard Syscalls.isDirectory(root) else { return nil }
        do throws(SystemError) {
            if let lock = try FolderLock(root) { return lock }
        } catch {
            log.warning(
                "nobody can be kept from looking after the town too",
                metadata: ["town": "\(root.shown)", "error": "\(error)"])
            return nil
        }
        throw DaemonFailure(code: 75, message: (command.map { "\($0): " } ?? "") + refusal(root))
    }

    /// What is said to whoever comes second.
    static func refusal(_ root: FilePath) -> String {
        let who = holder(root).map(ServicePlace.shown) ?? "another process"
        return "another gasclawd looks after the town: \(who) holds \(root.shown) "
            + "(its paths.state and paths.runtime are others; end it, or use its configuration)"
    }

    /// Whoever holds a town; nil if nobody does, or if that cannot be seen.
    static func holder(_ root: FilePath) -> Int32? {
        do throws(FileReadError) { return try Holders.lockHolder(root) } catch { return nil }
    }
}

extension Daemon {
    /// The town's folder has come, or another one has its name.
    func holdTown() {
        guard !isStopping, let status = status(of: configuration.town.root), townLock?.identity != status.identity
        else { return }
        do throws(DaemonFailure) {
            townLock = try TownLock.take(configuration.town.root, for: "run", log: log)
        } catch {
            log.critical("\(error.message)")
            stop("another gasclawd looks after the town", code: error.code)
        }
    }

    private func status(of path: FilePath) -> FileStatus? {
        do throws(SystemError) { return try Syscalls.status(of: path) } catch { return nil }
    }
}
