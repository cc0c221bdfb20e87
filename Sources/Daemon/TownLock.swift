// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import LinuxSys
import Logging
import SystemPackage

/// One town has one gasclawd, whatever folders for state and sockets it was given: two would start each service twice and
/// end each other's agents.
enum TownLock {
    /// What came of an attempt to take it.
    enum Outcome {
        case held(FolderLock)
        /// There is no folder to lock.
        case absent
        /// The folder's file system knows no locks, or the folder is not ours to open.
        case unlockable(SystemError)
        /// Somebody has it who has no business with the town: whoever can read a folder can lock it.
        case stranger(pid: Int32, userID: UInt32?)
        /// A `gasclawd bootstrap` with our own state: its end is worth waiting for.
        case bootstrapping(pid: Int32)
        /// It is that of the daemon beside which we work.
        case daemons
        /// Somebody else looks after the town; nil where its process cannot be seen.
        case taken(pid: Int32?)
    }

    /// Takes it.
    ///
    /// - Parameters:
    ///   - root: The town, by whatever name.
    ///   - old: What is held already: it is not taken twice.
    ///   - bootstrap: The lock file of our own state's bootstrap; nil: nobody is waited for.
    static func take(_ root: FilePath, having old: FolderLock? = nil, bootstrap: FilePath? = nil) -> Outcome {
        guard let status = status(of: root), status.kind == .directory else { return .absent }
        if let old, old.identity == status.identity { return .held(old) }
        do throws(SystemError) {
            // Whoever has ended between the attempt and the look at the table is in it no more.
            for _ in 0..<3 {
                if let lock = try FolderLock(root) { return .held(lock) }
                let pids = holders(root)
                if let pid = pids.first(where: { counts($0, owner: status.owner) }) {
                    let isOurs = bootstrap.map { holders($0).contains(pid) } ?? false
                    return isOurs ? .bootstrapping(pid: pid) : .taken(pid: pid)
                }
                if let pid = pids.first { return .stranger(pid: pid, userID: ProcessTable.userID(of: pid)) }
            }
        } catch {
            return .unlockable(error)
        }
        return .taken(pid: nil)
    }

    /// The same for a town that is about to be made: its folder is made if it is not there, so that nobody else begins too.
    static func takeNew(_ root: FilePath, having old: FolderLock?) -> Outcome {
        do throws(SystemError) {
            // As gt makes it.
            try Syscalls.makeDirectories(root, mode: 0o755)
        } catch {
            return .unlockable(error)
        }
        return take(root, having: old)
    }

    /// Whether a lock is still that of the folder which has the town's name.
    static func isOf(_ root: FilePath, _ lock: FolderLock) -> Bool { status(of: root)?.identity == lock.identity }

    /// Whether a process can be a gasclawd of this town: ours, root's, or of the town's owner. A process that has ended and
    /// whose lock lives on gave it to a child, which gasclawd never does.
    private static func counts(_ pid: Int32, owner: UInt32) -> Bool {
        guard let user = ProcessTable.userID(of: pid) else { return false }
        return [0, CurrentProcess.userID, owner].contains(user)
    }

    /// What is said to whoever comes second.
    static func refusal(_ root: FilePath, _ pid: Int32?) -> String {
        let who = pid.map(ServicePlace.shown) ?? "another process"
        guard pid.map(isGasclawd) ?? true else {
            return "the town's lock is held: \(who) holds \(root.shown) (wait for its end)"
        }
        return "another gasclawd looks after the town: \(who) holds \(root.shown) "
            + "(end it, or use its paths.state and paths.runtime)"
    }

    static func isGasclawd(_ pid: Int32) -> Bool {
        ProcessTable.status(of: pid)?.name.starts(with: Array("gasclawd".utf8)) ?? false
    }

    /// What is said where the lock is not had and the work goes on; nil where there is nothing to say.
    static func warning(_ outcome: Outcome, _ root: FilePath) -> String? {
        switch outcome {
        case .unlockable(let error): "nobody can be kept from looking after the town \(root.shown) too: \(error)"
        case .stranger(let pid, let user):
            "\(ServicePlace.shown(pid)) of \(user.map { "user \($0)" } ?? "an unknown user") holds a lock on "
                + "\(root.shown) and has no business with it: gasclawd goes on without the lock, "
                + "and takes it when it is free (chmod o-rwx \(root.shown) keeps others out)"
        case .held, .absent, .bootstrapping, .daemons, .taken: nil
        }
    }

    private static func holders(_ path: FilePath) -> [Int32] {
        do throws(FileReadError) { return try Holders.lockHolders(path) } catch { return [] }
    }

    private static func status(of path: FilePath) -> FileStatus? {
        do throws(SystemError) { return try Syscalls.status(of: path) } catch { return nil }
    }
}

extension Daemon {
    /// Takes the lock of the town if it is not ours yet: at the start, when its folder has come, when another one has its
    /// name, and when whoever had it has ended.
    func holdTown() {
        guard !isStopping else { return }
        let root = configuration.town.root
        take(TownLock.take(root, having: townLock, bootstrap: store.bootstrapLock), of: root)
    }

    /// The same before the town is made.
    func holdNewTown() -> TownLock.Outcome {
        let root = configuration.town.root
        let outcome = TownLock.takeNew(root, having: townLock)
        take(outcome, of: root)
        return outcome
    }

    func take(_ outcome: TownLock.Outcome, of root: FilePath) {
        townHolder = nil
        switch outcome {
        case .held(let lock):
            townLock = lock
            townWarning = nil
        case .absent, .daemons: break
        case .unlockable: townLock = nil
        case .stranger(let pid, _), .bootstrapping(let pid):
            townLock = nil
            waitForTown(pid)
        case .taken(let pid):
            townLock = nil
            log.critical("\(TownLock.refusal(root, pid))")
            stop("another gasclawd looks after the town", code: 75)
        }
        if let warning = TownLock.warning(outcome, root), warning != townWarning {
            townWarning = warning
            log.warning("\(warning)")
        }
    }

    private func waitForTown(_ pid: Int32) {
        guard let identity = ProcessTable.status(of: pid)?.identity else { return }
        do throws(SystemError) {
            townHolder = try ProcessHandle(identity, on: loop) { [unowned self] in
                // Not from inside the handle, which goes.
                loop.atEndOfTurn { [self] in holdTown() }
            }
        } catch {
            // It is looked for again once a minute.
        }
    }
}
