// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import FileWatching

struct SaveTests {
    @Test func theFilesThatAreThereAreReturnedAndNotReported() throws {
        let watched = try Watched()
        try watched.folder.makeDirectory("accounts/1")
        try watched.folder.makeDirectory("accounts/2")
        try watched.folder.makeDirectory("accounts/.hidden")
        try watched.folder.write("accounts/1/config.toml", "")
        try watched.folder.write("accounts/1/other.toml", "")
        try watched.folder.write("accounts/.hidden/config.toml", "")
        #expect(watched.watchAccounts() == ["accounts/1/config.toml"])
        try watched.expect([]) {}
        #expect(watched.watcher.statistics.files >= 1)
    }

    /// What editors do to save.
    @Test(arguments: ["in place", "append", "rename", "vim", "emacs", "delete and create", "hard link back"])
    func aSaveIsReportedHoweverItIsMadeFiftyTimesOver(_ way: String) throws {
        let watched = try Watched()
        let folder = watched.folder
        try folder.write("config.toml", "0")
        #expect(watched.watchFile("config.toml") == ["config.toml"])
        for number in 1...50 {
            let text = "text \(number)"
            let reports = try watched.reports {
                switch way {
                case "in place": try folder.write("config.toml", text)
                case "append": try folder.append("config.toml", text)
                case "rename":
                    try folder.write("config.toml.tmp", text)
                    try folder.rename("config.toml.tmp", "config.toml")
                case "vim":
                    try folder.rename("config.toml", "config.toml~")
                    try folder.write("config.toml", text)
                    folder.remove("config.toml~")
                case "emacs":
                    try folder.write("#config.toml#", text)
                    try folder.rename("config.toml", "config.toml~")
                    try folder.rename("#config.toml#", "config.toml")
                case "delete and create":
                    folder.remove("config.toml")
                    try folder.write("config.toml", text)
                default:
                    folder.remove("config.toml")
                    try folder.write("new", text)
                    try folder.hardLink("config.toml", to: "new")
                    folder.remove("new")
                }
            }
            #expect(reports.contains("config.toml"), "\(number)")
        }
        #expect(watched.watcher.statistics.overflows == 0)
    }

    @Test func aFileThatGoesIsReportedAsGone() throws {
        let watched = try Watched()
        try watched.folder.write("config.toml", "")
        _ = watched.watchFile("config.toml")
        try watched.expect(["-config.toml"]) { watched.folder.remove("config.toml") }
        try watched.expect(["config.toml"]) { try watched.folder.write("config.toml", "") }
        try watched.expect(["-config.toml"]) { try watched.folder.rename("config.toml", "away") }
    }

    @Test func otherFilesAndModesOfTheFolderAreNoReports() throws {
        let watched = try Watched()
        try watched.folder.makeDirectory("d")
        _ = watched.watcher.add(WatchSpec(id: "all", base: watched.folder.path.appending("d"), pattern: [.visible]))
        let reports = try watched.reports {
            try watched.folder.write("other", "")
            try watched.folder.write("d/.hidden", "")
            try watched.folder.setMode("d", 0o700)
        }
        #expect(reports == [])
        try watched.expect(["d/x"]) { try watched.folder.write("d/x", "") }
    }

    @Test func aChangeOfModeIsReportedForItMayMakeAFileReadable() throws {
        let watched = try Watched()
        try watched.folder.write("config.toml", "")
        _ = watched.watchFile("config.toml")
        try watched.expect(["config.toml"]) { try watched.folder.setMode("config.toml", 0o644) }
    }

    @Test func aConfigurationCountsWhenItIsWholeAndALogWithEachWrite() throws {
        let watched = try Watched()
        let folder = watched.folder.path
        try watched.folder.makeDirectory("d")
        _ = watched.watcher.add(WatchSpec(id: "c", base: folder.appending("d"), pattern: [.name("a.log")]))
        _ = watched.watcher.add(
            WatchSpec(id: "l", base: folder.appending("d"), pattern: [.affix("", ".log")], use: .log))
        let file = try Syscalls.open(folder.appending("d/a.log"), flags: O_WRONLY | O_CREAT)
        try watched.settle()
        _ = watched.takeReports()
        try Syscalls.writeAll(file.raw, [1])
        try watched.settle()
        #expect(watched.takeReports(of: "l") == ["d/a.log"])
        try Syscalls.writeAll(file.raw, [2])
        try watched.settle()
        #expect(watched.takeReports(of: "c") == [])
        _ = consume file
        try watched.settle()
        #expect(watched.takeReports(of: "c") == ["d/a.log"])
    }

