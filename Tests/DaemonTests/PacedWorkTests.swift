// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import Testing

@testable import Daemon

@Suite struct PacedWorkTests {
    @Test func howeverManyAskItIsDoneOnceAtATimeAndOnceMore() throws {
        let loop = try EventLoop()
        var begun: [Int64] = []
        var isRunning = false
        let work = PacedWork(pause: .milliseconds(300), on: loop) { done in
            #expect(!isRunning)
            isRunning = true
            begun.append(EventLoop.now)
            loop.schedule(after: .milliseconds(20)) {
                isRunning = false
                done()
            }
        }
        for _ in 0..<500 { work.ask() }
        loop.schedule(after: .seconds(2)) { loop.stop() }
        try loop.run()
        #expect(begun.count == 2)
        if begun.count == 2 { #expect(begun[1] - begun[0] >= 300_000_000) }
        // After a pause it is done at once.
        work.ask()
        #expect(begun.count == 3)
    }

    @Test func whatHangsIsNotBegunAgain() throws {
        let loop = try EventLoop()
        var dones: [() -> Void] = []
        let work = PacedWork(pause: .milliseconds(1), on: loop) { dones.append($0) }
        for wait in [0, 20, 40] as [Int64] { loop.schedule(after: .milliseconds(wait)) { work.ask() } }
        loop.schedule(after: .milliseconds(200)) { loop.stop() }
        try loop.run()
        #expect(dones.count == 1)
        dones.first?()
        #expect(dones.count == 2)
        dones.last?()
        #expect(dones.count == 2)
        work.cancel()
        work.ask()
        #expect(dones.count == 2)
    }
}
