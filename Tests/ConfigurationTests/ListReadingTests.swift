// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import TOML
import Testing

@testable import Configuration

/// Lists of words and of tables, read as their settings read them.
@Suite struct ListReadingTests {
    /// What a setting makes of a value, whether or not it is supported already.
    private func read(_ key: String, _ text: String) throws -> (Configuration, [String]) {
        let setting = try #require(Schema.settings.first { $0.key == key })
        let value = try #require(try TOML.parse(Array("v = \(text)".utf8))["v"])
        var reader = ValueReader(environment: surroundings)
        reader.read(GivenValue(value, file: "g.toml", subject: "\(key): "), for: setting)
        return (reader.configuration, reader.errors.map(\.description))
    }

    @Test func goodListsAreTaken() throws {
        #expect(try read("services.manage", "['mayor', 'dolt']").0.services.managed == [.dolt, .mayor])
        #expect(try read("services.manage", "[]").0.services.managed == [])
        #expect(try read("services.dolt_port", "13307").0.services.doltPort == 13307)
        #expect(try read("town.bootstrap", "false").0.town.isBootstrapped == false)
        #expect(
            try read("town.rigs", "[{name='a', url='/a'}, {name='b_1', url='git@h:x/y.git'}]").0.town.rigs == [
                .init(name: "a", url: "/a"), .init(name: "b_1", url: "git@h:x/y.git"),
            ])
        #expect(
            try read("watch.logs", "[{files='logs/x-*.log', match='quota exceeded', cause='quota'}]").0.logRules
                == [.init(files: "logs/x-*.log", match: "quota exceeded", cause: "quota")])
        #expect(
            try read(
                "alerts",
                "[{on=['keys.exhausted'], command=['/bin/true', '-x']}, {on=['key.cooled'], url='https://h/p?a=b'}]"
            )
            .0.alerts == [
                .init(events: ["keys.exhausted"], receiver: .command(["/bin/true", "-x"])),
                .init(events: ["key.cooled"], receiver: .url("https://h/p?a=b")),
            ])
        #expect(try read("alerts", "[{on=['key.cooled'], url='http://127.0.0.1:9/x'}]").1 == [])
    }

    @Test(arguments: [
        (
            "services.manage", "['mayer']",
            "1:6: services.manage: \"mayer\" is none of dolt, daemon, mayor (did you mean \"mayor\"?)"
        ),
        ("services.manage", "['dolt', 'dolt']", "1:14: services.manage: \"dolt\" stands there twice"),
        ("services.manage", "'dolt'", "1:5: services.manage: must be a list of strings, not a string"),
        ("services.dolt_port", "'3307'", "1:5: services.dolt_port: must be a port's number, not a string"),
        ("services.dolt_port", "0", "1:5: services.dolt_port: 0 is no port (1 to 65535)"),
        ("services.dolt_port", "70000", "1:5: services.dolt_port: 70000 is no port (1 to 65535)"),
        ("town.bootstrap", "'yes'", "1:5: town.bootstrap: must be true or false, not a string"),
        ("town.rigs", "[{name='a-b', url='/p'}]", "1:12: town.rigs: \"a-b\" is no rig's name (letters, digits and _)"),
        ("town.rigs", "[{name='hq', url='/p'}]", "1:12: town.rigs: \"hq\" is reserved by gt"),
        ("town.rigs", "[{name='a'}]", "1:6: town.rigs: url is missing"),
        (
            "town.rigs", "[{name='b', url='/', nam='a'}]",
            "1:26: town.rigs: unknown key \"nam\" (did you mean \"name\"?)"
        ),
        (
            "town.rigs", "[{name='a', url='p'}]",
            "1:21: town.rigs: \"p\" is no repository's URL (SCHEME://…, USER@HOST:PATH or an absolute path)"
        ),
        (
            "town.rigs", "[{name='a', url='https://u:p@h/x'}]",
            "1:21: town.rigs: must not hold a password (git's credential helper keeps it)"
        ),
        (
            "watch.logs", "[{files='/a', match='x', cause='quota'}]",
            "1:13: watch.logs: \"/a\" must be a name inside the town"
        ),
        (
            "watch.logs", "[{files='a/../b', match='x', cause='quota'}]",
            "1:13: watch.logs: \"a/../b\" must not leave the town (no . and ..)"
        ),
        (
            "watch.logs", "[{files='a', match='quota (', cause='quota'}]",
            "1:24: watch.logs: \"quota (\" is no pattern: missing closing parenthesis (at byte 8 of the pattern)"
        ),
        (
            "watch.logs", "[{files='a/**/b', match='x', cause='quota'}]",
            "1:13: watch.logs: \"a/**/b\": ** is not supported (name each folder, with * in its name)"
        ),
        (
            "watch.logs", "[{files='a', match='x', cause='quotta'}]",
            "1:35: watch.logs: \"quotta\" is none of quota, throttled, concurrency, membership, billing, invalid, terminated (did you mean \"quota\"?)"
        ),
        ("alerts", "[{on=['keys.exhausted']}]", "1:6: alerts: needs a command or a url"),
        (
            "alerts", "[{on=['keys.exhaustd'], url='https://h'}]",
            "1:11: alerts: \"keys.exhaustd\" is no type of event (did you mean \"keys.exhausted\"?)"
        ),
        ("alerts", "[{on=[], url='https://h'}]", "1:10: alerts: must not be empty"),
        (
            "alerts", "[{on=['key.cooled'], command=['notify']}]",
            "1:34: alerts: must begin with a program's absolute path"
        ),
        (
            "alerts", "[{on=['key.cooled'], url='http://example.org/'}]",
            "1:30: alerts: must be https: only this machine is told without it"
        ),
        (
            "alerts", "[{on=['key.cooled'], url='https://h', command=['/x']}]",
            "1:30: alerts: command and url exclude each other"
        ),
    ]) func whatIsWrongIsNamedWithItsPlace(key: String, text: String, error: String) throws {
        let (_, errors) = try read(key, text)
        #expect(errors == ["g.toml:\(error)"])
    }
}
