// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Timekeeping

extension Cooldown {
    /// After the clock was set: the end that a provider named is an instant of the wall clock and stays; what was to last
    /// for a time lasts as long as before.
    mutating func clockSet(by jump: Duration, at now: Timestamp) {
        since = since + jump
        if !isNamed { until = until + jump }
        until = min(until, now + KeyPool.resetMax)
    }

    /// Taken up by a process whose clock is behind the one that wrote it: it lasts no longer than it was to last.
    mutating func cut(at now: Timestamp) {
        if since > now {
            if !isNamed { until = now + (until - since) }
            since = now
        }
        // Written while the clock was wrong: nothing rests longer than a subscription's longest window.
        until = min(until, now + KeyPool.resetMax)
    }
}

extension KeyMemory {
    /// - Parameter jump: How far the clock was set.
    mutating func clockSet(by jump: Duration, at now: Timestamp) {
        lastUsed = lastUsed.map { $0 + jump }
        retired = retired.map { $0 + jump }
        cooldown?.clockSet(by: jump, at: now)
        evidence = evidence.map { Evidence(cause: $0.cause, lease: $0.lease, time: $0.time + jump) }
    }

    /// Nothing of it has happened later than now.
    mutating func cut(at now: Timestamp) {
        lastUsed = lastUsed.map { min($0, now) }
        retired = retired.map { min($0, now) }
        cooldown?.cut(at: now)
        evidence = evidence.map { Evidence(cause: $0.cause, lease: $0.lease, time: min($0.time, now)) }
    }
}

extension KeyPool {
    /// Somebody set the clock: nothing waits longer for that, and nothing ends before its time.
    ///
    /// - Parameters:
    ///   - jump: How far; negative: back.
    ///   - now: The time that it is since then.
    public mutating func clockSet(by jump: Duration, at now: Timestamp) {
        for id in records.keys { records[id]?.memory.clockSet(by: jump, at: now) }
        for id in remembered.keys { remembered[id]?.clockSet(by: jump, at: now) }
        for (name, account) in accounts where account.goneSince != nil {
            accounts[name]?.goneSince = account.goneSince.map { $0 + jump }
        }
    }
}
