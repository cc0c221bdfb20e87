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
