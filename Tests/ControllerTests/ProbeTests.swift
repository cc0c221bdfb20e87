// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Testing
import Timekeeping

@testable import Controller

extension Harness {
    static var probing: Settings {
        var settings = settings
        settings.isProbed = true
        return settings
    }

    /// Keys in accounts of their own, with a provider that is asked.
    init(probed keys: Int, base: String? = "https://api.kimi.com/coding/v1") throws {
        try self.init()
        feed(.configured(Self.probing, path: nil))
        for number in 0..<keys { try set("\(number + 1)", ["\(number + 1)"], base: base) }
        events = []
    }

    var probes: [ProbeOrder] {
        last.compactMap { effect in if case .probe(let order) = effect { order } else { nil } }
    }

    func usage(fiveHours: Int, week: Int, resets: Int = 7200) throws -> ProbeOutcome {
        let text = """
            {"user":{"userId":"u"},"usage":{"limit":"100","remaining":"\(week)","resetTime":"\((now + .seconds(86400)).rfc3339)"},
             "limits":[{"window":{"duration":300,"timeUnit":"TIME_UNIT_MINUTE"},
             "detail":{"limit":"100","remaining":"\(fiveHours)","resetTime":"\((now + .seconds(resets)).rfc3339)"}}]}
            """
        return .usage(try #require(UsageReport(try JSONValue(parsing: Array(text.utf8)))))
    }

    func until(_ name: String) throws -> Int? {
        guard let until = controller.pool.records[try id(name)]?.memory.cooldown?.until else { return nil }
        return Int((until - now).wholeMilliseconds / 1000)
    }
}

@Suite struct ProbeTests {
    @Test func aQuotaIsAskedAboutAndItsResetTimeTaken() throws {
        var harness = try Harness(probed: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        let probe = try #require(harness.probes.first)
        #expect(probe.kind == .usages && probe.url == "https://api.kimi.com/coding/v1/usages")
        #expect(probe.key.id == (try harness.id("1")))
        harness.pass(1)
        harness.feed(.probed(probe.key.id, .usages, try harness.usage(fiveHours: 0, week: 50)))
        #expect(try harness.until("1") == 7200)
        let sighting = try #require(harness.all("sighting").last)
        #expect(sighting["by"] == "probe" && sighting["acted"] == true && sighting["session"]?.isNull == true)
        #expect(sighting["text"]?.string?.contains("5-hour 0 of 100 left") == true)
    }

    @Test func itNeverShortensARest() throws {
        var harness = try Harness(probed: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.week, status: 403)
        let probe = try #require(harness.probes.first)
        harness.feed(.probed(probe.key.id, .usages, try harness.usage(fiveHours: 0, week: 50, resets: 60)))
        #expect(try harness.until("1") == 3600)
        harness.feed(.probed(probe.key.id, .usages, try harness.usage(fiveHours: 80, week: 80)))
        #expect(try harness.until("1") == 3600)
        #expect(try harness.verdict() == "cooling")
    }

    @Test func anAccountIsAskedAboutOnceAMinute() throws {
        var harness = try Harness()
        harness.feed(.configured(Harness.probing, path: nil))
        try harness.set("1", ["a", "b"], base: "https://api.kimi.com/coding/v1")
        try harness.set("2", ["c"], base: "https://api.kimi.com/coding/v1")
        let one = try harness.find("one", key: "a")
        let two = try harness.find("two", key: "b")
        harness.pass(10)
        try harness.fail(one, Say.invalid, status: 401)
        #expect(harness.probes.count == 1)
        harness.pass(5)
        try harness.fail(two, Say.invalid, status: 401)
        #expect(harness.probes.isEmpty)
        #expect(harness.controller.nextWake(after: harness.now) != nil)
        var asked: [Timestamp] = []
        for _ in 1...120 {
            harness.now = harness.now + .seconds(1)
            harness.feed(.woke)
            for probe in harness.probes {
                #expect(probe.key.id == (try harness.id("b")))
                asked.append(harness.now)
            }
        }
        #expect(asked.count == 1)
        #expect((asked[0] - Harness.start).wholeMilliseconds >= 70_000)
        // A successor does not ask earlier either.
        let state = try JSONValue(parsing: harness.controller.snapshot.encoded())
        #expect(state["probes"]?["1"]?.string == asked[0].rfc3339)
    }

    @Test func aProbeConfirmsAnInvalidKey() throws {
        var harness = try Harness(probed: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.invalid, status: 401)
        let probe = try #require(harness.probes.first)
        #expect(probe.kind == .models)
        let verdict = CauseRules.classify(text: Say.invalid, status: 401)
        harness.feed(.probed(probe.key.id, .models, .refused(verdict, text: Say.invalid)))
        #expect(harness.all("key.disabled").count == 1)
        #expect(try harness.verdict() == "acted")
    }

    @Test func aGoodKeyIsNotDisabledByTheNextRow() throws {
        var harness = try Harness(probed: 3)
        let one = try harness.launch("one")
        let two = try harness.launch("two")
        harness.pass(10)
        try harness.fail(one, Say.invalid, status: 401)
        harness.feed(.probed(try #require(harness.probes.first).key.id, .models, .good))
        #expect(try harness.until("1") == 600, "its rest is not shortened")
        harness.pass(100)
        try harness.fail(two, Say.invalid, status: 401)
        #expect(harness.all("key.disabled").isEmpty)
    }

    @Test func aRefusalOfAQuotaQuestionIsAskedAboutOnceMore() throws {
        var harness = try Harness(probed: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        let verdict = CauseRules.classify(text: Say.invalid, status: 401)
        let first = try #require(harness.probes.first)
        harness.feed(.probed(first.key.id, .usages, .refused(verdict, text: Say.invalid)))
        #expect(harness.all("key.disabled").isEmpty)
        harness.pass(59)
        #expect(harness.probes.isEmpty)
        harness.pass(1)
        let second = try #require(harness.probes.first)
        #expect(second.kind == .models)
        harness.feed(.probed(second.key.id, .models, .refused(verdict, text: Say.invalid)))
        #expect(harness.all("key.disabled").count == 1)
    }

    @Test func noAnswerChangesNothing() throws {
        var harness = try Harness(probed: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        let before = harness.controller.pool.records.mapValues(\.memory)
        let key = try #require(harness.probes.first).key.id
        harness.feed(.probed(key, .usages, .nothing("HTTP 500")))
        #expect(harness.controller.pool.records.mapValues(\.memory) == before)
        let sighting = try #require(harness.all("sighting").last)
        #expect(sighting["acted"] == false && sighting["why"] == "not-the-key")
        harness.pass(300)
        #expect(harness.probes.isEmpty)
    }

    @Test func anAnswerAfterTheKeyWasClearedComesTooLate() throws {
        var harness = try Harness(probed: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        let key = try #require(harness.probes.first).key.id
        harness.feed(.keyCommand(.clear, key: key, harness.token()))
        harness.feed(.probed(key, .usages, try harness.usage(fiveHours: 0, week: 0)))
        #expect(try harness.until("1") == nil)
        harness.feed(.accountGone(name: "1"))
        harness.pass(3)
        harness.feed(.probed(key, .usages, try harness.usage(fiveHours: 0, week: 0)))
    }

    @Test(arguments: [nil, "http://api.kimi.com/coding/v1", "https://api.moonshot.ai/v1"] as [String?])
    func aKeyIsNotAskedAboutWhereItCouldLeakOrNothingIsTold(_ base: String?) throws {
        var harness = try Harness(probed: 2, base: base)
        if base == nil {
            // Without probing nothing is asked, wherever the key belongs.
            harness.feed(.configured(Harness.settings, path: nil))
        }
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        #expect(harness.probes.isEmpty)
    }

    @Test func keysOfOneUserShareTheirQuotaAcrossAccounts() throws {
        var harness = try Harness(probed: 3)
        for name in ["1", "2"] {
            harness.feed(.probed(try harness.id(name), .usages, try harness.usage(fiveHours: 50, week: 50)))
        }
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.quota, status: 403)
        #expect(try harness.until("1") == 900)
        #expect(try harness.until("2") == 900)
        #expect(try harness.until("3") == nil)
        #expect(try harness.isActive("3"))
    }
}

@Suite struct SpreadLeaseTests {
    private func harness(_ keys: Int) throws -> Harness {
        var settings = Harness.settings
        settings.strategy = .spread
        var harness = try Harness()
        harness.feed(.configured(settings, path: nil))
        for number in 0..<keys { try harness.set("\(number + 1)", ["\(number + 1)"]) }
        harness.events = []
        return harness
    }

    @Test func agentsAreSpreadOverTheKeys() throws {
        var harness = try harness(3)
        let generation = harness.controller.generation
        for number in 1...9 { _ = try harness.launch("s\(number)") }
        let counts = harness.controller.leaseCounts
        #expect(counts.count == 3 && counts.values.allSatisfy { $0 == 3 })
        #expect(harness.report().json["keys"]?["strategy"] == "spread")
        #expect(harness.controller.generation == generation, "a lease is no change of keys")
    }

    @Test func onlyTheAgentsOfTheKeyThatFailedMove() throws {
        var harness = try harness(3)
        var agents: [Agent] = []
        for number in 1...3 { agents.append(try harness.launch("s\(number)")) }
        harness.pass(40)
        try harness.fail(agents[1], Say.quota, status: 403)
        #expect(try harness.performAll() == ["s2"])
        #expect(Set(harness.controller.leases.values.map(\.key)).count == 2)
    }

    @Test func rotateMovesTheAgentsToOtherKeys() throws {
        var harness = try harness(2)
        _ = try harness.launch("one")
        _ = try harness.launch("two")
        let active = try #require(harness.controller.pool.active)
        harness.feed(.rotationRequested(harness.token()))
        let order = try #require(harness.order)
        let moved = try harness.perform(order)
        #expect(try harness.lease(moved).key != active)
    }
}
