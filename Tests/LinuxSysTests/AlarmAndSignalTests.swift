// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import Testing
import Timekeeping

struct AlarmAndSignalTests {
    @Test func anAlarmRingsAtItsInstantOnceAndAtOnceForThePast() throws {
        let loop = try EventLoop()
        var rung: [Timestamp] = []
        let alarm = try WallAlarm(on: loop) { rung.append(.now) }
        let instant = Timestamp(microseconds: Timestamp.now.microseconds + 30_000)
        alarm.set(instant)
        #expect(try loop.run { rung.count == 1 })
        #expect(rung.first.map { $0.microseconds >= instant.microseconds } == true)
        alarm.set(Timestamp(microseconds: -5))
        #expect(try loop.run { rung.count == 2 })
    }

    @Test func anAlarmThatWasTurnedOffOrPutOffDoesNotRing() throws {
        let loop = try EventLoop()
        var rung = 0
        let alarm = try WallAlarm(on: loop) { rung += 1 }
        alarm.set(Timestamp(microseconds: Timestamp.now.microseconds + 10_000))
        alarm.set(nil)
        let other = try WallAlarm(on: loop) { rung += 1 }
        other.set(Timestamp(microseconds: Timestamp.now.microseconds + 10_000))
        other.set(Timestamp(microseconds: Timestamp.now.microseconds + 3_600_000_000))
        var isOver = false
        loop.schedule(after: .milliseconds(40)) { isOver = true }
        #expect(try loop.run { isOver })
        #expect(rung == 0)
    }

    @Test func aSignalOfTheThreadIsAnEventOfTheLoop() throws {
        var before = sigset_t()
        pthread_sigmask(SIG_BLOCK, nil, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        let loop = try EventLoop()
        var received: [Int32] = []
        let receiver = try SignalReceiver([SIGUSR1, SIGUSR2], on: loop) { received.append($0) }
        // To this thread alone: the process's other threads do not block them.
        #expect(pthread_kill(pthread_self(), SIGUSR2) == 0)
        #expect(pthread_kill(pthread_self(), SIGUSR1) == 0)
        #expect(try loop.run { received.count == 2 })
        #expect(received.sorted() == [SIGUSR1, SIGUSR2].sorted())
        #expect(pthread_kill(pthread_self(), SIGUSR1) == 0)
        #expect(try loop.run { received.count == 3 })
        withExtendedLifetime(receiver) {}
    }
}
