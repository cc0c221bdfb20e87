// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing
import Timekeeping

@testable import LinuxSys

@Suite struct ClockWatchTests {
    private static let start = Timestamp(secondsSinceEpoch: 1_795_000_000)

    @Test(arguments: [-7200, -1, 1, 60, 86400]) func aSetClockIsSeenOnceWithItsDistance(_ seconds: Int) {
        var watch = ClockWatch()
        #expect(watch.jump(at: Self.start, uptime: .seconds(100)) == nil)
        #expect(watch.jump(at: Self.start + .seconds(50), uptime: .seconds(150)) == nil)
        let after = Self.start + .seconds(60 + seconds)
        #expect(watch.jump(at: after, uptime: .seconds(160)) == .seconds(seconds))
        #expect(watch.jump(at: after + .seconds(1), uptime: .seconds(161)) == nil)
    }

    @Test func whatIsSlewedAddsUp() {
        var watch = ClockWatch()
        #expect(watch.jump(at: Self.start, uptime: .zero) == nil)
        #expect(watch.jump(at: Self.start + .milliseconds(10_600), uptime: .seconds(10)) == nil)
        #expect(watch.jump(at: Self.start + .milliseconds(21_200), uptime: .seconds(20)) == .milliseconds(1200))
    }

    /// The time seems to go backwards: whoever is asked then has to know.
    @Test func smallStepsBackAreToldAtOnceAndOnce() {
        var watch = ClockWatch()
        var (now, uptime, told) = (Self.start, Duration.zero, Duration.zero)
        #expect(watch.jump(at: now, uptime: uptime) == nil)
        for _ in 0..<6 {
            uptime = uptime + .milliseconds(100)
            now = now + .milliseconds(100 - 900)
            let jump = watch.jump(at: now, uptime: uptime)
            #expect(jump == .milliseconds(-900))
            told = told + (jump ?? .zero)
            uptime = uptime + .seconds(5)
            now = now + .seconds(5)
            #expect(watch.jump(at: now, uptime: uptime) == nil)
        }
        #expect(told == .milliseconds(-5400))
    }

    @Test func stepsThatHideBetweenReadingsAddUpAndAreToldOnce() {
        var watch = ClockWatch()
        #expect(watch.jump(at: Self.start, uptime: .zero) == nil)
        // Slewed ahead by 0.8 s, then a step back by 0.5 s: the step alone is told, and 0.8 s is what is left.
        #expect(watch.jump(at: Self.start + .milliseconds(10_800), uptime: .seconds(10)) == nil)
        #expect(
            watch.jump(at: Self.start + .milliseconds(10_400), uptime: .milliseconds(10_100)) == .milliseconds(-500))
        #expect(watch.jump(at: Self.start + .milliseconds(20_500), uptime: .seconds(20)) == .milliseconds(1000))
        // Back, but not behind the last reading: it waits for more.
        #expect(watch.jump(at: Self.start + .milliseconds(29_600), uptime: .seconds(30)) == nil)
        #expect(watch.jump(at: Self.start + .milliseconds(38_700), uptime: .seconds(40)) == .milliseconds(-1800))
    }

    @Test func theRealClocksKeepStep() {
        var watch = ClockWatch()
        for _ in 0..<100 { #expect(watch.jump(at: .now) == nil) }
    }
}
