// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Secrets
import Testing
import Timekeeping

@testable import KeyPool

@Suite struct LegacyStateTests {
    private func legacy(_ text: String, path: String = "/h/.gasclaw/key-rotation.json") throws -> LegacyState? {
        LegacyState(try JSONValue(parsing: Array(text.utf8)), path: path)
    }

    /// `hashlib.blake2b(b"sk-kimi-example-0123456789", digest_size=6)` and the first 12 digits of its SHA-256.
    @Test func aKeyHasTheNamesOfBothPredecessors() throws {
        let key = try #require(Key("sk-kimi-example-0123456789"))
        #expect(LegacyState.names(of: key) == ["025a4c890f8a", "494919cdf6ae"])
    }

    @Test func bothFormsAreTakenInOnce() throws {
        var fixture = try PoolFixture([], isOpen: false)
        let now = Double(PoolFixture.start.microseconds) / 1e6
        for (name, key) in [("1", "sk-1"), ("2", "sk-2"), ("3", "sk-3")] { _ = try fixture.set(name, [key]) }
        let keys = try ["sk-1", "sk-2"].map { try #require(Key($0)) }
        fixture.pool.note(
            try #require(
                try legacy(
                    """
                    {"last_used":{"\(BLAKE2b.hex(Array("sk-1".utf8), length: 6))":\(now - 50.5)},
                     "rate_limited":{"\(BLAKE2b.hex(Array("sk-1".utf8), length: 6))":\(now - 100)}}
                    """)))
        fixture.pool.note(
            try #require(
                try legacy(
                    """
                    {"last_used":{"\(keys[1].id)":\(now - 10), "000000000000": 5, "x": 1, "\(keys[0].id)": "y"},
                     "rate_limited":{"\(keys[1].id)":\(now - 301)}}
                    """, path: "/h/.claude-kimigas/key-rotation.json")))
        let changes = fixture.pool.open(at: fixture.now)
        #expect(changes.contains(.imported(path: "/h/.gasclaw/key-rotation.json", count: 1)))
        #expect(changes.contains(.imported(path: "/h/.claude-kimigas/key-rotation.json", count: 1)))
        #expect(changes.cooled(try fixture.id("sk-1")))
        #expect(try fixture.cooling("sk-1") == 200)
        #expect(try fixture.cooling("sk-2") == nil, "its mark is older than 300 s")
        // Never used goes before used.
        #expect(try fixture.isActive("sk-3"))
        #expect(fixture.pass(200).recovered(try fixture.id("sk-1")))
    }

    @Test func whatIsKnownAlreadyIsNotWorsened() throws {
        var fixture = try PoolFixture(count: 2)
        fixture.pool.used(try fixture.id("sk-1"), at: fixture.now)
        let snapshot = fixture.pool.snapshot
        var next = try PoolFixture([], isOpen: false)
        next.pool.restore(snapshot)
        _ = try next.set("1", ["sk-1"])
        next.pool.note(try #require(try legacy(#"{"last_used":{"\#(try next.id("sk-1"))":5}}"#)))
        _ = next.pool.open(at: next.now)
        #expect(next.pool.records[try next.id("sk-1")]?.memory.lastUsed == next.now)
    }

    @Test(arguments: [
        "{}", "[]", "7", #"{"last_used":[]}"#, #"{"last_used":{"zz":1}}"#, #"{"rate_limited":{"0123456789ab":-1}}"#,
    ])
    func whatHoldsNothingIsNone(_ text: String) throws { #expect(try legacy(text) == nil) }
}
