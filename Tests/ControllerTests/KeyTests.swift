// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Testing
import Timekeeping

@testable import Controller

@Suite struct KeyTests {
    @Test func atTheStartEachKeyIsAddedAndOneActivated() throws {
        let harness = try Harness(keys: 3)
        #expect(harness.types == ["key.added", "key.added", "key.added", "key.activated"])
        #expect(harness.events.allSatisfy { $0["reason"] == "start" })
        #expect(try harness.isActive("1"))
    }

    @Test func withoutAKeyTheStartSaysSo() throws {
        let harness = try Harness()
        #expect(harness.types == ["keys.exhausted"])
        #expect(harness.events.first?["until"]?.isNull == true)
        #expect(harness.report().state == .degraded)
    }

    @Test func theGenerationGrowsByOneWithEachChangeAndNotOtherwise() throws {
        var harness = try Harness(keys: 2)
        func step(_ wanted: Int, _ what: String, _ body: (inout Harness) throws -> Void) throws {
            let before = harness.controller.generation
            try body(&harness)
            #expect(harness.controller.generation == before + wanted, "\(what)")
        }
        try step(1, "a key is added") { try $0.set("3", ["3"]) }
        try step(0, "the same file") { try $0.set("3", ["3"]) }
        try step(1, "its endpoint is another") { try $0.set("3", ["3"], digest: "b", base: "https://b") }
        try step(1, "it is replaced") { try $0.set("3", ["4"], digest: "c", base: "https://b") }
        try step(1, "a rotation") { harness in harness.feed(.rotationRequested(harness.token())) }
        try step(0, "the same configuration") { $0.feed(.configured(Harness.settings, path: nil)) }
        try step(0, "a refused configuration") { $0.feed(.configurationRejected(path: nil, errors: ["x"])) }
        try step(0, "the same configuration as before the refusal") {
            $0.feed(.configured(Harness.settings, path: nil))
        }
        try step(1, "a configuration") { harness in
            var settings = Harness.settings
            settings.patience = .seconds(1)
            harness.feed(.configured(settings, path: nil))
        }
        try step(0, "a file is gone") { $0.feed(.accountGone(name: "3")) }
        try step(1, "its grace is over") { $0.pass(2) }
        try step(0, "time") { $0.pass(3600) }
        try step(0, "an agent") { _ = try $0.launch("x") }
        #expect(harness.all("config.applied").count == 2)
    }

    @Test func aRotationMovesTheOldKeysAgents() throws {
        var harness = try Harness(keys: 3)
        let one = try harness.launch("one")
        let token = harness.token()
        harness.feed(.rotationRequested(token))
        #expect(try #require(harness.rotation(token)).get() == harness.id("2").text)
        #expect(harness.order?.process == one.process)
        #expect(harness.all("key.cooled").isEmpty)
        let moved = try harness.perform(try #require(harness.order))
        #expect(try harness.holdsKey(moved, "2"))
    }

    @Test func aRotationWithoutAnotherReadyKeyIsBusy() throws {
        for keys in 0...2 {
            var harness = try Harness(keys: keys)
            if keys == 2 {
                let agent = try harness.find("x", key: "2")
                harness.pass(10)
                try harness.fail(agent, Say.week, status: 403)
                _ = try harness.performAll()
            }
            let token = harness.token()
            harness.feed(.rotationRequested(token))
            guard case .failure(let error) = harness.rotation(token) else {
                Issue.record("not refused with \(keys) keys")
                continue
            }
            #expect(error.code == "busy" && error.status == 409)
            #expect(harness.order == nil)
        }
    }

    @Test func agentsOfARemovedKeyMove() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.launch("one")
        harness.feed(.accountGone(name: "1"))
        harness.pass(1)
        #expect(harness.order == nil)
        harness.pass(1)
        #expect(harness.all("key.removed").count == 1)
        #expect(harness.controller.reload?.order?.process == one.process)
    }

    @Test func agentsOfAReplacedKeyMoveAtOnce() throws {
        var harness = try Harness(keys: 1)
        let one = try harness.launch("one")
        try harness.set("1", ["new"], digest: "second")
        #expect(harness.order?.process == one.process)
        #expect(harness.types.suffix(4) == ["key.removed", "key.added", "key.activated", "agent.reload.started"])
    }

    @Test func agentsOfAKeyWithAnotherEndpointMove() throws {
        var harness = try Harness()
        try harness.set("1", ["1"], base: "https://one")
        try harness.set("2", ["2"], base: "https://two")
        let one = try harness.launch("one")
        try harness.set("2", ["2"], digest: "b", base: "https://new")
        #expect(harness.order == nil)
        try harness.set("1", ["1"], digest: "b", base: "https://new")
        #expect(harness.order?.process == one.process)
        #expect(harness.last.contains { if case .launchValuesChanged = $0 { true } else { false } })
    }

