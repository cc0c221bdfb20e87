// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import LogFollowing

/// Files that are written anew and renamed over the old one, as gt's pruner does with `.events.jsonl`: old lines stand
/// in the new file, and none of them may be acted on twice.
struct ReplayTests {
    private final class Log {
        let folder: TemporaryFolder
        var follower: LogFollower
        init() throws {
            folder = try TemporaryFolder()
            follower = LogFollower(folder.path.appending("log"), from: .beginning)
        }

        func read() throws -> [String] {
            var lines: [String] = []
            while try follower.read(line: { lines.append(String(decoding: $0, as: UTF8.self)) }) {}
            return lines
        }

        func restart() throws {
            follower = LogFollower(
                folder.path.appending("log"), from: .resume(try #require(follower.checkpoint)))
        }

        /// Puts another text in place in one step.
        func replace(_ text: String) throws {
            try folder.write("new", text)
            try folder.rename("new", "log")
        }
    }

    @Test(arguments: [false, true])
    func linesThatAreReplayedAreNotGivenAgain(_ isRestarted: Bool) throws {
        let log = try Log()
        try log.folder.append("log", "1\n2\n3\n4\n")
        #expect(try log.read() == ["1", "2", "3", "4"])
        if isRestarted { try log.restart() }
        // 1 and 3 are pruned.
        try log.replace("2\n4\n")
        #expect(try log.read() == [])
        try log.folder.append("log", "5\n")
        #expect(try log.read() == ["5"])
    }

    @Test func whatWasAppendedToEitherFileMeanwhileIsGivenOnce() throws {
        let log = try Log()
        try log.folder.append("log", "1\n2\n")
        #expect(try log.read() == ["1", "2"])
        // The pruner read the file, then came 3, then the rename, then 4.
        try log.folder.append("log", "3\n")
        try log.replace("2\n4\n")
        #expect(try log.read() == ["3", "4"])
        // And where the new file already holds what was not read before.
        try log.folder.append("log", "5\n")
        try log.replace("4\n5\n6\n")
        #expect(try log.read() == ["5", "6"])
    }

    @Test func anotherFileThatIsRenamedOverIsReadWhole() throws {
        let log = try Log()
        try log.folder.append("log", "1\n2\n")
        #expect(try log.read() == ["1", "2"])
        try log.replace("8\n2\n9\n")
        #expect(try log.read() == ["8", "2", "9"], "it begins with a line that the old one had not")
        try log.replace("")
        #expect(try log.read() == [])
        try log.folder.append("log", "9\n")
        #expect(try log.read() == ["9"])
    }

    /// Who rotates keeps the old file: the same words in the new one are news.
    @Test func aNewLineBetweenRepeatedOnesIsNews() throws {
        let log = try Log()
        try log.folder.append("log", "started\nlistening\nall well\n")
        #expect(try log.read().count == 3)
        try log.replace("started\nlistening\nquota exceeded\nall well\n")
        #expect(try log.read() == ["quota exceeded", "all well"])
    }

    @Test func theRestOfARotatedFileIsReadAfterARestartToo() throws {
        let log = try Log()
        try log.folder.append("log", "1\n")
        #expect(try log.read() == ["1"])
        try log.folder.rename("log", "log.1")
        try log.folder.append("log", "3\n")
        #expect(try log.read() == ["3"])
        let saved = try #require(log.follower.checkpoint)
        #expect(saved.older.map(\.offset) == [2])
        // Its writer has it still open, while nobody follows and afterwards.
        try log.folder.append("log.1", "2\n")
        try log.restart()
        #expect(try log.read() == ["2"])
        try log.folder.append("log.1", "2b\n")
        try log.folder.append("log", "4\n")
        #expect(try log.read() == ["2b", "4"])
        // Not opened yet, it is known as it was given.
        try log.restart()
        let unread = log.follower.checkpoint
        try log.restart()
        #expect(log.follower.checkpoint == unread && unread?.older.count == 1)
    }

    @Test func whatStandsInABacklogWasThereWhenItWasSeenFirst() throws {
        let log = try Log()
        try log.folder.append("log", "0\n")
        #expect(try log.read() == ["0"])
        try log.folder.append("log", String(repeating: "old\n", count: 200_000))
        var seen: [String: Set<Int64>] = [:]
        func read(at time: Int64) throws -> Bool {
            try log.follower.read(budget: 1000, at: time) { line in
                seen[String(decoding: line, as: UTF8.self), default: []].insert(log.follower.arrival?.seen ?? -1)
            }
        }
        #expect(try read(at: 1))
        // What comes while it is read is younger.
        try log.folder.append("log", "half")
        #expect(try read(at: 2))
        try log.folder.append("log", " a line\nyoung\n")
        var time: Int64 = 3
        while try read(at: time) { time += 1 }
        #expect(time > 3)
        #expect(seen["old"] == [1])
        #expect(seen["half a line"]?.allSatisfy { $0 > 2 } == true && seen["half a line"] == seen["young"])
    }

    @Test func theSameWordsInARotatedFileAreNews() throws {
        let log = try Log()
        try log.folder.append("log", "quota exceeded\n")
        #expect(try log.read() == ["quota exceeded"])
        try log.folder.rename("log", "log.1")
        try log.folder.append("log", "quota exceeded\n")
        #expect(try log.read() == ["quota exceeded"])
    }

    @Test(arguments: [false, true])
    func aLargeFileThatIsPrunedIsNotReadFromItsBeginning(_ isRestarted: Bool) throws {
        let log = try Log()
        let lines = (0..<60_000).map { "event number \($0)" }
        try log.folder.append("log", lines.joined(separator: "\n") + "\n")
        #expect(try log.read().count == lines.count)
        if isRestarted { try log.restart() }
        try log.replace(lines.enumerated().filter { $0.offset % 3 != 0 }.map(\.element).joined(separator: "\n") + "\n")
        try log.folder.append("log", "new\n")
        #expect(try log.read() == ["new"])
    }

    /// All lines are of one length and end alike: the marker alone would take one file for the other.
    @Test func theSameInodeWithLinesOfTheSameShapeIsNotTakenForWhatWasRead() throws {
        let log = try Log()
        func line(_ number: Int) -> String {
            "\(number + 1000) " + String(repeating: "the same end of each line ", count: 4) + "\n"
        }
        try log.folder.append("log", (0..<10).map(line).joined())
        #expect(try log.read().count == 10)
        try log.restart()
        try log.folder.truncate("log")
        try log.folder.append("log", (10..<30).map(line).joined())
        #expect(try log.read().count == 20)
    }
}

struct CandidateTests {
    /// Whatever is looked for: who passes over lines gets the same ones, and is in the same place.
    @Test(arguments: [1, 7, 1000, 1 << 20])
    func linesWithoutTheWordAreNotGiven(_ budget: Int) throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("log")
        var text = ""
        for number in 0..<2000 { text += number % 97 == 0 ? "\(number) needle\n" : "\(number) hay\n\n" }
        try folder.append("log", text + "partial needle")
        let all = LogFollower(path, from: .beginning)
        let some = LogFollower(path, from: .beginning)
        let needle = Array("needle".utf8)
        var expected: [[UInt8]] = []
        while try all.read(line: { if $0.firstRange(of: needle) != nil { expected.append(Array($0)) } }) {}
        var found: [[UInt8]] = []
        func read() throws {
            while try some.read(
                budget: budget,
                candidates: { block in
                    { position in Array(block[position...]).firstRange(of: needle)?.lowerBound.advanced(by: position) }
                }, line: { found.append(Array($0)) })
            {}
        }
        try read()
        #expect(found == expected && found.count == 21)
        #expect(some.checkpoint == all.checkpoint)
        try folder.append("log", " end\nneedle\n")
        found = []
        try read()
        #expect(found == [Array("partial needle end".utf8), needle])
    }
}

struct BoundaryTests {
    @Test func aFileOutsideOfTheBoundaryIsNotReadWhereverLinksLead() throws {
        let folder = try TemporaryFolder()
        for name in ["town", "elsewhere"] { try Syscalls.makeDirectory(folder.path.appending(name)) }
        let town = try Syscalls.realPath(folder.path).appending("town")
        try folder.append("elsewhere/secret", "secret\n")
        try folder.append("town/real", "line\n")
        let path = town.appending("log")
        func read() throws -> [String] {
            let follower = LogFollower(path, from: .beginning, within: town)
            var lines: [String] = []
            _ = try follower.read { lines.append(String(decoding: $0, as: UTF8.self)) }
            return lines
        }
        try Syscalls.link(path, to: "../elsewhere/secret")
        #expect(throws: FileReadError.self) { try read() }
        try Syscalls.unlink(path)
        try Syscalls.link(path, to: "real")
        #expect(try read() == ["line"])
        // A name that merely begins like it.
        try Syscalls.makeDirectory(folder.path.appending("town-hall"))
        try folder.append("town-hall/x", "x\n")
        try Syscalls.unlink(path)
        try Syscalls.link(path, to: "../town-hall/x")
        #expect(throws: FileReadError.self) { try read() }
    }
}
