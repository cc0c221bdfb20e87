// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import Testing

@testable import townsim

/// Lines of logs, from the file to the key.
@Suite(.serialized) struct LogTests {
    private static let rules = """
        [[watch.logs]]
        files = "logs/custom-*.log"
        match = 'quota (exceeded|used up)'
        cause = "quota"
        [[watch.logs]]
        files = "ours/*/out"
        match = '^429 '
        cause = "throttled"
        """

    private func append(_ town: MiniatureTown, _ name: String, _ text: String) throws {
        let path = "\(town.root)/\(name)"
        try Disk.makeDirectories(directoryName(path))
        try Disk.append(path, text)
    }

    @Test func aMatchingLineCoolsTheActiveKeyAndItsAgentsMove() throws {
        try withTown(keys: 3, sections: Self.rules) { town in
            try town.install()
            try append(town, "logs/custom-old.log", "quota exceeded long ago\n")
            try town.startDaemon()
            let events = try town.events()
            let first = try #require(try events.next("key.activated")["id"]?.string)
            _ = try town.startCrew("ada")
            try append(town, "logs/custom-old.log", "more\nthe quota is used: quota used up\nquota exceeded\n")
            let sighting = try events.next("sighting")
            #expect(sighting["id"]?.string == first && sighting["session"]?.isNull == true)
            #expect(sighting["by"]?.string == "log" && sighting["cause"]?.string == "quota")
            #expect(sighting["acted"]?.bool == true && sighting["why"]?.string == "acted")
            #expect(sighting["text"]?.string == "the quota is used: quota used up")
            #expect(try events.next("key.cooled")["id"]?.string == first)
            let second = try #require(try events.next("key.activated")["id"]?.string)
            #expect(second != first)
            // A quota is everybody's who has the key. What was written along with it is about the same key.
            let other = try events.next("sighting")
            #expect(other["why"]?.string == "old" && other["text"]?.string == "quota exceeded")
            try events.next("agent.reload.finished")
            // A file that appears, below a folder that appears.
            try append(town, "ours/deep/out", "nothing\n429 too many\n")
            let third = try events.next("sighting")
            #expect(third["id"]?.string == second && third["cause"]?.string == "throttled")
            #expect(third["acted"]?.bool == true)
            #expect(try events.seen("sighting").count == 3)
        }
    }

    /// Whatever stands in the logs that gt writes itself: agents talk about limits all day.
    @Test func whatAgentsSayToEachOtherCostsNoKey() throws {
        try withTown(keys: 2, sections: Self.rules) { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            try events.next("key.activated")
            let said =
                "API Error: 403 You've reached your 5-hour usage limit. quota exceeded, 429, rate limit reached\n"
            for name in ["logs/town.log", "daemon/daemon.log", "daemon.log", ".events.jsonl", "logs/other.log"] {
                try append(town, name, "2026-11-26 10:00:00 [nudge] mayor " + said)
                try append(town, name, said)
            }
            // Out of the town, also through a link.
            try Disk.makeDirectories(town.directory + "/elsewhere")
            try Disk.append(town.directory + "/elsewhere/x", "quota exceeded\n")
            try town.demand("ln", "-s", town.directory + "/elsewhere/x", town.root + "/logs/custom-link.log")
            try town.demand("ln", "-s", town.directory + "/elsewhere", town.root + "/ours")
            // What comes last is acted on; all before it was looked at.
            try append(town, "logs/custom-1.log", "quota exceeded\n")
            try events.next("sighting") { $0["acted"]?.bool == true }
            let others = try events.seen("sighting").filter { $0["acted"]?.bool == false }
            #expect(others.allSatisfy { $0["why"]?.string == "nobody" && $0["id"]?.isNull == true })
            // A line that a client printed itself is told, and is nobody's.
            #expect(others.count == 3)
            try events.next("key.activated")
            #expect(try events.seen("key.cooled").count == 1)
            #expect(try town.status()?["watch"]?["polled"]?.array?.isEmpty == true)
        }
    }

