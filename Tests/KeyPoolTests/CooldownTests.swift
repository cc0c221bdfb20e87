// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Testing
import Timekeeping

@testable import KeyPool

@Suite struct CooldownTests {
    @Test(arguments: [
        (Say.throttled, 429, 300), (Say.concurrency, 403, 15), (Say.fiveHours, 403, 900), (Say.week, 403, 3600),
        // One sighting alone cools for an hour at most.
        (Say.month, 403, 3600), (Say.billing, 403, 3600), (Say.membership, 402, 600), (Say.invalid, 401, 600),
        (Say.terminated, 403, 3600), ("something new", 403, 300), ("please try again after 7 seconds", 429, 7),
        ("please try again after 1152 seconds", 429, 1152), ("please try again after 999999 seconds", 429, 3600),
        ("please try again after 0 seconds", 429, 1),
    ])
    func aKeyCoolsAsLongAsItsCauseSays(_ text: String, _ status: Int, _ seconds: Int) throws {
        var fixture = try PoolFixture(count: 2)
        let changes = try fixture.report("sk-1", text, status: status)
        #expect(changes.cooled(try fixture.id("sk-1")))
        #expect(try fixture.cooling("sk-1") == seconds)
        #expect(fixture.pass(seconds - 1).isEmpty)
        #expect(fixture.pass(1).recovered(try fixture.id("sk-1")))
    }

    @Test(arguments: [(Say.overloaded, 429), ("no words", 500), ("no words", 404), ("no words", 400)])
    func whatIsNotTheKeysFaultChangesNothing(_ text: String, _ status: Int) throws {
        var fixture = try PoolFixture(count: 2)
        #expect(try fixture.report("sk-1", text, status: status).isEmpty)
        #expect(try fixture.isActive("sk-1"))
    }

    @Test func aCooldownIsNeverShortened() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.week, status: 403)
        for (text, status) in [(Say.concurrency, 403), (Say.throttled, 429), ("try again after 1 seconds", 429)] {
            #expect(try fixture.report("sk-1", text, status: status).isEmpty)
            #expect(try fixture.cooling("sk-1") == 3600)
        }
        let reset = (fixture.now + .seconds(60)).rfc3339
        #expect(try fixture.report("sk-1", "\(Say.week) It will reset at \(reset)", status: 403).isEmpty)
        #expect(try fixture.cooling("sk-1") == 3600)
    }

    @Test func aCooldownIsDrawnOutByAWorseCauseButNotByTheSameWords() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.throttled, status: 429)
        _ = fixture.pass(100)
        #expect(try fixture.report("sk-1", Say.throttled, status: 429).isEmpty)
        #expect(try fixture.cooling("sk-1") == 200)
        #expect(try !fixture.report("sk-1", Say.fiveHours, status: 403).isEmpty)
        #expect(try fixture.cooling("sk-1") == 900)
    }

    @Test func aResetTimeIsHonouredAlsoBeyondAnHour() throws {
        var fixture = try PoolFixture(count: 2)
        let reset = fixture.now + .seconds(5 * 86400)
        _ = try fixture.report("sk-1", "\(Say.week) It will reset at \(reset.rfc3339)", status: 403)
        #expect(try fixture.cooling("sk-1") == 5 * 86400)
    }

    @Test(arguments: [-10, 40 * 86400]) func anUnlikelyResetTimeIsNotBelieved(_ seconds: Int) throws {
        var fixture = try PoolFixture(count: 2)
        let reset = (fixture.now + .seconds(seconds)).rfc3339
        _ = try fixture.report("sk-1", "\(Say.week) It will reset at \(reset)", status: 403)
        #expect(try fixture.cooling("sk-1") == 3600)
    }

    @Test func twoLeasesAMinuteApartMakeItLonger() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.month, status: 403, lease: "1:1")
        _ = fixture.pass(60)
        _ = try fixture.report("sk-1", Say.month, status: 403, lease: "2:2")
        #expect(try fixture.cooling("sk-1") == 6 * 3600)
    }

    @Test func evenAConfirmedWaitEnds() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", "try again after 999999999 seconds", status: 429, lease: "1:1")
        _ = fixture.pass(3600)
        _ = try fixture.report("sk-1", "try again after 999999999 seconds", status: 429, lease: "2:2")
        #expect(try #require(try fixture.cooling("sk-1")) <= 32 * 86400)
    }

    @Test func aMembershipThatFailsAgainCoolsAnHour() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.membership, status: 402)
        _ = fixture.pass(600)
        _ = try fixture.report("sk-1", Say.membership, status: 402)
        #expect(try fixture.cooling("sk-1") == 3600)
    }

    @Test func whatWasSeenTwoDaysAgoIsNoRepeatAndNoConfirmation() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.membership, status: 402, lease: "1:1")
        _ = try fixture.report("sk-2", Say.invalid, status: 401, lease: "1:1")
        _ = fixture.pass(2 * 86400)
        _ = try fixture.report("sk-1", Say.membership, status: 402, lease: "2:2")
        #expect(try fixture.cooling("sk-1") == 600)
        _ = try fixture.report("sk-2", Say.invalid, status: 401, lease: "2:2")
        #expect(try !fixture.isDisabled("sk-2"))
    }

    @Test func theAccountsQuotaCoolsItsOtherKeysToo() throws {
        var fixture = try PoolFixture([("1", ["sk-a", "sk-b"]), ("2", ["sk-b", "sk-c"]), ("3", ["sk-d"])])
        _ = try fixture.report("sk-a", Say.fiveHours, status: 403)
        #expect(try fixture.cooling("sk-a") == 900)
        #expect(try fixture.cooling("sk-b") == 900)
        #expect(try fixture.cooling("sk-c") == nil)
        #expect(try fixture.cooling("sk-d") == nil)
        // Nor is a sibling's cooldown shortened.
        _ = try fixture.report("sk-d", Say.throttled, status: 429)
        #expect(try fixture.cooling("sk-a") == 900)
    }

    @Test(arguments: [Say.throttled, Say.concurrency, Say.membership, Say.invalid, Say.terminated, Say.billing])
    func otherCausesCoolOneKeyAlone(_ text: String) throws {
        var fixture = try PoolFixture([("1", ["sk-a", "sk-b"])])
        _ = try fixture.report("sk-a", text, status: 403)
        #expect(try fixture.cooling("sk-a") != nil)
        #expect(try fixture.cooling("sk-b") == nil)
    }
}

