// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Secrets
import Testing
import Timekeeping

@testable import Controller

/// What people do by hand.
@Suite struct CommandTests {
    private func result(_ effects: [Effect], _ wanted: ReplyToken) -> Result<JSONValue, ControlError>? {
        for effect in effects { if case .answer(wanted, let result) = effect { return result } }
        return nil
    }

    @Test func aDisabledKeyIsOutUntilItIsEnabledWhateverHappensToItsFile() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("mayor")
        var token = harness.token()
        let effects = harness.feed(.keyCommand(.disable, key: try harness.id("1"), token))
        #expect(try result(effects, token)?.get()["changed"]?.bool == true)
        #expect(harness.all("key.disabled").last?["cause"]?.string == "manual")
        #expect(try harness.isActive("2"))
        #expect(harness.all("agent.reload.started").count == 1)
        try harness.set("1", ["1"], digest: "touched")
        #expect(harness.report { $0.isStarting = false }.keys.first?.state == "disabled")
        let state = harness.controller.snapshot
        var next = try Harness(keys: 2, state: state, at: harness.now)
        #expect(next.report { $0.isStarting = false }.keys.first?.state == "disabled")
        token = next.token()
        next.feed(.keyCommand(.enable, key: try next.id("1"), token))
        #expect(next.report { $0.isStarting = false }.keys.first?.state == "ready")
        _ = agent
    }

    @Test func clearEndsEachRestAndResumesWhoStopped() throws {
        var harness = try Harness(keys: 1)
        let agent = try harness.launch("mayor")
        harness.turn(agent, begins: true)
        try harness.fail(agent, Say.quota, status: 403)
        #expect(harness.all("keys.exhausted").count == 1)
        #expect(harness.all("agent.reload.started").isEmpty)
        let token = harness.token()
        let effects = harness.feed(.keyCommand(.clear, key: nil, token))
        #expect(try result(effects, token)?.get()["ok"]?.bool == true)
        #expect(harness.all("key.recovered").count == 1)
        #expect(harness.all("agent.reload.started").last?["reason"]?.string == "recovered")
    }

    @Test func anUnknownKeyIsNotFound() throws {
        var harness = try Harness(keys: 1)
        for command in KeyCommand.allCases {
            let token = harness.token()
            let effects = harness.feed(.keyCommand(command, key: try harness.id("9"), token))
            guard case .failure(let error) = result(effects, token) else {
                Issue.record("\(command) was answered")
                continue
            }
            #expect(error.status == 404)
        }
    }

    @Test func agentsAreReloadedByNameOrAllOfThem() throws {
        var harness = try Harness(keys: 1)
        let first = try harness.launch("mayor")
        _ = try harness.launch("crew")
        var token = harness.token()
        var effects = harness.feed(.reloadRequested(sessions: ["mayor"], token))
        #expect(try result(effects, token)?.get()["agents_to_reload"]?.array == ["mayor"])
        #expect(harness.controller.reload?.order?.process == first.process)
        #expect(harness.all("agent.reload.started").last?["reason"]?.string == "manual")
        _ = try harness.performAll()
        token = harness.token()
        effects = harness.feed(.reloadRequested(sessions: nil, token))
        #expect(try result(effects, token)?.get()["agents_to_reload"]?.array?.count == 2)
        token = harness.token()
        effects = harness.feed(.reloadRequested(sessions: ["nobody"], token))
        #expect(throws: ControlError.self) { try #require(result(effects, token)).get() }
    }

    @Test func whoAsksForAReloadLearnsWhatItWaitsFor() throws {
        var harness = try Harness(keys: 1)
        _ = try harness.launch("mayor")
        harness.feed(.held(.stop, true))
        let token = harness.token()
        let effects = harness.feed(.reloadRequested(sessions: nil, token))
        let answer = try #require(try result(effects, token)?.get())
        #expect(answer["agents_to_reload"]?.array == ["mayor"])
        #expect(answer["waiting"]?["mayor"]?.string == "waits: \(TownHold.stop.text)")
    }
}