    /// gt's pruner writes the file anew each hour, with old lines in it.
    @Test func aDeathIsToldOnceAlsoWhenItsLineIsReplayed() throws {
        try withTown(keys: 1) { town in
            try town.install()
            func death(_ number: Int) -> String {
                #"{"ts":"2026-11-26T10:00:0\#(number)Z","source":"gt","type":"mass_death","actor":"daemon","#
                    + #""payload":{"count":3},"visibility":"feed"}"# + "\n"
            }
            try append(town, ".events.jsonl", death(1))
            try town.startDaemon()
            let events = try town.events()
            try append(town, ".events.jsonl", death(2))
            try events.next("town.mass_death")
            try Disk.replace(town.root + "/.events.jsonl", Array((death(2) + death(3)).utf8))
            try events.next("town.mass_death")
            try append(town, ".events.jsonl", death(4))
            try events.next("town.mass_death")
            #expect(try events.seen("town.mass_death").count == 3)
        }
    }

    @Test func aLineIsActedOnOnceAlsoOverAKill() throws {
        try withTown(keys: 3, sections: Self.rules) { town in
            try town.install()
            try town.startDaemon()
            var events = try town.events()
            try append(town, "logs/custom-1.log", "quota exceeded\n")
            try events.next("sighting") { $0["acted"]?.bool == true }
            try eventually("the offset on disk") {
                try Disk.text(town.state + "/offsets.json")?.contains("custom-1.log") == true
            }
            try town.endDaemon(SIGKILL)
            // Written while nobody looks: whose it is nobody knows.
            try append(town, "logs/custom-1.log", "quota exceeded again\n")
            try town.startDaemon()
            events = try town.events()
            let sighting = try events.next("sighting") { $0["text"]?.string == "quota exceeded again" }
            #expect(sighting["why"]?.string == "old")
            try append(town, "logs/custom-1.log", "quota used up\n")
            try events.next("sighting") { $0["acted"]?.bool == true && $0["text"]?.string == "quota used up" }
            #expect(try events.seen("key.cooled").count == 1)
        }
    }

