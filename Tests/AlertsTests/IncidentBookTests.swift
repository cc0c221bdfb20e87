// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing
import Timekeeping

@testable import Alerts

@Suite struct IncidentBookTests {
    private var book = IncidentBook()
    private let parked = Condition("service.parked", "dolt")

    private func at(_ seconds: Int) -> Timestamp { start + .seconds(seconds) }

    /// Takes a step and says whether it was the one that was expected.
    private mutating func file(_ bead: String, _ seconds: Int = 0) throws {
        guard case .lookUp(let condition, let title)? = book.step(at: at(seconds)) else {
            Issue.record("no look-up: \(String(describing: book.step(at: at(seconds))))")
            return
        }
        #expect(title == "gasclawd: service dolt is parked")
        book.found(nil, for: condition, at: at(seconds))
        let step = try #require(book.step(at: at(seconds)))
        book.begin(step)
        book.created(bead, for: step, at: at(seconds))
    }

    @Test mutating func anIncidentIsFiledOnceAndClosedWhenItEnds() throws {
        book.settle(status(services: service("parked")), at: at(0))
        try file("hq-1")
        #expect(book.step(at: at(1)) == nil)
        // Tried again, and parked again: the same incident.
        for state in ["starting", "backoff", "parked"] { book.settle(status(services: service(state)), at: at(2)) }
        #expect(book.step(at: at(3)) == nil)
        book.settle(status(services: service("up")), at: at(4))
        #expect(book.step(at: at(4)) == .close(parked, bead: "hq-1", reason: "over since \(at(4).rfc3339)"))
        book.closed(parked, at: at(5))
        #expect(book.step(at: at(5)) == nil && book.incidents.isEmpty)
    }

    @Test mutating func beforeItIsFiledItIsLookedForSoThatThereAreNeverTwo() throws {
        book.settle(status(services: service("parked")), at: at(0))
        book.found(nil, for: parked, at: at(0))
        let create = try #require(book.step(at: at(0)))
        book.begin(create)
        // bd gave no answer in time: it may have filed it.
        #expect(book.failed(create, at: at(0)) == IncidentBook.backoffMin)
        #expect(book.step(at: at(1)) == nil)
        #expect(book.step(at: at(6)) == .lookUp(parked, title: "gasclawd: service dolt is parked"))
        book.found("hq-7", for: parked, at: at(6))
        // What the bead says is not known.
        #expect(book.step(at: at(6))?.isDescription == true)
    }

