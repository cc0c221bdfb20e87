// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import Testing
import Timekeeping

@testable import Controller

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
