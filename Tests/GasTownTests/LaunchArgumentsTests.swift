// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import GasTown

@Suite struct LaunchArgumentsTests {
    private static let text = "71625c97-55e3-4e3f-b203-be78b093110a"

    private func resume(_ prompt: String = "Go on.") throws -> (id: ConversationID, prompt: String) {
        (try #require(ConversationID(Self.text)), prompt)
    }

    private func arguments(_ words: String...) -> LaunchArguments { LaunchArguments(words.map(bytes)) }

    private func texts(_ words: [[UInt8]]) -> [String] { words.map { String(decoding: $0, as: UTF8.self) } }

    @Test func resumeStandsDirectlyBehindTheProgramAndTheBeaconIsReplaced() throws {
        let words = arguments("--dangerously-skip-permissions", "--model", "x", "[GAS TOWN] mayor <- human • start")
            .completed(settings: bytes("/s.json"), resume: try resume())
        #expect(
            texts(words) == [
                "--resume", Self.text, "--settings", "/s.json", "--dangerously-skip-permissions", "--model", "x",
                "Go on.",
            ])
    }

    @Test func withoutABeaconThePromptIsAppended() throws {
        let words = arguments("--verbose").completed(settings: bytes("/s"), resume: try resume("Weiter, bitte."))
        #expect(texts(words) == ["--resume", Self.text, "--settings", "/s", "--verbose", "Weiter, bitte."])
        #expect(texts(arguments().completed(settings: bytes("/s"), resume: try resume())).last == "Go on.")
    }

    @Test func aBeaconThatIsNotLastIsNotOurs() throws {
        let words = arguments("[GAS TOWN] x", "--verbose").completed(settings: bytes("/s"), resume: try resume())
        #expect(texts(words).suffix(3) == ["[GAS TOWN] x", "--verbose", "Go on."])
    }

    @Test func withoutAConversationTheBeaconStays() {
        let words = arguments("--verbose", "[GAS TOWN] x").completed(settings: bytes("/s"), resume: nil)
        #expect(texts(words) == ["--settings", "/s", "--verbose", "[GAS TOWN] x"])
    }

