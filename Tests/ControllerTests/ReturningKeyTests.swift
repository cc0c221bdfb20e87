// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import KeyPool
import Testing
import Timekeeping

@testable import Controller

/// Key files go away together and come back.
@Suite struct ReturningKeyTests {
    /// Three keys of which the third is active and held by two agents.
    private func harness() throws -> (Harness, agents: [Agent]) {
        var harness = try Harness(keys: 3)
        for _ in 1...2 { harness.feed(.rotationRequested(harness.token())) }
        #expect(try harness.isActive("3"))
        let agents = [try harness.launch("one"), try harness.launch("two")]
        return (harness, agents)
    }

    private func moveAway(_ harness: inout Harness) {
        // The active one's first.
        harness.feed(.accountGone(name: "3"))
        harness.now = harness.now + .milliseconds(20)
        harness.feed(.accountGone(name: "1"))
        harness.feed(.accountGone(name: "2"))
        harness.pass(8)
    }

    @Test func nobodyIsRestartedWhenTheFolderGoesAway() throws {
        var (harness, _) = try harness()
        let before = harness.events.count
        moveAway(&harness)
        let types = harness.events.dropFirst(before).map(\.type)
        #expect(types.filter { $0 == "key.removed" }.count == 3)
        #expect(types.filter { $0 == "keys.exhausted" }.count == 1)
        #expect(!types.contains("key.activated") && !types.contains("agent.reload.started"), "\(types)")
        #expect(harness.report().detail.hasPrefix("no key"))
    }

    @Test func theStatusSaysWhyThereIsNoKeyWhileTheLastOnesAreGoing() throws {
        var (harness, _) = try harness()
        harness.feed(.accountGone(name: "3"))
        harness.pass(1)
        harness.feed(.accountGone(name: "1"))
        harness.feed(.accountGone(name: "2"))
        harness.pass(1)
        let report = harness.report()
        #expect(report.state == .degraded)
        #expect(report.activeKey == nil)
        #expect(report.detail.hasPrefix("no ready key whose file is there"), "\(report.detail)")
        // One of them was only saved.
        try harness.set("2", ["2"])
        #expect(try harness.isActive("2"))
        #expect(harness.report().activeKey == (try harness.id("2").text))
    }

    @Test func nobodyIsRestartedWhenItComesBackInAnyOrder() throws {
        for order in [["1", "2", "3"], ["3", "1", "2"], ["2", "3", "1"]] {
            var (harness, agents) = try harness()
            moveAway(&harness)
            for name in order {
                try harness.set(name, [name])
                harness.now = harness.now + .milliseconds(30)
            }
            harness.pass(3600)
            #expect(harness.all("agent.reload.started").isEmpty, "\(order)")
            #expect(try harness.isActive("3"), "\(order)")
            for agent in agents { #expect(try harness.lease(agent).pending == nil, "\(order)") }
            #expect(harness.report().state == .ready, "\(order)")
        }
    }

    @Test func whoseKeyDoesNotComeBackGetsAnotherAfterTheGrace() throws {
        var (harness, agents) = try harness()
        moveAway(&harness)
        try harness.set("1", ["1"])
        harness.pass(1)
        #expect(harness.all("agent.reload.started").isEmpty)
        harness.pass(1)
        #expect(harness.controller.reload?.order?.process == agents[0].process)
        // The other one's key comes back before its turn.
        try harness.set("3", ["3"])
        #expect(try harness.lease(agents[1]).pending == nil)
    }

    @Test func whoStoppedMeanwhileGoesOnWithTheFirstKey() throws {
        var (harness, agents) = try harness()
        moveAway(&harness)
        try harness.fail(agents[1], Say.overloaded, status: 529)
        #expect(try harness.lease(agents[1]).isStalled)
        try harness.set("1", ["1"])
        #expect(harness.controller.reload?.order?.process == agents[1].process)
    }

    @Test func aKeyThatComesBackRestingOrWithAnotherEndpointIsNotTheSame() throws {
        var (harness, agents) = try harness()
        moveAway(&harness)
        try harness.set("3", ["3"], digest: "b", base: "https://elsewhere")
        harness.pass(2)
        #expect(harness.controller.reload?.order?.process == agents[0].process)
    }

    @Test func aSetClockMakesNeitherWaitLongerOrShorter() throws {
        var (harness, _) = try harness()
        moveAway(&harness)
        try harness.set("1", ["1"])
        harness.now = harness.now + .seconds(-3600)
        harness.feed(.clockSet(by: .seconds(-3600)))
        try harness.set("3", ["3"])
        harness.pass(60)
        #expect(try harness.isActive("3"))
        #expect(harness.all("agent.reload.started").isEmpty)
    }

    @Test func anAgentThatWasMovedByHandIsMovedAlthoughItsKeyIsBack() throws {
        var (harness, agents) = try harness()
        harness.feed(.stopped(true))
        harness.feed(.rotationRequested(harness.token()))
        harness.feed(.accountGone(name: "3"))
        harness.pass(3)
        try harness.set("3", ["3"])
        harness.feed(.stopped(false))
        #expect(harness.controller.reload?.order?.process == agents[0].process)
    }
}
