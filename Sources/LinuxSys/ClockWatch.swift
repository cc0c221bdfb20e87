// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import Timekeeping

/// Sees that somebody set the wall clock: it no longer keeps step with the clock that nobody can set.
///
/// Time in which the machine was suspended has passed (CLOCK_BOOTTIME, clock_gettime(2)) and is no jump.
public struct ClockWatch: Sendable {
    /// What is slewed, or lies between two readings, is not worth a word. It adds up.
    static let jumpMin = Duration.seconds(1)
    /// How far the wall clock is ahead of the other one, as far as that was told.
    private var ahead: Duration?
    private var last: (now: Timestamp, ahead: Duration)?

    public init() {}

    /// How far the wall clock was set since the last call; nil: it was not. A step back after which the time is before
    /// that of the last call is told however small it is; each step is told once.
    ///
    /// - Parameter now: What the wall clock says.
    public mutating func jump(at now: Timestamp) -> Duration? {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return jump(at: now, uptime: .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec))
    }

    mutating func jump(at now: Timestamp, uptime: Duration) -> Duration? {
        let difference = .microseconds(now.microseconds) - uptime
        defer { last = (now, difference) }
        guard let ahead, let last else {
            ahead = difference
            return nil
        }
        let jump = difference - ahead
        if jump >= Self.jumpMin || jump <= .zero - Self.jumpMin {
            self.ahead = difference
            return jump
        }
        guard now < last.now else { return nil }
        // What was slewed before is not part of it.
        let step = difference - last.ahead
        self.ahead = ahead + step
        return step
    }
}
