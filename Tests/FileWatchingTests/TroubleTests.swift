// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import Synchronization
import SystemPackage
import Testing

@testable import FileWatching

/// Whose rights this thread's file accesses have from now on; nothing changes for one who is not root.
/// (setfsuid(2), which Swift's module of the C library lacks.)
private func become(_ user: UInt32) throws {
    typealias Call = @convention(c) (UInt32) -> Int32
    let address = try #require(dlsym(nil, "setfsuid"))
    _ = unsafeBitCast(address, to: Call.self)(user)
}

struct OverflowTests {
    private func queueLength() throws -> Int {
        let bytes = try RegularFile.read("/proc/sys/fs/inotify/max_queued_events", limit: 100).bytes
        return try #require(Int(String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)))
    }

    /// Fills the kernel's queue while nobody reads it.
    private func overflow(_ watched: Watched) throws {
        let names = ["1", "2"].map { watched.folder.path.appending("accounts/\($0)/config.toml").string }
        let length = try queueLength()
        if length > 1 << 20 { try Test.cancel("a queue of \(length) events takes too long to fill") }
        for number in 0..<(length / 2 + 200) {
            // Two files in turn: equal events that follow each other would be merged.
            for name in names {
                let file = open(name, O_WRONLY)
                try #require(file >= 0)
                close(file)
            }
            if number % 1000 == 0 { try #require(watched.watcher.statistics.overflows < 10) }
        }
    }

    @Test func anOverflowLeadsToReadingEverythingAgainAndNothingIsMissed() throws {
        let watched = try Watched()
        let folder = watched.folder
        for name in ["1", "2", "quiet", "still", "going"] {
            try folder.makeDirectory("accounts/\(name)")
            try folder.write("accounts/\(name)/config.toml", "")
        }
        _ = watched.watchAccounts()
        try watched.settle()
        _ = watched.takeReports()
        try overflow(watched)
        // Of these no event is left.
        try folder.write("accounts/quiet/config.toml", "changed behind the overflow")
        try folder.makeDirectory("accounts/new")
        try folder.write("accounts/new/config.toml", "")
        folder.remove("accounts/going")
        try watched.settle()
        #expect(watched.watcher.statistics.overflows == 1)
        #expect(
            Set(watched.takeReports()) == [
                "accounts/1/config.toml", "accounts/2/config.toml", "accounts/quiet/config.toml",
                // Its status is the same, which need not mean that its text is.
                "accounts/still/config.toml",
                "accounts/new/config.toml", "-accounts/going/config.toml",
            ])
        try watched.expect(["accounts/new/config.toml"]) { try folder.append("accounts/new/config.toml", "x") }
        // Once more at once: later, but not never.
        try overflow(watched)
        try folder.makeDirectory("accounts/newer")
        try folder.write("accounts/newer/config.toml", "")
        try watched.loop.run { watched.watcher.statistics.overflows >= 2 }
        let began = EventLoop.now
        #expect(!watched.takeReports().contains("accounts/newer/config.toml"))
        let isFound = try watched.loop.run { watched.takeReports().contains("accounts/newer/config.toml") }
        #expect(isFound)
        // The pause is 100 ms; without it our own reading could become a loop that never ends.
        #expect(EventLoop.now - began >= 50_000_000)
    }
}

struct TroubleTests {
    @Test func foldersBeyondTheLimitAreListedAndTheirChangesNoticed() throws {
        let watched = try Watched(watchesMax: 3)
        let folder = watched.folder
        for name in ["1", "2"] {
            try folder.makeDirectory("accounts/\(name)")
            try folder.write("accounts/\(name)/config.toml", "")
        }
        #expect(watched.watchAccounts() == ["accounts/1/config.toml", "accounts/2/config.toml"])
        #expect(watched.names(watched.watcher.polled.map(\.path)) == ["accounts"])
        #expect(watched.watcher.polled.first?.reason.contains("more than 3 directories") == true)
        #expect(watched.troubles() == 1)
        #expect(watched.watcher.statistics.directories <= 3)
        try folder.append("accounts/2/config.toml", "x")
        #expect(try watched.polled() == ["accounts/2/config.toml"])
        try folder.makeDirectory("accounts/3")
        try folder.write("accounts/3/config.toml", "")
        folder.remove("accounts/1")
        #expect(try watched.polled() == ["-accounts/1/config.toml", "accounts/3/config.toml"])
    }

