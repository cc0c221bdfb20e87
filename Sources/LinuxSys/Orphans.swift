// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc
import Synchronization
import SystemPackage

/// The children that somebody here waits for; nobody else may take their status.
enum OwnChildren {
    private static let pids = Mutex<Set<Int32>>([])
    static func insert(_ pid: Int32) { _ = pids.withLock { $0.insert(pid) } }
    static func remove(_ pid: Int32) { _ = pids.withLock { $0.remove(pid) } }
    static func contains(_ pid: Int32) -> Bool { pids.withLock { $0.contains(pid) } }
}

/// Takes in processes whose parent has ended below us, so that none of them stays a zombie.
public enum Orphans {
    /// Makes this process the new parent of every orphan among its descendants (prctl(2), PR_SET_CHILD_SUBREAPER).
    public static func adopt() throws(SystemError) {
        _ = try Syscalls.check("prctl") { gcl_set_child_subreaper(1) }
    }

    /// Takes the status of all children that have ended and that nobody here waits for. Call it on SIGCHLD, at the end
    /// of the turn: whoever holds such a process by pidfd reads its status before.
    ///
    /// - Returns: How many there were.
    @discardableResult
    public static func reap() -> Int {
        var count = 0
        // The kernel tells of the same one again and again until somebody takes it.
        while let pid = endedChild() {
            guard !OwnChildren.contains(pid) else { return count + reapBehindOwn() }
            guard take(pid) else { return count }
            count += 1
        }
        return count
    }

    /// The children that are ours: a child of this process that is neither a command nor a service of ours was left by
    /// one of them.
    public static func living() -> [ProcessStatus] {
        ProcessTable.all().compactMap(ProcessTable.status(of:)).filter {
            $0.parent == CurrentProcess.pid && $0.isAlive && !OwnChildren.contains($0.identity.pid)
        }
    }

    /// One of our own has ended and will be taken by whoever waits for it; others may have ended behind it.
    private static func reapBehindOwn() -> Int {
        ProcessTable.all().compactMap(ProcessTable.status(of:)).count { process in
            process.parent == CurrentProcess.pid && !process.isAlive && !OwnChildren.contains(process.identity.pid)
                && take(process.identity.pid)
        }
    }

    private static func endedChild() -> Int32? {
        let pid = gcl_ended_child()
        return pid > 0 ? pid : nil
    }

    private static func take(_ pid: Int32) -> Bool { waitpid(pid, nil, WNOHANG) == pid }
}

/// A program that runs until somebody ends it: our child in a session of its own, held by pidfd. It outlives us.
public final class Child {
    public let identity: ProcessIdentity
    private let pidfd: Descriptor
    private let loop: EventLoop
    private var watch: EventLoop.Watch?

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - arguments: The first is the program's absolute path, and what it is called with.
    ///   - environment: All of it, as `NAME=value`.
    ///   - directory: Where it runs.
    ///   - loop: Where its end is watched.
    ///   - output: Where its standard output and error go. A pipe to us would end it when we crash (SIGPIPE).
    ///   - onExit: Called once on the loop's thread when it has ended.
    public init(
        _ arguments: [String], environment: [String], directory: FilePath, output: borrowing Descriptor,
        on loop: EventLoop, onExit: @escaping (ExitStatus) -> Void
    ) throws(SystemError) {
        self.loop = loop
        let null = try Syscalls.open("/dev/null", flags: O_RDONLY)
        let path = arguments.first ?? ""
        let out = output.raw
        var pid: Int32 = 0
        let code = withCStrings(arguments) { argv in
            withCStrings(environment) { envp in
                directory.withPlatformString { gcl_spawn(&pid, path, argv, envp, $0, null.raw, out, out) }
            }
        }
        guard code == 0 else {
            throw spawnError(code, program: path, directory: directory)
        }
        let child = pid
        OwnChildren.insert(child)
        do throws(SystemError) {
            pidfd = Descriptor(owning: try Syscalls.check("pidfd_open") { gcl_pidfd_open(child) })
        } catch {
            // Unreaped, so the number is still its own; the reaper takes it.
            kill(child, SIGKILL)
            OwnChildren.remove(child)
            throw error
        }
        identity = ProcessTable.status(of: pid)?.identity ?? ProcessIdentity(pid: pid, startTime: 0)
        watch = try loop.watch(pidfd.raw, for: .reading) { [self] in
            var code: Int32 = 0
            var status: Int32 = 0
            guard gcl_reap(pidfd.raw, &code, &status) == 1 else { return }
            stopWatching()
            onExit(code == CLD_EXITED ? .exited(status) : .signalled(status))
        }
    }

    /// Forgets it: it lives on, and its end is nobody's news.
    public func release() { stopWatching() }

    private func stopWatching() {
        if let watch { loop.cancel(watch) }
        watch = nil
        OwnChildren.remove(identity.pid)
    }
}
