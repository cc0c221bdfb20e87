// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// A user edits key files in all the ways that editors and synchronizers know.
@Suite(.serialized) struct KeyFileTests {
    @Test func anEditByRenameTakesEffectAtOnce() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            let new = CanaryKey()
            try town.write(new, to: "2")
            try events.next("key.removed") { $0["id"]?.string == town.keys[1].id }
            let added = try events.next("key.added")
            #expect(added["id"]?.string == new.id)
            #expect(added["account"]?.string == "2")
        }
    }

    @Test func anEditInPlaceAndOneByTruncationTakeEffect() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            let path = town.accountFile("2")
            let first = CanaryKey()
            try Disk.overwrite(path, Array(first.file.utf8))
            try events.next("key.added") { $0["id"]?.string == first.id }
            // In two steps, as a shell does it: emptied, then filled by another program.
            let second = CanaryKey()
            try Disk.overwrite(path, [])
            try events.next("keys.rejected")
            try Disk.append(path, second.file)
            try events.next("key.added") { $0["id"]?.string == second.id }
            #expect(try town.status()?["keys"]?["rejected"]?.array?.isEmpty == true)
            #expect(try town.status()?["keys"]?["total"]?.integer == 3)
        }
    }

    @Test func aFileThatIsBackWithinTheGraceLosesNothing() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            Disk.remove(town.accountFile("1"))
            // That the daemon has seen the absence shows in nothing, so another edit goes behind it as a mark.
            let mark = CanaryKey()
            try town.write(mark, to: "4")
            try events.next("key.added") { $0["id"]?.string == mark.id }
            try town.write(town.keys[0], to: "1")
            // One that really goes goes after its grace: by then the first one's would be over too.
            Disk.removeTree("\(town.accounts)/3")
            let removed = try events.next("key.removed")
            #expect(removed["id"]?.string == town.keys[2].id)
            #expect(try town.status()?["keys"]?["total"]?.integer == 3)
            #expect(try events.seen("key.removed").count == 1)
        }
    }

    @Test func aFolderThatIsMovedAwayAndBackRestartsNobody() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            // With the last account's key: the folder is read from the first one on.
            while try town.status()?["keys"]?["active"]?.string != town.keys[2].id {
                try town.gasclawd("keys", "rotate")
            }
            try events.next("key.activated") { $0["id"]?.string == town.keys[2].id }
            let agents = [try town.startCrew("ada"), try town.startCrew("grace")]
            let pids = try agents.map { try town.pid(of: $0) }
            for pid in pids { try events.next("agent.leased") { $0["pid"]?.integer == Int(pid) } }
            let mark = try events.seen("key.activated").count
            let exits = try events.seen("agent.exited").count
            // The active one's file goes a moment before the others.
            Disk.removeTree("\(town.accounts)/3")
            try Syscalls.rename(FilePath(town.accounts), to: FilePath(town.accounts + "-away"))
            for _ in town.keys { try events.next("key.removed") }
            #expect(try events.seen("keys.exhausted").count == 1)
            #expect(try town.status()?["keys"]?["active"]?.isNull == true)
            #expect(try events.seen("key.activated").count == mark)
            try Disk.makeDirectories(town.accounts + "-away/3", mode: 0o700)
            try Disk.replace(town.accounts + "-away/3/config.toml", Array(town.keys[2].file.utf8))
            try Syscalls.rename(FilePath(town.accounts + "-away"), to: FilePath(town.accounts))
            try events.next("key.activated") { $0["id"]?.string == town.keys[2].id }
            try eventually("all keys to be back and nobody to be waiting") {
                let status = try town.status()
                return status?["keys"]?["total"]?.integer == 3
                    && status?["agents"]?.array?.allSatisfy { $0["pending_reload"]?.isNull == true } == true
            }
            #expect(try events.seen("agent.reload.started").isEmpty)
            #expect(try events.seen("agent.exited").count == exits)
            #expect(try agents.map { try town.pid(of: $0) } == pids)
            let count = try town.requests().count
            for pid in pids {
                try town.request("of the same process", after: count) { $0.pid == pid && $0.result == "ok" }
            }
            #expect(try town.status()?["keys"]?["active"]?.string == town.keys[2].id)
        }
    }

    @Test func aSwapOfLinksAsKubernetesDoesItTakesEffect() throws {
        try withTown(keys: 1) { town in
            // accounts/1/config.toml -> ..data/config.toml, ..data -> ..v1
            let folder = "\(town.accounts)/1"
            Disk.removeTree(folder)
            let old = CanaryKey()
            let new = CanaryKey()
            try Disk.makeDirectories(folder + "/..v1", folder + "/..v2", mode: 0o700)
            try Disk.replace(folder + "/..v1/config.toml", Array(old.file.utf8))
            try Disk.replace(folder + "/..v2/config.toml", Array(new.file.utf8))
            try Disk.link(folder + "/..data", to: "..v1")
            try Disk.link(folder + "/config.toml", to: "..data/config.toml")
            try town.startDaemon()
            let events = try town.events()
            try events.next("key.activated") { $0["id"]?.string == old.id }
            try Disk.link(folder + "/..new", to: "..v2")
            try Syscalls.rename(FilePath(folder + "/..new"), to: FilePath(folder + "/..data"))
            try events.next("key.activated") { $0["id"]?.string == new.id }
        }
    }

    @Test func badFilesKeepTheLastGoodKeysAndAreReported() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            let path = town.accountFile("1")
            let bad: [(what: String, make: () throws -> Void)] = [
                ("half written", { try Disk.replace(path, Array(town.keys[0].file.utf8.dropLast(20))) }),
                (
                    "binary",
                    {
                        try Disk.replace(
                            path, [0x7F, 0x45, 0x4C, 0x46] + (0..<4000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
                    }
                ),
                ("of 10 MB", { try Disk.replace(path, [UInt8](repeating: 35, count: 10 << 20)) }),
                ("empty", { try Disk.replace(path, [UInt8]()) }),
            ]
            for (what, make) in bad {
                try make()
                try events.next("keys.rejected") { $0["path"]?.string == path }
                let keys = try #require(try town.status()?["keys"])
                #expect(keys["total"]?.integer == 3, "a file that is \(what)")
                #expect(keys["rejected"]?.array?.count == 1, "a file that is \(what)")
            }
            try town.write(town.keys[0], to: "1")
            try eventually("the rejection to be over") {
                try town.status()?["keys"]?["rejected"]?.array?.isEmpty == true
            }
            #expect(try events.seen("key.removed").isEmpty)
        }
    }

    @Test func whatIsNoRegularFileIsAsIfItWereGone() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            // A FIFO, which nobody may wait at.
            Disk.remove(town.accountFile("1"))
            #expect(mkfifo(town.accountFile("1"), 0o600) == 0)
            try events.next("key.removed") { $0["id"]?.string == town.keys[0].id }
            // A directory.
            Disk.remove(town.accountFile("2"))
            try Disk.makeDirectories(town.accountFile("2"))
            try events.next("key.removed") { $0["id"]?.string == town.keys[1].id }
            // And back again.
            Disk.remove(town.accountFile("1"))
            try town.write(town.keys[0], to: "1")
            try events.next("key.added") { $0["id"]?.string == town.keys[0].id }
        }
    }

    @Test func aLoopOfLinksKeepsTheLastGoodKey() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            let path = town.accountFile("1")
            Disk.remove(path)
            try Disk.link(path, to: "config.toml")
            try events.next("keys.rejected") { $0["path"]?.string == path }
            Disk.remove(path)
            try town.write(town.keys[0], to: "1")
            try eventually("the rejection to be over") {
                try town.status()?["keys"]?["rejected"]?.array?.isEmpty == true
            }
            #expect(try events.seen("key.removed").isEmpty)
        }
    }

    @Test func aFileThatMustNotBeReadKeepsTheLastGoodKey() throws {
        // Root reads everything: the daemon runs as nobody, if we may become that.
        try withTown { town in
            if getuid() == 0 { try town.becomeNobodys() }
            try town.startDaemon()
            let events = try town.events()
            let path = town.accountFile("1")
            #expect(chmod(path, 0) == 0)
            let rejected = try events.next("keys.rejected") { $0["path"]?.string == path }
            #expect(rejected["error"]?.string?.contains("ermission") == true)
            #expect(try town.status()?["keys"]?["total"]?.integer == 3)
            #expect(chmod(path, 0o600) == 0)
            try eventually("the rejection to be over") {
                try town.status()?["keys"]?["rejected"]?.array?.isEmpty == true
            }
            #expect(try events.seen("key.removed").isEmpty)
        }
    }

    @Test func aKeyThatIsGoneIsNoLongerInTheFallBack() throws {
        try withTown(keys: 1) { town in
            try town.startDaemon()
            let events = try town.events()
            #expect(try Disk.text(town.state + "/launch.json")?.contains(town.keys[0].text) == true)
            Disk.removeTree("\(town.accounts)/1")
            try events.next("key.removed")
            try eventually("the key to be nowhere") {
                !(try Disk.text(town.state + "/launch.json") ?? "").contains(town.keys[0].text)
            }
        }
    }

    @Test func keysComeFromAnAccountsDirectoryThatAppearsLaterAndNonUTF8NamesAreShown() throws {
        try withTown(keys: 0) { town in
            Disk.removeTree(town.accounts)
            try town.startDaemon()
            let events = try town.events()
            try events.next("keys.exhausted")
            #expect(try town.status()?["state"]?.string == "degraded")
            let key = CanaryKey()
            try Disk.makeDirectories(town.accounts, mode: 0o700)
            let folder = FilePath(bytes: Array(town.accounts.utf8) + [47, 0xFF, 0x61])
            try Syscalls.makeDirectory(folder)
            try AtomicFile.replace(folder.appending("config.toml"), with: Array(key.file.utf8), durable: false)
            let added = try events.next("key.added")
            #expect(added["account"]?.string == "\\xffa")
            try events.next("daemon.ready")
        }
    }
}