    @Test func watchersThatShareABudgetNeverWatchMoreTogether() throws {
        let folder = try TemporaryFolder()
        let loop = try EventLoop()
        let budget = WatchBudget(watchesMax: 12)
        for name in ["a", "b"] {
            for number in 1...8 {
                try folder.makeDirectory("\(name)/\(number)")
                try folder.write("\(name)/\(number)/config.toml", "")
            }
        }
        let watchers = ["a", "b"].map { name in
            let watcher = FileWatcher(on: loop, budget: budget, pollInterval: .milliseconds(50)) { _ in }
            let found = watcher.add(
                WatchSpec(id: name, base: folder.path.appending(name), pattern: [.visible, .name("config.toml")]))
            #expect(found.count == 8)
            return watcher
        }
        defer { for watcher in watchers { watcher.close() } }
        #expect(watchers[0].polled.isEmpty && !watchers[1].polled.isEmpty)
        #expect(watchers.reduce(0) { $0 + $1.statistics.directories } == 12)
        // What one gives up the other one may have.
        watchers[0].remove("a")
        #expect(try loop.run { watchers[1].polled.isEmpty })
    }

    @Test func anUnreadableFolderIsPolledItsKeysAreNotGoneAndTheOthersAreWatched() throws {
        let watched = try Watched()
        let folder = watched.folder
        for name in ["open", "closed"] {
            try folder.makeDirectory("accounts/\(name)")
            try folder.write("accounts/\(name)/config.toml", "", mode: 0o644)
        }
        try folder.setMode(".", 0o755)
        // The canary's folder must be written to by whom we become.
        try watched.settle()
        try folder.setMode("canary", 0o777)
        // Root may read everything: this thread's file accesses are somebody else's from here (setfsuid(2)).
        try become(65534)
        defer { do { try become(0) } catch { Issue.record("\(error)") } }
        _ = watched.watchAccounts()
        #expect(watched.watcher.polled.isEmpty)
        func asRoot(_ action: () throws -> Void) throws {
            try become(0)
            try action()
            try become(65534)
        }
        let closing = try watched.reports { try asRoot { try folder.setMode("accounts/closed", 0o700) } }
        #expect(!closing.contains("-accounts/closed/config.toml"))
        #expect(watched.names(watched.watcher.polled.map(\.path)) == ["accounts/closed"])
        #expect(watched.watcher.polled.allSatisfy { $0.reason.hasPrefix("permission denied (") })
        #expect(watched.troubles() > 0)
        try watched.expect(["accounts/open/config.toml"]) {
            try asRoot { try folder.append("accounts/open/config.toml", "x") }
        }
        try asRoot {
            try folder.append("accounts/closed/config.toml", "x")
            try folder.setMode("accounts/closed", 0o755)
        }
        let isReadable = try watched.loop.run { watched.takeReports().contains("accounts/closed/config.toml") }
        #expect(isReadable)
        #expect(watched.watcher.polled.isEmpty)
        // The whole base, and back.
        let gone = try watched.reports { try asRoot { try folder.setMode("accounts", 0o700) } }
        #expect(!gone.contains { $0.hasPrefix("-") })
        #expect(!watched.watcher.polled.isEmpty)
        try asRoot { try folder.setMode("accounts", 0o755) }
        #expect(try watched.loop.run { watched.watcher.polled.isEmpty })
    }

    #if DEBUG
        /// getdents64(2) on a directory that is removed says ENOENT.
        @Test func aFolderThatEndsWhileItIsReadIsNoTrouble() throws {
            let watched = try Watched()
            try watched.folder.makeDirectory("accounts/1")
            try watched.folder.write("accounts/1/config.toml", "")
            _ = watched.watchAccounts()
            let times = Atomic(0)
            Faults.$plan.withValue({ call, _ in
                guard call == "getdents64" else { return nil }
                return times.add(1, ordering: .relaxed).oldValue == 0 ? .noSuchFileOrDirectory : nil
            }) { watched.watcher.audit() }
            #expect(times.load(ordering: .relaxed) > 1)
            #expect(watched.watcher.polled.isEmpty)
            #expect(watched.troubles() == 0)
            #expect(!watched.takeReports().contains { $0.hasPrefix("-") })
        }

        @Test func withoutAnInstanceEverythingIsPolledUntilThereIsOne() throws {
            let watched = try Faults.$plan.withValue({ call, _ in call == "inotify_init1" ? .tooManyOpenFiles : nil }) {
                let watched = try Watched()
                try watched.folder.write("config.toml", "")
                #expect(watched.watchFile("config.toml") == ["config.toml"])
                #expect(!watched.watcher.polled.isEmpty)
                try watched.folder.append("config.toml", "x")
                #expect(try watched.polled() == ["config.toml"])
                return watched
            }
            #expect(try watched.loop.run { watched.watcher.polled.isEmpty })
            try watched.expect(["config.toml"]) { try watched.folder.append("config.toml", "x") }
        }

