// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import Timekeeping

/// Work that events ask for: done once at a time and not more often than its pause allows, and once more if it was
/// asked for meanwhile. However many events come, it neither piles up nor misses the last one.
///
/// It belongs to the loop's thread.
final class PacedWork {
    private let pause: Duration
    private let loop: EventLoop
    private let work: (_ done: @escaping () -> Void) -> Void
    private var isDue = false
    private var isRunning = false
    private var isCancelled = false
    /// When it was begun last, by the loop's clock.
    private var begun: Int64?
    private var timer: EventLoop.Timer?

    /// - Parameters:
    ///   - pause: From one beginning to the next at least.
    ///   - work: Calls `done` when it has ended.
    init(pause: Duration, on loop: EventLoop, work: @escaping (_ done: @escaping () -> Void) -> Void) {
        self.pause = pause
        self.loop = loop
        self.work = work
    }

    /// Does it now, or as soon as it may be done.
    func ask() {
        isDue = true
        begin()
    }

    /// It is not begun any more; what is going on goes on.
    func cancel() {
        isCancelled = true
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    private func begin() {
        guard isDue, !isRunning, !isCancelled, timer == nil else { return }
        let now = EventLoop.now
        let left = begun.map { $0 + pause.wholeMicroseconds * 1000 - now } ?? 0
        guard left <= 0 else {
            timer = loop.schedule(after: .nanoseconds(left)) { [weak self] in
                self?.timer = nil
                self?.begin()
            }
            return
        }
        isDue = false
        isRunning = true
        begun = now
        work { [weak self] in
            self?.isRunning = false
            self?.begin()
        }
    }
}