    @Test func theCallersSettingsGiveTheirPlaceToOurs() {
        let two = arguments("-a", "--settings", "/gt/settings.json", "-b")
        #expect(two.settings == bytes("/gt/settings.json"))
        #expect(texts(two.completed(settings: bytes("/s"), resume: nil)) == ["-a", "--settings", "/s", "-b"])
        let one = arguments("-a", #"--settings={"a":"=b"}"#, "-b")
        #expect(one.settings == bytes(#"{"a":"=b"}"#))
        #expect(texts(one.completed(settings: bytes("/s"), resume: nil)) == ["-a", "--settings", "/s", "-b"])
    }

    @Test func noneOfSeveralSettingsIsLeftToWinOverOurs() {
        let many = arguments("--settings", "/first", "-a", "--settings=/second", "--settings", "--settings", "p")
        #expect(many.settings == bytes("--settings"))
        #expect(texts(many.completed(settings: bytes("/s"), resume: nil)) == ["--settings", "/s", "-a", "p"])
    }

    @Test func settingsWithoutAValueAreNone() {
        #expect(arguments("-a", "--settings").settings == nil)
        #expect(arguments("--settingsx=1", "--setting-sources", "user").settings == nil)
        #expect(arguments().settings == nil)
    }

    @Test func everyOtherArgumentStaysByteForByte() throws {
        let odd: [[UInt8]] = [
            [0xFF, 0xFE], [], bytes("a b"), bytes("\n"), [0xC3, 0x28], bytes("'\"$(x)`"), bytes("--x=é"),
            [0xED, 0xA0, 0x80],
            bytes("--settings"), bytes("/x"), [0x80],
        ]
        let words = LaunchArguments(odd).completed(settings: [0xFE], resume: try resume())
        #expect(Array(words[2..<10]) == Array(odd[..<8]))
        #expect(Array(words[10...]) == [bytes("--settings"), [0xFE], [0x80], bytes("Go on.")])
    }

    @Test(arguments: [
        "--version", "-v", "--help", "-h", "mcp", "doctor", "update", "plugin", "install", "setup-token", "auth",
    ])
    func callsThatAreNoAgentPassThrough(_ word: String) {
        #expect(arguments(word).isPassThrough)
        #expect(arguments(word, "list").isPassThrough)
        #expect(!arguments("--verbose", word).isPassThrough)
        #expect(!arguments(word + "x").isPassThrough)
    }

    @Test func anOrdinaryStartDoesNotPassThrough() {
        #expect(!arguments().isPassThrough)
        #expect(!arguments("[GAS TOWN] doctor").isPassThrough)
        #expect(!LaunchArguments([[0xFF]]).isPassThrough)
    }

    @Test(arguments: [
        ["--resume", text], ["-r", text], ["--resume=\(text)"], ["--resume"], ["--continue"], ["-c"], ["-p", "x"],
        ["--print", "x"], ["--session-id", text], ["--session-id=\(text)"], ["x", "--resume", text, "--fork-session"],
    ])
    func aCallerThatChoosesItsConversationIsLeftAlone(_ words: [String]) {
        #expect(LaunchArguments(words.map(bytes)).choosesConversation)
    }

    @Test func otherwiseTheChoiceIsOurs() {
        for words in [[], ["--verbose"], ["[GAS TOWN] use --resume"], ["--resumed"], ["-cx"]] {
            #expect(!LaunchArguments(words.map(bytes)).choosesConversation)
        }
    }

    @Test(arguments: [
        ["--resume", text], ["-r", text], ["--resume=\(text)"], ["a", "--session-id", text], ["--session-id=\(text)"],
    ])
    func theCallersConversationIsKnown(_ words: [String]) {
        #expect(LaunchArguments(words.map(bytes)).conversation?.text == Self.text)
    }

    @Test(arguments: [
        ["--resume"], ["--resume", "last week"], ["--resume="], [text], ["--continue"], ["--resume", "\(text) "],
    ])
    func whatNamesNoConversationGivesNone(_ words: [String]) {
        #expect(LaunchArguments(words.map(bytes)).conversation == nil)
    }
}

@Suite struct LaunchEnvironmentTests {
    @Test func anAgentGetsTheKeyAndNoTokenThatWouldWinOverIt() {
        var environment = LaunchEnvironment(
            [
                "PATH=/bin", "ANTHROPIC_AUTH_TOKEN=old", "ANTHROPIC_API_KEY=old", "ANTHROPIC_MODEL=m", "X=a=b",
            ].map(bytes))
        environment.equip(
            baseURL: "https://b/", credential: "sk-x", configDirectory: "/c", shellPrefix: "/p", isSandboxed: true,
            variables: [("ANTHROPIC_API_KEY", "sk-from-configuration"), ("M", "1")])
        #expect(environment["ANTHROPIC_API_KEY"] == "sk-x")
        #expect(environment["ANTHROPIC_AUTH_TOKEN"] == nil)
        #expect(environment["ANTHROPIC_BASE_URL"] == "https://b/")
        #expect(environment["CLAUDE_CONFIG_DIR"] == "/c")
        #expect(environment["CLAUDE_CODE_SHELL_PREFIX"] == "/p")
        #expect(environment["DISABLE_COST_WARNINGS"] == "true")
        #expect(environment["IS_SANDBOX"] == "1")
        #expect(environment["ANTHROPIC_MODEL"] == "m")
        #expect(environment["X"] == "a=b")
        #expect(environment.entries.count { $0.starts(with: bytes("ANTHROPIC_API_KEY=")) } == 1)
    }

    @Test func aToolGetsNothingOfIt() {
        var environment = LaunchEnvironment(["PATH=/bin", "HOME=/h"].map(bytes))
        environment.equip(
            baseURL: "b", credential: "sk-canary", configDirectory: "/c", shellPrefix: "/p", isSandboxed: false,
            variables: [("ANTHROPIC_CUSTOM_HEADERS", "x")])
        environment.strip()
        #expect(environment["IS_SANDBOX"] == nil)
        for entry in environment.entries {
            #expect(!entry.starts(with: bytes("ANTHROPIC_")))
            #expect(!String(decoding: entry, as: UTF8.self).contains("sk-canary"))
        }
        #expect(environment["CLAUDE_CODE_SHELL_PREFIX"] == nil)
        #expect(environment["PATH"] == "/bin")
    }

    @Test func valuesThatAreNoTextStayAsTheyAre() {
        var environment = LaunchEnvironment([bytes("A=") + [0xFF], [0xFE], bytes("noequals")])
        environment.set("B", bytes: [0x80])
        environment.strip()
        #expect(environment.entries == [bytes("A=") + [0xFF], [0xFE], bytes("noequals"), bytes("B=") + [0x80]])
    }
}
