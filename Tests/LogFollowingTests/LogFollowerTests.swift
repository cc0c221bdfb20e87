// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import LogFollowing

/// A file that is followed, and what came of it.
private final class Followed {
    let folder: TemporaryFolder
    let follower: LogFollower
    private(set) var lines: [String] = []
    /// The clock, in nanoseconds; it stands still unless a test moves it.
    private let time: Time
    final class Time { var now: Int64 = 1_000_000_000_000 }

    init(_ start: StartPosition = .beginning, in folder: TemporaryFolder? = nil) throws {
        self.folder = try folder ?? TemporaryFolder()
        let time = Time()
        self.time = time
        follower = LogFollower(self.folder.path.appending("log"), from: start, now: { time.now })
    }

    func pass(_ seconds: Double) { time.now += Int64(seconds * 1e9) }

    /// Reads all that is there and gives what was new.
    @discardableResult
    func read(budget: Int = 1 << 20) throws -> [String] {
        let before = lines.count
        var calls = 0
        while try follower.read(budget: budget, line: { lines.append(String(decoding: $0, as: UTF8.self)) }) {
            calls += 1
            try #require(calls < 100_000, "it says for ever that there is more")
        }
        return Array(lines[before...])
    }

    /// Another follower, as after a restart.
    func restarted() throws -> Followed { try Followed(.resume(try #require(follower.checkpoint)), in: folder) }
}

struct LineTests {
    @Test func aLineIsGivenWhenItIsWholeAndNotBefore() throws {
        let log = try Followed()
        #expect(try log.read() == [])
        try log.folder.append("log", "on")
        #expect(try log.read() == [])
        try log.folder.append("log", "e\ntwo\nthr")
        #expect(try log.read() == ["one", "two"])
        #expect(try log.read() == [])
        try log.folder.append("log", "ee\n\n")
        #expect(try log.read() == ["three", ""])
    }

    @Test func aByteAtATimeGivesTheSameLines() throws {
        let log = try Followed()
        for byte in "a\nbc\n\nd\n".utf8 {
            try log.folder.append("log", [byte])
            try log.read()
        }
        #expect(log.lines == ["a", "bc", "", "d"])
    }

    @Test func aLineOfTheGreatestLengthIsTakenAndALongerOneCounted() throws {
        let log = try Followed()
        let longest = String(repeating: "x", count: LogFollower.lineMax)
        try log.folder.append("log", longest + "\n" + longest + "x\nafter\n")
        #expect(try log.read() == [longest, "after"])
        #expect(log.follower.skippedLines == 1)
        // The same in pieces.
        try log.folder.append("log", longest)
        #expect(try log.read() == [])
        try log.folder.append("log", "\n" + longest)
        #expect(try log.read() == [longest])
        try log.folder.append("log", "x")
        #expect(try log.read() == [])
        try log.folder.append("log", "more\nend\n")
        #expect(try log.read() == ["end"])
        #expect(log.follower.skippedLines == 2)
    }

    @Test(arguments: [1, 1000, 1 << 20])
    func aLineOfAMegabyteIsSkippedOnceWhateverTheBudget(_ budget: Int) throws {
        let log = try Followed()
        try log.folder.append("log", "before\n" + String(repeating: "y", count: 1 << 20))
        #expect(try log.read(budget: budget) == ["before"])
        try log.folder.append("log", String(repeating: "z", count: 1 << 20) + "\nafter\n")
        #expect(try log.read(budget: budget) == ["after"])
        #expect(log.follower.skippedLines == 1)
    }

    @Test func aSmallBudgetComesToAnEndAlsoBehindAPartialLine() throws {
        let log = try Followed()
        try log.folder.append("log", "one\ntwo\n" + String(repeating: "p", count: 5000))
        #expect(try log.read(budget: 10) == ["one", "two"])
        #expect(try log.read(budget: 10) == [])
    }

    /// Whoever acts on lines takes as many as it has time for.
    @Test(arguments: [1, 3, 100]) func whoHasEnoughGoesOnWhereItStopped(_ count: Int) throws {
        let log = try Followed()
        try log.folder.append("log", (1...10).map { "line \($0)\n" }.joined() + String(repeating: "x", count: 70_000))
        var portions: [[String]] = []
        var hasMore = true
        while hasMore {
            var lines: [String] = []
            hasMore = try log.follower.read(
                isEnough: { lines.count == count }, line: { lines.append(String(decoding: $0, as: UTF8.self)) })
            portions.append(lines)
            try #require(portions.count < 100)
        }
        #expect(portions.flatMap(\.self) == (1...10).map { "line \($0)" })
        #expect(portions.allSatisfy { $0.count <= count } && log.follower.skippedLines == 1)
        try log.folder.append("log", "\nlast\n")
        #expect(try log.read() == ["last"])
    }

    @Test func zeroBytesHolesAndBadUTF8AreBytesLikeOthers() throws {
        let log = try Followed()
        try log.folder.append("log", [0, 0x61, 0, 0x0A, 0xFF, 0xFE, 0x0A])
        var lines: [[UInt8]] = []
        _ = try log.follower.read { lines.append(Array($0)) }
        #expect(lines == [[0, 0x61, 0], [0xFF, 0xFE]])
        // A hole of 16 MB is one long line.
        try log.folder.truncate("log", to: 16 << 20)
        #expect(try log.read() == [])
        try log.folder.append("log", "tail\nafter\n")
        #expect(try log.read() == ["after"])
        #expect(log.follower.skippedLines == 1)
    }
}

struct StartTests {
    @Test func fromTheEndOnlyWhatIsNewCountsAndAPartialLineBelongsToIt() throws {
        let folder = try TemporaryFolder()
        try folder.append("log", "old\nold\nhal")
        let log = try Followed(.end, in: folder)
        #expect(try log.read() == [])
        try folder.append("log", "f\nnew\n")
        #expect(try log.read() == ["half", "new"])
    }

    @Test func fromTheEndOfAVeryLongLineItsTailIsNoLine() throws {
        let folder = try TemporaryFolder()
        try folder.append("log", String(repeating: "x", count: 400_000))
        let log = try Followed(.end, in: folder)
        #expect(try log.read() == [])
        try folder.append("log", "tail\nnew\n")
        #expect(try log.read() == ["new"])
    }

    @Test func aFileThatIsMissingAtTheEndIsNewWhenItComes() throws {
        let log = try Followed(.end)
        #expect(try log.read() == [])
        try log.folder.append("log", "one\n")
        #expect(try log.read() == ["one"])
    }

    @Test func aRestartGoesOnWhereTheOtherOneWas() throws {
        let log = try Followed()
        try log.folder.append("log", "one\ntwo\npart")
        try log.read()
        try log.folder.append("log", "ial\nthree\n")
        #expect(try log.restarted().read() == ["partial", "three"])
        #expect(log.follower.checkpoint?.offset == 8)
    }

    @Test func aRestartInsideALongLineDoesNotTakeItsTailForALine() throws {
        let log = try Followed()
        try log.folder.append("log", "one\n" + String(repeating: "x", count: 600_000))
        try log.read()
        #expect(log.follower.checkpoint?.offset == 4)
        let next = try log.restarted()
        try log.folder.append("log", "tail\nafter\n")
        #expect(try next.read() == ["after"])
        #expect(next.follower.skippedLines == 1)
    }

    @Test func anotherFileUnderTheNameIsReadFromItsBeginning() throws {
        let log = try Followed()
        try log.folder.append("log", "one\ntwo\n")
        try log.read()
        try log.folder.rename("log", "log.1")
        try log.folder.append("log", "three\nfour\nfive\n")
        #expect(try log.restarted().read() == ["three", "four", "five"])
    }

    @Test func whatWasRotatedWhileNobodyFollowedIsReadToItsEndAndTheNewOneWhole() throws {
        let log = try Followed()
        try log.folder.append("log", "one\n")
        try log.read()
        try log.folder.append("log", "two\n")
        try log.folder.rename("log", "log.1")
        let new = (0..<60_000).map { "\($0)" }
        try log.folder.append("log", new.joined(separator: "\n") + "\n")
        let next = try log.restarted()
        #expect(try next.read() == ["two"] + new)
        try log.folder.append("log.1", "late\n")
        #expect(try next.read() == ["late"])
        // One that only has the number of the old file is another one.
        try log.folder.truncate("log.1")
        try log.folder.append("log.1", "other lines of a longer file\n")
        let window = try log.restarted().read()
        #expect(window.count > 1000 && window.count < new.count && window == Array(new.suffix(window.count)))
    }

    @Test func anotherFileUnderTheNameThatIsLargeIsReadFromABoundedWindow() throws {
        let log = try Followed()
        try log.folder.append("log", "one\n")
        try log.read()
        try Syscalls.unlink(log.folder.path.appending("log"))
        let lines = (0..<40_000).map { "line \($0)" }
        try log.folder.append("log", lines.joined(separator: "\n") + "\n")
        let read = try log.restarted().read()
        #expect(read.count > 1000 && read.count < lines.count)
        #expect(read == Array(lines.suffix(read.count)))
    }

    @Test(arguments: ["x\n", "1ne\ntwo\n", "other text\nthat is longer\n"])
    func theSameFileWithOtherTextIsNotTakenForWhatWasRead(_ text: String) throws {
        let log = try Followed()
        try log.folder.append("log", "one\ntwo\n")
        try log.read()
        let next = try log.restarted()
        try log.folder.truncate("log")
        try log.folder.append("log", text)
        #expect(try next.read() == text.split(separator: "\n").map(String.init))
    }

    @Test func aFileThatIsAwayForAMomentAfterARestartIsNotReadAgain() throws {
        let log = try Followed()
        try log.folder.append("log", "one\ntwo\n")
        try log.read()
        let next = try log.restarted()
        try log.folder.rename("log", "log.1")
        #expect(try next.read() == [])
        try log.folder.rename("log.1", "log")
        try log.folder.append("log", "three\n")
        #expect(try next.read() == ["three"])
    }
}

struct RotationTests {
    @Test func renamedAndMadeAnewTheOldLinesComeFirstAndLateOnesToo() throws {
        let log = try Followed()
        let writer = try Syscalls.open(
            log.folder.path.appending("log"), flags: O_WRONLY | O_CREAT | O_APPEND)
        try Syscalls.writeAll(writer.raw, Array("one\n".utf8))
        #expect(try log.read() == ["one"])
        try Syscalls.writeAll(writer.raw, Array("two\nthr".utf8))
        try log.folder.rename("log", "log.1")
        try log.folder.append("log", "new\n")
        #expect(try log.read() == ["two", "new"])
        // The writer does not know of the rotation yet.
        try Syscalls.writeAll(writer.raw, Array("ee\n".utf8))
        #expect(try log.read() == ["three"])
        try log.folder.append("log", "newer\n")
        #expect(try log.read() == ["newer"])
    }

    @Test func aFileThatWasQuietForLongIsStillReadForAWhileOnceItIsRotated() throws {
        let log = try Followed()
        try log.folder.append("log", "one\n")
        try log.read()
        log.pass(3600)
        try log.folder.rename("log", "log.1")
        try log.folder.append("log", "new\n")
        #expect(try log.read() == ["new"])
        #expect(log.follower.nextDeadline == .seconds(5))
        log.pass(1)
        try log.read()
        log.pass(3)
        try log.folder.append("log.1", "late\n")
        #expect(try log.read() == ["late"])
        #expect(log.follower.nextDeadline == .seconds(5))
        log.pass(4)
        #expect(log.follower.nextDeadline == .seconds(1))
        log.pass(2)
        try log.folder.append("log.1", "last\n")
        #expect(try log.read() == ["last"], "what was written until the deadline counts")
        log.pass(5)
        #expect(try log.read() == [])
        #expect(log.follower.nextDeadline == nil)
        try log.folder.append("log.1", "too late\n")
        #expect(try log.read() == [])
    }

    @Test func anOldFileThatEndsInsideALineIsGivenUpToo() throws {
        let log = try Followed()
        try log.folder.append("log", "one\npartial")
        try log.read()
        try log.folder.rename("log", "log.1")
        try log.folder.append("log", "new\n")
        for _ in 0..<4 {
            try log.read()
            log.pass(2)
        }
        try log.read()
        #expect(log.follower.nextDeadline == nil)
    }

    @Test func renamedOverTheOldFileIsReadToItsEnd() throws {
        let log = try Followed()
        try log.folder.append("log", "one\n")
        try log.read()
        try log.folder.append("log", "two\n")
        try log.folder.append("next", "three\n")
        try log.folder.rename("next", "log")
        #expect(try log.read() == ["two", "three"])
    }

    @Test func removedAndMadeAnewNothingIsLostOrRepeated() throws {
        let log = try Followed()
        try log.folder.append("log", "one\n")
        try log.read()
        try log.folder.append("log", "two\n")
        try Syscalls.unlink(log.folder.path.appending("log"))
        #expect(try log.read() == ["two"])
        // Whoever starts anew knows how far the one was read that had the name.
        #expect(log.follower.checkpoint?.offset == 8)
        try log.folder.append("log", "one\n")
        #expect(try log.read() == ["one"])
    }

    @Test(arguments: [false, true])
    func whoeverFollowsTheNewNameOfARotatedFileGoesOnWhereTheOtherOneStood(_ isRetired: Bool) throws {
        let log = try Followed()
        try log.folder.append("log", "one\n")
        try log.read()
        let file = try Syscalls.status(of: log.folder.path.appending("log")).identity
        #expect(log.follower.handOver(file) == nil, "it still goes by its name")
        try log.folder.append("log", "two\n")
        try log.folder.rename("log", "log.1")
        try log.folder.append("log", "new\n")
        if isRetired { #expect(try log.read() == ["two", "new"]) }
        let place = try #require(log.follower.handOver(file))
        let other = LogFollower(log.folder.path.appending("log.1"), from: .resume(place))
        try log.folder.append("log.1", "late\n")
        var lines: [String] = []
        while try other.read(line: { lines.append(String(decoding: $0, as: UTF8.self)) }) {}
        #expect(lines == (isRetired ? ["late"] : ["two", "late"]))
        #expect(try log.read() == (isRetired ? [] : ["new"]))
        #expect(log.follower.handOver(file) == nil)
    }

    @Test func renamedAwayAndBackNothingIsReadTwice() throws {
        let log = try Followed()
        try log.folder.append("log", "one\n")
        try log.read()
        try log.folder.rename("log", "log.1")
        #expect(try log.read() == [])
        try log.folder.rename("log.1", "log")
        try log.folder.append("log", "two\n")
        #expect(try log.read() == ["two"])
        // And with another one in between.
        try log.folder.rename("log", "log.1")
        try log.folder.append("log", "between\n")
        #expect(try log.read() == ["between"])
        try log.folder.rename("log.1", "log")
        try log.folder.append("log", "three\n")
        #expect(try log.read() == ["three"])
    }

    @Test func copiedAndTruncatedItBeginsAnew() throws {
        let log = try Followed()
        try log.folder.append("log", "one\ntwo\nthree\n")
        try log.read()
        try log.folder.truncate("log")
        #expect(try log.read() == [])
        try log.folder.append("log", "four\n")
        #expect(try log.read() == ["four"])
    }

    /// Shorter than before, exactly as long, longer.
    @Test(arguments: ["1\n", "uno\ndue\ntre\n", "a first line\na second line\na third line\n"])
    func truncatedAndRegrownBetweenTwoReadsTheNewLinesAreRead(_ text: String) throws {
        let log = try Followed()
        try log.folder.append("log", "one\ntwo\nsix\n")
        try log.read()
        try log.folder.truncate("log")
        try log.folder.append("log", text)
        #expect(try log.read() == text.split(separator: "\n").map(String.init))
    }

    @Test func truncatedInsideALongLineTheNextLineCounts() throws {
        let log = try Followed()
        try log.folder.append("log", String(repeating: "x", count: 100_000))
        try log.read()
        try log.folder.truncate("log")
        try log.folder.append("log", "first\n" + String(repeating: "y\n", count: 60_000))
        #expect(try log.read().first == "first")
    }

    @Test func aWriterWithoutAppendLeavesAHoleAfterTruncationAndItsLinesAreStillRead() throws {
        let log = try Followed()
        let writer = try Syscalls.open(log.folder.path.appending("log"), flags: O_WRONLY | O_CREAT)
        try Syscalls.writeAll(writer.raw, Array("one\n".utf8))
        try log.read()
        try log.folder.truncate("log")
        // It goes on at its own offset; before it are zeros now.
        try Syscalls.writeAll(writer.raw, Array("two\nthree\n".utf8))
        #expect(try log.read() == ["\0\0\0\0two", "three"])
    }
}

struct OddFileTests {
    @Test(arguments: ["fifo", "folder", "socket link"])
    func whatIsNoFileIsRefusedWithoutAWaitAndTheOldFileIsStillRead(_ kind: String) throws {
        let log = try Followed()
        try log.folder.append("log", "one\n")
        try log.read()
        try log.folder.append("log", "two\n")
        try log.folder.rename("log", "log.1")
        let path = log.folder.path.appending("log")
        switch kind {
        case "fifo": #expect(mkfifo(path.string, 0o600) == 0)
        case "folder": try Syscalls.makeDirectory(path)
        default: try Syscalls.link(path, to: "/dev/null")
        }
        #expect(throws: FileReadError.notRegular) { try log.read() }
        #expect(log.lines == ["one", "two"])
        try log.folder.append("log.1", "late\n")
        #expect(throws: FileReadError.notRegular) { try log.read() }
        removeTree(path)
        try log.folder.append("log", "new\n")
        #expect(try log.read() == ["new"])
        #expect(log.lines == ["one", "two", "late", "new"])
    }

    @Test func aLinkIsFollowedToWhereverItLeadsNow() throws {
        let log = try Followed()
        try log.folder.append("a", "one\n")
        try log.folder.append("b", "two\n")
        let path = log.folder.path.appending("log")
        try Syscalls.link(path, to: "a")
        #expect(try log.read() == ["one"])
        try Syscalls.link(log.folder.path.appending("next"), to: "b")
        try log.folder.rename("next", "log")
        try log.folder.append("a", "late\n")
        #expect(try log.read() == ["late", "two"])
    }

    #if DEBUG
        @Test func whatCannotBeReadNowIsReadLater() throws {
            let log = try Followed()
            try log.folder.append("log", "one\n")
            #expect(throws: FileReadError.system(SystemError(call: "pread", errno: .ioError))) {
                try Faults.$plan.withValue({ call, _ in call == "pread" ? .ioError : nil }) { try log.read() }
            }
            #expect(try log.read() == ["one"])
            try log.folder.append("log", "two\n")
            #expect(throws: FileReadError.self) {
                try Faults.$plan.withValue({ call, _ in call == "stat" ? .permissionDenied : nil }) { try log.read() }
            }
            #expect(log.lines == ["one", "two"], "what is open is read whatever happens to the name")
        }
    #endif
}
