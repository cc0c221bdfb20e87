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

    @Test func aStepBackThatNobodyToldOfHoldsNothingUp() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("one")
        try harness.fail(agent, "please try again after 40 seconds", status: 429)
        harness.now = harness.now - .seconds(7200)
        harness.feed(.woke)
        harness.pass(40)
        #expect(harness.all("key.recovered").count == 1)
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
