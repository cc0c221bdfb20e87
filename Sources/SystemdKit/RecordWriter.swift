// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import Synchronization
import SystemPackage
import Timekeeping

/// Writes lines to a descriptor from a thread of its own.
///
/// The caller never waits: a reader that does not read (a stuck journald, a terminal with Ctrl-S) fills a bounded
/// queue, then lines are dropped, counted, and their number is written where they are missing.
public final class RecordWriter: Sendable {
    /// The most lines that wait.
    public static let linesMax = 4096
    /// The most bytes that wait: a few long lines must not take the memory either.
    public static let bytesMax = 4 << 20
    /// The longest line, in bytes; what is beyond is cut off.
    public static let lineLengthMax = 64 << 10

    private let queue: LineQueue
    private let thread: pthread_t?
    /// Whether the thread may be held up by somebody else for ever, and so must not be waited for.
    private let canHang: Bool

    /// Begins the thread.
    ///
    /// - Parameters:
    ///   - descriptor: Where lines go. It stays the caller's, and open for as long as this writer lives.
    ///   - notice: The line that stands for a number of dropped ones.
    public init(
        descriptor: Int32 = STDERR_FILENO,
        notice: @escaping @Sendable (_ dropped: Int) -> String = { "\($0) log lines dropped" }
    ) throws(SystemError) {
        queue = LineQueue(wake: try WakeUp(), notice: { Array("\(notice($0))\n".utf8) })
        canHang = false
        thread = try Self.start(LineThread(queue: queue, descriptor: descriptor, isJournal: false))
    }

    /// Begins the thread, which sends records to the journal, or their lines to a descriptor while there is none.
    ///
    /// - Parameters:
    ///   - descriptor: Where lines go while there is no journal.
    ///   - notice: The record that stands for a number of dropped ones.
    public init(
        journalOr descriptor: Int32, notice: @escaping @Sendable (_ dropped: Int) -> [UInt8]
    ) throws(SystemError) {
        queue = LineQueue(wake: try WakeUp(), notice: notice)
        canHang = true
        thread = try Self.start(LineThread(queue: queue, descriptor: descriptor, isJournal: true))
    }

    deinit {
        // What still waits is written if it can be without waiting; `flush` is the way to be sure.
        queue.close()
        guard let thread else { return }
        if canHang { pthread_detach(thread) } else { pthread_join(thread, nil) }
    }

    /// Hands over a line without its end; callable from any thread.
    public func write(_ line: String) {
        var bytes = Array(line.utf8.prefix(Self.lineLengthMax))
        if bytes.count == Self.lineLengthMax {
            // Not inside a character: continuation bytes are 10xxxxxx.
            while let last = bytes.last, last & 0xC0 == 0x80 { bytes.removeLast() }
            if let last = bytes.last, last >= 0xC0 { bytes.removeLast() }
        }
        bytes.append(UInt8(ascii: "\n"))
        queue.append(bytes)
    }

    /// How many lines were dropped since the beginning.
    public var droppedCount: Int { queue.droppedInAll }

    /// Hands over a record for the journal.
    func write(record: [UInt8]) { queue.append(record) }

    /// Waits until all lines handed over before are written, or dropped because the descriptor is gone.
    ///
    /// - Returns: false if the time was over first.
    @discardableResult public func flush(within limit: Duration) -> Bool {
        do throws(SystemError) {
            let done = try WakeUp()
            guard let ticket = queue.subscribe(done.writingEnd) else { return true }
            defer { queue.unsubscribe(ticket) }
            return done.wait(milliseconds: Int32(clamping: max(0, limit.wholeMilliseconds)))
        } catch {
            // Without a descriptor to wait on there is nothing to wait for.
            return false
        }
    }

    private static func start(_ body: LineThread) throws(SystemError) -> pthread_t {
        // Signals are the main thread's, whichever way it takes them: the new thread inherits a full mask. SIGPIPE
        // stays pending there for ever, and write(2) reports EPIPE.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let context = Unmanaged.passRetained(body)
        let code = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<LineThread>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            }, context.toOpaque())
        guard code == 0 else {
            context.release()
            throw SystemError(call: "pthread_create", errno: Errno(rawValue: code))
        }
        return thread
    }
}

/// The thread: takes lines and writes them as the descriptor has room.
private final class LineThread: Sendable {
    private let queue: LineQueue
    private let descriptor: Int32
    private let isJournal: Bool

    init(queue: LineQueue, descriptor: Int32, isJournal: Bool) {
        self.queue = queue
        self.descriptor = descriptor
        self.isJournal = isJournal
    }

    func run() {
        while true {
            switch queue.next() {
            case .line(let bytes):
                if !(isJournal ? send(bytes) : write(bytes)) { queue.lineIsLost() }
                queue.lineIsDone()
            case .nothing: queue.wake.wait(milliseconds: -1)
            case .end: return
            }
        }
    }

    /// Sends a record to the journal, or its line to standard error where there is none; false if nobody took either.
    private func send(_ record: [UInt8]) -> Bool {
        let items = JournalEncoding.decode(record)
        guard let line = items.first, !Journal.send(Array(items.dropFirst())) else { return true }
        return write(line + [UInt8(ascii: "\n")])
    }

    /// Writes a line; one that cannot be written any more is given up, and false returned.
    private func write(_ bytes: [UInt8]) -> Bool {
        var written = 0
        while written < bytes.count {
            guard hasRoom() else { return false }
            // A pipe that poll(2) calls writable takes PIPE_BUF bytes without blocking, whatever its flags (pipe(7));
            // O_NONBLOCK cannot be set, it would hold for all who share the open file.
            let end = min(bytes.count, written + Int(PIPE_BUF))
            let start = written
            let outcome = bytes.withUnsafeBytes { buffer -> Result<Int, SystemError> in
                do throws(SystemError) {
                    let count = try Syscalls.write(descriptor, UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
                    return .success(count ?? 0)
                } catch {
                    return .failure(error)
                }
            }
            guard case .success(let count) = outcome else { return false }
            written += count
        }
        return true
    }

    /// Waits for room; false if the writer closes before there is any.
    private func hasRoom() -> Bool {
        while true {
            var polled = [
                pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0),
                pollfd(fd: queue.wake.readingEnd, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&polled, 2, queue.isClosed ? 0 : -1) >= 0 else {
                if errno == EINTR { continue }
                return false
            }
            // Errors on the descriptor are for write(2) to report.
            if polled[0].revents != 0 { return true }
            if queue.isClosed { return false }
            queue.wake.clear()
        }
    }
}
