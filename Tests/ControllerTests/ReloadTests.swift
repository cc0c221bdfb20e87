// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Testing
import Timekeeping

@testable import Controller

@Suite struct ReloadTests {
    @Test func theStalledGoBeforeTheIdleAndTheIdleBeforeTheBusy() throws {
        var harness = try Harness(keys: 2)
        let busy = try harness.launch("a-busy")
        let idle = try harness.launch("b-idle")
        let stalled = try harness.launch("c-stalled")
        harness.turn(busy, begins: true)
        harness.turn(idle, begins: true)
        harness.pass(1)
        harness.turn(idle, begins: false)
        harness.pass(10)
        try harness.fail(stalled, Say.quota, status: 403)
        let first = try #require(harness.order)
        #expect(first.session == "c-stalled")
        _ = try harness.perform(first)
        let second = try #require(harness.order)
        #expect(second.session == "b-idle")
        _ = try harness.perform(second)
        #expect(harness.order == nil, "the busy one is waited for")
        harness.pass(60)
        harness.turn(busy, begins: false)
        #expect(try #require(harness.order).session == "a-busy")
    }

    @Test func aBusyAgentIsWaitedForUntilPatienceEnds() throws {
        var harness = try Harness(keys: 2)
        let busy = try harness.launch("busy")
        harness.turn(busy, begins: true)
        harness.feed(.rotationRequested(harness.token()))
        #expect(harness.order == nil)
        #expect(harness.report().agents.first?.pendingReload == "key")
        harness.pass(599)
        #expect(harness.all("agent.reload.started").isEmpty)
        harness.pass(1)
        #expect(harness.all("agent.reload.started").count == 1)
    }

    @Test func aSessionFileTellsThatATurnEnded() throws {
        var harness = try Harness(keys: 2)
        let busy = try harness.launch("busy")
        harness.turn(busy, begins: true)
        harness.feed(.rotationRequested(harness.token()))
        let name = Array("\(busy.process.pid).json".utf8)
        let file = try #require(SessionFile.read(Array(#"{"status":"idle"}"#.utf8), name: name))
        harness.feed(.session(file))
        #expect(harness.order?.session == "busy")
    }

    @Test func oneAtATime() throws {
        var harness = try Harness(keys: 2)
        for name in ["a", "b", "c", "d"] { _ = try harness.launch(name) }
        harness.feed(.rotationRequested(harness.token()))
        var orders: [ReloadOrder] = []
        while let order = harness.order {
            orders.append(order)
            #expect(harness.controller.isReloading)
            // Nothing else happens until it is back.
            harness.feed(.woke)
            #expect(harness.order == nil)
            _ = try harness.perform(order)
        }
        #expect(orders.map(\.session) == ["a", "b", "c", "d"])
        #expect(Set(orders.map(\.id)).count == 4)
        #expect(!harness.controller.isReloading)
        #expect(harness.all("agent.reload.finished").count == 4)
    }

