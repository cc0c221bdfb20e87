// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON
import Testing
import Timekeeping

@testable import Alerts

/// A status of contract C with what a test is about.
func status(
    ready: Int = 1, keys: JSONValue = [], services: JSONValue = [], agents: JSONValue = [], state: String = "ready"
) -> JSONValue {
    [
        "state": .string(state), "keys": ["ready": JSONValue(ready), "items": keys, "rejected": []],
        "services": services, "agents": agents, "watch": ["polled": []], "config": ["ok": true],
        "town": ["estop": false],
    ]
}

func service(_ state: String, wanted: String = "up", detail: String = "") -> JSONValue {
    [["name": "dolt", "state": .string(state), "wanted": .string(wanted), "detail": .string(detail)]]
}

let start = Timestamp(microseconds: 1_790_000_000_000_000)

@Suite struct AlertBookTests {
    private var book = AlertBook(rules: [
        AlertRule(receiver: "r", events: ["keys.exhausted", "service.parked", "key.activated", "agent.reload.failed"])
    ])
    private var seq = 0

    private mutating func take(_ event: Event, after seconds: Int = 0) -> [AlertMessage] {
        seq += 1
        return book.take(EventRecord(seq: seq, bootID: "b", time: start + .seconds(seconds), event: event))
    }

    private mutating func settle(_ status: JSONValue, after seconds: Int = 0) -> [AlertMessage] {
        book.settle(status, seq: seq, bootID: "b", at: start + .seconds(seconds))
    }