    /// The old file's new name matches too: its lines are no news.
    @Test func aRotatedLogIsNotReadAgainUnderItsNewName() throws {
        try withTown(keys: 3, sections: Self.rules) { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            try append(town, "logs/custom-a.log", "quota exceeded: first\n")
            try events.next("sighting")
            #expect(rename("\(town.root)/logs/custom-a.log", "\(town.root)/logs/custom-a.1.log") == 0)
            try append(town, "logs/custom-a.log", "quota exceeded: second\n")
            try events.next("sighting") { $0["text"]?.string == "quota exceeded: second" }
            try append(town, "logs/custom-a.1.log", "quota exceeded: late\n")
            try events.next("sighting") { $0["text"]?.string == "quota exceeded: late" }
            try append(town, "logs/custom-a.log", "quota exceeded: last\n")
            try events.next("sighting") { $0["text"]?.string == "quota exceeded: last" }
            #expect(
                try events.seen("sighting").compactMap { $0["text"]?.string }.sorted()
                    == ["first", "last", "late", "second"].map { "quota exceeded: \($0)" })
        }
    }

    /// What was written long before it came is no news, whatever name it has now.
    @Test func anOldFileThatIsMovedHereIsNoNews() throws {
        try withTown(keys: 3, sections: Self.rules) { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            let old = town.directory + "/old"
            try Disk.replace(old, Array("quota exceeded last week\n".utf8))
            try town.demand("touch", "-d", "7 days ago", old)
            try town.demand("mv", old, town.root + "/logs/custom-old.log")
            let sighting = try events.next("sighting") { $0["text"]?.string == "quota exceeded last week" }
            #expect(sighting["acted"]?.bool == false)
            try append(town, "logs/custom-old.log", "quota exceeded\n")
            try events.next("sighting") { $0["acted"]?.bool == true && $0["text"]?.string == "quota exceeded" }
        }
    }

    /// One write of three such lines: they were there before the first key was left.
    @Test func linesOfOneMomentConcernOneKeyHoweverLongTheyAreRead() throws {
        try withTown(keys: 3, sections: Self.rules) { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            let filler = String(repeating: "a line that says nothing at all\n", count: 22_000)
            // Whole in one moment: a write that is seen half-way was not there yet.
            let lines = (1...3).map { "quota exceeded \($0)\n" + filler }.joined()
            try Disk.replace(town.root + "/logs/custom-a.log", Array(lines.utf8))
            for number in 1...3 { try events.next("sighting") { $0["text"]?.string == "quota exceeded \(number)" } }
            #expect(try events.seen("key.cooled").count == 1)
        }
    }

    @Test(.enabled(if: getuid() == 0)) func aLogThatMayNotBeReadIsSaidOnceUntilItMay() throws {
        try withTown(keys: 1, sections: Self.rules) { town in
            try town.install()
            try town.becomeNobodys()
            try town.startDaemon()
            let path = town.root + "/logs/custom-closed.log"
            try Disk.replace(path, Array("nothing\n".utf8))
            try eventually("the trouble") {
                try town.status()?["detail"]?.string == "\(path) cannot be read: Permission denied"
            }
            for _ in 1...20 { try append(town, "logs/custom-closed.log", "nothing\n") }
            try town.demand("chown", "65534", path)
            try eventually("no trouble") { try town.status()?["state"]?.string == "ready" }
            let log = try town.wholeLog()
            #expect(log.split(separator: "\n").count { $0.contains("a log cannot be read") } == 1, "\(log)")
            try append(town, "logs/custom-closed.log", "quota exceeded\n")
            try town.events().next("sighting") { $0["text"]?.string == "quota exceeded" && $0["acted"] == true }
        }
    }

    @Test func ofMoreFilesThanAreHeldOpenNoOldLineIsNews() throws {
        try withTown(keys: 3, sections: Self.rules) { town in
            try town.install()
            for number in 0..<1100 {
                try Disk.replace("\(town.root)/logs/custom-\(number).log", Array("quota exceeded \(number)\n".utf8))
            }
            try town.startDaemon()
            let events = try town.events()
            for number in [0, 1, 1098, 1099] { try append(town, "logs/custom-\(number).log", "nothing\n") }
            try append(town, "logs/custom-2.log", "quota exceeded now\n")
            try events.next("sighting") { $0["text"]?.string == "quota exceeded now" }
            #expect(try events.seen("sighting").count == 1)
        }
    }

    @Test func aPatternThatTakesTooLongIsSwitchedOffAndSaid() throws {
        let rules = """
            [[watch.logs]]
            files = "logs/custom-*.log"
            match = '(a+)+$'
            cause = "quota"
            """
        try withTown(keys: 2, sections: rules) { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            try events.next("key.activated")
            let line = String(repeating: "a", count: 5000) + "!\n"
            try append(town, "logs/custom-1.log", line + line + line)
            let told = try events.next("watch.degraded")
            #expect(told["detail"]?.string?.contains("watch.logs[1] is switched off") == true)
            #expect(try town.status()?["state"]?.string == "degraded")
            // Another configuration begins anew.
            try town.configure(sections: Self.rules)
            try events.next("config.applied")
            #expect(try town.status()?["state"]?.string == "ready")
            try append(town, "logs/custom-1.log", "quota exceeded\n")
            try events.next("sighting") { $0["acted"]?.bool == true }
        }
    }

    @Test func anInvalidPatternIsRefusedWithItsPlace() throws {
        try withTown(
            keys: 1, sections: "[[watch.logs]]\nfiles = 'a'\nmatch = 'quota ('\ncause = 'quota'"
        ) { town in
            let result = try town.gasclawd("check")
            #expect(result.status == .exited(78))
            #expect(text(result.errors).contains(":16:9: watch.logs: \"quota (\" is no pattern"))
        }
    }
}
