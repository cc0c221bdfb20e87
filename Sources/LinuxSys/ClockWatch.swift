// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import Timekeeping

/// Sees that somebody set the wall clock: it no longer keeps step with the clock that nobody can set.
///
/// Time in which the machine was suspended has passed (CLOCK_BOOTTIME, clock_gettime(2)) and is no jump.
public struct ClockWatch: Sendable {
    /// What is slewed, or lies between two readings, is not worth a word.
    static let jumpMin = Duration.seconds(1)
    private var ahead: Duration?

    public init() {}

    /// How far the wall clock was set since the last call; nil: it was not.
    ///
    /// - Parameter now: What the wall clock says.
    public mutating func jump(at now: Timestamp) -> Duration? {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return jump(at: now, uptime: .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec))
    }

    mutating func jump(at now: Timestamp, uptime: Duration) -> Duration? {
        let difference = .microseconds(now.microseconds) - uptime
        defer { if ahead == nil { ahead = difference } }
        guard let ahead else { return nil }
        let jump = difference - ahead
        guard jump >= Self.jumpMin || jump <= .zero - Self.jumpMin else { return nil }
        self.ahead = difference
        return jump
    }
}
