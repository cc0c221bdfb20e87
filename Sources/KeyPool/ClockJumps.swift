// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Timekeeping

extension Cooldown {
    /// After the clock was set: the end that a provider named is an instant of the wall clock and stays; what was to last
    /// for a time lasts as long as before. So does the limit, which counts from ``since``: it comes down to less than
    /// what was named only while the clock is far behind.
    mutating func clockSet(by jump: Duration) {
        since = since + jump
        if !isNamed { end = end + jump }
    }

    /// Taken up by a process whose clock may have been set while nobody looked: it lasts no longer than it was to last,
    /// and what a provider named is kept.
    mutating func cut(at now: Timestamp) {
        if since > now {
            if !isNamed { end = now + (end - since) }
            since = now
        } else if isNamed, until <= now, end > now, end - now <= KeyPool.resetMax {
            // The clock was behind when it was taken up before, and is right now.
            since = now
        }
    }
}

extension KeyMemory {
    /// - Parameter jump: How far the clock was set.
    mutating func clockSet(by jump: Duration) {
        lastUsed = lastUsed.map { $0 + jump }
        retired = retired.map { $0 + jump }
        cooldown?.clockSet(by: jump)
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
    /// - Parameter jump: How far; negative: back.
    public mutating func clockSet(by jump: Duration) {
        for id in records.keys { records[id]?.memory.clockSet(by: jump) }
        for id in remembered.keys { remembered[id]?.clockSet(by: jump) }
        for (name, account) in accounts where account.goneSince != nil {
            accounts[name]?.goneSince = account.goneSince.map { $0 + jump }
        }
        if let end = former?.end { former?.end = end + jump }
    }
}
