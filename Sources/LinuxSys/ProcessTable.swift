// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc
import SystemPackage
import Timekeeping

/// A process that cannot be confused with a later one of the same number: its pid and its start time.
public struct ProcessIdentity: Hashable, Sendable {
    public let pid: Int32
    /// Clock ticks since boot (proc(5), field 22 of `stat`).
    public let startTime: UInt64

    public init(pid: Int32, startTime: UInt64) {
        self.pid = pid
        self.startTime = startTime
    }
}

/// What /proc says of a process (proc_pid_stat(5)).
public struct ProcessStatus: Sendable {
    public let identity: ProcessIdentity
    public let parent: Int32
    public let session: Int32
    /// `Z` and `X` are dead.
    public let state: UInt8
    public let name: [UInt8]

    public var isAlive: Bool { state != UInt8(ascii: "Z") && state != UInt8(ascii: "X") }
}

public enum ProcessTable {
    /// The process with that number, nil if there is none.
    public static func status(of pid: Int32) -> ProcessStatus? {
        guard pid > 0, let bytes = read(FilePath("/proc/\(pid)/stat")),
            let open = bytes.firstIndex(of: UInt8(ascii: "(")), let close = bytes.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        // The name may hold anything, so the fields are counted behind its last parenthesis.
        let fields = bytes[(close + 1)...].split(separator: 32)
        guard fields.count > 19, let state = fields[0].first, let parent = number(fields[1]),
            let session = number(fields[3]), let start = number(fields[19])
        else { return nil }
        return ProcessStatus(
            identity: ProcessIdentity(pid: pid, startTime: start), parent: Int32(truncatingIfNeeded: parent),
            session: Int32(truncatingIfNeeded: session), state: state, name: Array(bytes[(open + 1)..<close]))
    }

    /// Whether exactly this process still runs.
    public static func isAlive(_ identity: ProcessIdentity) -> Bool {
        status(of: identity.pid).map { $0.identity == identity && $0.isAlive } ?? false
    }

    /// When a process was started, by the wall clock as it is set now: no later than it was.
    ///
    /// - Parameter identity: The process; whether it lives does not matter.
    /// - Returns: nil if the clock since boot cannot be read.
    public static func startedAt(_ identity: ProcessIdentity) -> Timestamp? {
        var time = timespec()
        let ticks = sysconf(Int32(_SC_CLK_TCK))
        guard ticks > 0, clock_gettime(CLOCK_BOOTTIME, &time) == 0 else { return nil }
        let sinceBoot = Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
        let start = Int64(clamping: identity.startTime).multipliedReportingOverflow(by: 1_000_000)
        guard !start.overflow else { return nil }
        return Timestamp.now - .microseconds(sinceBoot - start.partialValue / Int64(ticks))
    }

    /// All numbers of processes now.
    public static func all() -> [Int32] {
        do throws(SystemError) {
            let directory = try Syscalls.open("/proc", flags: O_RDONLY | O_DIRECTORY)
            return try Syscalls.names(inDirectory: directory.raw).compactMap { number($0[...]).map(Int32.init) }
        } catch {
            return []
        }
    }

    /// The process, its descendants, and whatever else lives in the session that it leads: what has to end with it.
    public static func tree(of root: ProcessIdentity) -> [ProcessStatus] { tree(of: [root]) }

    /// The same for several processes, of which some may have ended: what they left in their sessions still belongs
    /// to them.
    static func tree(of roots: Set<ProcessIdentity>) -> [ProcessStatus] {
        let processes = all().compactMap(status(of:))
        let now = Dictionary(processes.map { ($0.identity.pid, $0.identity) }) { first, _ in first }
        var members: Set<Int32> = []
        // The kernel gives no number again while a session has it; where one is another process's now, the session
        // of the first ended long ago.
        var sessions: [Int32: UInt64] = [:]
        for root in roots where now[root.pid] == nil || now[root.pid] == root {
            sessions[root.pid] = root.startTime
            if now[root.pid] == root { members.insert(root.pid) }
        }
        var grew = true
        while grew {
            grew = false
            for process in processes where !members.contains(process.identity.pid) {
                let isInSession = sessions[process.session].map { process.identity.startTime >= $0 } ?? false
                guard isInSession || members.contains(process.parent) else { continue }
                members.insert(process.identity.pid)
                // It may have gone into a session of its own, and others with it.
                if process.session == process.identity.pid {
                    sessions[process.session] = process.identity.startTime
                }
                grew = true
            }
        }
        return processes.filter { members.contains($0.identity.pid) && $0.isAlive }
    }