    @Test mutating func aConditionIsToldOnceAndThenThatItIsOver() throws {
        let first = take(.keysExhausted(until: nil))
        #expect(first.map(\.isRecovery) == [false])
        let line = try JSONValue(parsing: try #require(first.first).line)
        #expect(line["type"]?.string == "keys.exhausted" && line["seq"]?.integer == 1)
        book.told(first[0])
        #expect(take(.keysExhausted(until: start)).isEmpty)
        #expect(settle(status(ready: 0)).isEmpty)
        let over = settle(status(ready: 1), after: 60)
        #expect(over.map(\.isRecovery) == [true])
        let recovery = try JSONValue(parsing: try #require(over.first).line)
        #expect(recovery["type"]?.string == "alert.recovered" && recovery["recovered"]?.bool == true)
        #expect(recovery["condition"]?.string == "keys.exhausted")
        #expect(recovery["event"]?["type"]?.string == "keys.exhausted")
        #expect(recovery["since"]?.string == start.rfc3339)
        #expect(settle(status(ready: 1)).isEmpty)
        book.told(over[0])
        #expect(!book.hasOpen)
        #expect(take(.keysExhausted(until: nil)).count == 1)
    }

    @Test mutating func whatComesBackWhileItsEndIsBeingToldIsToldAnew() {
        let first = take(.keysExhausted(until: nil))
        book.told(first[0])
        let over = settle(status())
        let again = take(.keysExhausted(until: nil))
        #expect(over.count == 1 && again.count == 1)
        book.told(over[0])
        #expect(book.hasOpen)
        #expect(settle(status()).count == 1)
    }

    @Test mutating func anEventThatWasNotAskedForIsNotTold() {
        #expect(take(.configRejected(path: nil, errors: [])).isEmpty)
    }

    @Test mutating func aMomentIsToldEachTimeButNotTheSameOneAtOnce() {
        func activated(_ id: String) -> Event { .key("activated", id: id, account: "1", reason: "rotate") }
        #expect(take(activated("a")).count == 1)
        #expect(take(activated("b"), after: 1).count == 1)
        #expect(take(activated("a"), after: 2).count == 1)
        #expect(take(activated("a"), after: 3).isEmpty)
        #expect(take(activated("a"), after: 90).count == 1)
    }

    @Test mutating func anEndThatOnlyAnEventTellsIsSeen() {
        func reload(_ what: String, _ session: String) -> Event {
            .reload(what, session: session, role: "crew", reason: "key", resumed: false)
        }
        #expect(take(reload("failed", "x")).count == 1)
        #expect(settle(status()).isEmpty)
        #expect(take(reload("finished", "y")).isEmpty)
        #expect(take(reload("finished", "x")).map(\.isRecovery) == [true])
    }

    @Test(arguments: [-86400, -30, 30, 86400]) mutating func aSetClockTellsNoMomentTwice(_ jump: Int) {
        let event = Event.key("activated", id: "a", account: "1", reason: "rotate")
        #expect(take(event).count == 1)
        book.clockSet(by: .seconds(jump))
        #expect(take(event, after: 59 + jump).isEmpty)
        #expect(take(event, after: 60 + jump).count == 1)
    }

    @Test mutating func twoRulesOfOneReceiverTellItOnceAndTwoReceiversEach() {
        book.configure([
            AlertRule(receiver: "r", events: ["keys.exhausted"]), AlertRule(receiver: "r", events: ["keys.exhausted"]),
            AlertRule(receiver: "s", events: ["keys.exhausted"]),
        ])
        #expect(take(.keysExhausted(until: nil)).map(\.receiver).sorted() == ["r", "s"])
    }

    @Test mutating func whatWasToldIsKnownAfterARestartAndWhatWasNotIsTold() throws {
        let first = take(.keysExhausted(until: nil))
        #expect(book.isChanged)
        let before = AlertBook(rules: book.rules, state: try JSONValue(parsing: book.json.line))
        #expect(before.untold == first)
        book.told(first[0])
        #expect(book.isChanged)
        let state = try JSONValue(parsing: book.json.line)
        var after = AlertBook(rules: book.rules, state: state)
        #expect(after.untold.isEmpty)
        #expect(after.take(EventRecord(seq: 1, bootID: "c", time: start, event: .keysExhausted(until: nil))).isEmpty)
        // It ended while nobody watched.
        #expect(after.settle(status(), seq: 2, bootID: "c", at: start).map(\.isRecovery) == [true])
        var other = AlertBook(rules: [AlertRule(receiver: "other", events: ["keys.exhausted"])], state: state)
        #expect(other.settle(status(), seq: 2, bootID: "c", at: start).isEmpty)
    }

    @Test(arguments: ["", "[]", "{}", #"{"conditions":[{"receiver":1},{"receiver":"r","condition":"","since":"x"}]}"#])
    func stateThatIsNotUnderstoodIsNone(_ text: String) throws {
        var state: JSONValue?
        if !text.isEmpty { state = try JSONValue(parsing: text) }
        let book = AlertBook(rules: [AlertRule(receiver: "r", events: [])], state: state)
        #expect(!book.hasOpen)
    }
}

@Suite struct ConditionTests {
    @Test(arguments: [
        ("keys.exhausted", "", status(ready: 0), true), ("keys.exhausted", "", status(ready: 1), false),
        ("service.parked", "dolt", status(services: service("parked")), true),
        ("service.parked", "dolt", status(services: service("starting")), true),
        ("service.parked", "dolt", status(services: service("up")), false),
        ("service.parked", "dolt", status(services: service("down", wanted: "down")), false),
        ("service.parked", "mayor", status(services: service("parked")), false),
        ("key.disabled", "a", status(keys: [["id": "a", "state": "disabled"]]), true),
        ("key.disabled", "a", status(keys: [["id": "a", "state": "ready"]]), false),
        ("key.cooled", "a", status(keys: [["id": "a", "state": "cooling"]]), true),
        ("key.cooled", "a", status(), false),
        ("agent.stalled", "x", status(agents: [["session": "x", "stalled": true]]), true),
        ("agent.stalled", "x", status(agents: [["session": "x", "stalled": false]]), false),
        ("daemon.degraded", "", status(state: "degraded"), true), ("daemon.degraded", "", status(), false),
    ])
    func theStatusTellsWhetherItLasts(_ type: String, _ subject: String, _ status: JSONValue, _ lasts: Bool) {
        #expect(Condition(type, subject).lasts(in: status) == lasts)
    }

    @Test func namesOfConditionsSurviveBeingWritten() {
        for condition in [Condition("keys.exhausted"), Condition("keys.rejected", "/a b/c d")] {
            #expect(Condition(text: condition.text) == condition)
        }
        #expect(Condition(text: "") == nil)
    }

    @Test func aStepThatWasDoneIsAMoment() {
        func step(_ result: String) -> Event { .bootstrapStep("dolt", result: result, took: .zero, detail: "") }
        #expect(Condition(begunBy: step("done")) == nil)
        #expect(Condition(begunBy: step("failed")) == Condition("bootstrap.step", "dolt"))
        #expect(Condition("bootstrap.step", "dolt").isEnded(by: step("skipped")))
        #expect(!Condition("bootstrap.step", "dolt").isEnded(by: step("failed")))
    }
}
