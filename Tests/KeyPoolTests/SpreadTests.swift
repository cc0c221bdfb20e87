// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Testing
import Timekeeping

@testable import KeyPool

@Suite struct SpreadTests {
    private func fixture(_ count: Int) throws -> PoolFixture {
        var fixture = try PoolFixture(count: count)
        fixture.pool.strategy = .spread
        return fixture
    }

    @Test func aLeaseTakesTheReadyKeyWithTheFewestLeases() throws {
        var fixture = try fixture(3)
        var leases: [KeyID: Int] = [:]
        for _ in 1...9 {
            let record = try #require(fixture.pool.recordForLease(leases, at: fixture.now))
            leases[record.id, default: 0] += 1
            fixture.pool.used(record.id, at: fixture.now)
            fixture.now = fixture.now + .seconds(1)
        }
        #expect(leases.values.allSatisfy { $0 == 3 })
        _ = try fixture.report("sk-1", Say.fiveHours, status: 403)
        leases[try fixture.id("sk-1")] = 0
        #expect(fixture.pool.recordForLease(leases, at: fixture.now)?.id != (try fixture.id("sk-1")))
    }

    @Test func amongEqualsTheOneUsedLongestAgoIsNext() throws {
        var fixture = try fixture(2)
        fixture.pool.used(try fixture.id("sk-1"), at: fixture.now)
        #expect(fixture.pool.recordForLease([:], at: fixture.now)?.id == (try fixture.id("sk-2")))
        #expect(
            fixture.pool.recordForLease([:], avoiding: try fixture.id("sk-2"), at: fixture.now)?.id
                == (try fixture.id("sk-1")))
    }

    @Test func theActiveKeyIsTheNextLeases() throws {
        var fixture = try fixture(2)
        let first = try #require(fixture.pool.active)
        let changes = fixture.pool.follow([first: 1], at: fixture.now)
        #expect(changes.count == 1 && fixture.pool.active != first)
        #expect(fixture.pool.follow([first: 1], at: fixture.now).isEmpty)
        fixture.pool.strategy = .leastRecentlyUsed
        #expect(fixture.pool.follow([:], at: fixture.now).isEmpty)
    }

    @Test func whileNoKeyIsReadyTheFirstToRecoverIsGiven() throws {
        var fixture = try fixture(2)
        _ = try fixture.report("sk-1", Say.week, status: 403)
        _ = try fixture.report("sk-2", Say.throttled, status: 429)
        #expect(fixture.pool.recordForLease([:], at: fixture.now)?.id == (try fixture.id("sk-2")))
        #expect(fixture.pool.follow([try fixture.id("sk-2"): 4], at: fixture.now).isEmpty)
    }
}