    /// The words that a process was started with; nil if they cannot be read.
    public static func arguments(of pid: Int32) -> [String]? {
        read(FilePath("/proc/\(pid)/cmdline"))?.split(separator: 0, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
    }

    /// The real user of a process: that of whoever started it, also where its program is set-user-ID (proc(5),
    /// `/proc/PID/status`); nil if it cannot be read.
    public static func userID(of pid: Int32) -> UInt32? {
        guard let bytes = read(FilePath("/proc/\(pid)/status")) else { return nil }
        let lead = Array("Uid:".utf8)
        return bytes.split(separator: 10).first { $0.starts(with: lead) }
            .flatMap { $0.dropFirst(lead.count).split(separator: 9).first }
            .flatMap { UInt32(String(decoding: $0, as: UTF8.self)) }
    }

    /// The folder that a process works in; nil if it cannot be read.
    public static func directory(of pid: Int32) -> FilePath? {
        do throws(SystemError) { return try Syscalls.linkTarget(FilePath("/proc/\(pid)/cwd")) } catch { return nil }
    }

    /// The systemd unit or container in whose control group a process is (proc(5), cgroups(7)); nil if nobody knows.
    public static func controlGroup(of pid: Int32) -> String? {
        read(FilePath("/proc/\(pid)/cgroup")).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The value of one variable in a process's initial environment; nil if it cannot be read.
    public static func environment(of pid: Int32) -> [[UInt8]]? {
        read(FilePath("/proc/\(pid)/environ"))?.split(separator: 0).map(Array.init)
    }

    private static func read(_ path: FilePath) -> [UInt8]? {
        do throws(FileReadError) { return try RegularFile.read(path, limit: 4 << 20).bytes } catch {
            // ENOENT and ESRCH: it ended; EACCES: it is somebody else's. Both mean that nothing is known.
            return nil
        }
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        UInt64(String(decoding: digits, as: UTF8.self))
    }
}

/// A process held by pidfd (pidfd_open(2)): signals reach it or nobody, its end is an event. Works for processes
/// that are not our children too.
public final class ProcessHandle {
    public let identity: ProcessIdentity
    /// How it ended, where it was our child and nobody has taken its status yet.
    public private(set) var status: ExitStatus?
    private let descriptor: Descriptor
    private let loop: EventLoop
    private var watch: EventLoop.Watch?

    /// - Parameters:
    ///   - onExit: Called once on the loop's thread when the process has ended.
    ///   - identity: Which process.
    ///   - loop: Where its end is watched.
    /// - Returns: nil if exactly this process no longer runs.
    public init?(
        _ identity: ProcessIdentity, on loop: EventLoop, onExit: @escaping () -> Void
    ) throws(SystemError) {
        self.identity = identity
        self.loop = loop
        do throws(SystemError) {
            descriptor = try Self.open(identity.pid)
        } catch {
            if error.errno == .noSuchProcess { return nil }
            throw error
        }
        // The descriptor names the process that has the number now; the start time tells whether it is the right one.
        guard ProcessTable.isAlive(identity) else { return nil }
        watch = try loop.watch(descriptor.raw, for: .reading) { [unowned self] in
            stopWatching()
            var code: Int32 = 0
            var number: Int32 = 0
            if gcl_peek(descriptor.raw, &code, &number) == 1 {
                status = code == CLD_EXITED ? .exited(number) : .signalled(number)
            }
            onExit()
        }
    }

    deinit { stopWatching() }

    /// Sends a signal; a process that has ended is no error.
    public func send(_ signal: Int32) throws(SystemError) {
        do throws(SystemError) {
            _ = try Syscalls.check("pidfd_send_signal") { gcl_pidfd_send_signal(descriptor.raw, signal) }
        } catch  where error.errno == .noSuchProcess {
            return
        }
    }

    private func stopWatching() {
        if let watch { loop.cancel(watch) }
        watch = nil
    }

    private static func open(_ pid: Int32) throws(SystemError) -> Descriptor {
        Descriptor(owning: try Syscalls.check("pidfd_open") { gcl_pidfd_open(pid) })
    }
}
