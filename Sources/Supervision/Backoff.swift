// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Timekeeping

/// How often and how soon a service that ends is started again.
public struct RestartPolicy: Sendable, Hashable {
    /// The shortest and the longest wait before another attempt.
    public var delayMin = Duration.seconds(1)
    public var delayMax = Duration.seconds(600)
    /// So many failures within the window park the service.
    public var failuresMax = 5
    public var window = Duration.seconds(15 * 60)
    /// A parked service is tried again this often.
    public var parkedRetry = Duration.seconds(600)
    /// Up for so long, it starts from a clean slate.
    public var stableAfter = Duration.seconds(30 * 60)
    /// A wanted service that is not up for so long is trouble.
    public var patience = Duration.seconds(60)
    /// An agent's death is first gt's to mend.
    public var mendingTime = Duration.seconds(15)
    /// A service that somebody restarts on purpose is given so long to come back.
    public var returnTime = Duration.seconds(90)

    public init() {}
}

/// Exponential backoff with full jitter, so that what failed together is not tried again together
/// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
struct Backoff: Sendable, Hashable {
    enum Verdict: Hashable {
        case retry(Timestamp)
        case park(Timestamp)
    }

    /// Failures since it was last stable.
    private(set) var failures = 0
    /// Failures within the window.
    private(set) var recent: [Timestamp] = []
    /// Parked once, it stays so until it has been stable.
    private(set) var isParked = false

    mutating func failed(
        at now: Timestamp, _ policy: RestartPolicy, using random: inout SplitMix64
    ) -> Verdict {
        failures += 1
        // A clock that was set back must not keep old failures for ever.
        recent = recent.filter { $0 <= now && now - $0 < policy.window }
        recent.append(now)
        if recent.count >= policy.failuresMax { isParked = true }
        if isParked { return .park(now + policy.parkedRetry) }
        let lowest = policy.delayMin.wholeMilliseconds
        let doubled = lowest << Int64(min(failures, 20))
        let highest = min(policy.delayMax.wholeMilliseconds, doubled)
        return .retry(now + .milliseconds(Int64.random(in: lowest...max(lowest, highest), using: &random)))
    }

    mutating func reset() { self = Backoff() }

    mutating func clockSet(by jump: Duration) { recent = recent.map { $0 + jump } }

    var json: JSONValue {
        [
            "failures": JSONValue(failures), "recent": .array(recent.map { JSONValue($0.microseconds) }),
            "parked": .bool(isParked),
        ]
    }

    init() {}

    init(_ json: JSONValue?, _ policy: RestartPolicy) {
        failures = min(max(0, json?["failures"]?.integer ?? 0), 1000)
        recent = (json?["recent"]?.array ?? []).suffix(policy.failuresMax)
            .compactMap { $0.integer.map { Timestamp(microseconds: Int64($0)) } }
        isParked = json?["parked"]?.bool ?? false
    }
}

/// How long to wait before something that is no service is tried again: twice as long each time, with jitter, at last
/// as long as for a parked service.
public struct RetryDelay: Sendable, Hashable {
    private static let delayMin = Duration.seconds(15)
    private static let delayMax = RestartPolicy().parkedRetry
    /// Failures since the last success.
    private var failures = 0

    public init() {}

    /// Counts a failure.
    ///
    /// - Parameter random: For the jitter.
    /// - Returns: The wait before the next try.
    public mutating func next(using random: inout some RandomNumberGenerator) -> Duration {
        failures = min(failures + 1, 16)
        let highest = min(Self.delayMax.wholeMilliseconds, Self.delayMin.wholeMilliseconds << Int64(failures))
        return .milliseconds(Int64.random(in: highest / 2...highest, using: &random))
    }

    /// It succeeded.
    public mutating func reset() { failures = 0 }
}

/// Steele, Lea and Flood's SplitMix64: a seed gives the same life again.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
