// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import Synchronization
import Testing

@testable import LinuxSys

struct EventLoopTests {
    @Test func timersRingInTheOrderOfTheirDeadlinesAndEqualOnesInThatOfTheirSetting() throws {
        let loop = try EventLoop()
        var rung: [String] = []
        loop.schedule(after: .milliseconds(30)) { rung.append("last") }
        loop.schedule(after: .milliseconds(10)) { rung.append("second") }
        loop.schedule(after: .milliseconds(20)) { rung.append("third") }
        loop.schedule(after: .seconds(-5)) { rung.append("first") }
        loop.schedule(after: .zero) { rung.append("first too") }
        #expect(try loop.run { rung.count == 5 })
        #expect(rung == ["first", "first too", "second", "third", "last"])
    }

    @Test func aCancelledTimerNeverRings() throws {
        let loop = try EventLoop()
        var rung: [String] = []
        let early = loop.schedule(after: .milliseconds(5)) { rung.append("cancelled before") }
        var late: EventLoop.Timer?
        loop.schedule(after: .milliseconds(10)) {
            rung.append("kept")
            // It is due in the same turn.
            if let late { loop.cancel(late) }
        }
        late = loop.schedule(after: .milliseconds(10)) { rung.append("cancelled by the one before it") }
        loop.schedule(after: .milliseconds(40)) { rung.append("end") }
        loop.cancel(early)
        loop.cancel(early)
        #expect(try loop.run { rung.last == "end" })
        #expect(rung == ["kept", "end"])
    }

    @Test func aTimerFarInTheFutureDoesNotOverflow() throws {
        let loop = try EventLoop()
        var hasRung = false
        loop.schedule(after: .seconds(Int64.max)) { Issue.record("the far timer rang") }
        loop.schedule(after: .milliseconds(1)) { hasRung = true }
        #expect(try loop.run { hasRung })
    }

    @Test func theEndOfATurnComesAfterAllThatIsReady() throws {
        let loop = try EventLoop()
        var order: [Int] = []
        let mailboxes = try (0..<2).map { number in
            try Mailbox<Int>(on: loop) { _ in
                order.append(number)
                loop.atEndOfTurn { order.append(10 + number) }
            }
        }
        for mailbox in mailboxes { mailbox.post(0) }
        #expect(try loop.run { order.count == 4 })
        #expect(order.suffix(2).allSatisfy { $0 >= 10 }, "\(order)")
    }

    @Test func messagesOfManyThreadsAllArriveEachThreadsInItsOrder() throws {
        let loop = try EventLoop()
        var seen: [[Int]] = Array(repeating: [], count: 4)
        let mailbox = try Mailbox<(Int, Int)>(on: loop) { seen[$0.0].append($0.1) }
        let threads = try (0..<4).map { thread in
            try Thread { for number in 0..<5000 { mailbox.post((thread, number)) } }
        }
        #expect(try loop.run { seen.allSatisfy { $0.count == 5000 } })
        for thread in threads { thread.join() }
        #expect(seen.allSatisfy { $0 == Array(0..<5000) })
    }

    @Test func whatWasDroppedInTheSameTurnIsNotCalled() throws {
        let loop = try EventLoop()
        var alive: [Int: AnyObject] = [:]
        var called: [Int] = []
        for number in 0..<2 {
            alive[number] = try Mailbox<Int>(on: loop) { _ in
                called.append(number)
                // Both are ready; the other one's handler must not run on what is no longer there.
                alive[1 - number] = nil
            }
        }
        for mailbox in alive.values { (mailbox as? Mailbox<Int>)?.post(0) }
        var turns = 0
        loop.schedule(after: .milliseconds(20)) { turns += 1 }
        #expect(try loop.run { turns == 1 })
        #expect(called.count == 1)
    }

    @Test func anAlarmThatWasDroppedInTheSameTurnIsNotCalled() throws {
        let loop = try EventLoop()
        var alive: [Int: WallAlarm] = [:]
        var called: [Int] = []
        for number in 0..<2 {
            alive[number] = try WallAlarm(on: loop) {
                called.append(number)
                alive[1 - number] = nil
            }
        }
        for alarm in alive.values { alarm.set(.init(microseconds: 1)) }
        #expect(try loop.run { !called.isEmpty })
        var isOver = false
        loop.schedule(after: .milliseconds(20)) { isOver = true }
        #expect(try loop.run { isOver })
        #expect(called.count == 1)
    }

    @Test func aWatchThatWasCancelledTwiceLeavesTheNextOneOfItsNumberAlone() throws {
        let loop = try EventLoop()
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let first = try loop.watch(ends[0], for: .reading) { Issue.record("the cancelled watch was called") }
        loop.cancel(first)
        var isReady = false
        let second = try loop.watch(ends[0], for: .reading) { isReady = true }
        loop.cancel(first)
        #expect(write(ends[1], "x", 1) == 1)
        #expect(try loop.run { isReady })
        loop.cancel(second)
    }
}