@Suite struct DisablingTests {
    @Test(arguments: [(Say.invalid, 401), (Say.terminated, 403)])
    func twoLeasesAMinuteApartDisableAKey(_ text: String, _ status: Int) throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", text, status: status, lease: "1:1")
        _ = fixture.pass(60)
        #expect(try fixture.report("sk-1", text, status: status, lease: "2:2").disabled(try fixture.id("sk-1")))
        #expect(fixture.pass(40 * 86400).isEmpty)
        #expect(try fixture.isDisabled("sk-1"))
        #expect(try fixture.report("sk-1", text, status: status, lease: "3:3").isEmpty)
    }

    @Test(arguments: [("1:1", 59, "2:2"), ("1:1", 600, "1:1")])
    func lessThanThatDisablesNothing(_ first: String, _ seconds: Int, _ second: String) throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: first)
        _ = fixture.pass(seconds)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: second)
        #expect(try !fixture.isDisabled("sk-1"))
    }

    @Test(arguments: [(nil, "1:1"), ("1:1", nil), (nil, nil)] as [(String?, String?)])
    func whatIsNoLeasesRowConfirmsNothing(_ first: String?, _ second: String?) throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: first)
        _ = fixture.pass(600)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: second)
        #expect(try !fixture.isDisabled("sk-1"))
    }

    @Test func differentCausesDoNotConfirmEachOther() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "1:1")
        _ = fixture.pass(60)
        _ = try fixture.report("sk-1", Say.terminated, status: 403, lease: "2:2")
        #expect(try !fixture.isDisabled("sk-1"))
    }

    @Test func anotherContentOfItsFileBringsADisabledKeyBack() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "1:1")
        _ = fixture.pass(60)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "2:2")
        #expect(try fixture.set("1", ["sk-1"]).isEmpty, "the same bytes are no change")
        #expect(try fixture.set("1", ["sk-1"], digest: "second").recovered(try fixture.id("sk-1")))
        // The old sightings do not count against it any more.
        _ = fixture.pass(60)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "3:3")
        #expect(try !fixture.isDisabled("sk-1"))
    }

    @Test func aDisabledKeyIsNotCooledByItsAccount() throws {
        var fixture = try PoolFixture([("1", ["sk-a", "sk-b"]), ("2", ["sk-c"])])
        _ = try fixture.report("sk-a", Say.invalid, status: 401, lease: "1:1")
        _ = fixture.pass(60)
        _ = try fixture.report("sk-a", Say.invalid, status: 401, lease: "2:2")
        let changes = try fixture.report("sk-b", Say.fiveHours, status: 403)
        #expect(!changes.cooled(try fixture.id("sk-a")))
        #expect(try fixture.isDisabled("sk-a"))
    }
}
