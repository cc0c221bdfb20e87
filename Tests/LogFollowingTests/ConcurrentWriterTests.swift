// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import Synchronization
import SystemPackage
import Testing

@testable import LogFollowing

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers in each run.
private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// A writer of numbered lines that flushes where it likes and rotates.
private struct Writer {
    let path: FilePath
    let count: Int
    var random: Generator
    var rotations = 0

    func text(_ number: Int) -> [UInt8] {
        Array("\(number) ".utf8) + [UInt8](repeating: 0x78, count: number * 7919 % 300) + [10]
    }

    /// - Parameter hasRead: Waits until so many lines were read; false if that takes too long. A file that comes and
    ///   goes between two looks of the follower was never there for it, and nobody finds what was truncated before.
    mutating func run(hasRead: (Int) -> Bool) throws {
        var file = try Syscalls.open(path, flags: O_WRONLY | O_CREAT | O_APPEND)
        var pending: [UInt8] = []
        var number = 0
        var first = 0
        while number < count {
            pending += text(number)
            number += 1
            while !pending.isEmpty, UInt8.random(in: 0..<4, using: &random) > 0 {
                let size = Int.random(in: 1...pending.count, using: &random)
                try Syscalls.writeAll(file.raw, Array(pending[..<size]))
                pending.removeFirst(size)
            }
            let choice = Int.random(in: 0..<400, using: &random)
            guard choice < 4 else { continue }
            rotations += 1
            try Syscalls.writeAll(file.raw, pending)
            pending = []
            guard hasRead(choice == 3 ? number : first + 1) else { return }
            switch choice {
            case 0:
                // Rename and create; the old file gets one more line late.
                try Syscalls.rename(path, to: FilePath(bytes: path.bytes + Array(".\(rotations)".utf8)))
                let next = try Syscalls.open(path, flags: O_WRONLY | O_CREAT | O_APPEND)
                try Syscalls.writeAll(file.raw, text(number))
                number += 1
                file = next
            case 1:
                // Rename over: the old one has no name any more.
                let next = FilePath(bytes: path.bytes + Array(".next".utf8))
                file = try Syscalls.open(next, flags: O_WRONLY | O_CREAT | O_APPEND)
                try Syscalls.rename(next, to: path)
            case 2:
                try Syscalls.unlink(path)
                file = try Syscalls.open(path, flags: O_WRONLY | O_CREAT | O_APPEND)
            default:
                _ = try Syscalls.open(path, flags: O_WRONLY | O_TRUNC)
            }
            first = number
        }
        try Syscalls.writeAll(file.raw, pending)
    }
}

/// Each number is one run; a failure says which one to run again.
struct ConcurrentWriterTests {
    private final class Progress: Sendable {
        let read = Atomic(0)
        let isOver = Atomic(false)
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6])
    func noLineIsLostOrGivenTwiceWhileAnotherThreadWritesAndRotates(_ run: UInt64) throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("log")
        let count = 4000
        let progress = Progress()
        let deadline = EventLoop.now + 60_000_000_000
        let writer = try Thread {
            var writer = Writer(path: path, count: count, random: Generator(state: run))
            do {
                try writer.run { written in
                    while progress.read.load(ordering: .acquiring) < written {
                        if EventLoop.now > deadline { return false }
                        sched_yield()
                    }
                    return true
                }
            } catch {
                Issue.record("\(error)")
            }
            progress.isOver.store(true, ordering: .releasing)
        }
        var random = Generator(state: run &+ 1000)
        var seen: [Int] = []
        var wrong = 0
        // Old files are never given up here: only the order of lines is in question.
        let follower = LogFollower(path, from: .beginning, now: { 0 })
        let model = Writer(path: path, count: 0, random: Generator(state: 0))
        var isLast = false
        while !isLast, EventLoop.now < deadline {
            isLast = progress.isOver.load(ordering: .acquiring)
            let hasMore = try follower.read(budget: Int.random(in: 1...20_000, using: &random)) { line in
                let number = line.prefix { $0 != 32 }.reduce(0) { $0 * 10 + Int($1) - 48 }
                if Array(line) + [10] != model.text(number) { wrong += 1 }
                seen.append(number)
            }
            if hasMore { isLast = false }
            progress.read.store(seen.count, ordering: .releasing)
        }
        writer.join()
        #expect(wrong == 0)
        // The last one may have been a late line beyond the count.
        #expect(seen.sorted() == Array(0..<max(count, seen.count)))
        #expect(seen.count <= count + 1)
    }

    @Test func aRestartAtAnyTimeLosesAndRepeatsNothing() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("log")
        var random = Generator(state: 42)
        let model = Writer(path: path, count: 0, random: random)
        let file = try Syscalls.open(path, flags: O_WRONLY | O_CREAT | O_APPEND)
        var pending: [UInt8] = []
        var seen: [Int] = []
        var follower = LogFollower(path, from: .beginning)
        for number in 0..<2000 {
            pending += model.text(number)
            // Now and then one that is too long.
            if number % 300 == 299 { pending += [UInt8](repeating: 0x79, count: 150_000) + [10] }
            let size = Int.random(in: 0...pending.count, using: &random)
            try Syscalls.writeAll(file.raw, Array(pending[..<size]))
            pending.removeFirst(size)
            if Bool.random(using: &random) {
                _ = try follower.read(budget: Int.random(in: 1...5000, using: &random)) { line in
                    seen.append(line.prefix { $0 != 32 }.reduce(0) { $0 &* 10 &+ Int($1) - 48 })
                }
            }
            if Int.random(in: 0..<5, using: &random) == 0, let checkpoint = follower.checkpoint {
                follower = LogFollower(path, from: .resume(checkpoint))
            }
        }
        try Syscalls.writeAll(file.raw, pending)
        while try follower.read(line: { seen.append($0.prefix { $0 != 32 }.reduce(0) { $0 &* 10 &+ Int($1) - 48 }) }) {}
        #expect(seen == Array(0..<2000))
    }
}