    @Test func aReloadWithoutAnAgentFailsAfter30SecondsAndIsTriedAgainLaterAndLater() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        let order = try #require(harness.order)
        harness.feed(.processExited(mayor.process))
        harness.feed(.reloadPerformed(id: order.id, failure: nil))
        harness.pass(29)
        #expect(harness.all("agent.reload.failed").isEmpty)
        harness.pass(1)
        #expect(harness.all("agent.reload.failed").count == 1)
        harness.pass(86400)
        // Each attempt takes 30 s, and the pause is 300 s on average in the end.
        let count = harness.all("agent.reload.started").count
        #expect((150...500).contains(count), "\(count)")
        #expect(harness.report().agents.first?.isRunning == false)
        // A pane that is gone is nobody's any more.
        harness.pane = .gone
        harness.pass(1300)
        #expect(!harness.controller.isReloading)
        #expect(harness.report().agents.isEmpty)
        let last = harness.all("agent.reload.started").count
        harness.pass(86400)
        #expect(harness.all("agent.reload.started").count == last)
    }

    @Test func anAgentThatCannotBeEndedIsTriedAgainWithBackoff() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.week, status: 403)
        var pauses: [Duration] = []
        for attempt in 1...12 {
            let order = try #require(harness.controller.reload?.order)
            harness.feed(.reloadPerformed(id: order.id, failure: "no such pane \(Harness.text("1"))"))
            #expect(harness.all("agent.reload.failed").count == attempt)
            let due = try #require(try harness.lease(mayor).pending?.notBefore)
            pauses.append(due - harness.now)
            harness.now = due
            harness.feed(.woke)
        }
        for (index, pause) in pauses.enumerated() {
            #expect(
                pause >= .seconds(1) && pause <= min(.seconds(600), .seconds(1 << (index + 1))), "\(index) \(pause)")
        }
        #expect(Set(pauses).count > 6, "full jitter: \(pauses)")
        let detail = try #require(harness.all("agent.reload.failed").first?["detail"]?.string)
        #expect(detail.contains("no such pane") && !detail.contains("CANARY"))
    }

    @Test func anotherReloadsOutcomeIsNotTakenForThisOnes() throws {
        var harness = try Harness(keys: 2)
        _ = try harness.launch("a")
        harness.feed(.rotationRequested(harness.token()))
        let order = try #require(harness.order)
        harness.feed(.reloadPerformed(id: order.id + 1, failure: "x"))
        #expect(harness.controller.isReloading)
        #expect(harness.all("agent.reload.failed").isEmpty)
    }

    @Test func anAgentOutsideOfTmuxIsReportedAndLeft() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("lonely", pane: "")
        harness.pass(10)
        try harness.fail(agent, Say.quota, status: 403)
        #expect(harness.all("agent.reload.failed").count == 1)
        #expect(harness.order == nil)
        harness.pass(60)
        #expect(harness.all("agent.reload.failed").count == 1)
    }

    @Test func aConversationIsResumedOnceAndNamedInTheAnswer() throws {
        var harness = try Harness(keys: 3)
        let mayor = try harness.launch("hq-mayor", pane: "%7")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        #expect(harness.all("agent.reload.started").last?["resumed"] == true)
        let order = try #require(harness.order)
        harness.feed(.processExited(mayor.process))
        harness.feed(.reloadPerformed(id: order.id, failure: nil))
        let (_, first) = try harness.ask("hq-mayor", pane: "%7")
        let answer = try #require(harness.answer(first)).get()
        #expect(answer.resume == mayor.conversation.text)
        #expect(answer.resumePrompt == "Go on.")
        #expect(harness.all("agent.reload.finished").last?["resumed"] == true)
        let (_, second) = try harness.ask("hq-mayor", pane: "%7")
        #expect(try #require(harness.answer(second)).get().resume == nil)
    }

    @Test func anotherPaneDoesNotGetTheConversation() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor", pane: "%7")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        let (_, token) = try harness.ask("other", pane: "%8")
        #expect(try #require(harness.answer(token)).get().resume == nil)
    }

    @Test func withoutAPromptOrWithACallersOwnChoiceNothingIsResumed() throws {
        var harness = try Harness(keys: 3)
        let own = try harness.launch("own", mayResume: false)
        harness.pass(10)
        try harness.fail(own, Say.quota, status: 403)
        #expect(harness.all("agent.reload.started").last?["resumed"] == false)
        var settings = Harness.settings
        settings.resumePrompt = ""
        harness.feed(.configured(settings, path: nil))
        let agent = try harness.perform(try #require(harness.controller.reload?.order))
        harness.pass(40)
        try harness.fail(agent, Say.quota, status: 403)
        #expect(harness.all("agent.reload.started").last?["resumed"] == false)
    }

    @Test func aResumedAgentThatDiesAtOnceIsRevivedPlainlyOnce() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor", pane: "%7")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        let resumed = try harness.perform(try #require(harness.order))
        #expect(try harness.lease(resumed).wasResumed)
        harness.pass(5)
        harness.feed(.processExited(resumed.process))
        #expect(harness.all("agent.reload.started").count == 1, "the town's own hook comes first")
        harness.pass(15)
        #expect(harness.all("agent.reload.started").count == 2)
        #expect(harness.all("agent.reload.started").last?["resumed"] == false)
        let order = try #require(harness.controller.reload?.order)
        #expect(order.process == nil && order.place.pane == "%7")
        let plain = try harness.perform(order)
        #expect(try !harness.lease(plain).wasResumed)
        harness.pass(5)
        harness.feed(.processExited(plain.process))
        harness.pass(14)
        #expect(harness.all("agent.reload.started").count == 2, "gt comes first, each time")
        harness.pass(600)
        #expect(harness.all("agent.reload.started").count > 2)
        #expect(harness.all("agent.reload.started").last?["resumed"] == false)
    }

    @Test func whatTheTownRevivedItselfIsNotRevivedAgain() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor", pane: "%7")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        let resumed = try harness.perform(try #require(harness.order))
        harness.pass(5)
        harness.feed(.processExited(resumed.process))
        harness.pass(1)
        _ = try harness.launch("hq-mayor", pane: "%7")
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").count == 1)
    }

    @Test func whoEndsBeforeItsTurnGoesOnWithItsConversation() throws {
        var harness = try Harness(keys: 2)
        let busy = try harness.launch("busy", pane: "%7")
        harness.turn(busy, begins: true)
        harness.feed(.rotationRequested(harness.token()))
        harness.feed(.processExited(busy.process))
        let (_, token) = try harness.ask("busy", pane: "%7")
        #expect(try #require(harness.answer(token)).get().resume == busy.conversation.text)
        #expect(harness.order == nil)
    }

    @Test func aNewAgentInThePaneEndsTheNeedForARestart() throws {
        var harness = try Harness(keys: 2)
        let busy = try harness.launch("busy", pane: "%7")
        harness.turn(busy, begins: true)
        harness.feed(.rotationRequested(harness.token()))
        _ = try harness.launch("busy", pane: "%7")
        // The old one's end comes later.
        harness.feed(.processExited(busy.process))
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").isEmpty)
    }

    @Test func theEmergencyStopHoldsReloadsUntilItIsGone() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.feed(.stopped(true))
        harness.feed(.stopped(true))
        #expect(harness.all("town.estop").count == 1)
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").isEmpty)
        #expect(harness.report().isStopped)
        harness.feed(.stopped(false))
        #expect(harness.all("town.thaw").count == 1)
        #expect(harness.order?.session == "hq-mayor")
    }

    @Test func whoeverIsAboutToEndBeginsNothing() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.feed(.stopping)
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        harness.pass(3600)
        #expect(harness.all("key.cooled").count == 1)
        #expect(harness.all("agent.reload.started").isEmpty)
    }

    @Test func withoutRollingReloadsNobodyIsRestarted() throws {
        var harness = try Harness(keys: 2)
        var settings = Harness.settings
        settings.isRolling = false
        harness.feed(.configured(settings, path: nil))
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").isEmpty)
        #expect(harness.all("key.activated").count >= 2)
    }
}