    @Test func agentsWhoseEndpointIsStillTheSameAreNotMovedByTheOrderOfReading() throws {
        var harness = try Harness()
        try harness.set("1", ["x"], base: "https://one")
        let one = try harness.launch("one")
        let state = try JSONValue(parsing: harness.controller.snapshot.encoded())
        var next = try Harness(state: state, isStarted: false)
        for lease in Controller.leases(in: state) { next.controller.adopt(lease) }
        try next.set("2", ["x"], base: "https://two")
        try next.set("1", ["x"], base: "https://one")
        next.feed(.started)
        #expect(next.order == nil)
        #expect(try next.lease(one).pending == nil)
    }

    @Test func aRejectedFileIsToldOnceAndKeepsItsKeys() throws {
        var harness = try Harness(keys: 1)
        for _ in 0..<3 {
            harness.feed(.accountRejected(name: "1", path: "/a/1", error: "1:2: bad \(Harness.text("1"))"))
        }
        #expect(harness.all("keys.rejected").count == 1)
        #expect(harness.report().rejected.map(\.path) == ["/a/1"])
        #expect(!harness.report().json.line.contains("CANARY"))
        harness.pass(3600)
        #expect(try harness.isActive("1"))
        try harness.set("1", ["1"], digest: "mended")
        #expect(harness.report().rejected.isEmpty)
    }

    @Test func aFileThatComesBackUnreadableKeepsItsKeys() throws {
        var harness = try Harness(keys: 1)
        harness.feed(.accountGone(name: "1"))
        harness.pass(1)
        harness.feed(.accountRejected(name: "1", path: "/a/1", error: "the file is empty"))
        harness.pass(60)
        #expect(try harness.isActive("1"))
    }

    @Test func aDisabledKeyComesBackWithItsFilesContent() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.find("one", key: "1")
        let two = try harness.find("two", key: "1")
        harness.feed(.stopped(true))
        harness.pass(10)
        try harness.fail(one, Say.invalid, status: 401)
        harness.pass(60)
        try harness.fail(two, Say.invalid, status: 401)
        #expect(harness.report().keys.map(\.state) == ["disabled", "active"])
        try harness.set("1", ["1"], digest: "second")
        #expect(harness.report().keys.map(\.state) == ["ready", "active"])
        #expect(harness.all("key.recovered").count == 1)
    }
}

@Suite struct ConfigurationTests {
    @Test func onlyAgentsWithOtherLaunchValuesAreRestarted() throws {
        var harness = try Harness(keys: 1)
        _ = try harness.launch("one")
        var settings = Harness.settings
        settings.patience = .seconds(1)
        settings.cooldown = .seconds(7)
        harness.feed(.configured(settings, path: "/f"))
        #expect(harness.all("config.applied").count == 1)
        #expect(harness.order == nil)
        settings.launch.environment = [Settings.Launch.Variable(name: "ANTHROPIC_MODEL", value: "m")]
        harness.feed(.configured(settings, path: "/f"))
        #expect(harness.all("agent.reload.started").last?["reason"] == "config")
        let moved = try harness.perform(try #require(harness.order))
        #expect(try harness.lease(moved).launch == settings.launch)
        #expect(harness.order == nil)
        let fresh = try harness.launch("two")
        harness.feed(.configured(settings, path: "/f"))
        #expect(harness.order == nil)
        #expect(try harness.lease(fresh).pending == nil)
    }

    @Test func agentsOfAnEarlierProcessAreRestartedToo() throws {
        var harness = try Harness(keys: 1)
        let old = try harness.find("old", key: "1")
        #expect(harness.order == nil)
        var settings = Harness.settings
        settings.launch.isSandboxed = true
        harness.feed(.configured(settings, path: nil))
        #expect(harness.order?.process == old.process)
    }

    @Test func aRefusedConfigurationChangesNothingAndIsShown() throws {
        var harness = try Harness(keys: 1)
        for _ in 0..<2 { harness.feed(.configurationRejected(path: "/f", errors: ["/f:1:2: no \(Harness.text("1"))"])) }
        #expect(harness.all("config.rejected").count == 1)
        let report = harness.report()
        #expect(report.state == .degraded && report.detail.contains("configuration refused"))
        #expect(!report.json.line.contains("CANARY"))
        #expect(harness.controller.settings == Harness.settings)
        harness.feed(.configured(Harness.settings, path: "/f"))
        #expect(harness.report().state == .ready)
    }

    @Test func aNewCooldownHoldsForWhatCoolsFromNowOn() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.launch("one")
        var settings = Harness.settings
        settings.cooldown = .seconds(7)
        harness.feed(.configured(settings, path: nil))
        harness.pass(10)
        try harness.fail(one, Say.throttled, status: 429)
        #expect(harness.all("key.cooled").last?["until"] == .string((harness.now + .seconds(7)).rfc3339))
    }
}

