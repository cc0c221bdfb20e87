// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc
import Synchronization

/// One thread's event loop over epoll(7): descriptors, timers and messages from other threads.
///
/// It is not `Sendable`: what it calls runs on the thread that called `run`, and the compiler keeps it there. Other
/// threads reach it through a ``Mailbox`` alone. No handler may block.
public final class EventLoop {
    /// What a descriptor is watched for.
    public enum Interest: Sendable { case reading, writing }

    /// A watched descriptor; cancelling it twice, or after its descriptor was closed, does nothing.
    public struct Watch: Sendable {
        fileprivate let fd: Int32
        fileprivate let serial: UInt32
    }

    /// A timer that has been set.
    public struct Timer: Hashable, Sendable { fileprivate let serial: UInt64 }

    private struct Entry {
        let serial: UInt32
        let handler: () -> Void
    }
    private struct Pending {
        let deadline: Int64
        let serial: UInt64
        let handler: () -> Void
    }

    private let epoll: Descriptor
    private let clock: Descriptor
    private var entries: [Int32: Entry] = [:]
    /// Sorted by deadline, the next one last. There are few timers: one per purpose.
    private var timers: [Pending] = []
    private var armed: Int64?
    private var deferred: [() -> Void] = []
    private var nextSerial: UInt32 = 1
    private var nextTimer: UInt64 = 1
    private var isRunning = false
    /// When this turn began, on the clock of ``now``: the kernel told of all that is handled in it.
    public private(set) var turnBegan: Int64 = EventLoop.now

    public init() throws(SystemError) {
        epoll = Descriptor(owning: try Syscalls.check("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) })
        clock = Descriptor(
            owning: try Syscalls.check("timerfd_create") {
                timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC | TFD_NONBLOCK))
            })
        _ = try watch(clock.raw, for: .reading) { [unowned self] in fireTimers() }
    }

    /// Calls the handler each time the descriptor is ready (level-triggered), until the watch is cancelled.
    public func watch(
        _ fd: Int32, for interest: Interest, handler: @escaping () -> Void
    ) throws(SystemError) -> Watch {
        let serial = nextSerial
        nextSerial &+= 1
        var event = epoll_event()
        event.events = interest == .reading ? EPOLLIN.rawValue : EPOLLOUT.rawValue
        event.data.u64 = UInt64(serial) << 32 | UInt64(UInt32(bitPattern: fd))
        _ = try Syscalls.check("epoll_ctl") { epoll_ctl(epoll.raw, EPOLL_CTL_ADD, fd, &event) }
        entries[fd] = Entry(serial: serial, handler: handler)
        return Watch(fd: fd, serial: serial)
    }

    /// Ends a watch. Call it before the descriptor is closed.
    public func cancel(_ watch: Watch) {
        guard entries[watch.fd]?.serial == watch.serial else { return }
        entries[watch.fd] = nil
        // EBADF or ENOENT only say that the descriptor is gone already, which is what was wanted.
        _ = epoll_ctl(epoll.raw, EPOLL_CTL_DEL, watch.fd, nil)
    }

    /// Calls the handler once when the duration has passed on the monotonic clock.
    @discardableResult
    public func schedule(after delay: Duration, handler: @escaping () -> Void) -> Timer {
        let (seconds, attoseconds) = max(delay, .zero).components
        let nanoseconds = min(seconds, 1_000_000_000) * 1_000_000_000 + attoseconds / 1_000_000_000
        let serial = nextTimer
        nextTimer += 1
        let pending = Pending(deadline: Self.now + nanoseconds, serial: serial, handler: handler)
        let position = timers.firstIndex { $0.deadline <= pending.deadline } ?? timers.endIndex
        timers.insert(pending, at: position)
        arm()
        return Timer(serial: serial)
    }

    public func cancel(_ timer: Timer) {
        timers.removeAll { $0.serial == timer.serial }
        arm()
    }

    /// Calls the handler at the end of this turn, after all that is ready now.
    public func atEndOfTurn(_ handler: @escaping () -> Void) { deferred.append(handler) }

    /// Runs until ``stop()`` is called.
    public func run() throws(SystemError) {
        isRunning = true
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        while isRunning {
            let timeout: Int32 = deferred.isEmpty ? -1 : 0
            let count = try Syscalls.check("epoll_wait") { epoll_wait(epoll.raw, &events, 64, timeout) }
            // What was put off to the end of the last turn still belongs to that one.
            if count > 0 { turnBegan = Self.now }
            for event in events.prefix(Int(count)) {
                let fd = Int32(bitPattern: UInt32(truncatingIfNeeded: event.data.u64))
                // An earlier handler of this turn may have cancelled it, or the number may be another file by now.
                guard let entry = entries[fd], entry.serial == UInt32(event.data.u64 >> 32) else { continue }
                entry.handler()
                if !isRunning { return }
            }
            let ready = deferred
            deferred = []
            for handler in ready { handler() }
        }
    }

    public func stop() { isRunning = false }

    /// Nanoseconds on CLOCK_MONOTONIC.
    public static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    private func fireTimers() {
        var expirations: UInt64 = 0
        withUnsafeMutableBytes(of: &expirations) { buffer in
            // EAGAIN means that it was disarmed meanwhile; the list below decides what is due.
            _ = Glibc.read(clock.raw, buffer.baseAddress, buffer.count)
        }
        armed = nil
        let now = Self.now
        while let next = timers.last, next.deadline <= now {
            timers.removeLast()
            next.handler()
        }
        arm()
    }

    private func arm() {
        let next = timers.last?.deadline
        guard next != armed else { return }
        armed = next
        var setting = itimerspec()
        if let next {
            setting.it_value.tv_sec = Int(max(1, next) / 1_000_000_000)
            setting.it_value.tv_nsec = Int(max(1, next) % 1_000_000_000)
        }
        timerfd_settime(clock.raw, Int32(TFD_TIMER_ABSTIME), &setting, nil)
    }
}

/// Messages from other threads to a loop: bounded memory is the sender's duty, order is kept.
public final class Mailbox<Message: Sendable>: Sendable {
    private let queue = Mutex<[Message]>([])
    private let wake: Descriptor

    /// - Parameters:
    ///   - handler: Called on the loop's thread for each message.
    ///   - loop: Where messages arrive.
    public init(on loop: EventLoop, handler: @escaping (Message) -> Void) throws(SystemError) {
        wake = Descriptor(
            owning: try Syscalls.check("eventfd") {
                eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
            })
        // Weak, for it may be dropped, on any thread, after the kernel said that it is ready.
        _ = try loop.watch(wake.raw, for: .reading) { [weak self] in
            for message in self?.drain() ?? [] { handler(message) }
        }
    }

    /// Hands a message over; callable from any thread, never blocks.
    public func post(_ message: Message) {
        let isFirst = queue.withLock { queue in
            queue.append(message)
            return queue.count == 1
        }
        guard isFirst else { return }
        var one: UInt64 = 1
        withUnsafeBytes(of: &one) { buffer in
            // It can only fail with EAGAIN when the counter is full, and then the loop is awake already.
            _ = Glibc.write(wake.raw, buffer.baseAddress, buffer.count)
        }
    }

    private func drain() -> [Message] {
        var counter: UInt64 = 0
        withUnsafeMutableBytes(of: &counter) { buffer in
            _ = Glibc.read(wake.raw, buffer.baseAddress, buffer.count)
        }
        return queue.withLock { queue in
            defer { queue = [] }
            return queue
        }
    }
}
