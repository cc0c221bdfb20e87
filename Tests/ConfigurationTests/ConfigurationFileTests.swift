// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import Configuration

@Suite struct ConfigurationFileTests {
    private func environment(_ variables: [String: String], home: String? = nil) -> ConfigurationEnvironment {
        ConfigurationEnvironment(variables: variables, home: home, userID: 1000)
    }

    @Test func whatTheUserNamesCountsWhetherItExistsOrNot() {
        let named = ConfigurationFile.find(option: "x.toml", environment: environment(["GASCLAWD_CONFIG": "/y"]))
        #expect(named == ("x.toml", true))
        #expect(
            ConfigurationFile.find(option: nil, environment: environment(["GASCLAWD_CONFIG": "/y"])) == ("/y", true))
    }

    @Test func theFirstPlaceThatHoldsAFileIsTaken() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let system = folder.path.appending("system.toml")
        let home = folder.path.appending("home")
        let xdg = folder.path.appending("xdg")
        let all = environment(["XDG_CONFIG_HOME": xdg.string, "GASCLAWD_CONFIG": ""], home: home.string)
        func found() -> FilePath? { ConfigurationFile.find(option: nil, environment: all, systemFile: system).path }
        #expect(found() == nil)
        try folder.write("home/.config/gasclawd/gasclawd.toml")
        #expect(found() == home.appending(".config/gasclawd/gasclawd.toml"))
        try folder.write("xdg/gasclawd/gasclawd.toml")
        #expect(found() == xdg.appending("gasclawd/gasclawd.toml"))
        try folder.write("system.toml")
        #expect(found() == system)
        #expect(!ConfigurationFile.find(option: nil, environment: all, systemFile: system).isExplicit)
    }
}

/// A folder of its own for one test.
private struct TemporaryFolder {
    let path: FilePath

    init() throws {
        var template = Array("/tmp/gasclawd-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError(call: "mkdtemp", errno: Errno(rawValue: errno)) }
        path = FilePath(platformString: template)
    }

    func write(_ name: String) throws {
        let file = path.appending(name)
        try Syscalls.makeDirectories(file.removingLastComponent())
        try AtomicFile.replace(file, with: [], mode: 0o600, durable: false)
    }

    func remove() { Self.remove(path) }

    private static func remove(_ path: FilePath) {
        do {
            if try Syscalls.status(of: path, followingLinks: false).kind == .directory {
                let directory = try Syscalls.open(path, flags: O_RDONLY | O_DIRECTORY)
                for name in try Syscalls.names(inDirectory: directory.raw) { remove(path.entry(name)) }
                rmdir(path.string)
            } else {
                try Syscalls.unlink(path)
            }
        } catch { Issue.record(error) }
    }
}
