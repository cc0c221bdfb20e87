// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import Configuration

@Suite struct ConfigurationVariableTests {
    @Test func aVariableGoesOverTheFile() throws {
        let file = "[town]\nroot = \"/file\"\n[keys]\ncooldown = \"1m\"\n[log]\nlevel = \"error\""
        let configuration = try load(
            file,
            [
                "GASCLAWD_TOWN_ROOT": "~/gt", "GASCLAWD_KEYS_COOLDOWN": "2m", "GASCLAWD_TOWN_PATH": "/a:~/b",
                "GASCLAWD_AGENT_CONFIG_DIR": "/c", "LOG_LEVEL": "DEBUG",
            ])
        #expect(configuration.town.root == "/home/ann/gt" && configuration.town.path == ["/a", "/home/ann/b"])
        #expect(configuration.keys.cooldown == .seconds(120))
        #expect(configuration.agent.configDirectory == "/c")
        #expect(configuration.log == .debug)
    }

    @Test func ourLogLevelGoesBeforeTheCommonOne() throws {
        #expect(try load("", ["LOG_LEVEL": "debug", "GASCLAWD_LOG_LEVEL": "error"]).log == .error)
        #expect(try load("[log]\nlevel = \"notice\"", ["LOG_LEVEL": ""]).log == .notice)
    }

    @Test func variablesThatAreNoSettingsAreLeftAlone() {
        let others = ["GASCLAWD_CONFIG": "x", "GASCLAWD_SOCKET": "y", "GASCLAWD_LAUNCHER": "1", "GAS": "z"]
        #expect(errors("", others) == [])
    }

    @Test(arguments: [
        ("GASCLAWD_KEYS_COOLDWN", "1m", "no setting has this variable (did you mean \"GASCLAWD_KEYS_COOLDOWN\"?)"),
        ("GASCLAWD_CONFG", "/x", "no setting has this variable (did you mean \"GASCLAWD_CONFIG\"?)"),
        ("GASCLAWD_KEYS_COOLDOWN", "5", "\"5\" is no duration (500ms, 30s, 5m, 6h)"),
        ("GASCLAWD_AGENT_ENV", "A=1", "can be set in the file alone"),
        ("GASCLAWD_TOWN_ROOT", "", "must not be empty"),
        ("GASCLAWD_TOWN_ROOT", "/a\u{FFFD}", "holds bytes that are not UTF-8"),
        ("GASCLAWD_TOWN_PATH", "/a:b", "\"b\" is not an absolute path (begin it with / or ~/)"),
        ("LOG_LEVEL", "loud", "\"loud\" is none of trace, debug, info, notice, warning, error, critical"),
    ]) func aWrongVariableIsNamed(name: String, value: String, message: String) {
        #expect(errors("", [name: value]) == ["environment: \(name): \(message)"])
    }
}
