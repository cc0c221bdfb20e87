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
        #expect(fixture.pool.accountUnreadable("1", at: fixture.now).isEmpty)
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

    @Test func aKeyThatIsGoingIsNotChosen() throws {
        // What is done to three keys of which the first is active, and which one is active after the first one's grace.
        let cases: [(what: String, gone: [String], back: [String], active: String?)] = [
            ("only the active one", ["1"], [], "sk-2"),
            ("the next one too", ["1", "2"], [], "sk-3"),
            ("all", ["1", "2", "3"], [], nil),
            ("all but one comes back", ["1", "2", "3"], ["3"], "sk-3"),
            ("the active one comes back", ["1", "2", "3"], ["1"], "sk-1"),
            ("others than the active one", ["2", "3"], [], "sk-1"),
        ]
        for (what, gone, back, active) in cases {
            var fixture = try PoolFixture(count: 3)
            for (index, name) in gone.enumerated() {
                fixture.pool.accountGone(name, at: fixture.now + .milliseconds(index * 20))
            }
            for name in back { #expect(try fixture.set(name, ["sk-" + name]).isEmpty, "\(what)") }
            let changes = fixture.pass(2)
            #expect(fixture.pool.active == (try active.map { try fixture.id($0) }), "\(what)")
            #expect(fixture.pool.isExhausted == (active == nil), "\(what)")
            #expect(changes.exhaustions == (active == nil ? 1 : 0), "\(what)")
            #expect(fixture.pool.hasReadyKey(at: fixture.now) == (active != nil), "\(what)")
            // What follows within the graces of the others is told once.
            let rest = fixture.pass(1)
            #expect(rest.exhaustions == 0, "\(what)")
            #expect(!rest.contains { if case .activated = $0 { true } else { false } }, "\(what)")
        }
    }

    @Test func aKeyThatIsGoingIsNotTheNextOneWhenTheActiveOneRests() throws {
        var fixture = try PoolFixture(count: 2)
        fixture.pool.accountGone("2", at: fixture.now)
        #expect(try fixture.report("sk-1", Say.week, status: 403).exhaustions == 1)
        #expect(try fixture.isActive("sk-1"))
        #expect(fixture.pool.readyCount(at: fixture.now) == 0)
        #expect(fixture.pool.rotate(at: fixture.now) == nil)
        // It was saved in two steps.
        #expect(try fixture.set("2", ["sk-2"]).activated(try fixture.id("sk-2")))
        #expect(!fixture.pool.isExhausted)
    }

    @Test func anUnreadableFileThatIsBackMakesItsKeyOneToChoose() throws {
        var fixture = try PoolFixture(count: 2)
        fixture.pool.accountGone("2", at: fixture.now)
        _ = try fixture.report("sk-1", Say.week, status: 403)
        #expect(fixture.pool.accountUnreadable("2", at: fixture.now).activated(try fixture.id("sk-2")))
    }

    @Test func aKeyStaysWhileOneOfItsFilesIsThere() throws {
        var fixture = try PoolFixture([("1", ["sk-a"]), ("2", ["sk-b"]), ("3", ["sk-b"])])
        fixture.pool.accountGone("1", at: fixture.now)
        fixture.pool.accountGone("2", at: fixture.now)
        #expect(fixture.pass(2).activated(try fixture.id("sk-b")))
    }

    @Test(arguments: [KeyStrategy.leastRecentlyUsed, .spread])
    func aLeaseGetsNoKeyThatIsGoingIfThereIsAnother(strategy: KeyStrategy) throws {
        var fixture = try PoolFixture(count: 3)
        fixture.pool.strategy = strategy
        fixture.pool.accountGone("1", at: fixture.now)
        fixture.pool.accountGone("2", at: fixture.now)
        let third = try fixture.id("sk-3")
        #expect(fixture.pool.recordForLease([third: 5], at: fixture.now)?.id == third)
        fixture.pool.accountGone("3", at: fixture.now)
        #expect(fixture.pool.recordForLease([:], at: fixture.now)?.id == fixture.pool.active)
        #expect(fixture.pool.active != nil)
    }

    @Test func theFormerKeyIsActiveAgainWhicheverFileIsReadFirst() throws {
        // How long after the first file its own comes.
        for (seconds, isTaken) in [(0, true), (1, true), (2, false), (60, false)] {
            var fixture = try PoolFixture(count: 3)
            for name in ["2", "3"] { _ = try fixture.report("sk-" + name, Say.throttled, status: 429) }
            _ = fixture.pass(0)
            for name in ["1", "2", "3"] { fixture.pool.accountGone(name, at: fixture.now) }
            _ = fixture.pass(3600)
            #expect(fixture.pool.active == nil)
            #expect(try fixture.set("2", ["sk-2"]).activated(try fixture.id("sk-2")))
            _ = fixture.pass(seconds)
            #expect(try fixture.set("1", ["sk-1"]).activated(try fixture.id("sk-1")) == isTaken, "\(seconds) s")
            #expect(try fixture.isActive(isTaken ? "sk-1" : "sk-2"), "\(seconds) s")
            #expect(try fixture.set("3", ["sk-3"]).added(try fixture.id("sk-3")))
            #expect(try fixture.isActive(isTaken ? "sk-1" : "sk-2"), "\(seconds) s")
        }
    }
}