    @Test func aFileThatComesAndGoesManyTimesAtOnceIsReportedOnceAsItIs() throws {
        let watched = try Watched()
        try watched.folder.write("config.toml", "")
        _ = watched.watchFile("config.toml")
        let reports = try watched.reports {
            for _ in 0..<20 {
                try watched.folder.write("config.toml", "x")
                watched.folder.remove("config.toml")
            }
        }
        #expect(reports == ["-config.toml"])
    }
}

struct AuditTests {
    @Test func aWriteThroughAnotherHardLinkIsFound() throws {
        let watched = try Watched()
        try watched.folder.write("config.toml", "one")
        try watched.folder.makeDirectory("elsewhere")
        try watched.folder.hardLink("elsewhere/name", to: "config.toml")
        _ = watched.watchFile("config.toml")
        try watched.expect([]) { try watched.folder.append("elsewhere/name", "more") }
        try watched.expect(["config.toml"]) { watched.watcher.audit() }
        try watched.expect([]) { watched.watcher.audit() }
    }

    @Test func whatAnEventToldOfIsNoNewsToTheAudit() throws {
        let watched = try Watched()
        try watched.folder.write("config.toml", "one")
        try watched.folder.link("link.toml", to: "config.toml")
        _ = watched.watchFile("config.toml")
        _ = watched.watchFile("link.toml", id: "l")
        try watched.expect(["config.toml", "link.toml"]) { try watched.folder.append("config.toml", "x") }
        try watched.expect([]) { watched.watcher.audit() }
    }

    @Test func rereadingEverythingNamesEveryFile() throws {
        let watched = try Watched()
        for name in ["a", "b"] {
            try watched.folder.makeDirectory("accounts/\(name)")
            try watched.folder.write("accounts/\(name)/config.toml", "")
        }
        _ = watched.watchAccounts()
        try watched.expect(["accounts/a/config.toml", "accounts/b/config.toml"]) { watched.watcher.rereadEverything() }
    }
}

struct SpecTests {
    @Test func aSpecThatIsGivenUpReportsNothingAndLeavesTheOthersTheirWatches() throws {
        let watched = try Watched()
        try watched.folder.write("config.toml", "")
        _ = watched.watchFile("config.toml", id: "one")
        _ = watched.watchFile("config.toml", id: "two")
        watched.watcher.remove("one")
        try watched.settle()
        try watched.folder.write("config.toml", "x")
        try watched.settle()
        #expect(watched.takeReports(of: "one") == [])
        try watched.folder.write("config.toml", "y")
        try watched.settle()
        #expect(watched.takeReports(of: "two").contains("config.toml"))
        watched.watcher.remove("two")
        watched.watcher.remove("canary")
        watched.watcher.remove("never there")
        #expect(watched.watcher.statistics.directories == 0)
        #expect(watched.watcher.statistics.files == 0)
    }

    @Test func anotherSpecOfTheSameIdTakesItsPlace() throws {
        let watched = try Watched()
        try watched.folder.write("a", "")
        try watched.folder.write("b", "")
        #expect(watched.watchFile("a") == ["a"])
        #expect(watched.watchFile("b") == ["b"])
        let reports = try watched.reports {
            try watched.folder.write("a", "x")
            try watched.folder.write("b", "x")
        }
        #expect(reports == ["b"])
    }

