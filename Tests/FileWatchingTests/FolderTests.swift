// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import FileWatching

struct FolderTests {
    @Test func filesInFoldersThatWereJustMadeAreNotMissed() throws {
        let watched = try Watched()
        try watched.folder.makeDirectory("accounts")
        _ = watched.watchAccounts()
        var reported: Set<String> = []
        for number in 0..<200 {
            try watched.folder.makeDirectory("accounts/\(number)")
            try watched.folder.write("accounts/\(number)/config.toml", "x")
            // Now and then the loop gets its turn in between.
            if number % 7 == 0 { try watched.settle() }
        }
        try watched.settle()
        reported.formUnion(watched.takeReports())
        #expect(reported == Set((0..<200).map { "accounts/\($0)/config.toml" }))
        for number in [0, 57, 199] {
            let name = "accounts/\(number)/config.toml"
            try watched.expect([name]) { try watched.folder.append(name, "more") }
        }
    }

    @Test func foldersFilledByAnotherThreadMeanwhileAreNotMissed() throws {
        let watched = try Watched()
        try watched.folder.makeDirectory("accounts")
        _ = watched.watchAccounts()
        let base = watched.folder.path.appending("accounts")
        let thread = try Thread {
            do {
                for number in 0..<200 {
                    let folder = base.appending("\(number)")
                    try Syscalls.makeDirectory(folder)
                    _ = try Syscalls.open(folder.appending("config.toml"), flags: O_WRONLY | O_CREAT)
                }
            } catch {
                Issue.record("\(error)")
            }
        }
        var reported: Set<String> = []
        let isComplete = try watched.loop.run {
            reported.formUnion(watched.takeReports().filter { !$0.hasPrefix("-") })
            return reported.count == 200
        }
        #expect(isComplete)
        thread.join()
        #expect(watched.watcher.polled.isEmpty)
    }

    @Test func aBaseManyLevelsBelowWhatExistsIsPickedUpHoweverItComes() throws {
        let watched = try Watched()
        let folder = watched.folder
        #expect(watched.watchAccounts("a/b/c/d") == [])
        #expect(watched.watcher.polled.isEmpty, "what is missing is watched for, not polled")
        try watched.expect(["a/b/c/d/1/config.toml"]) {
            try folder.makeDirectory("a/b/c/d/1")
            try folder.write("a/b/c/d/1/config.toml", "")
        }
        // One level at a time.
        try watched.expect(["-a/b/c/d/1/config.toml"]) { folder.remove("a") }
        for name in ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/1"] {
            try watched.expect([]) { try folder.makeDirectory(name) }
        }
        try watched.expect(["a/b/c/d/1/config.toml"]) { try folder.write("a/b/c/d/1/config.toml", "") }
        // Moved in as a whole.
        try watched.expect(["-a/b/c/d/1/config.toml"]) { try folder.rename("a/b", "away") }
        try watched.expect([]) { try folder.append("away/c/d/1/config.toml", "x") }
        try watched.expect(["a/b/c/d/1/config.toml"]) { try folder.rename("away", "a/b") }
        try watched.expect(["a/b/c/d/1/config.toml"]) { try folder.append("a/b/c/d/1/config.toml", "x") }
    }

    @Test(arguments: [false, true])
    func aBaseThatIsDeletedAndMadeAgainIsTheSameToUs(_ isSeenInBetween: Bool) throws {
        let watched = try Watched()
        let folder = watched.folder
        try folder.makeDirectory("accounts/1")
        try folder.write("accounts/1/config.toml", "")
        _ = watched.watchAccounts()
        for number in 0..<20 {
            let reports = try watched.reports {
                folder.remove("accounts")
                if isSeenInBetween { try watched.settle() }
                try folder.makeDirectory("accounts/1")
                try folder.write("accounts/1/config.toml", "\(number)")
            }
            #expect(reports.contains("accounts/1/config.toml"), "\(number)")
        }
        try watched.expect(["accounts/1/config.toml"]) { try folder.append("accounts/1/config.toml", "x") }
    }

    @Test func aBaseThatIsReplacedByAnotherIsThatOneFromThenOn() throws {
        let watched = try Watched()
        let folder = watched.folder
        try folder.makeDirectory("accounts/1")
        try folder.write("accounts/1/config.toml", "")
        try folder.makeDirectory("other/2")
        try folder.write("other/2/config.toml", "")
        _ = watched.watchAccounts()
        try watched.expect(["-accounts/1/config.toml", "accounts/2/config.toml"]) {
            try folder.rename("accounts", "old")
            try folder.rename("other", "accounts")
        }
        try watched.expect([]) {
            try folder.append("old/1/config.toml", "x")
            try folder.makeDirectory("old/3")
            try folder.write("old/3/config.toml", "x")
        }
        try watched.expect(["accounts/2/config.toml"]) { try folder.append("accounts/2/config.toml", "x") }
        // Both at once, many times.
        for number in 0..<51 {
            try Syscalls.exchange(folder.path.appending("accounts"), folder.path.appending("old"))
            if number % 5 == 0 { try watched.settle() }
        }
        try watched.settle()
        _ = watched.takeReports()
        try watched.expect(["accounts/1/config.toml"]) { try folder.append("accounts/1/config.toml", "x") }
        try watched.expect([]) { try folder.append("old/2/config.toml", "x") }
    }

    @Test func anAccountThatIsRenamedIsGoneHereAndThere() throws {
        let watched = try Watched()
        let folder = watched.folder
        try folder.makeDirectory("accounts/1")
        try folder.write("accounts/1/config.toml", "")
        _ = watched.watchAccounts()
        try watched.expect(["-accounts/1/config.toml", "accounts/2/config.toml"]) {
            try folder.rename("accounts/1", "accounts/2")
        }
        try watched.expect(["accounts/2/config.toml"]) { try folder.append("accounts/2/config.toml", "x") }
        try watched.expect(["-accounts/2/config.toml"]) { try folder.rename("accounts/2", "accounts/.2") }
        try watched.expect([]) { try folder.append("accounts/.2/config.toml", "x") }
    }

    @Test func theCostGrowsWithWhatMattersAndNotWithTheTree() throws {
        let watched = try Watched()
        for number in 0..<200 { try watched.folder.makeDirectory("accounts/1/tree/\(number)/deeper") }
        try watched.folder.write("accounts/1/config.toml", "")
        _ = watched.watchAccounts()
        // /tmp, our folder, accounts, accounts/1.
        #expect(watched.watcher.statistics.directories == 4)
        let events = watched.watcher.statistics.events
        _ = try watched.reports {
            for number in 0..<200 { try watched.folder.write("accounts/1/tree/\(number)/f", "") }
        }
        #expect(watched.watcher.statistics.events < events + 20)
    }
}
