// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Testing
import Timekeeping

@testable import KeyPool

@Suite struct AccountTests {
    @Test func nothingIsChosenBeforeAllFilesAreRead() throws {
        var fixture = try PoolFixture([("2", ["sk-2"]), ("1", ["sk-1"])], isOpen: false)
        #expect(fixture.pool.active == nil)
        let changes = fixture.pool.open(at: fixture.now)
        #expect(changes.activated(try fixture.id("sk-1")))
        #expect(try fixture.isActive("sk-1"))
    }

    @Test func oneKeyInTwoAccountsCountsOnceAndStaysUntilItIsInNeither() throws {
        var fixture = try PoolFixture([("1", ["sk-a"]), ("2", ["sk-a"])])
        #expect(fixture.pool.records.count == 1)
        #expect(fixture.pool.activeRecord?.accounts == ["1", "2"])
        fixture.pool.accountGone("1", at: fixture.now)
        #expect(fixture.pass(3).isEmpty)
        #expect(fixture.pool.activeRecord?.accounts == ["2"])
        fixture.pool.accountGone("2", at: fixture.now)
        #expect(fixture.pass(3).removed(try fixture.id("sk-a")))
        #expect(fixture.pool.records.isEmpty)
    }

    @Test func aRemovedFilesKeysGoAfterTheGraceAndNotBefore() throws {
        var fixture = try PoolFixture(count: 2)
        fixture.pool.accountGone("1", at: fixture.now)
        #expect(fixture.pool.nextChange(after: fixture.now) == fixture.now + .seconds(2))
        #expect(fixture.pass(1).isEmpty)
        #expect(try fixture.isActive("sk-1"))
        let changes = fixture.pass(1)
        #expect(changes.removed(try fixture.id("sk-1")))
        #expect(changes.activated(try fixture.id("sk-2")))
    }

    @Test func aFileThatComesBackInTimeLosesNothing() throws {
        var fixture = try PoolFixture(count: 2)
        fixture.pool.accountGone("1", at: fixture.now)
        _ = fixture.pass(1)
        #expect(try fixture.set("1", ["sk-1"]).isEmpty)
        #expect(fixture.pass(60).isEmpty)
        #expect(try fixture.isActive("sk-1"))
    }

    @Test func aFileThatComesBackUnreadableKeepsTheLastGoodKeys() throws {
        var fixture = try PoolFixture(count: 2)
        fixture.pool.accountGone("1", at: fixture.now)
        _ = fixture.pass(1)
        fixture.pool.accountUnreadable("1")
        #expect(fixture.pass(60).isEmpty)
        #expect(try fixture.holds("sk-1"))
    }

    @Test func aFileThatHoldsNoKeyAnyMoreIsLikeNoFile() throws {
        var fixture = try PoolFixture(count: 2)
        #expect(try fixture.set("1", [], digest: "second").isEmpty)
        _ = fixture.pass(1)
        #expect(try fixture.set("1", [], digest: "third").isEmpty)
        #expect(try fixture.holds("sk-1"))
        // The second save must not begin the grace anew.
        #expect(fixture.pass(1).removed(try fixture.id("sk-1")))
    }

    @Test func aKeyReplacedInItsFileGoesAtOnce() throws {
        var fixture = try PoolFixture(count: 2)
        let changes = try fixture.set("1", ["sk-new"], digest: "second")
        #expect(changes.removed(try fixture.id("sk-1")))
        #expect(changes.added(try fixture.id("sk-new")))
        #expect(try !fixture.holds("sk-1"))
        #expect(fixture.pool.active != nil)
    }

    @Test func theSameFileAgainIsNoChange() throws {
        var fixture = try PoolFixture(count: 3)
        #expect(try fixture.set("2", ["sk-2"]).isEmpty)
        #expect(try fixture.set("2", ["sk-2"], digest: "another comment").isEmpty)
    }

    @Test func aKeyThatComesBackIsStillCooling() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.week, status: 403)
        _ = try fixture.set("1", ["sk-x"], digest: "b")
        _ = try fixture.set("1", ["sk-1"], digest: "c")
        #expect(try fixture.cooling("sk-1") == 3600)
    }

    @Test func thePoolCanBecomeEmptyAndFullAgain() throws {
        var fixture = try PoolFixture(count: 1)
        fixture.pool.accountGone("1", at: fixture.now)
        let changes = fixture.pass(2)
        #expect(changes.exhaustions == 1)
        #expect(fixture.pool.active == nil)
        #expect(fixture.pass(100).isEmpty)
        #expect(try fixture.set("9", ["sk-9"]).activated(try fixture.id("sk-9")))
        #expect(!fixture.pool.isExhausted)
    }

    @Test func whatIsRememberedOfAbsentKeysIsBounded() throws {
        var fixture = try PoolFixture([("0", ["sk-0"])])
        for number in 1...400 { _ = try fixture.set("1", ["sk-\(number)"], digest: "\(number)") }
        #expect(fixture.pool.remembered.count <= 256)
        #expect(fixture.pool.records.count == 2)
    }
}
