// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Testing
import Timekeeping

@testable import KeyPool

/// A pool with a clock that the test moves.
struct PoolFixture {
    var pool = KeyPool(cooldown: .seconds(300))
    var now = PoolFixture.start
    static let start = Timestamp(secondsSinceEpoch: 1_795_000_000)

    init(_ accounts: [(name: String, keys: [String])], isOpen: Bool = true) throws {
        for (name, keys) in accounts { _ = try set(name, keys) }
        if isOpen { _ = pool.open(at: now) }
    }

    /// `n` accounts with a key each: account `1` holds `sk-1`.
    init(count: Int) throws { try self.init((1...count).map { ("\($0)", ["sk-\($0)"]) }) }

    static func id(_ key: String) throws -> KeyID { try #require(Key(key)).id }
    func id(_ key: String) throws -> KeyID { try Self.id(key) }

    mutating func set(_ name: String, _ keys: [String], digest: String = "first") throws -> [PoolChange] {
        let entries = try keys.map { AccountKey(key: try #require(Key($0)), baseURL: nil) }
        return pool.setAccount(name, keys: entries, digest: digest, at: now, reason: "test")
    }

    mutating func pass(_ seconds: Int) -> [PoolChange] {
        now = now + .seconds(seconds)
        return pool.expire(at: now)
    }

    mutating func report(
        _ key: String, _ text: String, status: Int, lease: String? = "1:1"
    ) throws -> [PoolChange] {
        let verdict = CauseRules.classify(text: text, status: status)
        return pool.report(PoolSighting(verdict: verdict, lease: lease, time: now), on: try id(key))
    }

    /// How long a key still cools, in seconds; nil if it does not.
    func cooling(_ key: String) throws -> Int? {
        guard let cooldown = pool.records[try id(key)]?.memory.cooldown, cooldown.until > now else { return nil }
        return Int((cooldown.until - now).wholeMilliseconds / 1000)
    }

    func isDisabled(_ key: String) throws -> Bool { pool.records[try id(key)]?.memory.disabled != nil }
    func isActive(_ key: String) throws -> Bool { pool.active == (try id(key)) }
    func holds(_ key: String) throws -> Bool { pool.holds(try id(key)) }
}

/// Wordings for a cause.
enum Say {
    static let fiveHours = "You've reached your 5-hour usage limit. Your quota will reset when the window ends."
    static let week = "You've reached your weekly (7-day) usage limit."
    static let month = "You've reached your monthly usage limit"
    static let throttled = "We're receiving too many requests at the moment."
    static let concurrency = "You've reached your concurrent request limit."
    static let invalid = "Invalid Authentication"
    static let terminated = "Access terminated. Review our Community Guidelines"
    static let membership = "We're unable to verify your membership benefits at this time."
    static let billing = "Your account is suspended due to insufficient balance"
    static let overloaded = "The engine is currently overloaded"
}

extension [PoolChange] {
    func cooled(_ id: KeyID) -> Bool { contains { if case .cooled(id, _, _, _, _) = $0 { true } else { false } } }
    func removed(_ id: KeyID) -> Bool { contains { if case .removed(id, _, _) = $0 { true } else { false } } }
    func added(_ id: KeyID) -> Bool { contains { if case .added(id, _, _) = $0 { true } else { false } } }
    func recovered(_ id: KeyID) -> Bool { contains { if case .recovered(id, _, _) = $0 { true } else { false } } }
    func activated(_ id: KeyID) -> Bool { contains { if case .activated(id, _, _) = $0 { true } else { false } } }
    func disabled(_ id: KeyID) -> Bool { contains { if case .disabled(id, _, _, _) = $0 { true } else { false } } }
    var exhaustions: Int { count { if case .exhausted = $0 { true } else { false } } }
}

/// The same numbers in every run (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
