// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Testing
import Timekeeping

@testable import KeyPool

@Suite struct ChoiceTests {
    @Test func theActiveKeyStaysUntilItCools() throws {
        var fixture = try PoolFixture(count: 3)
        for _ in 0..<5 {
            fixture.pool.used(try fixture.id("sk-1"), at: fixture.now)
            #expect(fixture.pass(60).isEmpty)
        }
        #expect(try fixture.isActive("sk-1"))
    }

    @Test func theKeyUsedLongestAgoIsNext() throws {
        var fixture = try PoolFixture(count: 3)
        fixture.pool.used(try fixture.id("sk-2"), at: fixture.now)
        _ = fixture.pass(1)
        #expect(try fixture.report("sk-1", Say.throttled, status: 429).activated(try fixture.id("sk-3")))
        // The one that failed is behind the others when it is back.
        _ = fixture.pass(301)
        #expect(try fixture.report("sk-3", Say.throttled, status: 429).activated(try fixture.id("sk-2")))
        #expect(try fixture.report("sk-2", Say.throttled, status: 429).activated(try fixture.id("sk-1")))
    }

    @Test func aRotationGoesRoundAllKeysWithoutACooldown() throws {
        var fixture = try PoolFixture(count: 3)
        var order: [KeyID?] = []
        for _ in 0..<6 {
            fixture.now = fixture.now + .seconds(1)
            let changes = fixture.pool.rotate(at: fixture.now)
            #expect(changes?.count == 1)
            order.append(fixture.pool.active)
        }
        let ids = try ["sk-2", "sk-3", "sk-1", "sk-2", "sk-3", "sk-1"].map(fixture.id)
        #expect(order == ids)
        #expect(fixture.pool.readyCount(at: fixture.now) == 3)
    }

    @Test func aRotationNeedsAnotherReadyKey() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-2", Say.throttled, status: 429)
        let changes = fixture.pool.rotate(at: fixture.now)
        #expect(changes == nil)
        #expect(try fixture.isActive("sk-1"))
    }

    @Test func whileAllCoolTheSoonestIsActiveAndItIsToldOnce() throws {
        var fixture = try PoolFixture(count: 3)
        _ = try fixture.report("sk-1", Say.week, status: 403)
        _ = try fixture.report("sk-2", Say.concurrency, status: 403)
        let changes = try fixture.report("sk-3", Say.throttled, status: 429)
        #expect(changes.exhaustions == 1)
        #expect(try fixture.isActive("sk-2"))
        #expect(try fixture.report("sk-2", Say.month, status: 403).exhaustions == 0)
        #expect(try fixture.isActive("sk-3"))
        #expect(fixture.pool.isExhausted)
        let later = fixture.pass(300)
        #expect(later.recovered(try fixture.id("sk-3")))
        #expect(!later.activated(try fixture.id("sk-3")))
        #expect(!fixture.pool.isExhausted)
        // A second time without a key is told again.
        #expect(try fixture.report("sk-3", Say.throttled, status: 429).exhaustions == 1)
    }

    @Test func whileAllCoolAKeyThatIsAddedIsActiveAtOnce() throws {
        var fixture = try PoolFixture(count: 1)
        _ = try fixture.report("sk-1", Say.throttled, status: 429)
        #expect(try fixture.set("2", ["sk-2"]).activated(try fixture.id("sk-2")))
    }

    @Test func whenAllAreDisabledNoneIsActive() throws {
        var fixture = try PoolFixture(count: 1)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "1:1")
        _ = fixture.pass(700)
        #expect(try fixture.report("sk-1", Say.invalid, status: 401, lease: "2:2").exhaustions == 1)
        #expect(fixture.pool.active == nil)
    }

    @Test func equalKeysAreTakenInTheOrderOfTheirAccounts() throws {
        for _ in 0..<5 {
            var fixture = try PoolFixture([("b", ["sk-1"]), ("a", ["sk-2"]), ("c", ["sk-0"])])
            #expect(try fixture.isActive("sk-2"))
            #expect(try fixture.report("sk-2", Say.throttled, status: 429).activated(try fixture.id("sk-1")))
        }
    }
}