@Suite struct StatusTests {
    @Test func keysAndAgentsAreShownAsTheyAre() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.week, status: 403)
        let report = harness.report()
        #expect(report.keys.map(\.state) == ["cooling", "active"])
        #expect(report.keys[0].cause == "quota" && report.keys[0].until == harness.now + .seconds(3600))
        #expect(report.keys[0].leases == 1 && report.keys[0].lastUsed == Harness.start)
        #expect(report.keys[1].cause == nil && report.keys[1].until == nil)
        let ids = try ["1", "2"].map { try harness.id($0).text }
        #expect(report.activeKey == ids[1])
        let agent = try #require(report.agents.first)
        #expect(agent.session == "hq-mayor" && agent.role == "mayor" && agent.isStalled && agent.isRunning)
        #expect(agent.isBusy == false && agent.key == ids[0] && agent.pendingReload == "key")
        #expect(report.generation == harness.controller.generation)
        // Its reload is on its way.
        #expect(report.state == .ready)
    }

    @Test func aStallThatAReloadIsAboutToMendIsNoTroubleUnlessItLastsOrFails() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        let deacon = try harness.launch("hq-deacon")
        harness.pass(10)
        try harness.fail(mayor, Say.week, status: 403)
        let first = try #require(harness.order)
        try harness.fail(deacon, Say.week, status: 403)
        #expect(harness.report().state == .ready)
        let patience = harness.now + Controller.stallPatience
        #expect(try #require(harness.controller.nextWake(after: harness.now)) <= patience)
        _ = try harness.perform(first)
        #expect(try harness.performAll() == ["hq-deacon", "hq-mayor"].filter { $0 != first.session })
        #expect(harness.report().state == .ready)

        var failing = try Harness(keys: 2)
        let agent = try failing.launch("hq-mayor")
        failing.pass(10)
        try failing.fail(agent, Say.week, status: 403)
        let order = try #require(failing.order)
        failing.feed(.reloadPerformed(id: order.id, failure: "no such pane"))
        #expect(failing.report().detail == "agent stalled: hq-mayor")

        var held = try Harness(keys: 2)
        let waiting = try held.launch("hq-mayor")
        held.feed(.held(.stop, true))
        held.pass(10)
        try held.fail(waiting, Say.week, status: 403)
        #expect(held.report().detail == "agent stalled: hq-mayor")
    }

    @Test func ofSeveralTroublesTheFirstInTheContractsOrderIsShown() throws {
        var harness = try Harness(keys: 1)
        let mayor = try harness.launch("hq-mayor")
        var troubles: [(inout Surroundings) -> Void] = []
        func detail() -> String {
            harness.report { surroundings in for trouble in troubles { trouble(&surroundings) } }.detail
        }
        #expect(harness.report().state == .ready)
        troubles.append { $0.isRootWithoutSandbox = true }
        #expect(detail().contains("root without a sandbox"))
        troubles.append { $0.stateProblem = "the state" }
        #expect(detail() == "the state")
        harness.pass(10)
        try harness.fail(mayor, Say.overloaded, status: 529)
        #expect(detail() == "agent stalled: hq-mayor")
        harness.feed(.configurationRejected(path: nil, errors: ["x"]))
        #expect(detail() == "configuration refused: x")
        troubles.append { $0.watchProblem = "lost" }
        #expect(detail() == "lost")
        troubles.append { $0.watch.polled = ["/p"] }
        #expect(detail().contains("/p"))
        troubles.append { $0.bootstrapProblem = "bootstrap" }
        #expect(detail() == "bootstrap")
        harness.pass(40)
        try harness.fail(mayor, Say.week, status: 403)
        #expect(detail().contains("no ready key: the first one is ready at"))
    }

    @Test func startingAndStoppingAreShownBeforeAllElse() throws {
        let harness = try Harness()
        #expect(harness.report { $0.isStarting = true }.state == .starting)
        #expect(harness.report { $0.isStopping = true }.state == .stopping)
        #expect(harness.report().state == .degraded)
        #expect(harness.report().detail.contains("no key"))
    }

    @Test func noKeyIsInAnythingButALease() throws {
        var harness = try Harness(keys: 3)
        let secret = Harness.text("1")
        var shown = ""
        var mayor = try harness.launch("hq-mayor")
        func look() {
            for effect in harness.last {
                if case .answerLease = effect { continue }
                dump(effect, to: &shown)
                shown += "\(effect)"
            }
            shown += harness.report().json.line + harness.controller.snapshot.line
        }
        look()
        harness.pass(31)
        try harness.fail(mayor, "\(Say.quota) \(secret) \(secret.dropFirst(12).prefix(10))", status: 403)
        look()
        mayor = try harness.perform(try #require(harness.order))
        look()
        harness.feed(.accountRejected(name: "1", path: "/a", error: secret))
        look()
        harness.feed(.configurationRejected(path: nil, errors: [secret]))
        look()
        harness.pass(31)
        try harness.fail(mayor, Say.unknown + secret, status: 403, uuid: secret)
        look()
        try harness.set("1", ["9"], digest: "x")
        look()
        for event in harness.events {
            shown += EventRecord(seq: 1, bootID: "b", time: harness.now, event: event).line
        }
        #expect(shown.count > 1000)
        #expect(!shown.contains("CANARY"))
    }
}
