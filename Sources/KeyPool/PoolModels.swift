// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Timekeeping

/// Why a key is not given out until an instant.
public struct Cooldown: Sendable, Hashable {
    public var cause: Cause
    /// When it was seen; moved when the clock is set, so that no more time has passed since then.
    public internal(set) var since: Timestamp
    /// The end as it was named or reckoned. It is kept, also where a clock that is wrong makes it absurd.
    var end: Timestamp
    /// The provider named the end: it is an instant of the wall clock, whatever is done to ours.
    public internal(set) var isNamed: Bool

    init(cause: Cause, since: Timestamp, until end: Timestamp, isNamed: Bool = false) {
        self.cause = cause
        self.since = since
        self.end = end
        self.isNamed = isNamed
    }

    /// When the key is ready again: nothing rests longer than a subscription's longest window.
    public var until: Timestamp { min(end, since + KeyPool.resetMax) }
}

/// One observation that a key failed, as the pool needs it.
public struct PoolSighting: Sendable {
    public let verdict: Verdict
    /// What tells one lease from another: two of them are needed to confirm. nil where it is no lease's, which
    /// confirms nothing: one agent could write its own row and another where no agent lives.
    public let lease: String?
    /// We have asked the provider ourselves: that is no agent's word.
    public let isProbe: Bool
    public let time: Timestamp

    public init(verdict: Verdict, lease: String?, isProbe: Bool = false, time: Timestamp) {
        self.verdict = verdict
        self.lease = isProbe ? KeyMemory.Evidence.probe : lease
        self.isProbe = isProbe
        self.time = time
    }
}

/// A fault that the simulator switches on, to show that it finds such ones. Never set in the product.
package enum PlantedFault: String, Sendable, CaseIterable {
    /// A key that cools stays the active one.
    case keepsCoolingKey
    /// Sessions that stopped are not resumed when a key is ready again.
    case leavesStalled
    /// What is seen later shortens a cooldown.
    case shortensCooldown
    /// An agent that nothing happened to is started anew with each new configuration.
    case restartsWithoutNeed
    /// Agents are started anew though no key is ready.
    case restartsWithoutKey
    /// A known conversation is not handed to the next agent.
    case losesConversation
    /// What waits is not moved when the clock is set.
    case ignoresSetClock
    /// What has changed is not always written.
    case forgetsToSave
    /// A cooldown that is over is still there.
    case endsCooldownTwice
    /// Agents are started anew though the town stands still.
    case ignoresStop
    /// A key file's change is not always read.
    case losesEdits
}

/// What became of the pool. Each change is told when it is in force.
public enum PoolChange: Sendable, Hashable {
    case added(KeyID, account: String, reason: String)
    case removed(KeyID, account: String, reason: String)
    case cooled(KeyID, account: String, cause: Cause, until: Timestamp, reason: String)
    case disabled(KeyID, account: String, cause: Cause, reason: String)
    case recovered(KeyID, account: String, reason: String)
    case activated(KeyID, account: String, reason: String)
    /// No key is ready; the first one will be then (nil: all are disabled, or there is none).
    case exhausted(until: Timestamp?)
    /// A predecessor's state was taken in; it knew so many of the keys.
    case imported(path: String, count: Int)
}

/// How the next key is chosen (`keys.strategy`).
public enum KeyStrategy: String, Sendable {
    /// One active key until it cools, goes or is rotated; then the ready key used longest ago.
    case leastRecentlyUsed = "lru"
    /// Each lease takes the ready key with the fewest living leases: Kimi limits concurrent requests per account.
    case spread
}
