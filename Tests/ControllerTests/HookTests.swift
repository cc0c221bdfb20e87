// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Testing
import Timekeeping

@testable import Controller

extension Harness {
    /// What the client's hook would report of a failure.
    mutating func hook(
        _ text: String, status: Int? = 403, of agent: Agent? = nil, conversation: ConversationID? = nil,
        directory: String? = nil
    ) {
        feed(
            .hook(
                HookSighting(
                    conversation: conversation, directory: directory, text: text, status: status,
                    errorType: "authentication_failed", ancestors: agent.map { [$0.process] } ?? [])))
    }
}

@Suite struct HookTests {
    @Test func aHookIsItsAncestorsSighting() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.launch("one")
        let two = try harness.launch("two")
        harness.pass(10)
        // What the report says of itself does not count against what the kernel knows.
        harness.hook(Say.throttled, status: 429, of: one, conversation: two.conversation, directory: two.directory)
        let sighting = try #require(harness.all("sighting").last)
        #expect(sighting["session"] == "one" && sighting["by"] == "hook" && sighting["why"] == "acted")
        #expect(try harness.performAll() == ["one"])
    }

    @Test func aHookWithoutAnAncestorIsFoundByItsConversationOrFolder() throws {
        var harness = try Harness(keys: 3)
        let one = try harness.launch("one")
        harness.turn(one, begins: true)
        harness.pass(40)
        harness.hook(Say.quota, conversation: one.conversation)
        #expect(harness.all("sighting").last?["session"] == "one")
        let next = try harness.perform(try #require(harness.order))
        harness.pass(40)
        harness.hook(Say.quota, directory: next.directory)
        #expect(harness.all("sighting").last?["session"] == "one")
        #expect(try harness.verdict() == "acted")
    }

    @Test func aHookOfNobodyInTheTownIsTheActiveKeys() throws {
        var harness = try Harness(keys: 2)
        harness.hook(Say.quota, directory: "/elsewhere")
        #expect(try harness.verdict() == "nobody")
        harness.hook(Say.quota, directory: Harness.town + "/x")
        #expect(try harness.verdict() == "acted")
        #expect(try harness.isActive("2"))
    }

    @Test(arguments: [true, false]) func hookAndRowOfOneFailureCountOnce(_ isHookFirst: Bool) throws {
        var harness = try Harness(keys: 3)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(40)
        for source in isHookFirst ? ["hook", "row"] : ["row", "hook"] {
            if source == "hook" {
                harness.hook(Say.throttled, status: 429, of: mayor)
            } else {
                try harness.fail(mayor, Say.throttled, status: 429)
            }
            harness.pass(1)
        }
        #expect(harness.all("sighting").map { $0["why"] } == ["acted", "seen"])
        #expect(harness.all("key.cooled").count == 1)
        #expect(harness.all("agent.stalled").count == 1)
        harness.pass(60)
        #expect(harness.all("key.cooled").count == 1, "nor does it count later")
    }

    @Test func theNextFailureOfAnAgentIsAnotherOne() throws {
        var harness = try Harness(keys: 3)
        var mayor = try harness.launch("hq-mayor")
        for number in 1...2 {
            harness.pass(40)
            try harness.fail(mayor, Say.throttled, status: 429)
            let order = try #require(harness.order)
            harness.hook(Say.throttled, status: 429, of: mayor)
            #expect(harness.all("key.cooled").count == number)
            mayor = try harness.perform(order)
        }
    }

    @Test func aHookThatNobodyVouchesForConfirmsNothing() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.launch("one")
        let two = try harness.launch("two", directory: "\(Harness.town)/two")
        harness.turn(two, begins: true)
        harness.pass(40)
        harness.hook(Say.invalid, status: 401, of: one)
        harness.pass(100)
        harness.hook(Say.invalid, status: 401, conversation: two.conversation)
        #expect(harness.all("key.disabled").isEmpty)
        harness.hook(Say.invalid, status: 401, of: two)
        harness.pass(100)
        harness.hook(Say.invalid, status: 401, of: two)
        #expect(harness.all("key.disabled").count == 1)
    }
}

@Suite struct StormTests {
    @Test func everyAgentFailingAtOnceMakesOnePlan() throws {
        var harness = try Harness(keys: 2)
        var agents: [Agent] = []
        for number in 1...40 { agents.append(try harness.launch("s\(number)")) }
        harness.pass(40)
        harness.events = []
        var order: ReloadOrder?
        for agent in agents {
            try harness.fail(agent, Say.quota, status: 403)
            order = order ?? harness.order
        }
        #expect(harness.all("key.cooled").count == 1)
        #expect(harness.all("key.activated").count == 1)
        var moved: Set<String> = []
        while let next = order {
            #expect(moved.insert(next.session).inserted, "nobody twice")
            _ = try harness.perform(next)
            order = harness.order
        }
        #expect(moved.count == 40)
        #expect(harness.controller.leases.values.allSatisfy { !$0.isStalled && $0.pending == nil })
        harness.pass(600)
        #expect(harness.all("agent.reload.started").count == 40)
    }

    @Test func aStormOfThrottledAgentsCoolsOneKeyAndMovesEachOnce() throws {
        var harness = try Harness(keys: 3)
        var agents: [Agent] = []
        for number in 1...20 { agents.append(try harness.launch("s\(number)")) }
        harness.pass(40)
        var order: ReloadOrder?
        for agent in agents {
            try harness.fail(agent, Say.throttled, status: 429)
            order = order ?? harness.order
            harness.hook(Say.throttled, status: 429, of: agent)
        }
        #expect(harness.all("key.cooled").count == 1)
        var count = 0
        while let next = order {
            count += 1
            _ = try harness.perform(next)
            order = harness.order
        }
        #expect(count == 20)
    }
}
