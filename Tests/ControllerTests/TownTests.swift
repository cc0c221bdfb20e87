// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import Testing
import Timekeeping

@testable import Controller

@Suite struct TownSettingsTests {
    private static func settings(_ command: String = "/bin/claude", crew: String = "") -> String {
        #"{"default_agent":"a","agents":{"a":{"command":"\#(command)"},"b":{"command":"/b/claude"}}"#
            + (crew.isEmpty ? "}" : #","crew_agents":{"max":"\#(crew)"}}"#)
    }

    private func town() throws -> (Harness, mayor: Agent, crew: Agent) {
        var harness = try Harness(keys: 2, isStarted: false)
        harness.write(.settings, Self.settings(), .first)
        harness.feed(.started)
        let mayor = try harness.launch("hq-mayor", role: "mayor")
        let crew = try harness.launch("pr-crew-max", role: "project/crew/max")
        return (harness, mayor, crew)
    }

    @Test func whoIsConcernedIsRestartedByTheVerbOfItsRole() throws {
        var (harness, _, crew) = try town()
        harness.turn(crew, begins: false)
        harness.write(.settings, Self.settings(crew: "b"))
        let order = try #require(harness.restart)
        #expect(order.arguments == ["crew", "restart", "project/max"])
        #expect(harness.all("agent.reload.started").last?["reason"] == "config")
        let new = try harness.perform(order, role: "project/crew/max")
        #expect(harness.all("agent.reload.finished").count == 1)
        #expect(harness.all("agent.reload.finished").last?["session"] == "pr-crew-max")
        #expect(harness.restart == nil && harness.order == nil, "the mayor is started with the same as before")
        #expect(try harness.lease(new).conversation == crew.conversation, "it goes on with its conversation")
        harness.pass(86400)
        #expect(harness.all("agent.reload.started").count == 1)
    }

    @Test func allAreRestartedOneAfterTheOtherTheBusyLast() throws {
        var (harness, mayor, _) = try town()
        harness.turn(mayor, begins: true)
        harness.write(.settings, Self.settings("/new/claude"))
        let first = try #require(harness.restart)
        #expect(first.session == "pr-crew-max")
        harness.pass(60)
        #expect(harness.all("agent.reload.started").count == 1)
        _ = try harness.perform(first, role: "project/crew/max")
        #expect(harness.all("agent.reload.started").count == 1, "the mayor is busy")
        #expect(harness.report().agents.first { $0.session == "hq-mayor" }?.detail?.contains("busy") == true)
        harness.pass(600)
        #expect(harness.all("agent.reload.started").last?["session"] == "hq-mayor")
    }

    @Test func whatSaysTheSameRestartsNobody() throws {
        var (harness, _, _) = try town()
        let generation = harness.controller.generation
        harness.write(
            .settings,
            "{\n \"agents\": {\"b\":{\"command\":\"/b/claude\"}, \"a\" : {\"command\":\"/bin/claude\"}},"
                + "\n \"default_agent\":\"a\", \"cli_theme\": \"dark\"}\n")
        harness.write(.role("crew"), "# nothing\n[health]\nx = 1\n")
        #expect(harness.restart == nil)
        #expect(harness.controller.generation == generation)
        #expect(harness.all("config.applied").isEmpty)
    }

    @Test func tornJSONIsToldOnceChangesNothingAndIsTakenWhenItIsWhole() throws {
        var (harness, _, _) = try town()
        harness.write(.settings, #"{"default_agent":"b","#)
        harness.write(.settings, #"{"default_agent":"b","#)
        #expect(harness.restart == nil)
        #expect(harness.all("config.rejected").count == 1)
        #expect(harness.all("config.rejected").last?["path"] == "/workspace/gt/settings/config.json")
        #expect(harness.report().state == .degraded)
        #expect(harness.report().detail.contains("settings/config.json"))
        #expect(harness.report().config.errors.isEmpty, "gasclawd.toml is in order")
        let agent = try harness.launch("pr-crew-joe", role: "project/crew/joe")
        harness.write(.settings, #"{"default_agent":"b","agents":{"b":{"command":"/b/claude"}}}"#)
        #expect(harness.all("config.applied").last?["path"] == "/workspace/gt/settings/config.json")
        #expect(harness.report().state == .ready)
        #expect(harness.restart != nil)
        #expect(try harness.lease(agent).pending != nil)
    }

    @Test func changedBackBeforeItsTurnNobodyIsRestarted() throws {
        var (harness, mayor, _) = try town()
        harness.turn(mayor, begins: true)
        harness.write(.settings, Self.settings("/new/claude"))
        let first = try #require(harness.restart)
        harness.write(.settings, Self.settings())
        #expect(try harness.lease(mayor).pending == nil)
        _ = try harness.perform(first, role: "project/crew/max")
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").count == 1)
    }

    @Test func aKeysRestartThatWaitsBecomesTheVerbsAndIsOneAgainWhenTheFileIsChangedBack() throws {
        var (harness, mayor, _) = try town()
        harness.turn(mayor, begins: true)
        harness.feed(.rotationRequested(harness.token()))
        _ = try harness.perform(try #require(harness.order))
        harness.write(.settings, Self.settings("/new/claude"))
        #expect(try harness.lease(mayor).pending?.reason == .config)
        harness.write(.settings, Self.settings())
        #expect(try harness.lease(mayor).pending?.reason == .key)
        harness.turn(mayor, begins: false)
        #expect(harness.order?.session == "hq-mayor")
    }

    @Test func gtsFailureIsTriedAgainWithBackoffAlsoWhenItHasEndedTheAgent() throws {
        var (harness, _, crew) = try town()
        harness.write(.settings, Self.settings(crew: "b"))
        let order = try #require(harness.restart)
        harness.feed(.processExited(crew.process))
        harness.feed(.reloadPerformed(id: order.id, failure: "gt crew restart project/max: exit 1: no"))
        #expect(harness.all("agent.reload.failed").last?["detail"]?.string?.contains("exit 1") == true)
        #expect(harness.report().agents.first { $0.session == "pr-crew-max" }?.isRunning == false)
        harness.pass(2)
        #expect(harness.all("agent.reload.started").count == 2)
        #expect(harness.all("agent.reload.started").last?["session"] == "pr-crew-max")
        // Somebody else brings it back meanwhile.
        _ = try harness.launch("pr-crew-max", role: "project/crew/max")
        harness.feed(.reloadPerformed(id: try #require(harness.controller.reload?.id), failure: "gt: timed out"))
        #expect(harness.all("agent.reload.finished").count == 1)
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").count == 2)
    }

    @Test func gtThatNeverAnswersFailsInTheEnd() throws {
        var (harness, _, _) = try town()
        harness.write(.settings, Self.settings(crew: "b"))
        harness.pass(219)
        #expect(harness.all("agent.reload.failed").isEmpty)
        harness.pass(1)
        #expect(harness.all("agent.reload.failed").count == 1)
    }

    @Test func anAgentThatGtStartsPastUsIsNotWaitedFor() throws {
        var (harness, _, crew) = try town()
        harness.write(
            .settings,
            #"{"default_agent":"a","agents":{"a":{"command":"/bin/claude"},"c":{"command":"codex"}},"crew_agents":{"max":"c"}}"#
        )
        let order = try #require(harness.restart)
        harness.feed(.processExited(crew.process))
        harness.feed(.reloadPerformed(id: order.id, failure: nil))
        #expect(harness.all("agent.reload.finished").count == 1)
        #expect(harness.all("agent.reload.finished").last?["resumed"] == false)
    }

    @Test func bootAndDogsAreLeftToGt() throws {
        var (harness, _, _) = try town()
        _ = try harness.launch("hq-boot", role: "deacon/boot")
        _ = try harness.launch("hq-dog-1", role: "dog/1")
        harness.write(.settings, Self.settings("/new/claude"))
        while let order = harness.restart {
            _ = try harness.perform(order, role: order.session == "hq-mayor" ? "mayor" : "project/crew/max")
        }
        let sessions = harness.all("agent.reload.started").compactMap { $0["session"]?.string }
        #expect(sessions.sorted() == ["hq-mayor", "pr-crew-max"])
    }

    @Test func whatTheDaemonReadsOnlyOnceRestartsItFirst() throws {
        var (harness, _, _) = try town()
        func restarted() -> [String] {
            harness.last.compactMap { if case .restartService(let name, _, _) = $0 { name } else { nil } }
        }
        harness.write(.presets, #"{"agents":{"x":{"command":"y"}}}"#)
        #expect(restarted() == ["daemon"])
        #expect(harness.restart == nil)
        harness.write(.presets, #"{ "agents":{"x":{"command":"y"}} }"#)
        #expect(restarted().isEmpty)
        harness.write(.daemon, #"{"patrols":{}}"#)
        #expect(restarted() == ["daemon"])
        harness.write(.daemon, #"{"patrols":{"deacon":{"enabled":true}}}"#)
        var isOwn: Bool?
        for case .restartService(_, _, let own) in harness.last { isOwn = own }
        #expect(isOwn == true, "it may be the daemon's own default")
        harness.write(.daemon, #"{"patrols":{"deacon":{"enabled":false}}}"#)
        for case .restartService(_, _, let own) in harness.last { isOwn = own }
        #expect(isOwn == false)
    }

    @Test func ourOwnRegistrationRestartsNobody() throws {
        var (harness, mayor, _) = try town()
        harness.write(.settings, Self.settings("/usr/lib/gasclawd/bin/claude"), .registration)
        #expect(harness.restart == nil)
        #expect(harness.all("config.applied").isEmpty)
        harness.turn(mayor, begins: false)
        harness.write(.settings, Self.settings("/usr/lib/gasclawd/bin/claude"))
        #expect(harness.restart == nil)
    }

    @Test func whatAnAgentWasStartedWithIsKnownAfterOurRestart() throws {
        var (harness, mayor, _) = try town()
        harness.turn(mayor, begins: false)
        let state = try JSONValue(parsing: harness.controller.snapshot.encoded())
        var next = try Harness(keys: 2, state: state, at: harness.now, isStarted: false)
        for lease in Controller.leases(in: state) { next.controller.adopt(lease) }
        next.write(.settings, Self.settings(crew: "b"), .first)
        next.feed(.started)
        #expect(next.restart?.session == "pr-crew-max", "it was changed while we were away")
    }

    @Test func theOldCommandInTheSamePaneIsNotTakenForTheNewOne() throws {
        var (harness, _, crew) = try town()
        harness.turn(crew, begins: true)
        harness.write(.settings, Self.settings(crew: "b"))
        #expect(harness.restart == nil)
        // It dies, and gt's hook runs the pane's stored command again.
        harness.feed(.processExited(crew.process))
        _ = try harness.launch("pr-crew-max", pane: crew.pane, role: "project/crew/max")
        #expect(harness.restart?.session == "pr-crew-max")
    }

    @Test func withoutRollingReloadsTheFilesAreTakenAndNobodyIsRestarted() throws {
        var (harness, _, _) = try town()
        var settings = Harness.settings
        settings.isRolling = false
        harness.feed(.configured(settings, path: nil))
        harness.write(.settings, Self.settings(crew: "b"))
        #expect(harness.restart == nil)
        #expect(harness.all("config.applied").count == 2)
    }

    @Test func aRigThatLeavesIsForgotten() throws {
        var (harness, _, _) = try town()
        func rigsChanged() -> Bool {
            harness.last.contains { if case .rigsChanged = $0 { true } else { false } }
        }
        harness.write(.rigs, #"{"rigs":{"project":{"beads":{"prefix":"pr"}}}}"#)
        #expect(rigsChanged())
        harness.write(.rigSettings(rig: "project"), "{")
        #expect(harness.report().state == .degraded)
        harness.write(.rigs, #"{"rigs":{}}"#)
        #expect(rigsChanged())
        #expect(harness.report().state == .ready)
    }
}

@Suite struct HoldTests {
    private func agents() throws -> Harness {
        var harness = try Harness(keys: 2)
        _ = try harness.launch("hq-deacon", role: "deacon")
        _ = try harness.launch("hq-mayor", role: "mayor")
        _ = try harness.launch("pr-witness", role: "project/witness")
        return harness
    }

    @Test(
        arguments: [
            (TownHold.rigStop("project"), ["hq-deacon", "hq-mayor"]), (.parked("project"), ["hq-deacon", "hq-mayor"]),
            (.parked("other"), ["hq-deacon", "hq-mayor", "pr-witness"]), (.deaconPaused, ["hq-mayor", "pr-witness"]),
            (.shuttingDown, []), (.stop, []),
        ] as [(TownHold, [String])])
    func whoIsHeldBackIsNotRestartedUntilItIsOver(_ hold: TownHold, _ free: [String]) throws {
        var harness = try agents()
        harness.feed(.held(hold, true))
        harness.feed(.rotationRequested(harness.token()))
        #expect(try harness.performAll() == free)
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").count == free.count)
        #expect(harness.report().holds.count == 1)
        harness.feed(.held(hold, false))
        #expect(Set(free + (try harness.performAll())) == ["hq-deacon", "hq-mayor", "pr-witness"])
    }

    @Test func aHoldInTheMiddleOfAPlanStopsTheRestAndPutsOffTheOneUnderWay() throws {
        var harness = try agents()
        harness.feed(.rotationRequested(harness.token()))
        let order = try #require(harness.order)
        harness.feed(.held(.stop, true))
        let process = try #require(order.process)
        harness.feed(.processExited(process))
        harness.feed(.reloadPutOff(id: order.id, why: "ESTOP"))
        #expect(harness.all("agent.reload.failed").last?["detail"] == "put off: ESTOP")
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").count == 1)
        harness.feed(.held(.stop, false))
        #expect(harness.all("agent.reload.started").count == 2)
        #expect(harness.all("agent.reload.started").last?["session"]?.string == order.session)
    }

    @Test func aRigsStopIsAnEventWithItsRigAndReason() throws {
        var harness = try agents()
        harness.feed(
            .held(.rigStop("project"), true, EmergencyStop(Array("manual\t2026-01-01T00:00:00Z\tbroken\n".utf8))))
        let event = try #require(harness.all("town.estop").last)
        #expect(event["rig"] == "project" && event["reason"] == "broken" && event["trigger"] == "manual")
        #expect(!harness.report().isStopped)
        harness.feed(.held(.rigStop("project"), false))
        #expect(harness.all("town.thaw").last?["rig"] == "project")
    }
}

@Suite struct DeathTests {
    @Test func aDeathIsFirstGtsThenOursThenBackoff() throws {
        var harness = try Harness(keys: 1)
        let crew = try harness.launch("pr-crew-max", pane: "%7", role: "project/crew/max")
        harness.turn(crew, begins: false)
        harness.pass(600)
        harness.feed(.processExited(crew.process))
        harness.pass(14)
        #expect(harness.all("agent.reload.started").isEmpty)
        harness.pass(1)
        #expect(harness.all("agent.reload.started").count == 1)
        #expect(harness.all("agent.reload.started").last?["reason"] == "recovered")
        #expect(harness.all("agent.reload.started").last?["resumed"] == true)
        var agent = try harness.perform(try #require(harness.controller.reload?.order))
        var pauses: [Duration] = []
        for count in 2...8 {
            let died = harness.now
            harness.feed(.processExited(agent.process))
            while harness.all("agent.reload.started").count < count { harness.pass(1) }
            pauses.append(harness.now - died)
            agent = try harness.perform(try #require(harness.controller.reload?.order))
        }
        #expect(pauses.allSatisfy { $0 >= .seconds(16) }, "\(pauses)")
        #expect(pauses.max() ?? .zero > .seconds(20), "\(pauses)")
        harness.pass(1800)
        let stable = harness.now
        harness.feed(.processExited(agent.process))
        while harness.all("agent.reload.started").count < 9 { harness.pass(1) }
        #expect(harness.now - stable == .seconds(15), "after half an hour all is forgotten")
    }

    @Test(
        arguments: [PaneState.gone, .alive, .dead(status: 0), .dead(status: 130)])
    func whoEndedByItselfOrIsBackOrIsGoneIsLeft(_ pane: PaneState) throws {
        var harness = try Harness(keys: 1)
        let crew = try harness.launch("pr-crew-max")
        harness.pass(600)
        harness.pane = pane
        harness.feed(.processExited(crew.process))
        harness.pass(86400)
        #expect(harness.all("agent.reload.started").isEmpty)
        #expect(harness.report().agents.isEmpty)
    }

    private static let folder = Harness.town + "/project/crew/max"

    /// A dog and a crew member whose sessions are gone with their server; the order in which that is told is anything.
    private func lose(
        isCrash: Bool?, serverFirst: Bool, sessions: Int = 2
    ) throws -> (harness: Harness, crew: Agent) {
        var harness = try Harness(keys: 1)
        let crew = try harness.launch(
            "pr-crew-max", pane: "%1", directory: Self.folder, role: "project/crew/max")
        let others = sessions > 1 ? [try harness.launch("hq-dog-1", pane: "%2", role: "dog/1")] : []
        harness.turn(crew, begins: false)
        harness.pass(600)
        harness.pane = .gone
        let socket = try #require(try harness.lease(crew).place?.socket)
        if serverFirst { harness.feed(.serverEnded(socket: socket, isCrash: isCrash)) }
        for agent in [crew] + others { harness.feed(.processExited(agent.process)) }
        if !serverFirst { harness.feed(.serverEnded(socket: socket, isCrash: isCrash)) }
        return (harness, crew)
    }

    @Test(arguments: [true, nil] as [Bool?], [true, false])
    func agentsOfATmuxServerThatDiedAreMadeAnewByGt(isCrash: Bool?, serverFirst: Bool) throws {
        var (harness, crew) = try lose(isCrash: isCrash, serverFirst: serverFirst)
        harness.pass(14)
        #expect(harness.all("agent.reload.started").isEmpty, "it is first gt's to mend")
        harness.pass(1)
        let order = try #require(harness.restart)
        #expect(order.arguments == ["crew", "restart", "project/max"])
        let new = try harness.perform(order, directory: Self.folder, role: "project/crew/max")
        #expect(try harness.lease(new).conversation == crew.conversation)
        harness.pass(86400)
        #expect(harness.all("agent.reload.started").count == 1, "gt has no verb for a dog")
    }

    @Test func whatASavedStateSaysOfALostServerHolds() throws {
        let (harness, _) = try lose(isCrash: true, serverFirst: false)
        var next = try Harness(keys: 1, state: harness.controller.snapshot, at: harness.now)
        next.pane = .gone
        next.pass(60)
        #expect(next.all("agent.reload.started").count == 1)
    }

    @Test(arguments: [(false, 2), (nil, 1)] as [(Bool?, Int)])
    func aServerThatEndsInOrderTakesNobodyWithIt(isCrash: Bool?, sessions: Int) throws {
        var (harness, _) = try lose(isCrash: isCrash, serverFirst: false, sessions: sessions)
        harness.pass(86400)
        #expect(harness.all("agent.reload.started").isEmpty)
    }

    @Test func whomGtWasFasterToBringBackIsLeftToIt() throws {
        var (harness, _) = try lose(isCrash: true, serverFirst: true)
        harness.pass(5)
        _ = try harness.launch("pr-crew-max", pane: "%1", role: "project/crew/max")
        harness.pass(86400)
        #expect(harness.all("agent.reload.started").isEmpty)
    }

    @Test func aMayorThatIsAServiceIsBroughtBackAsOneWithItsConversation() throws {
        var harness = try Harness(keys: 1)
        var settings = Harness.settings
        settings.managesMayor = true
        harness.feed(.configured(settings, path: nil))
        let mayor = try harness.launch("hq-mayor", pane: "%7", role: "mayor")
        harness.turn(mayor, begins: false)
        harness.pass(60)
        harness.feed(.processExited(mayor.process))
        #expect(!harness.controller.isBeingReloaded("hq-mayor"))
        harness.pass(15)
        #expect(harness.all("agent.reload.started").isEmpty)
        let (_, token) = try harness.ask("hq-mayor", pane: "%7", role: "mayor")
        #expect(try #require(harness.answer(token)).get().resume == mayor.conversation.text)
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").isEmpty)
    }

    /// The state as the next process finds it, and the leases whose processes are alive.
    private func successor(of harness: Harness, alive: [Agent]) throws -> Harness {
        let state = try JSONValue(parsing: harness.controller.snapshot.encoded())
        var next = try Harness(keys: 0, state: state, at: harness.now, isStarted: false)
        for lease in Controller.leases(in: state) {
            if alive.contains(where: { $0.process == lease.process }) {
                next.controller.adopt(lease)
            } else {
                next.controller.adoptEnded(lease, at: next.now)
            }
        }
        try next.set("1", ["1"])
        next.feed(.started)
        return next
    }

    @Test func whoDiedWhileWeWereAwayIsBroughtBack() throws {
        var harness = try Harness(keys: 1)
        let crew = try harness.launch("pr-crew-max", pane: "%7", role: "project/crew/max")
        harness.turn(crew, begins: false)
        var next = try successor(of: harness, alive: [])
        next.pass(15)
        #expect(next.all("agent.reload.started").last?["session"] == "pr-crew-max")
        #expect(next.all("agent.reload.started").last?["resumed"] == true)
    }

    @Test func whoWaitsToBeBroughtBackWhenWeDieIsNotForgotten() throws {
        var harness = try Harness(keys: 1)
        let crew = try harness.launch("pr-crew-max", pane: "%7", role: "project/crew/max")
        harness.feed(.processExited(crew.process))
        harness.pass(5)
        var next = try successor(of: harness, alive: [])
        next.pass(15)
        #expect(next.all("agent.reload.started").count == 1)
        // In the middle of a respawn.
        let order = try #require(next.controller.reload?.order)
        next.feed(.reloadPerformed(id: order.id, failure: nil))
        var third = try successor(of: next, alive: [])
        third.pass(15)
        #expect(third.all("agent.reload.started").count == 1)
    }

    @Test func whoGtWasBringingBackWhenWeDiedIsNotForgotten() throws {
        var harness = try Harness(keys: 1, isStarted: false)
        try harness.set("1", ["1"])
        harness.write(.settings, "{}", .first)
        harness.feed(.started)
        let crew = try harness.launch("pr-crew-max", role: "project/crew/max")
        harness.write(.settings, #"{"agents":{"claude":{"command":"/new/claude"}}}"#)
        #expect(harness.restart != nil)
        harness.feed(.processExited(crew.process))
        var next = try successor(of: harness, alive: [])
        next.pass(14)
        #expect(next.all("agent.reload.started").isEmpty, "gt may still be at work")
        next.pass(1)
        #expect(next.controller.reload?.restart?.arguments == ["crew", "restart", "project/max"])
    }

    @Test func aTmuxThatDoesNotAnswerIsAskedAgain() throws {
        var harness = try Harness(keys: 1)
        let crew = try harness.launch("pr-crew-max")
        harness.pane = .unknown
        harness.feed(.processExited(crew.process))
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").isEmpty)
        harness.pane = .dead(status: 1)
        harness.pass(600)
        #expect(harness.all("agent.reload.started").count >= 1)
    }

    @Test func gtsCrashLoopsAndDeathsAreToldOnce() throws {
        var harness = try Harness()
        let text =
            #"{"agents":{"deacon":{"crash_loop_since":"2026-01-01T00:00:00Z"},"x":{"crash_loop_since":"0001-01-01T00:00:00Z"}}}"#
        harness.feed(.restartState(try RestartState(Array(text.utf8))))
        harness.feed(.restartState(try RestartState(Array(text.utf8))))
        #expect(harness.all("town.crash_loop").map { $0["agent"] } == ["deacon"])
        let line =
            #"{"ts":"2026-01-01T00:00:00Z","source":"gt","type":"mass_death","actor":"daemon","payload":{"count":3,"k":"sk-kimi-aaaaaaaaaaaaaaaaaaaaaaaa"}}"#
        let event = try #require(TownEvent.read(Array(line.utf8)))
        harness.feed(.townEvent(event))
        harness.feed(.townEvent(event))
        #expect(harness.all("town.mass_death").count == 1)
        #expect(!"\(harness.events)".contains("aaaaaaaaaaaaaaaa"))
        #expect(TownEvent.read(Array(#"{"type":"nudge"}"#.utf8)) == nil)
    }
}

@Suite struct ParkingTests {
    private func parked(_ harness: Harness) -> Bool? {
        for case .park(let isStop) in harness.last { return isStop }
        return nil
    }

    private func town(keys: Int = 1, isParking: Bool = true) throws -> (Harness, Agent) {
        var harness = try Harness(keys: keys)
        var settings = Harness.settings
        settings.isParking = isParking
        harness.feed(.configured(settings, path: nil))
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.throttled, status: 429)
        return (harness, mayor)
    }

    private static func note(_ reason: String) -> EmergencyStop {
        EmergencyStop(Array("manual\t2026-01-01T00:00:00Z\t\(reason)\n".utf8))
    }

    @Test func theTownStandsStillWhileNoKeyIsReadyAndGoesOnThen() throws {
        var (harness, _) = try town()
        #expect(parked(harness) == true)
        harness.feed(.held(.stop, true, Self.note(Controller.parkReason)))
        harness.feed(.parked(isStop: true, failure: nil))
        harness.pass(299)
        #expect(parked(harness) == nil)
        harness.pass(1)
        #expect(parked(harness) == false)
        #expect(harness.all("agent.reload.started").isEmpty, "first it is thawed")
        harness.feed(.parked(isStop: false, failure: nil))
        harness.feed(.held(.stop, false))
        #expect(harness.all("agent.reload.started").count == 1)
        #expect(parked(harness) == nil)
    }

    @Test func anotherOnesStopIsNeitherMadeNorThawed() throws {
        var (harness, _) = try town(isParking: false)
        #expect(parked(harness) == nil)
        var settings = Harness.settings
        settings.isParking = true
        harness.feed(.held(.stop, true, Self.note("fire")))
        harness.feed(.configured(settings, path: nil))
        #expect(parked(harness) == nil, "it stands still already")
        harness.pass(3600)
        #expect(parked(harness) == nil)
        #expect(harness.report().isStopped)
    }

    @Test func aStopThatSomebodyPutsOverOursIsTheirs() throws {
        var (harness, _) = try town()
        harness.feed(.held(.stop, true, Self.note(Controller.parkReason)))
        harness.feed(.parked(isStop: true, failure: nil))
        harness.feed(.held(.stop, true, Self.note("fire")))
        #expect(harness.all("town.estop").last?["reason"] == "fire")
        harness.pass(3600)
        #expect(parked(harness) == nil)
    }

    @Test func whoThawsItByHandHasTheLastWordUntilAKeyWasReady() throws {
        var (harness, mayor) = try town()
        harness.feed(.held(.stop, true, Self.note(Controller.parkReason)))
        harness.feed(.parked(isStop: true, failure: nil))
        harness.feed(.held(.stop, false))
        #expect(parked(harness) == nil)
        harness.pass(300)
        let order = try #require(harness.controller.reload?.order)
        let again = try harness.perform(order)
        _ = mayor
        harness.pass(60)
        try harness.fail(again, Say.throttled, status: 429)
        #expect(parked(harness) == true)
    }

    @Test func afterACrashOurStopIsKnownByItsReason() throws {
        var harness = try Harness(keys: 1, isStarted: false)
        var settings = Harness.settings
        settings.isParking = true
        harness.feed(.configured(settings, path: nil))
        harness.feed(.held(.stop, true, Self.note(Controller.parkReason)))
        harness.feed(.started)
        #expect(parked(harness) == false)
    }

    @Test func gtsFailureIsTriedAgain() throws {
        var (harness, _) = try town()
        harness.feed(.parked(isStop: true, failure: "gt estop: exit 1"))
        #expect(parked(harness) == nil)
        harness.pass(2)
        harness.feed(.woke)
        var count = 0
        for _ in 0..<3 {
            if harness.controller.parking.state == .calling {
                count += 1
                harness.feed(.parked(isStop: true, failure: "again"))
            }
            harness.pass(10)
        }
        #expect(count >= 2)
    }
}