        @Test func aLimitThatIsHitWhileRunningIsOvercomeLater() throws {
            let watched = try Watched()
            let folder = watched.folder
            try folder.makeDirectory("accounts/1")
            try folder.write("accounts/1/config.toml", "")
            _ = watched.watchAccounts()
            try Faults.$plan.withValue({ call, _ in call == "inotify_add_watch" ? .noSpace : nil }) {
                try folder.makeDirectory("accounts/2")
                try folder.write("accounts/2/config.toml", "")
                #expect(try watched.polled() == ["accounts/2/config.toml"])
                #expect(!watched.watcher.polled.isEmpty)
                try folder.append("accounts/2/config.toml", "x")
                #expect(try watched.polled() == ["accounts/2/config.toml"])
            }
            #expect(try watched.loop.run { watched.watcher.polled.isEmpty })
            try watched.expect(["accounts/2/config.toml"]) { try folder.append("accounts/2/config.toml", "x") }
        }

        @Test(arguments: [Errno.tooManyOpenFiles, .tooManyOpenFilesInSystem, .noMemory])
        func aWalkThatFailsSaysOfNoFileThatItIsGone(_ errno: Errno) throws {
            let watched = try Watched()
            try watched.folder.makeDirectory("accounts/1")
            try watched.folder.write("accounts/1/config.toml", "")
            _ = watched.watchAccounts()
            Faults.$plan.withValue({ [errno] call, _ in call == "openat" ? errno : nil }) { watched.watcher.audit() }
            #expect(!watched.watcher.polled.isEmpty)
            #expect(!watched.takeReports().contains { $0.hasPrefix("-") })
            #expect(try watched.loop.run { watched.watcher.polled.isEmpty })
            #expect(watched.takeReports().contains("accounts/1/config.toml"))
            try watched.expect(["accounts/1/config.toml"]) {
                try watched.folder.append("accounts/1/config.toml", "x")
            }
        }

        @Test func anInstanceThatFailsIsReplacedAndEverythingReadAgain() throws {
            let watched = try Watched()
            try watched.folder.write("config.toml", "")
            try watched.folder.write("other", "")
            _ = watched.watchFile("config.toml")
            _ = watched.watchFile("other", id: "o")
            try watched.settle()
            _ = watched.takeReports()
            try watched.folder.append("config.toml", "x")
            let isReported = try Faults.$plan.withValue({ call, _ in call == "read" ? .ioError : nil }) {
                try watched.loop.run { watched.hasReports }
            }
            #expect(isReported)
            #expect(Set(watched.takeReports()) == ["config.toml", "other"])
            try watched.expect(["other"]) { try watched.folder.append("other", "x") }
        }
    #endif

    @Test func aClosedWatcherReportsNothing() throws {
        let watched = try Watched()
        try watched.folder.write("config.toml", "")
        _ = watched.watchFile("config.toml")
        try watched.folder.append("config.toml", "x")
        watched.watcher.close()
        var isOver = false
        watched.loop.schedule(after: .milliseconds(50)) { isOver = true }
        try watched.loop.run { isOver }
        #expect(!watched.hasReports)
    }

    @Test func aMountOverAWatchedFolderIsFoundByTheAuditAndItsEndToo() throws {
        let watched = try Watched()
        let folder = watched.folder
        try folder.makeDirectory("accounts/1")
        try folder.write("accounts/1/config.toml", "below")
        _ = watched.watchAccounts()
        let path = folder.path.appending("accounts")
        guard mount("none", path.string, "tmpfs", 0, nil) == 0 else { try Test.cancel("no mount may be made here") }
        var isMounted = true
        defer { if isMounted { umount2(path.string, Int32(MNT_DETACH)) } }
        try folder.makeDirectory("accounts/2")
        try folder.write("accounts/2/config.toml", "above")
        try watched.expect(["-accounts/1/config.toml", "accounts/2/config.toml"]) { watched.watcher.audit() }
        try watched.expect(["accounts/2/config.toml"]) { try folder.append("accounts/2/config.toml", "x") }
        // With watches held it can be unmounted, and that is an event.
        try watched.settle()
        #expect(umount2(path.string, 0) == 0)
        isMounted = false
        try watched.settle()
        #expect(Set(watched.takeReports()) == ["accounts/1/config.toml", "-accounts/2/config.toml"])
        try watched.expect(["accounts/1/config.toml"]) { try folder.append("accounts/1/config.toml", "x") }
    }
}
