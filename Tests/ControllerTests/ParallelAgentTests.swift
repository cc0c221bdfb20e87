// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Secrets
import Testing
import Timekeeping

@testable import Controller

/// Agents beside the ones that gt knows: in another's pane, without us, and over a restart.
@Suite struct ParallelAgentTests {
    /// An agent that another one started in a tool call, in the same pane.
    private func nested(in parent: Agent, _ harness: inout Harness) throws -> ProcessName {
        let token = harness.token()
        let process = ProcessName(pid: 5000, startTime: 1)
        let request = LeaseRequest(
            pid: 5000, pane: parent.pane, tmuxSocket: "/tmp/tmux", session: parent.session, directory: parent.directory,
            mayResume: false)
        harness.feed(.leaseRequested(request, process: process, token: token, isNested: true))
        _ = try #require(harness.answer(token)).get()
        return process
    }

    @Test func anAgentInAnothersPaneIsNeverRestartedByItself() throws {
        var harness = try Harness(keys: 2)
        let parent = try harness.launch("mayor")
        harness.turn(parent, begins: true)
        let process = try nested(in: parent, &harness)
        let token = harness.token()
        harness.feed(.rotationRequested(token))
        harness.turn(parent, begins: false)
        let started = harness.all("agent.reload.started")
        #expect(started.count == 1)
        #expect(started.first?["resumed"]?.bool == true)
        #expect(harness.controller.reload?.order?.process == parent.process)
        #expect(harness.controller.leases[process]?.pending == nil)
    }

    @Test func itDoesNotTakeTheConversationThatWaitsForThePane() throws {
        var harness = try Harness(keys: 2)
        let parent = try harness.launch("mayor")
        harness.turn(parent, begins: true)
        harness.turn(parent, begins: false)
        harness.feed(.rotationRequested(harness.token()))
        #expect(harness.controller.isReloading)
        _ = try nested(in: parent, &harness)
        #expect(harness.controller.isReloading, "the pane's own agent is still waited for")
        let order = try #require(harness.controller.reload?.order)
        let back = try harness.perform(order)
        #expect(try harness.lease(back).wasResumed)
    }

    @Test func whatALauncherTookWithoutUsCountsAndNotOurLateAnswer() throws {
        var harness = try Harness(keys: 2)
        let token = harness.token()
        let process = ProcessName(pid: 4242, startTime: 7)
        let note: JSONValue = [
            "leases": [
                [
                    "pid": 4242, "start_time": 7, "session": "mayor", "cwd": .string("\(Harness.town)/mayor"),
                    "key": .string(try harness.id("2").text), "base_url": "https://x/", "since": "2026-01-01T00:00:00Z",
                ]
            ]
        ]
        for lease in Controller.leases(in: note) { harness.feed(.leaseFound(lease)) }
        let request = LeaseRequest(pid: 4242, session: "mayor", directory: "\(Harness.town)/mayor")
        harness.feed(.leaseRequested(request, process: process, token: token))
        #expect(throws: ControlError.self) { try #require(harness.answer(token)).get() }
        #expect(harness.controller.leases[process]?.key == (try harness.id("2")))
    }

    @Test func aFailureThatWaitsIsNotForgottenByARestart() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("mayor")
        harness.turn(agent, begins: true)
        harness.pass(1)
        try harness.fail(agent, Say.throttled, status: 429)
        let back = try harness.perform(try #require(harness.controller.reload?.order))
        harness.pass(2)
        try harness.fail(back, Say.quota, status: 403)
        #expect(try harness.verdict() == "limit")
        let state = harness.controller.snapshot
        var next = try Harness(keys: 0, state: state, at: harness.now, isStarted: false)
        for lease in Controller.leases(in: state) { next.controller.adopt(lease) }
        try next.set("1", ["1"])
        try next.set("2", ["2"])
        next.feed(.started)
        next.pass(31)
        #expect(next.all("key.cooled").contains { $0["cause"]?.string == "quota" })
    }

    @Test func aClientWithoutAKeyOfOursIsShownUntilItEnds() throws {
        var harness = try Harness(keys: 1)
        let process = ProcessName(pid: 77, startTime: 7)
        let agent = UnmanagedAgent(
            process: process, session: "hq-mayor", identity: AgentIdentity(role: .mayor, rig: nil),
            directory: "\(Harness.town)/mayor", isBusy: true, since: harness.now)
        harness.feed(.unmanagedFound(agent))
        harness.feed(.unmanagedFound(agent))
        #expect(harness.all("agent.unmanaged").count == 1)
        let report = harness.report { $0.isStarting = false }
        #expect(report.state == .degraded)
        #expect(report.agents.map(\.isUnmanaged) == [true])
        #expect(report.agents.first?.key == nil)
        harness.feed(.processExited(process))
        #expect(harness.report { $0.isStarting = false }.agents.isEmpty)
    }

    @Test func aClientOutsideOfTheTownIsNobodysAffair() throws {
        var harness = try Harness(keys: 1)
        harness.feed(
            .unmanagedFound(
                UnmanagedAgent(
                    process: ProcessName(pid: 77, startTime: 7), session: "x",
                    identity: AgentIdentity(role: .other, rig: nil),
                    directory: "/home/user", isBusy: nil, since: harness.now)))
        #expect(harness.all("agent.unmanaged").isEmpty)
    }

    @Test func aKeyThatLeftThePoolIsStillNotShown() throws {
        var harness = try Harness(keys: 2)
        let agent = try harness.launch("mayor")
        harness.turn(agent, begins: true)
        try harness.set("1", ["new"], digest: "second")
        harness.pass(1)
        let fragment = String(Harness.text("1").dropFirst(10).prefix(14))
        try harness.fail(agent, "refused for \(fragment)", status: 403)
        let text = try #require(harness.all("sighting").last?["text"]?.string)
        #expect(!text.contains(fragment))
    }
}
