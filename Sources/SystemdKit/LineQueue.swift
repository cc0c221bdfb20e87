// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import Synchronization
import SystemPackage

/// The lines that wait for the writing thread.
final class LineQueue: Sendable {
    enum Next {
        case line([UInt8])
        case nothing
        case end
    }

    private struct Line {
        var bytes: [UInt8] = []
        /// How many dropped lines it tells of; 0 for one that is no notice.
        var told = 0
    }

    private struct State {
        var lines: [Line] = []
        /// Lines before this index are taken already.
        var head = 0
        var bytes = 0
        var dropped = 0
        var droppedInAll = 0
        /// Lines that nobody took when they were written. A notice of them by itself would be lost just so, for ever:
        /// the next line brings it.
        var lost = 0
        /// Of the line that is being written.
        var told = 0
        var isClosed = false
        /// Lines ever put in, and those done with: what a flush compares.
        var accepted: UInt64 = 0
        var done: UInt64 = 0
        var subscribers: [Subscriber] = []
        var lastTicket: UInt64 = 0

        var count: Int { lines.count - head }

        mutating func put(_ line: [UInt8], told: Int = 0) {
            lines.append(Line(bytes: line, told: told))
            bytes += line.count
            accepted += 1
        }

        mutating func take() -> [UInt8]? {
            guard head < lines.count else { return nil }
            let line = lines[head].bytes
            told = lines[head].told
            lines[head] = Line()
            head += 1
            bytes -= line.count
            // Moving the rest costs its length, so it is done once for as many that were taken.
            if head == lines.count || head >= 1024 {
                lines.removeFirst(head)
                head = 0
            }
            return line
        }
    }

    private struct Subscriber {
        let ticket: UInt64
        let target: UInt64
        let descriptor: Int32
    }

    let wake: WakeUp
    private let notice: @Sendable (Int) -> [UInt8]
    private let state = Mutex(State())

    init(wake: consuming WakeUp, notice: @escaping @Sendable (Int) -> [UInt8]) {
        self.wake = wake
        self.notice = notice
    }

    /// Lines dropped since the beginning.
    var droppedInAll: Int { state.withLock { $0.droppedInAll } }

    var isClosed: Bool { state.withLock { $0.isClosed } }

    func append(_ line: [UInt8]) {
        let isFirst = state.withLock { state in
            let untold = state.dropped + state.lost
            let missing = untold > 0 ? noticeLine(untold) : []
            guard !state.isClosed, state.count + (missing.isEmpty ? 1 : 2) <= RecordWriter.linesMax,
                state.bytes + line.count + missing.count <= RecordWriter.bytesMax
            else {
                state.dropped += 1
                state.droppedInAll += 1
                return false
            }
            let isFirst = state.count == 0
            if !missing.isEmpty {
                state.put(missing, told: untold)
                state.dropped = 0
                state.lost = 0
            }
            state.put(line)
            return isFirst
        }
        if isFirst { WakeUp.signal(wake.writingEnd) }
    }

    /// The next line to write.
    func next() -> Next {
        state.withLock { state in
            if let line = state.take() { return .line(line) }
            // Nothing came after the lines that were dropped: their number is the last line.
            if state.dropped > 0 {
                state.told = state.dropped + state.lost
                let line = noticeLine(state.told)
                state.dropped = 0
                state.lost = 0
                state.accepted += 1
                return .line(line)
            }
            return state.isClosed ? .end : .nothing
        }
    }

    /// The line that was taken last could not be written: it counts as dropped. To be called before ``lineIsDone()``.
    func lineIsLost() {
        state.withLock { state in
            if state.told > 0 {
                state.lost += state.told
            } else {
                state.lost += 1
                state.droppedInAll += 1
            }
        }
    }

    func lineIsDone() {
        state.withLock { state in
            state.done += 1
            // Under the lock, so that no subscriber's descriptor is closed meanwhile.
            for subscriber in state.subscribers where subscriber.target <= state.done {
                WakeUp.signal(subscriber.descriptor)
            }
        }
    }

    /// Asks for a signal when all that was put in until now is done with; nil if it is already.
    func subscribe(_ descriptor: Int32) -> UInt64? {
        state.withLock { state in
            let pending: UInt64 = state.dropped > 0 ? 1 : 0
            guard state.accepted + pending > state.done else { return nil }
            state.lastTicket += 1
            state.subscribers.append(
                Subscriber(ticket: state.lastTicket, target: state.accepted + pending, descriptor: descriptor))
            return state.lastTicket
        }
    }

    func unsubscribe(_ ticket: UInt64) { state.withLock { $0.subscribers.removeAll { $0.ticket == ticket } } }

    func close() {
        state.withLock { $0.isClosed = true }
        WakeUp.signal(wake.writingEnd)
    }

    private func noticeLine(_ dropped: Int) -> [UInt8] { notice(dropped) }
}

/// A thread waits on it until another one signals; signals do not add up.
///
/// A pair of sockets and not an eventfd, which Swift's C library module does not have.
struct WakeUp: ~Copyable, Sendable {
    private let reading: Descriptor
    private let writing: Descriptor

    init() throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else {
            throw SystemError(call: "socketpair", errno: Errno(rawValue: errno))
        }
        reading = Descriptor(owning: ends[0])
        writing = Descriptor(owning: ends[1])
    }

    var readingEnd: Int32 { reading.raw }
    var writingEnd: Int32 { writing.raw }

    /// Wakes who waits at the other end. A full buffer means that there is a signal already.
    static func signal(_ descriptor: Int32) {
        var byte: UInt8 = 1
        _ = send(descriptor, &byte, 1, Int32(MSG_NOSIGNAL))
    }

    /// Waits for a signal and takes it; false if the time was over. A negative time is for ever.
    @discardableResult func wait(milliseconds: Int32) -> Bool {
        var polled = pollfd(fd: reading.raw, events: Int16(POLLIN), revents: 0)
        let end = EventLoop.now + Int64(milliseconds) * 1_000_000
        while true {
            let left = milliseconds < 0 ? -1 : Int32(clamping: max(0, (end - EventLoop.now + 999_999) / 1_000_000))
            let count = poll(&polled, 1, left)
            if count > 0 {
                clear()
                return true
            }
            if count == 0 || errno != EINTR { return false }
        }
    }

    /// Takes all signals that are there.
    func clear() {
        var buffer = [UInt8](repeating: 0, count: 256)
        while recv(reading.raw, &buffer, buffer.count, 0) > 0 {}
    }
}
