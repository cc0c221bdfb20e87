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

    @Test func theRealClocksKeepStep() {
        var watch = ClockWatch()
        for _ in 0..<100 { #expect(watch.jump(at: .now) == nil) }
    }
}
