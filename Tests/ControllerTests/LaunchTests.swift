// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Testing
import Timekeeping

@testable import Controller

extension Result<LeaseAnswer, ControlError> {
    /// The code of a refusal.
    var refusal: String? { if case .failure(let error) = self { error.code } else { nil } }
}

@Suite struct LaunchTests {
    @Test func aLeaseHoldsAllThatAnAgentNeeds() throws {
        var harness = try Harness()
        try harness.set("1", ["1"], base: "https://api.kimi.com/coding/v1")
        let (agent, token) = try harness.ask("hq-mayor", role: "mayor")
        let answer = try #require(harness.answer(token)).get()
        #expect(answer.credential == Harness.text("1"))
        #expect(answer.keyID == (try harness.id("1").text))
        #expect(answer.baseURL == "https://api.kimi.com/coding/")
        #expect(answer.townRoot == Harness.town && answer.configDirectory == "/c" && answer.bypassesPermissions)
        #expect(answer.resume == nil)
        let leased = try #require(harness.all("agent.leased").last)
        #expect(leased["role"] == "mayor" && leased["pid"] == JSONValue(agent.process.pid))
        // The folder is trusted before the answer is given.
        let kinds = harness.last.compactMap { effect in
            switch effect {
            case .trust: "trust"
            case .answerLease: "answer"
            case .watch: "watch"
            default: nil
            }
        }
        #expect(kinds == ["trust", "answer", "watch"])
    }

    @Test func aFolderOutsideOfTheTownIsNotTrusted() throws {
        var harness = try Harness(keys: 1)
        _ = try harness.launch("x", directory: "/home/x")
        #expect(!harness.last.contains { if case .trust = $0 { true } else { false } })
    }

    @Test func withoutAnyKeyOnlyWhoWillWaitWaits() throws {
        var harness = try Harness()
        let (_, hurried) = try harness.ask("hurried", mayWait: false)
        #expect(harness.answer(hurried)?.refusal == "unavailable")
        let (_, patient) = try harness.ask("patient")
        #expect(harness.answer(patient) == nil)
        harness.pass(59)
        #expect(harness.answer(patient) == nil)
        harness.pass(1)
        #expect(harness.answer(patient)?.refusal == "unavailable")
    }

    @Test func whoWaitsGetsTheFirstKeyThatComes() throws {
        var harness = try Harness()
        let (_, one) = try harness.ask("one")
        let (_, two) = try harness.ask("two")
        let (_, gone) = try harness.ask("gone")
        harness.feed(.leaseWithdrawn(gone))
        harness.pass(30)
        try harness.set("1", ["1"])
        #expect(try #require(harness.answer(one)).get().keyID == harness.id("1").text)
        #expect(try #require(harness.answer(two)).get().keyID == harness.id("1").text)
        #expect(harness.answer(gone) == nil)
        #expect(harness.controller.leases.count == 2)
    }

    @Test func whoAsksBeforeTheKeysAreReadIsAnsweredWhenTheyAre() throws {
        let state: JSONValue = ["active": .string(try Harness.id("1").text)]
        var harness = try Harness(state: state, isStarted: false)
        let (_, token) = try harness.ask("early")
        let (_, hurried) = try harness.ask("hurried", mayWait: false)
        #expect(harness.answer(hurried)?.refusal == "unavailable")
        try harness.set("1", ["1"])
        harness.feed(.started)
        #expect(try #require(harness.answer(token)).get().keyID == harness.id("1").text)
    }

    @Test func unsafeSettingsAreRefusedAndReported() throws {
        var harness = try Harness(keys: 1)
        let (_, token) = try harness.ask(
            "x", unsafe: [".claude/settings.json: env.ANTHROPIC_BASE_URL", "\u{1B}[31m\(Harness.text("1"))"])
        #expect(harness.answer(token)?.refusal == "refused")
        let event = try #require(harness.all("agent.unsafe_settings").last)
        #expect(event["detail"]?.string?.contains("ANTHROPIC_BASE_URL") == true)
        #expect(event["id"]?.isNull == true)
        #expect(harness.controller.leases.isEmpty)
        for text in ["\(harness.answer(token) as Any)", "\(event)"] {
            #expect(!text.contains("CANARY") && !text.contains("\u{1B}"))
        }
    }

    @Test func aNameFromOutsideShowsNoKey() throws {
        var harness = try Harness(keys: 1)
        let request = LeaseRequest(
            pid: 5, session: "s-\(Harness.text("1"))", role: "\(Harness.text("1"))/crew/x", directory: "/w")
        harness.feed(.leaseRequested(request, process: ProcessName(pid: 5, startTime: 1), token: harness.token()))
        #expect(!harness.report().json.line.contains("CANARY"))
        #expect(!harness.controller.snapshot.line.contains("CANARY"))
        for event in harness.events { #expect(!"\(event)".contains("CANARY")) }
    }

    @Test func anAgentsEndIsTold() throws {
        var harness = try Harness(keys: 1)
        let agent = try harness.launch("hq-mayor")
        harness.feed(.processExited(ProcessName(pid: agent.process.pid, startTime: 1)))
        #expect(harness.controller.leases.count == 1, "another process with the same number")
        harness.feed(.processExited(agent.process))
        #expect(harness.all("agent.exited").count == 1)
        #expect(harness.controller.leases.isEmpty)
        harness.feed(.processExited(agent.process))
        #expect(harness.all("agent.exited").count == 1)
    }

    @Test func leasesSurviveARestartOfTheDaemon() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.launch("one")
        harness.pass(10)
        try harness.fail(one, Say.overloaded, status: 529)
        let state = try JSONValue(parsing: harness.controller.snapshot.encoded())
        var next = try Harness(state: state, at: harness.now, isStarted: false)
        let leases = Controller.leases(in: state)
        #expect(leases.count == 1)
        for lease in leases { next.controller.adopt(lease) }
        for name in ["1", "2"] { try next.set(name, [name]) }
        next.feed(.started)
        let lease = try next.lease(one)
        #expect(lease.session == "one" && lease.isStalled && lease.conversation == one.conversation)
        #expect(lease.place == PanePlace(socket: "/tmp/tmux", pane: try #require(one.pane)))
        #expect(next.order == nil)
        #expect(next.last.contains { if case .watch(one.process) = $0 { true } else { false } })
        // And it works on: a row of its conversation is its own.
        next.pass(10)
        try next.fail(one, Say.quota, status: 403)
        #expect(next.all("sighting").last?["session"] == "one")
        #expect(next.order?.process == one.process)
    }

    @Test(arguments: [
        "{}", #"{"leases":7}"#, #"{"leases":[7,{},{"pid":1}]}"#,
        #"{"leases":[{"pid":-99999999999,"start_time":1,"session":"s","cwd":"/","key":"0123456789ab","base_url":"b","since":"2026-01-01T00:00:00Z"}]}"#,
        #"{"leases":[{"pid":1,"start_time":-1,"session":"s","cwd":"/","key":"0123456789ab","base_url":"b","since":"2026-01-01T00:00:00Z"}]}"#,
        #"{"leases":[{"pid":1,"start_time":1,"session":"s","cwd":"/","key":"nonsense","base_url":"b","since":"2026-01-01T00:00:00Z"}]}"#,
    ])
    func leasesThatMakeNoSenseAreNone(_ text: String) throws {
        #expect(Controller.leases(in: try JSONValue(parsing: text)).isEmpty)
    }
}
