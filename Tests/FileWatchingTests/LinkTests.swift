// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import FileWatching

struct LinkTests {
    /// How the kubelet publishes a secret: a new folder, a new link, one rename, and the old folder goes (or stays).
    @Test(arguments: [true, false])
    func kubernetesSwapOfDataIsAChangeTimeAndAgain(_ isOldRemoved: Bool) throws {
        let watched = try Watched()
        let folder = watched.folder
        try folder.makeDirectory("mount/..0")
        try folder.write("mount/..0/config.toml", "0")
        try folder.link("mount/..data", to: "..0")
        try folder.link("mount/config.toml", to: "..data/config.toml")
        #expect(watched.watchFile("mount/config.toml") == ["mount/config.toml"])
        for number in 1...20 {
            let reports = try watched.reports {
                try folder.makeDirectory("mount/..\(number)")
                try folder.write("mount/..\(number)/config.toml", "\(number)")
                try folder.link("mount/..data_tmp", to: "..\(number)")
                try folder.rename("mount/..data_tmp", "mount/..data")
                if isOldRemoved { folder.remove("mount/..\(number - 1)") }
            }
            #expect(reports == ["mount/config.toml"], "\(number)")
            #expect(try folder.text("mount/config.toml") == "\(number)")
        }
        try watched.expect(["mount/config.toml"]) { try folder.write("mount/..20/config.toml", "in place") }
        if !isOldRemoved {
            try watched.expect([]) { try folder.write("mount/..19/config.toml", "old") }
        }
    }

    @Test func aWholeFolderBehindALinkIsSwapped() throws {
        let watched = try Watched()
        let folder = watched.folder
        for name in ["one", "two"] {
            try folder.makeDirectory("\(name)/1")
            try folder.write("\(name)/1/config.toml", name)
        }
        try folder.write("one/file", "")
        try folder.link("accounts", to: "one")
        #expect(watched.watchAccounts() == ["accounts/1/config.toml"])
        let swap = try watched.reports {
            try folder.link("next", to: folder.path.appending("two").string)
            try folder.rename("next", "accounts")
        }
        #expect(swap == ["accounts/1/config.toml"])
        try watched.expect(["accounts/1/config.toml"]) { try folder.write("two/1/config.toml", "x") }
        try watched.expect([]) { try folder.write("one/1/config.toml", "x") }
    }

    @Test func everyHopOfAChainIsWatched() throws {
        let watched = try Watched()
        let folder = watched.folder
        for name in ["a", "b", "c"] { try folder.makeDirectory(name) }
        try folder.write("c/file", "1")
        try folder.write("c/other", "2")
        try folder.link("b/link", to: "../c/file")
        try folder.link("a/config.toml", to: folder.path.appending("b/link").string)
        #expect(watched.watchFile("a/config.toml") == ["a/config.toml"])
        try watched.expect(["a/config.toml"]) { try folder.append("c/file", "x") }
        try watched.expect(["a/config.toml"]) {
            try folder.write("c/tmp", "3")
            try folder.rename("c/tmp", "c/file")
        }
        try watched.expect(["a/config.toml"]) {
            try folder.link("b/tmp", to: "../c/other")
            try folder.rename("b/tmp", "b/link")
        }
        try watched.expect([]) { try folder.append("c/file", "x") }
        try watched.expect(["-a/config.toml"]) { folder.remove("c/other") }
        try watched.expect(["a/config.toml"]) { try folder.write("c/other", "back") }
        try watched.expect(["-a/config.toml"]) { folder.remove("b") }
        try watched.expect(["a/config.toml"]) {
            try folder.makeDirectory("b")
            try folder.link("b/link", to: "../c/file")
        }
    }

    @Test func aDanglingLinkWaitsForItsTargetAlsoBelowFoldersThatAreMissing() throws {
        let watched = try Watched()
        try watched.folder.link("config.toml", to: "x/y/z/real")
        #expect(watched.watchFile("config.toml") == [])
        try watched.expect(["config.toml"]) {
            try watched.folder.makeDirectory("x/y/z")
            try watched.folder.write("x/y/z/real", "")
        }
        try watched.expect(["-config.toml"]) { watched.folder.remove("x") }
    }

