// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Testing
import Timekeeping

@testable import Controller

@Suite struct SightingTests {
    @Test func aQuotaRowIsToldInTheOrderOfItsConsequences() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.events = []
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        #expect(
            harness.types == ["sighting", "agent.stalled", "key.cooled", "key.activated", "agent.reload.started"])
        let sighting = try #require(harness.events.first)
        #expect(sighting["why"] == "acted" && sighting["acted"] == true && sighting["cause"] == "quota")
        #expect(sighting["id"] == .string(try harness.id("1").text))
        #expect(sighting["session"] == "hq-mayor" && sighting["by"] == "transcript")
        #expect(harness.order?.process == mayor.process)
    }

    @Test func onlyTheLeasesOfTheAccountAreRestarted() throws {
        var harness = try Harness()
        try harness.set("1", ["a", "b"])
        try harness.set("2", ["c"])
        let one = try harness.find("one", key: "a")
        _ = try harness.find("two", key: "b")
        let other = try harness.find("three", key: "c")
        harness.pass(10)
        try harness.fail(one, Say.quota, status: 403)
        #expect(harness.all("key.cooled").count == 2)
        #expect(try harness.performAll() == ["one", "two"])
        #expect(try harness.lease(other).pending == nil)
        for lease in harness.controller.leases.values { #expect(lease.key == (try harness.id("c"))) }
    }

    @Test func aThrottledSessionMovesAlone() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.launch("one")
        let two = try harness.launch("two")
        harness.pass(10)
        try harness.fail(one, Say.throttled, status: 429)
        #expect(try harness.performAll() == ["one"])
        #expect(try harness.lease(two).pending == nil)
    }

    @Test func aRowOlderThanTheLeaseIsOld() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        try harness.fail(mayor, Say.quota, status: 403, time: harness.now - .seconds(1))
        #expect(try harness.verdict() == "old")
        #expect(try harness.isActive("1"))
        #expect(try !harness.lease(mayor).isStalled)
    }

    @Test func theSameRowIsSeenOnce() throws {
        var harness = try Harness(keys: 3)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(1)
        let time = harness.now
        try harness.fail(mayor, Say.throttled, status: 429, uuid: "u", time: time)
        harness.pass(400)
        try harness.fail(mayor, Say.throttled, status: 429, uuid: "u", time: time)
        #expect(try harness.verdict() == "seen")
        #expect(harness.all("key.cooled").count == 1)
    }

    @Test func aRowThatClaimsAnothersConversationIsNobodys() throws {
        var harness = try Harness(keys: 2)
        let victim = try harness.launch("victim")
        harness.turn(victim, begins: true)
        let forger = try harness.launch("forger")
        harness.pass(10)
        // In the forger's own transcript, and in a file of the forger's folder named after the victim's conversation.
        for conversation in [forger.conversation, victim.conversation] {
            let row = try harness.row(
                Say.quota, status: 403, session: victim.conversation, directory: victim.directory)
            harness.feed(
                .transcript(row, folder: Harness.folder(forger.directory), conversation: conversation))
            #expect(try harness.verdict() == "nobody")
        }
        // In the victim's folder, but in another file.
        let row = try harness.row(Say.quota, status: 403, session: victim.conversation, directory: victim.directory)
        harness.feed(
            .transcript(row, folder: Harness.folder(victim.directory), conversation: forger.conversation))
        #expect(try harness.verdict() == "nobody")
        #expect(harness.controller.pool.readyCount(at: harness.now) == 2)
    }

    @Test func ofTwoAgentsWithOneConversationTheLaterOneWroteIt() throws {
        var harness = try Harness(keys: 2)
        let old = try harness.launch("mayor")
        harness.turn(old, begins: true)
        harness.pass(10)
        // Resumed by somebody else before the end of the old one is known.
        let new = try harness.launch("mayor", directory: old.directory)
        let row = TranscriptRow.turnBegan(session: old.conversation, time: harness.now)
        let name = Array("\(new.process.pid).json".utf8)
        let text = #"{"sessionId":"\#(old.conversation.text)"}"#
        harness.feed(.session(try #require(SessionFile.read(Array(text.utf8), name: name))))
        harness.feed(.transcript(row, folder: Harness.folder(old.directory), conversation: old.conversation))
        #expect(try harness.lease(new).isBusy == true)
    }

    @Test func aRowFromOutsideOfTheTownIsNobodys() throws {
        var harness = try Harness(keys: 2)
        for directory in ["/home/user/project", "/workspace/gtx", "/workspace"] {
            let row = try harness.row(Say.quota, status: 403, session: nil, directory: directory)
            harness.feed(.transcript(row, folder: Harness.folder(directory), conversation: nil))
            #expect(try harness.verdict() == "nobody")
        }
        // A directory of the town in another folder's transcript.
        let row = try harness.row(Say.quota, status: 403, session: nil, directory: "\(Harness.town)/x")
        harness.feed(.transcript(row, folder: "-home-user", conversation: nil))
        #expect(try harness.verdict() == "nobody")
        #expect(try harness.isActive("1"))
    }

    @Test func aRowOfTheTownWithoutALeaseConcernsTheActiveKey() throws {
        var harness = try Harness(keys: 2)
        harness.pass(10)
        let directory = "\(Harness.town)/dog"
        let row = try harness.row(Say.throttled, status: 429, session: nil, directory: directory)
        harness.feed(.transcript(row, folder: Harness.folder(directory), conversation: nil))
        #expect(try harness.verdict() == "acted")
        #expect(harness.all("sighting").last?["session"]?.isNull == true)
        #expect(try harness.isActive("2"))
        // One from before the activation is about another key.
        harness.pass(40)
        let old = try harness.row(
            Say.throttled, status: 429, session: nil, directory: directory, time: harness.now - .seconds(60))
        harness.feed(.transcript(old, folder: Harness.folder(directory), conversation: nil))
        #expect(try harness.verdict() == "old")
    }

    @Test func theTownIsAlsoWhereItsLinksLead() throws {
        var harness = try Harness(keys: 2)
        harness.feed(.townLocated("/data/town"))
        harness.pass(10)
        let directory = "/data/town/dog"
        let row = try harness.row(Say.throttled, status: 429, session: nil, directory: directory)
        harness.feed(.transcript(row, folder: Harness.folder(directory), conversation: nil))
        #expect(try harness.verdict() == "acted")
    }

    @Test(arguments: [(Say.overloaded, 429), ("model not found", 404), ("Not logged in", 403), ("too long", 400)])
    func whatIsNotTheKeysFaultRestartsNobody(_ text: String, _ status: Int) throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, text, status: status)
        #expect(try harness.verdict() == "not-the-key")
        #expect(try harness.lease(mayor).isStalled)
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").isEmpty)
    }

    @Test func anUnknownRefusalCoolsTheKeyAndRestartsNobody() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.unknown, status: 403)
        #expect(try harness.verdict() == "acted")
        #expect(try harness.isActive("2"))
        harness.pass(3600)
        #expect(harness.all("key.cooled").count == 1)
        #expect(harness.all("agent.reload.started").isEmpty)
    }

    @Test func aSecondFailureOfASessionWithin30SecondsWaits() throws {
        var harness = try Harness(keys: 3)
        let first = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(first, Say.throttled, status: 429)
        let second = try harness.perform(try #require(harness.order))
        harness.pass(5)
        try harness.fail(second, Say.throttled, status: 429)
        #expect(try harness.verdict() == "limit")
        #expect(harness.all("sighting").last?["acted"] == false)
        #expect(try harness.isActive("2"))
        harness.pass(20)
        #expect(harness.order == nil)
        harness.pass(10)
        #expect(try harness.isActive("3"))
        #expect(harness.all("agent.reload.started").count == 2)
    }

    @Test func aSessionThatGoesOnByItselfMeanwhileIsLeftAlone() throws {
        var harness = try Harness(keys: 3)
        let first = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(first, Say.throttled, status: 429)
        let second = try harness.perform(try #require(harness.order))
        harness.pass(5)
        try harness.fail(second, Say.throttled, status: 429)
        harness.pass(1)
        harness.turn(second, begins: true)
        harness.pass(600)
        #expect(harness.all("agent.reload.started").count == 1)
    }

    @Test func afterTenRotationsKeysCoolButNobodyIsRestarted() throws {
        var harness = try Harness(keys: 14)
        var agent = try harness.launch("hq-mayor")
        for _ in 0..<10 {
            harness.pass(31)
            try harness.fail(agent, Say.quota, status: 403)
            agent = try harness.perform(try #require(harness.order))
        }
        harness.pass(31)
        try harness.fail(agent, Say.quota, status: 403)
        #expect(harness.all("sighting").last?["why"] == "limit")
        #expect(harness.all("sighting").last?["acted"] == true)
        #expect(harness.all("key.cooled").count == 11)
        #expect(harness.order == nil)
        #expect(harness.report().state == .degraded)
        #expect(harness.report().detail.contains("rotations"))
        // When the window is over the agent goes on without another row.
        harness.pass(300)
        #expect(harness.all("agent.reload.started").count == 11)
    }

    @Test func whoStoppedWhileRotationsWereLimitedGoesOnEvenIfItsKeyIsBack() throws {
        var harness = try Harness(keys: 14)
        var agent = try harness.launch("hq-mayor")
        for _ in 0..<10 {
            harness.pass(31)
            try harness.fail(agent, Say.quota, status: 403)
            agent = try harness.perform(try #require(harness.order))
        }
        harness.pass(31)
        try harness.fail(agent, Say.concurrency, status: 403)
        #expect(harness.order == nil)
        harness.pass(20)
        #expect(harness.all("key.recovered").count == 1)
        harness.pass(280)
        #expect(harness.all("agent.reload.started").count == 11)
    }

    @Test func theLimitIsLiftedHoweverManyRotationsThereWereBefore() throws {
        var harness = try Harness(keys: 5)
        var agent = try harness.launch("hq-mayor")
        for _ in 0..<30 {
            harness.pass(1000)
            try harness.fail(agent, Say.quota, status: 403)
            #expect(try harness.verdict() == "acted")
            agent = try harness.perform(try #require(harness.order))
        }
        #expect(harness.controller.rotations.count <= Controller.rotationsMax)
    }

    @Test func aSubagentsFailureCoolsTheKeyButItsParentIsNotStalled() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.turn(mayor, begins: true)
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403, isSidechain: true)
        #expect(try harness.verdict() == "acted")
        #expect(try !harness.lease(mayor).isStalled)
        #expect(harness.order == nil, "it works: it is waited for")
    }

    @Test func twoAgentsThatAgreeDisableAKey() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.launch("one")
        let two = try harness.launch("two")
        harness.turn(two, begins: true)
        harness.pass(10)
        try harness.fail(one, Say.invalid, status: 401)
        harness.pass(60)
        try harness.fail(two, Say.invalid, status: 401)
        #expect(harness.all("key.disabled").count == 1)
        #expect(harness.all("key.disabled").first?["until"]?.isNull == true)
    }

    @Test func oneAgentAloneDisablesNoKeyHoweverOftenItWrites() throws {
        var harness = try Harness(keys: 2)
        let one = try harness.launch("one")
        harness.feed(.stopped(true))
        for _ in 0..<40 {
            harness.pass(60)
            try harness.fail(one, Say.invalid, status: 401)
            let directory = "\(Harness.town)/nobody"
            let row = try harness.row(Say.invalid, status: 401, session: nil, directory: directory)
            harness.feed(.transcript(row, folder: Harness.folder(directory), conversation: nil))
        }
        #expect(harness.all("key.disabled").isEmpty)
    }

    @Test func aRowFromTheFutureDoesNotStallAnAgentForEver() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.overloaded, status: 529, time: harness.now + .seconds(86400 * 365))
        #expect(try harness.lease(mayor).isStalled)
        harness.pass(1)
        harness.turn(mayor, begins: true)
        #expect(try !harness.lease(mayor).isStalled)
    }

    @Test func aKeyThatIsInNoFileIsNobodys() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.feed(.stopped(true))
        try harness.set("1", ["new"], digest: "second")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        #expect(try harness.verdict() == "nobody")
    }
}