@Suite struct ExhaustionTests {
    @Test func whileAllKeysCoolNobodyIsRestartedAndItIsToldOnce() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.launch("one")
        let idle = try harness.launch("idle")
        harness.pass(10)
        try harness.fail(one, Say.quota, status: 403)
        let moved = try harness.perform(try #require(harness.order))
        let movedIdle = try harness.perform(try #require(harness.order))
        _ = idle
        harness.pass(60)
        try harness.fail(moved, Say.quota, status: 403)
        #expect(harness.all("keys.exhausted").count == 1)
        #expect(harness.order == nil)
        try harness.fail(movedIdle, Say.quota, status: 403)
        harness.pass(600)
        #expect(harness.all("keys.exhausted").count == 1)
        #expect(harness.all("agent.reload.started").count == 2)
        #expect(harness.report().state == .degraded)
        #expect(harness.report().detail.contains("no ready key"))
    }

    @Test func theOnlyKeysRecoveryResumesAllWhoStoppedAndNobodyElse() throws {
        var harness = try Harness(keys: 1)
        let one = try harness.launch("one")
        let two = try harness.launch("two")
        _ = try harness.launch("working")
        harness.pass(10)
        try harness.fail(one, Say.throttled, status: 429)
        harness.pass(1)
        try harness.fail(two, Say.throttled, status: 429)
        #expect(try harness.verdict() == "cooling")
        harness.pass(298)
        #expect(harness.all("agent.reload.started").isEmpty)
        harness.pass(1)
        #expect(harness.all("agent.reload.started").first?["reason"] == "recovered")
        _ = try harness.perform(try #require(harness.controller.reload?.order))
        _ = try harness.performAll()
        #expect(harness.all("agent.reload.started").map { $0["session"]?.string } == ["one", "two"])
        #expect(harness.all("agent.reload.started").allSatisfy { $0["reason"] == "recovered" && $0["resumed"] == true })
    }

    @Test func anAccountsQuotaOnTheOnlyAccountDoesNotRestartTheIdle() throws {
        var harness = try Harness(keys: 1)
        let one = try harness.launch("one")
        _ = try harness.launch("idle")
        harness.pass(10)
        try harness.fail(one, Say.quota, status: 403)
        harness.pass(900)
        _ = try harness.perform(try #require(harness.controller.reload?.order))
        #expect(harness.order == nil)
        #expect(harness.all("agent.reload.started").count == 1)
    }

    @Test func aKeyThatIsAddedResumesWhoStopped() throws {
        var harness = try Harness(keys: 1)
        let one = try harness.launch("one")
        harness.pass(10)
        try harness.fail(one, Say.week, status: 403)
        harness.pass(60)
        try harness.set("2", ["2"])
        #expect(harness.order?.session == "one")
        #expect(harness.all("agent.reload.started").last?["reason"] == "recovered")
        let agent = try harness.perform(try #require(harness.order))
        #expect(try harness.holdsKey(agent, "2"))
    }

    @Test func whoStoppedBeforeARestartOfTheDaemonGoesOnWhenAKeyIsReadyAtItsStart() throws {
        var harness = try Harness(keys: 1)
        let one = try harness.launch("one")
        harness.pass(10)
        try harness.fail(one, Say.throttled, status: 429)
        let state = try JSONValue(parsing: harness.controller.snapshot.encoded())
        var next = try Harness(state: state, at: harness.now + .seconds(301), isStarted: false)
        for lease in Controller.leases(in: state) { next.controller.adopt(lease) }
        try next.set("1", ["1"])
        next.feed(.started)
        #expect(next.order?.process == one.process)
        #expect(next.all("agent.reload.started").last?["reason"] == "recovered")
    }

    @Test func whatFellDueSinceTheLastInputIsDueAtOnce() throws {
        var harness = try Harness(keys: 1)
        let one = try harness.launch("one")
        harness.pass(10)
        try harness.fail(one, Say.throttled, status: 429)
        let due = harness.now + .seconds(300)
        #expect(harness.controller.nextWake(after: harness.now) == due)
        #expect(harness.controller.nextWake(after: due - .microseconds(1)) == due)
        for late in [Duration.zero, .microseconds(1), .seconds(60)] {
            #expect(harness.controller.nextWake(after: due + late) == due + late)
        }
        harness.now = due
        harness.feed(.woke)
        #expect(try #require(harness.controller.nextWake(after: due)) > due)
    }

    @Test func aLeaseWhileAllCoolGetsTheSoonestKey() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.launch("one")
        harness.pass(10)
        try harness.fail(one, Say.week, status: 403)
        let two = try harness.perform(try #require(harness.order))
        harness.pass(40)
        try harness.fail(two, Say.concurrency, status: 403)
        let three = try harness.launch("three")
        #expect(try harness.holdsKey(three, "2"))
    }
}
