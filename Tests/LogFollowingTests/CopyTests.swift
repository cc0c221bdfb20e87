// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import LinuxSys
import SystemPackage
import Testing

@testable import LogFollowing

/// Logs that are rotated by copying and truncating them (logrotate's `copytruncate`), where the copy's name is followed
/// too.
struct CopyTests {
    /// A folder in which every file is followed.
    private final class Folder {
        let folder: TemporaryFolder
        private var followers: [String: LogFollower] = [:]
        private var now: Int64 = 1_000_000_000_000
        init(_ folder: TemporaryFolder? = nil) throws { self.folder = try folder ?? TemporaryFolder() }

        func follow(_ name: String, from start: StartPosition = .beginning) {
            let follower = LogFollower(folder.path.appending(name), from: start, now: { [unowned self] in now })
            follower.neighbours = { [unowned self] in Array(followers.values) }
            followers[name] = follower
        }

        func pass(_ seconds: Double) { now += Int64(seconds * 1e9) }

        func read(_ name: String) throws -> [String] {
            if followers[name] == nil { follow(name) }
            var lines: [String] = []
            while try followers[name]?.read(line: { lines.append(String(decoding: $0, as: UTF8.self)) }) == true {}
            return lines
        }

        func isHeld(_ name: String) -> Bool { followers[name]?.nextDeadline != nil }
        func checkpoint(_ name: String) -> Checkpoint? { followers[name]?.checkpoint }

        /// The first bytes of one file appear in another one.
        func copy(_ from: String, to name: String, count: Int = .max) throws {
            let text = try folder.text(from)
            try folder.write(name, String(decoding: text.utf8.prefix(count), as: UTF8.self))
        }
    }

    /// Many lines and few.
    private static let texts = ["a\nb\n", (1...2000).map { "line \($0)\n" }.joined()]

    @Test(arguments: texts) func aCopyThatIsSeenBehindTheTruncationIsNotGivenAgain(_ text: String) throws {
        let logs = try Folder()
        try logs.folder.append("log", text)
        #expect(try !logs.read("log").isEmpty)
        try logs.copy("log", to: "log.1")
        try logs.folder.truncate("log")
        try logs.folder.append("log", "new\n")
        #expect(try logs.read("log.1") == [])
        #expect(try logs.read("log") == ["new"])
        #expect(!logs.isHeld("log.1"))
        // Whoever sees the truncation before the copy.
        try logs.copy("log", to: "log.2")
        try logs.folder.truncate("log")
        #expect(try logs.read("log") == [])
        #expect(try logs.read("log.2") == [])
    }

    @Test(arguments: texts) func aCopyThatGrowsIsHeldUntilItIsTruncated(_ text: String) throws {
        let logs = try Folder()
        try logs.folder.append("log", text)
        #expect(try !logs.read("log").isEmpty)
        for count in [0, 1, text.utf8.count / 2, text.utf8.count - 1] {
            try logs.copy("log", to: "log.1", count: count)
            #expect(try logs.read("log.1") == [])
            // However long that takes.
            logs.pass(1.9)
        }
        try logs.copy("log", to: "log.1")
        #expect(try logs.read("log.1") == [])
        try logs.folder.truncate("log")
        #expect(try logs.read("log") == [])
        #expect(try logs.read("log.1") == [])
        #expect(!logs.isHeld("log.1"))
        // What comes to it afterwards is its own.
        try logs.folder.append("log.1", "late\n")
        #expect(try logs.read("log.1") == ["late"])
    }

    /// Nobody else has what was written to a log after it was read last.
    @Test func whatOnlyTheCopyHoldsIsGiven() throws {
        let logs = try Folder()
        try logs.folder.append("log", "a\nb\n")
        #expect(try logs.read("log") == ["a", "b"])
        try logs.folder.append("log", "c\n")
        try logs.copy("log", to: "log.1")
        try logs.folder.truncate("log")
        #expect(try logs.read("log.1") == ["c"])
        #expect(try logs.read("log") == [])
    }

    /// They are lost to the copy, and were given.
    @Test func linesBetweenTheCopyAndTheTruncationAreGivenOnce() throws {
        let logs = try Folder()
        try logs.folder.append("log", "a\nb\n")
        #expect(try logs.read("log") == ["a", "b"])
        try logs.copy("log", to: "log.1")
        #expect(try logs.read("log.1") == [])
        try logs.folder.append("log", "c\n")
        #expect(try logs.read("log") == ["c"])
        try logs.folder.truncate("log")
        #expect(try logs.read("log.1") == [])
        #expect(try logs.read("log") == [])
    }

    @Test func aCopyOfALongLogIsOneWithoutATruncationToo() throws {
        let logs = try Folder()
        try logs.folder.append("log", Self.texts[1])
        try logs.copy("log", to: "log.bak")
        // What stands in both is given once, whichever is read first.
        #expect(try logs.read("log").count == 2000)
        #expect(try logs.read("log.bak") == [])
        try logs.folder.append("log", "unread\n")
        try logs.copy("log", to: "log.bak2")
        #expect(try logs.read("log.bak2") == [])
        #expect(logs.isHeld("log.bak2"))
        #expect(try logs.read("log") == ["unread"])
        #expect(try logs.read("log.bak2") == [])
        #expect(!logs.isHeld("log.bak2"))
        // Its beginning alone.
        try logs.copy("log", to: "log.head", count: 10_000)
        #expect(try logs.read("log.head") == [])
        logs.pass(2.1)
        #expect(try logs.read("log.head") == [])
        #expect(!logs.isHeld("log.head"))
    }

    @Test func whatBeginsLikeAnotherLogIsGivenAtLast() throws {
        let logs = try Folder()
        try logs.folder.append("log", "banner\nerror\nmore\n")
        #expect(try logs.read("log").count == 3)
        // Two agents that say the same.
        try logs.folder.append("log2", "banner\nerror\n")
        #expect(try logs.read("log2") == [])
        #expect(logs.isHeld("log2"))
        logs.pass(2.1)
        #expect(try logs.read("log2") == ["banner", "error"])
        // It differs from all: there is nothing to wait for.
        try logs.folder.append("log3", "banner\n")
        #expect(try logs.read("log3") == [])
        try logs.folder.append("log3", "mine\n")
        #expect(try logs.read("log3") == ["banner", "mine"])
        try logs.folder.append("log4", "its own\n")
        #expect(try logs.read("log4") == ["its own"])
        // Nobody names a copy like that.
        try logs.folder.append("other", "banner\nerror\n")
        #expect(try logs.read("other") == ["banner", "error"])
    }

    /// The copy was made while nobody looked, and the lines before it too.
    @Test func afterARestartTheRestIsReadFromTheCopy() throws {
        let logs = try Folder()
        try logs.folder.append("log", Self.texts[1])
        #expect(try logs.read("log").count == 2000)
        let place = try #require(logs.checkpoint("log"))
        try logs.folder.append("log", "while nobody looked\n")
        try logs.copy("log", to: "log.1")
        try logs.folder.truncate("log")
        try logs.folder.append("log", "new\n")
        let again = try Folder(logs.folder)
        again.follow("log", from: .resume(place))
        #expect(try again.read("log") == ["new"])
        again.follow("log.1", from: .end)
        #expect(try again.read("log.1") == ["while nobody looked"])
        // Another one has nothing to say.
        try again.folder.append("log.old", Self.texts[0])
        again.follow("log.old", from: .end)
        #expect(try again.read("log.old") == [])
    }
}
