// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing
import Timekeeping

@testable import ControlAPI

@Suite struct EventHistoryTests {
    private let now = Timestamp(secondsSinceEpoch: 1_795_000_000)

    private func history(_ count: Int, detail: String = "") -> EventHistory {
        var history = EventHistory(bootID: "boot")
        for number in 0..<count {
            _ = history.append(number % 2 == 0 ? .daemonReady(detail: detail) : .town("estop"), at: now)
        }
        return history
    }

    private func numbers(_ lines: [String]) throws -> [Int] {
        try lines.map { try #require(try JSONValue(parsing: $0)["seq"]?.integer) }
    }

    @Test func numbersCountFromOneAndSinceIsExclusive() throws {
        let history = history(5)
        #expect(history.lastSeq == 5)
        #expect(try numbers(history.lines(since: 0)) == [1, 2, 3, 4, 5])
        #expect(try numbers(history.lines(since: 3)) == [4, 5])
        #expect(history.lines(since: 5).isEmpty)
        #expect(history.lines(since: 500).isEmpty)
        #expect(try numbers(history.lines(since: -7)) == [1, 2, 3, 4, 5])
        #expect(EventHistory(bootID: "x").lines(since: 0).isEmpty)
        #expect(EventHistory(bootID: "x").lastSeq == 0)
    }

    @Test func onlyTheTypesAskedForAreGiven() throws {
        #expect(try numbers(history(6).lines(since: 1, types: ["town.estop"])) == [2, 4, 6])
        #expect(history(6).lines(since: 0, types: ["no.such"]).isEmpty)
    }

    @Test func aLineHasTheContractsFieldsFirst() throws {
        let line = history(1, detail: "x").lines(since: 0)[0]
        #expect(
            line
                == #"{"seq":1,"boot_id":"boot","time":"\#(now.rfc3339)","type":"daemon.ready","detail":"x"}"#)
    }

    @Test func theOldestGoFirstAndTheGapIsToldOnce() throws {
        let history = history(EventHistory.countMax + 5000)
        let lines = history.lines(since: 0)
        #expect(lines.count == EventHistory.countMax + 1)
        let gap = try JSONValue(parsing: lines[0])
        #expect(gap["type"] == "events.dropped")
        #expect(gap["count"] == 5000)
        #expect(gap["seq"] == 5000)
        #expect(gap["boot_id"] == "boot")
        #expect(try numbers(lines) == Array(5000...15000))
        // Who has seen some of what is gone misses only the rest; who has seen it all misses nothing.
        #expect(try JSONValue(parsing: history.lines(since: 4000)[0])["count"] == 1000)
        #expect(try numbers(history.lines(since: 5000)) == Array(5001...15000))
        #expect(try numbers(history.lines(since: 14_999)) == [15000])
    }

    @Test func theBytesAreBoundedToo() throws {
        let large = String(repeating: "x", count: 100_000)
        let history = history(400, detail: large)
        let lines = history.lines(since: 0)
        #expect(lines.reduce(0) { $0 + $1.utf8.count } <= EventHistory.bytesMax + 1000)
        #expect(try numbers(lines).last == 400)
        #expect(try JSONValue(parsing: lines[0])["type"] == "events.dropped")
    }

    @Test func oneEventLargerThanTheBoundIsStillThere() throws {
        var history = history(3)
        _ = history.append(.daemonReady(detail: String(repeating: "x", count: EventHistory.bytesMax + 1)), at: now)
        #expect(try numbers(history.lines(since: 3)) == [4])
        _ = history.append(.town("thaw"), at: now)
        #expect(try numbers(history.lines(since: 4)) == [5])
    }

    @Test func nothingIsLostOverManyCompactions() throws {
        var history = EventHistory(bootID: "boot")
        for number in 1...40_000 {
            #expect(history.append(.town("thaw"), at: now).seq == number)
            if number % 4999 == 0 {
                let lines = history.lines(since: number - 10)
                #expect(try numbers(lines) == Array((number - 9)...number))
            }
        }
        #expect(try numbers(history.lines(since: 0)) == Array(30_000...40_000))
    }
}

@Suite struct EventTests {
    @Test func absentValuesAreNull() throws {
        #expect(Event.keysExhausted(until: nil)["until"] == JSONValue.null)
        #expect(Event.agent("leased", session: "s", role: "mayor", pid: 1, id: nil)["id"] == JSONValue.null)
        let sighting = Event.sighting(
            id: nil, session: nil, cause: "quota", by: "log", acted: false, why: "nobody", text: "x")
        #expect(sighting.fields.map(\.name) == ["id", "session", "cause", "by", "acted", "why", "text"])
        #expect(sighting["session"] == JSONValue.null)
        #expect(Event.configApplied(path: nil, generation: 3)["path"] == JSONValue.null)
    }

    @Test func eventsAreCalledAsTheContractCallsThem() {
        let names = [
            Event.key("added", id: "", account: "", reason: "").type,
            Event.keyOut("cooled", id: "", account: "", cause: "", until: nil, reason: "").type,
            Event.keysRejected(path: "", error: "").type,
            Event.reload("started", session: "", role: "", reason: "", resumed: true).type,
            Event.watch("overflow", path: nil, detail: "").type, Event.town("thaw").type,
            Event.configRejected(path: nil, errors: []).type, Event.daemonStopping(detail: "").type,
            Event.bootstrapStep("x", result: "done", took: .zero, detail: "").type,
        ]
        #expect(
            names == [
                "key.added", "key.cooled", "keys.rejected", "agent.reload.started", "watch.overflow", "town.thaw",
                "config.rejected", "daemon.stopping", "bootstrap.step",
            ])
    }
}
