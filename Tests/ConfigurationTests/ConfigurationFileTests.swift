// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
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
        let system = folder.path.appending("system.toml")
        let home = folder.path.appending("home")
        let xdg = folder.path.appending("xdg")
        let all = environment(["XDG_CONFIG_HOME": xdg.string, "GASCLAWD_CONFIG": ""], home: home.string)
        func found() -> FilePath? { ConfigurationFile.find(option: nil, environment: all, systemFile: system).path }
        #expect(found() == nil)
        try folder.put("home/.config/gasclawd/gasclawd.toml")
        #expect(found() == home.appending(".config/gasclawd/gasclawd.toml"))
        try folder.put("xdg/gasclawd/gasclawd.toml")
        #expect(found() == xdg.appending("gasclawd/gasclawd.toml"))
        try folder.put("system.toml")
        #expect(found() == system)
        #expect(!ConfigurationFile.find(option: nil, environment: all, systemFile: system).isExplicit)
    }
}