    @Test func aLoopOfLinksIsNoFileUntilItIsMended() throws {
        let watched = try Watched()
        let folder = watched.folder
        try folder.makeDirectory("accounts")
        try folder.link("accounts/one", to: "two")
        try folder.link("accounts/two", to: "one")
        try folder.link("accounts/self", to: ".")
        try folder.link("config.toml", to: "config.toml")
        #expect(watched.watchAccounts() == [])
        #expect(watched.watchFile("config.toml") == [])
        try watched.expect(["accounts/one/config.toml", "accounts/two/config.toml", "config.toml"]) {
            try folder.makeDirectory("real")
            try folder.write("real/config.toml", "")
            try folder.link("next", to: "../real")
            try folder.rename("next", "accounts/two")
            folder.remove("config.toml")
            try folder.write("config.toml", "")
        }
    }

    @Test func fileLinkFolderAndFIFOMayTakeEachOthersPlace() throws {
        let watched = try Watched()
        let folder = watched.folder
        try folder.makeDirectory("accounts/1")
        try folder.write("elsewhere", "")
        try folder.write("accounts/1/config.toml", "")
        _ = watched.watchAccounts()
        let file = "accounts/1/config.toml"
        let path = folder.path.appending(file)
        try watched.expect([file]) {
            folder.remove(file)
            try folder.makeDirectory(file)
        }
        try watched.expect([file]) {
            folder.remove(file)
            #expect(mkfifo(path.string, 0o600) == 0)
        }
        try watched.expect([file]) {
            folder.remove(file)
            try folder.link(file, to: "../../elsewhere")
        }
        try watched.expect([file]) { try folder.append("elsewhere", "x") }
        try watched.expect([file]) {
            folder.remove(file)
            try folder.write(file, "")
        }
        try watched.expect([]) { try folder.append("elsewhere", "x") }
        // The account itself becomes a file, a FIFO, a link.
        try watched.expect(["-" + file]) {
            folder.remove("accounts/1")
            try folder.write("accounts/1", "")
        }
        try watched.expect([]) {
            folder.remove("accounts/1")
            #expect(mkfifo(folder.path.appending("accounts/1").string, 0o600) == 0)
        }
        try watched.expect([file]) {
            folder.remove("accounts/1")
            try folder.makeDirectory("real")
            try folder.write("real/config.toml", "")
            try folder.link("accounts/1", to: "../real")
        }
        try watched.expect([file]) { try folder.append("real/config.toml", "x") }
    }

    @Test func namesAreBytes() throws {
        let watched = try Watched()
        let folder = watched.folder
        try folder.makeDirectory("accounts")
        let names: [[UInt8]] = [[0xFF, 0xFE], Array("a b%\n\"".utf8), Array(repeating: 0x6E, count: 255), [0xC3]]
        for name in names.dropLast() {
            try Syscalls.makeDirectory(folder.path.appending("accounts").entry(name))
        }
        _ = watched.watchAccounts()
        func file(_ name: [UInt8]) -> FilePath {
            folder.path.appending("accounts").entry(name).appending("config.toml")
        }
        for name in names {
            let reports = try watched.reports {
                try Syscalls.makeDirectories(file(name).removingLastComponent())
                let descriptor = try Syscalls.open(file(name), flags: O_WRONLY | O_CREAT)
                try Syscalls.writeAll(descriptor.raw, [1])
            }
            #expect(reports == ["accounts/\(shownText(name))/config.toml"])
        }
        // The reported path can be opened again.
        let found = watched.watcher.add(
            WatchSpec(id: "b", base: folder.path.appending("accounts"), pattern: [.visible, .name("config.toml")]))
        #expect(Set(found) == Set(names.map(file)))
    }
}