    @Test mutating func aCrashBetweenFilingAndRememberingFindsTheBeadAgain() throws {
        book.settle(status(services: service("parked")), at: at(0))
        book.found(nil, for: parked, at: at(0))
        book.begin(try #require(book.step(at: at(0))))
        let state = try JSONValue(parsing: book.json.line)
        let after = IncidentBook(state: state)
        #expect(after.incidents[parked]?.isAttempted == true && after.incidents[parked]?.bead == nil)
        #expect(after.step(at: at(9)) == .lookUp(parked, title: "gasclawd: service dolt is parked"))
    }

    @Test mutating func whatIsFiledIsKnownAfterARestartAndClosedIfItIsOver() throws {
        book.settle(status(services: service("parked")), at: at(0))
        try file("hq-1")
        var after = IncidentBook(state: try JSONValue(parsing: book.json.line))
        #expect(after.step(at: at(1)) == nil)
        after.settle(status(services: service("up")), at: at(2))
        #expect(after.step(at: at(2)) == .close(parked, bead: "hq-1", reason: "over since \(at(2).rfc3339)"))
    }

    @Test mutating func anIncidentThatEndsBeforeBdWorksIsFiledAndClosedLater() throws {
        book.settle(status(services: service("parked")), at: at(0))
        var step = try #require(book.step(at: at(0)))
        book.failed(step, at: at(0))
        book.settle(status(services: service("up")), at: at(30))
        try file("hq-2", 60)
        step = try #require(book.step(at: at(60)))
        #expect(step == .close(parked, bead: "hq-2", reason: "over since \(at(30).rfc3339)"))
    }

    @Test mutating func oneThatComesBackBeforeItsBeadIsClosedGoesOnWithIt() throws {
        book.settle(status(services: service("parked")), at: at(0))
        try file("hq-1")
        book.settle(status(services: service("up")), at: at(1))
        book.settle(status(services: service("parked")), at: at(2))
        #expect(book.step(at: at(2)) == nil)
        #expect(book.incidents[parked]?.bead == "hq-1")
        // Back while the bead is being closed: a new one.
        book.settle(status(services: service("up")), at: at(3))
        book.settle(status(services: service("parked")), at: at(4))
        book.closed(parked, at: at(4))
        #expect(book.step(at: at(5)) == .lookUp(parked, title: "gasclawd: service dolt is parked"))
    }

    @Test mutating func itsBeadIsDescribedAnewWhenSomethingChangesButNotAllTheTime() throws {
        book.settle(status(services: service("parked")), at: at(0))
        try file("hq-1")
        book.settle(status(services: service("parked", detail: "port 3307 is taken")), at: at(10))
        #expect(book.step(at: at(10)) == nil)
        #expect(book.nextWake(after: at(10)) == at(300))
        let step = try #require(book.step(at: at(300)))
        guard case .describe(_, "hq-1", let text) = step else {
            Issue.record("\(step)")
            return
        }
        #expect(text.contains("port 3307 is taken"))
        book.described(step, at: at(300))
        #expect(book.step(at: at(900)) == nil)
    }

    @Test mutating func failuresAreTriedAgainWithGrowingPauses() throws {
        book.settle(status(services: service("parked")), at: at(0))
        var now = 0
        var pauses: [Duration] = []
        for _ in 0..<9 {
            let step = try #require(book.step(at: at(now)))
            pauses.append(book.failed(step, at: at(now)))
            #expect(book.nextWake(after: at(now)) == at(now) + pauses[pauses.count - 1])
            now += 600
        }
        #expect(pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600].map { .seconds($0) })
    }

    @Test mutating func aBeadThatCannotBeClosedIsLookedAt() throws {
        book.settle(status(services: service("parked")), at: at(0))
        try file("hq-1")
        book.settle(status(services: service("up")), at: at(1))
        book.failed(try #require(book.step(at: at(1))), at: at(1))
        #expect(book.step(at: at(10)) == .check(parked, bead: "hq-1"))
        book.failed(.check(parked, bead: "hq-1"), at: at(10))
        #expect(book.step(at: at(60))?.isClosing == true)
    }

    @Test mutating func aClockThatWasSetBackDelaysNothingForLong() throws {
        book.settle(status(services: service("parked")), at: at(1_000_000))
        book.failed(try #require(book.step(at: at(1_000_000))), at: at(1_000_000))
        #expect(book.step(at: at(0)) != nil)
    }

    @Test(arguments: [-86400, -300, 300, 86400]) mutating func aSetClockChangesNoPause(_ jump: Int) throws {
        book.settle(status(services: service("parked")), at: at(0))
        for second in [0, 100, 200] { book.failed(try #require(book.step(at: at(second))), at: at(second)) }
        // 20 s from 200 on; 5 s later somebody sets the clock.
        book.clockSet(by: .seconds(jump))
        #expect(book.step(at: at(205 + jump)) == nil)
        #expect(book.nextWake(after: at(205 + jump)) == at(220 + jump))
        #expect(book.step(at: at(219 + jump)) == nil)
        #expect(book.step(at: at(220 + jump)) != nil)
    }

    @Test(arguments: [-86400, -200, 200, 86400])
    mutating func aSetClockChangesNotHowOftenABeadIsDescribed(_ jump: Int) throws {
        book.settle(status(services: service("parked")), at: at(0))
        try file("hq-1")
        book.settle(status(services: service("parked", detail: "port 3307 is taken")), at: at(10))
        book.clockSet(by: .seconds(jump))
        #expect(book.step(at: at(10 + jump)) == nil)
        #expect(book.nextWake(after: at(10 + jump)) == at(300 + jump))
        #expect(book.step(at: at(299 + jump)) == nil)
        #expect(book.step(at: at(300 + jump)) != nil)
    }

    @Test mutating func everyKindHasATitleAndATextWithoutAnyKey() {
        let keys: JSONValue = [
            [
                "id": "0123456789ab", "account": "1", "state": "cooling", "cause": "quota-5-hour",
                "until": "2026-01-01T00:00:00Z",
            ], ["id": "aaaaaaaaaaaa", "account": "2", "state": "disabled", "cause": "invalid", "until": nil],
        ]
        book.settle(status(ready: 0, keys: keys, services: service("parked")), at: at(0))
        let incidents = book.incidents.values.sorted { $0.condition < $1.condition }
        #expect(
            incidents.map(\.title) == [
                "gasclawd: key aaaaaaaaaaaa is out of use", "gasclawd: no key is ready",
                "gasclawd: service dolt is parked",
            ])
        #expect(incidents[1].text.contains("0123456789ab of account 1: cooling, quota-5-hour until 2026"))
    }
}

extension IncidentStep {
    fileprivate var isDescription: Bool { if case .describe = self { true } else { false } }
    fileprivate var isClosing: Bool { if case .close = self { true } else { false } }
}
