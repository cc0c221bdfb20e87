// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import Configuration

@Suite struct EffectiveSettingTests {
    private func explain(_ text: String, _ variables: [String: String] = [:]) throws -> [String: EffectiveSetting] {
        let all = variables.merging(["HOME": "/home/u"]) { $1 }
        let settings = try Configuration.explain(
            Array(text.utf8), path: "g.toml", environment: ConfigurationEnvironment(variables: all, home: "/home/u"))
        return Dictionary(uniqueKeysWithValues: settings.map { ($0.key, $0) })
    }

    @Test func eachValueSaysWhereItIsFrom() throws {
        let settings = try explain(
            "[keys]\ncooldown = \"90s\"\n[agent]\nenv = { A = \"x\\\"y\" }\n", ["GASCLAWD_LOG_LEVEL": "debug"])
        #expect(settings["keys.cooldown"]?.value == "\"90s\"")
        #expect(settings["keys.cooldown"]?.origin == .file("g.toml", line: 2, column: 12))
        #expect(settings["agent.env"]?.value == "{ A = \"x\\\"y\" }")
        #expect(settings["log.level"]?.origin == .environment("GASCLAWD_LOG_LEVEL"))
        #expect(settings["town.root"]?.value == "\"/workspace/gt\"")
        #expect(settings["town.root"]?.origin == nil)
        #expect(settings["accounts.directory"]?.value == "\"/home/u/.kimi-accounts\"")
    }

    @Test func ofTheAddressOfAnAlertOnlyTheHostIsShown() throws {
        let settings = try explain("[[alerts]]\non = [\"keys.exhausted\"]\nurl = \"https://hooks.example/T0/secret\"\n")
        let value = try #require(settings["alerts"]?.value)
        #expect(value.contains("https://hooks.example/…"))
        #expect(!value.contains("secret"))
    }

    @Test func everySettingThatIsBuiltIsListed() throws {
        let listed = try Set(explain("").keys)
        #expect(listed == Set(Schema.settings.filter(\.isSupported).map(\.key)))
    }

    @Test func whatIsPrintedCanBeReadAgain() throws {
        let settings = try Configuration.explain(
            Array("[town]\npath = [\"/a b\", \"/c\"]\n[reload]\nsettle = \"0ms\"\npatience = \"2h\"\n".utf8),
            path: "g.toml",
            environment: ConfigurationEnvironment(variables: [:], home: "/home/u"))
        let text = settings.map { setting in
            let parts = setting.key.split(separator: ".")
            guard parts.count == 2 else { return "\(setting.key) = \(setting.value)" }
            return "[\(parts[0])]\n\(parts[1]) = \(setting.value)"
        }
        for piece in text {
            _ = try Configuration.load(
                Array(piece.utf8), path: "again", environment: ConfigurationEnvironment(variables: [:], home: "/home/u")
            )
        }
        #expect(settings.first { $0.key == "reload.patience" }?.value == "\"2h\"")
        #expect(settings.first { $0.key == "reload.settle" }?.value == "\"0ms\"")
    }
}
