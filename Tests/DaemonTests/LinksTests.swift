// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import Fixtures
import LinuxSys
import SystemPackage
import Testing

@testable import Daemon

/// Which links agents are started by.
struct LinksTests {
    private let folder: TemporaryFolder
    private var executable: FilePath { folder.path.appending("usr/bin/gasclawd") }
    private var home: FilePath { folder.path.appending("home") }

    init() throws {
        folder = try TemporaryFolder()
        try Syscalls.makeDirectories(executable.removingLastComponent())
        try AtomicFile.replace(executable, with: [], durable: false)
    }

    private func install(_ names: [String] = Links.names) throws {
        let bin = folder.path.appending("usr/lib/gasclawd/bin")
        try Syscalls.makeDirectories(bin)
        for name in names { try Syscalls.link(bin.appending(name), to: "../../../bin/gasclawd") }
    }

    @Test func thoseOfThePackageAreUsedWhereTheyLeadToUs() throws {
        try install()
        let found = try #require(try Links.installed(executable: executable, home: home.string))
        #expect(found.bin == folder.path.appending("usr/lib/gasclawd/bin"))
        #expect(found.file == LauncherFile.path(home: home))
    }

    @Test func whereNoPackageBroughtThemTheStateHasItsOwn() throws {
        #expect(try Links.installed(executable: executable, home: home.string) == nil)
        try install(["claude"])
        #expect(try Links.installed(executable: executable, home: home.string) == nil)
    }

    @Test func withoutAHomeNoLauncherWouldFindUs() throws {
        try install()
        #expect(try Links.installed(executable: executable, home: nil) == nil)
        #expect(try Links.installed(executable: executable, home: "relative") == nil)
    }

    @Test func thePackageLinksOfAnotherProgramAreNotOurs() throws {
        try install()
        let other = folder.path.appending("usr/bin/other")
        try AtomicFile.replace(other, with: [], durable: false)
        #expect(try Links.installed(executable: other, home: home.string) == nil)
    }

    @Test func onlyOneDaemonOfAUserIsBehindThem() throws {
        try install()
        let first = try Links.installed(executable: executable, home: home.string)
        #expect(try Links.installed(executable: executable, home: home.string) == nil)
        #expect(first != nil)
    }
}
