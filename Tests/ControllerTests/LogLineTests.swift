// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import KeyPool
import Testing
import Timekeeping

@testable import Controller

extension Harness {
    /// A line that a rule matched, a moment after it was written.
    fileprivate mutating func line(
        _ text: String = "quota exceeded", rule: String = "watch.logs[1]", cause: Cause? = .quota,
        arrived: Timestamp? = nil
    ) throws -> String {
        let arrived = arrived ?? now
        now = now + .milliseconds(1)
        feed(.logLine(LogSighting(rule: rule, cause: cause, text: text, time: arrived)))
        return try verdict()
    }
}

@Suite struct LogLineTests {
    @Test func aLineIsAboutTheActiveKey() throws {
        var harness = try Harness(keys: 2)
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        harness.events = []
        #expect(try harness.line() == "acted")
        #expect(harness.types == ["sighting", "key.cooled", "key.activated", "agent.reload.started"])
        let sighting = try #require(harness.events.first)
        #expect(sighting["session"] == .null && sighting["by"] == "log" && sighting["acted"] == true)
        #expect(sighting["id"] == .string(try harness.id("1").text) && sighting["text"] == "quota exceeded")
        #expect(try harness.isActive("2"))
        #expect(harness.order?.process == mayor.process)
        #expect(try #require(harness.all("key.cooled").first)["reason"]?.string?.contains("watch.logs[1]") == true)
    }

    @Test func aLineThatWasThereBeforeTheActivationIsOld() throws {
        var harness = try Harness(keys: 3)
        harness.pass(10)
        let written = harness.now
        #expect(try harness.line(arrived: written) == "acted")
        // The rest of the same burst.
        #expect(try harness.line(arrived: written) == "old")
        #expect(try harness.line(rule: "watch.logs[2]", arrived: written) == "old")
        harness.feed(.logLine(LogSighting(rule: "r", cause: .quota, text: "", time: nil)))
        #expect(try harness.verdict() == "old")
        #expect(try harness.isActive("2"))
        harness.pass(1)
        // No limit per session holds.
        #expect(try harness.line() == "acted")
        #expect(try harness.isActive("3"))
    }

    @Test func aRuleHasOneEffectAnActivation() throws {
        var harness = try Harness(keys: 1)
        harness.pass(10)
        #expect(try harness.line(cause: .throttled) == "acted")
        harness.pass(1)
        #expect(try harness.line(cause: .throttled) == "seen")
        #expect(try harness.line(rule: "watch.logs[2]", cause: .billing) == "cooling")
        // Ready again, it may fail again.
        harness.pass(7 * 3600)
        #expect(harness.controller.pool.readyCount(at: harness.now) == 1)
        #expect(try harness.line(cause: .throttled) == "acted")
    }

    @Test func aLineAloneCoolsAKeyForAnHourAtMost() throws {
        var harness = try Harness(keys: 2)
        for _ in 0..<3 {
            harness.pass(120)
            _ = try harness.line("You've reached your monthly usage limit")
        }
        for event in harness.all("key.cooled") {
            let until = try #require(event["until"]?.string.flatMap { Timestamp(rfc3339: $0) })
            #expect(until <= harness.now + .seconds(3600))
        }
        #expect(harness.all("key.disabled").isEmpty)
    }

    @Test func aLineThatNobodyIsToldAboutIsNobodys() throws {
        var harness = try Harness(keys: 2)
        harness.pass(10)
        #expect(try harness.line("API Error: 403 You've reached your 5-hour usage limit.", cause: nil) == "nobody")
        let sighting = try #require(harness.all("sighting").last)
        #expect(sighting["id"] == .null && sighting["cause"] == "quota" && sighting["acted"] == false)
        #expect(harness.controller.pool.readyCount(at: harness.now) == 2)
        var empty = try Harness(keys: 0)
        empty.pass(1)
        #expect(try empty.line() == "nobody")
    }

    @Test func keysInALineAreNotShown() throws {
        var harness = try Harness(keys: 2)
        harness.pass(10)
        _ = try harness.line("refused \(Harness.text("1")) and sk-ant-abcdefghijklmnopqrstu")
        let text = try #require(harness.all("sighting").last?["text"]?.string)
        #expect(!text.contains("CANARY") && !text.contains("abcdefgh"))
    }

    @Test func tenRotationsInTenMinutesCoolAKeyAndRestartNobody() throws {
        var harness = try Harness(keys: 13)
        for number in 0..<12 {
            harness.pass(2)
            #expect(try harness.line() == (number < 10 ? "acted" : "limit"))
        }
        #expect(harness.all("key.cooled").count == 12)
    }
}
