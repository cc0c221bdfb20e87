// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import KeyPool
import Secrets
import Testing
import Timekeeping

@testable import Controller

/// Somebody sets the clock: nothing waits longer for it, and nothing ends before its time.
@Suite struct ClockJumpTests {
    static let jumps = [-7200, -86400 * 30, 7200, 2 * 86400]

    private func set(_ harness: inout Harness, _ seconds: Int) {
        harness.now = harness.now + .seconds(seconds)
        harness.feed(.clockSet(by: .seconds(seconds)))
    }

    @Test(arguments: jumps) func aRestartThatFailedIsTriedAgainAsSoonAsBefore(_ jump: Int) throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("one")
        try harness.fail(agent, "You've reached your 5-hour usage limit.", status: 403)
        let order = try #require(harness.order)
        harness.feed(.reloadPerformed(id: order.id, failure: "no pane"))
        set(&harness, jump)
        #expect(harness.order == nil, "not before its time")
        // The first retry comes within two seconds.
        harness.pass(3)
        #expect(harness.all("agent.reload.started").count == 2)
    }

    @Test(arguments: jumps) func aRestartThatGoesOnIsGivenUpInItsTime(_ jump: Int) throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("one")
        try harness.fail(agent, "You've reached your 5-hour usage limit.", status: 403)
        set(&harness, jump)
        #expect(harness.all("agent.reload.failed").isEmpty, "it has hardly begun")
        harness.pass(31)
        #expect(harness.all("agent.reload.failed").count == 1)
    }

    @Test(arguments: jumps) func aKeyCoolsAsLongAsItHadTo(_ jump: Int) throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("one")
        try harness.fail(agent, "please try again after 40 seconds", status: 429)
        set(&harness, jump)
        harness.pass(39)
        #expect(harness.all("key.recovered").isEmpty)
        harness.pass(1)
        #expect(harness.all("key.recovered").count == 1)
    }

    @Test func anEndThatAProviderNamedStaysTheInstantThatItIs() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("one")
        let reset = harness.now + .seconds(5 * 3600)
        try harness.fail(
            agent, "5-hour usage limit: your quota will reset at \(reset.rfc3339)", status: 403)
        for jump in [-3600, 7200] {
            set(&harness, jump)
            #expect(harness.controller.pool.records[agent.key(harness)]?.memory.cooldown?.until == reset)
        }
        harness.pass(4 * 3600 - 1)
        #expect(harness.all("key.recovered").isEmpty)
        harness.pass(1)
        #expect(harness.all("key.recovered").count == 1)
    }

    @Test func anAgentsRowIsNotOldBecauseTheClockWasSetBack() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("one")
        harness.pass(60)
        set(&harness, -7200)
        try harness.fail(agent, "You've reached your 5-hour usage limit.", status: 403)
        #expect(harness.order?.process == agent.process)
    }

    @Test func aMonthBackAndAheadAgainLeavesANamedEndAsItIs() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("one")
        let reset = harness.now + .seconds(10 * 86400)
        try harness.fail(agent, "weekly usage limit: your quota will reset at \(reset.rfc3339)", status: 403)
        let id = agent.key(harness)
        func until() -> Timestamp? { harness.controller.pool.records[id]?.memory.cooldown?.until }
        #expect(until() == reset)
        set(&harness, -31 * 86400)
        // While the clock is wrong nobody waits for it longer than for any other.
        #expect(until() == harness.now + .seconds(32 * 86400))
        #expect(harness.controller.snapshot["keys"]?[id.text]?["cooldown"]?["until"]?.string == reset.rfc3339)
        set(&harness, 31 * 86400)
        #expect(until() == reset)
        harness.pass(10 * 86400 - 1)
        #expect(harness.all("key.recovered").isEmpty)
        harness.pass(1)
        #expect(harness.all("key.recovered").count == 1)
    }

    @Test func anEndThatTheClockMadeAbsurdIsWaitedForNoLongerThanAnyOther() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("one")
        let reset = harness.now + .seconds(10 * 86400)
        try harness.fail(agent, "weekly usage limit: your quota will reset at \(reset.rfc3339)", status: 403)
        harness.pass(86400)
        // A day of the 32 is over, however often the clock is set.
        for jump in [-20 * 365 * 86400, -365 * 86400, -3600] { set(&harness, jump) }
        harness.now = harness.now + .seconds(31 * 86400 - 1)
        harness.feed(.woke)
        #expect(harness.all("key.recovered").isEmpty)
        harness.pass(1)
        #expect(harness.all("key.recovered").count == 1)
    }

    /// A machine without a battery for its clock starts in the past; the network puts it right.
    @Test(arguments: [false, true]) func aStartYearsBehindKeepsANamedEnd(_ isRestartedBeforeItIsRight: Bool) throws {
        var first = try Harness(keys: 2)
        let agent = try first.launch("one")
        let reset = first.now + .seconds(10 * 86400)
        try first.fail(agent, "weekly usage limit: your quota will reset at \(reset.rfc3339)", status: 403)
        let id = agent.key(first)
        func taken(_ harness: Harness, at now: Timestamp) throws -> Harness {
            let state = try JSONValue(parsing: harness.controller.snapshot.encoded())
            var next = try Harness(state: state, at: now, isStarted: false)
            for number in ["1", "2"] { try next.set(number, [number]) }
            next.feed(.started)
            return next
        }
        let years = 20 * 365 * 86400
        var next = try taken(first, at: first.now - .seconds(years))
        func until(_ harness: Harness) -> Timestamp? { harness.controller.pool.records[id]?.memory.cooldown?.until }
        #expect(until(next) == next.now + .seconds(32 * 86400))
        next.pass(60)
        if isRestartedBeforeItIsRight {
            next = try taken(next, at: next.now)
            #expect(until(next) == next.now + .seconds(32 * 86400 - 60), "the limit does not begin anew")
            // Nobody sees how the clock is put right.
            next = try taken(next, at: next.now + .seconds(years))
        } else {
            set(&next, years)
        }
        #expect(until(next) == reset)
        next.pass(10 * 86400 - 61)
        #expect(next.all("key.recovered").isEmpty)
        next.pass(1)
        #expect(next.all("key.recovered").count == 1)
    }

    @Test func onlyWhatIsToldOfTheClockMovesAWait() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("one")
        try harness.fail(agent, "please try again after 40 seconds", status: 429)
        let id = agent.key(harness)
        let until = try #require(harness.controller.pool.records[id]?.memory.cooldown?.until)
        // Whoever hands inputs over tells of each step back, once.
        harness.now = harness.now - .milliseconds(900)
        harness.feed(.clockSet(by: .milliseconds(-900)))
        harness.feed(.woke)
        harness.now = harness.now - .milliseconds(900)
        harness.feed(.woke)
        #expect(harness.controller.pool.records[id]?.memory.cooldown?.until == until - .milliseconds(900))
    }

    @Test func whatIsTakenUpByAClockThatIsBehindWaitsNoLongerThanItHadTo() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("one")
        try harness.fail(agent, "please try again after 40 seconds", status: 429)
        let state = try JSONValue(parsing: harness.controller.snapshot.encoded())
        var next = try Harness(state: state, at: harness.now - .seconds(86400), isStarted: false)
        for lease in Controller.leases(in: state) { next.controller.adopt(lease) }
        for number in ["1", "2"] { try next.set(number, [number]) }
        next.feed(.started)
        // It was to be restarted, and is.
        #expect(next.order?.process == agent.process)
        next.pass(40)
        #expect(next.all("key.recovered").count == 1)
    }
}

extension Agent {
    fileprivate func key(_ harness: Harness) -> KeyID {
        guard let key = harness.controller.leases[process]?.key else { preconditionFailure("it lives") }
        return key
    }
}