    @Test func patternsMatchBytes() {
        #expect(NamePattern.name("a").matches([0x61]))
        #expect(!NamePattern.name("a").matches([0x61, 0x61]))
        #expect(NamePattern.name([0xFF]).matches([0xFF]))
        #expect(NamePattern.visible.matches([0xFF, 0x0A]))
        #expect(!NamePattern.visible.matches(Array("..data".utf8)))
        #expect(NamePattern.affix("a-", ".log").matches(Array("a-x.log".utf8)))
        #expect(!NamePattern.affix("a-", "-a").matches(Array("a-a".utf8)))
        #expect(!NamePattern.affix("", ".log").matches(Array(".log".utf8)))
        #expect(!NamePattern.affix("", ".log").matches(Array(".x.log".utf8)))
        #expect(!NamePattern.affix("", ".log").matches(Array("x.log~".utf8)))
    }
}

struct GlobTests {
    @Test(arguments: [
        ("custom-*.log", "custom-1.log", true), ("custom-*.log", "custom-.log", true),
        ("custom-*.log", "custom.log", false),
        ("*", "x", true), ("*", ".x", false), (".*", ".x", true), ("?", "x", true), ("?", "", false),
        ("a?c", "abc", true),
        ("[abc]x", "bx", true), ("[!abc]x", "bx", false), ("[^abc]x", "dx", true), ("[a-c]", "b", true),
        ("[]a]", "]", true),
        ("[a", "[a", true), ("[-a]", "-", true), ("\\*", "*", true), ("\\*", "x", false), ("a*b*c", "a1b2b3c", true),
        ("a*b*c", "a1b2b3", false), ("**", "x", true), ("", "", true), ("*.log", "x.log~", false), ("a", "a", true),
        ("*a*a*a*a*b", String(repeating: "a", count: 200), false),
    ])
    func aGlobMatchesByteByByte(_ glob: String, _ name: String, _ isMatched: Bool) {
        #expect(NamePattern.glob(glob.utf8).matches(Array(name.utf8)) == isMatched)
    }

    @Test func aGlobWithoutSpecialsIsALiteral() {
        #expect(NamePattern.glob("a\\*b".utf8) == .name("a*b"))
        #expect(NamePattern.glob([0xFF, 0x2A]).matches([0xFF, 0xFE]))
    }
}

struct ConfinementTests {
    @Test func aConfinedSpecNeverLeavesItsBase() throws {
        let watched = try Watched()
        let folder = watched.folder
        for name in ["town/logs", "town/real", "elsewhere/deep"] { try folder.makeDirectory(name) }
        try folder.write("elsewhere/out.log", "")
        try folder.write("elsewhere/deep/out.log", "")
        try folder.write("town/logs/in.log", "")
        try folder.write("town/real/x", "")
        try folder.link("town/logs/link.log", to: "../real/x")
        try folder.link("town/logs/out.log", to: "../../elsewhere/out.log")
        try folder.link("town/logs/absolute.log", to: folder.path.appending("elsewhere/out.log").string)
        try folder.link("town/out", to: folder.path.appending("elsewhere").string)
        try folder.link("town/up", to: "../elsewhere/deep")
        let spec = WatchSpec(
            id: "l", base: folder.path.appending("town"), pattern: [.glob("*".utf8), .glob("*.log".utf8)], use: .log,
            isConfined: true)
        #expect(watched.names(watched.watcher.add(spec)) == ["town/logs/in.log", "town/logs/link.log"])
        let elsewhere = try Syscalls.realPath(folder.path.appending("elsewhere"))
        #expect(!watched.watcher.plan.entries.contains { $0.path.isWithin(elsewhere) })
        try watched.expect([]) {
            try folder.append("elsewhere/out.log", "x")
            try folder.append("elsewhere/deep/out.log", "x")
        }
        // What leads outside later is gone, and comes back when it leads inside.
        try watched.expect(["-town/logs/link.log"]) {
            try folder.link("next", to: "../../elsewhere/out.log")
            try folder.rename("next", "town/logs/link.log")
        }
        try watched.expect(["town/logs/link.log"]) {
            try folder.link("next", to: "../real/x")
            try folder.rename("next", "town/logs/link.log")
        }
        try watched.expect(["town/logs/link.log"]) { try folder.append("town/real/x", "x") }
    }
}
