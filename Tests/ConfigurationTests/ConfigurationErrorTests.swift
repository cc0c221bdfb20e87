// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import Configuration

@Suite struct ConfigurationErrorTests {
    @Test(arguments: [
        // Names
        ("[keys]\ncooldwn = \"5m\"", "2:1: unknown key \"cooldwn\" (did you mean \"cooldown\"?)"),
        ("[keys]\nzzzzzzzz = 1", "2:1: unknown key \"zzzzzzzz\" (known here: strategy, cooldown, probe)"),
        ("[reload]\ncooldown = \"5m\"", "2:1: unknown key \"cooldown\" (did you mean \"keys.cooldown\"?)"),
        ("cooldown = \"5m\"", "1:1: unknown key \"cooldown\" (did you mean \"keys.cooldown\"?)"),
        ("\n[twon]\nroot = \"/a\"", "2:2: unknown table \"twon\" (did you mean \"town\"?)"),
        (
            "[sk-kimi-abcdefgh]",
            "1:2: unknown table (not shown: it looks like a key) (known: town, accounts, agent, keys, services, reload, watch, alerts, beads, paths, log)"
        ),
        // Not yet built
        (
            "[services]\nmanage = [\"dolts\"]",
            "2:11: services.manage: \"dolts\" is none of dolt, daemon, mayor (did you mean \"dolt\"?)"
        ),
        ("[[alerts]]\non = []", "2:6: alerts: must not be empty"),
        // Types
        ("town = 3", "1:8: town: must be a table, not an integer"),
        ("[town]\nroot = 3", "2:8: town.root: must be a string, not an integer"),
        ("[town]\nroot = true", "2:8: town.root: must be a string, not true or false"),
        ("[town]\npath = \"/a\"", "2:8: town.path: must be a list of strings, not a string"),
        ("[town]\npath = [\"/a\",\n  7]", "3:3: town.path: must be a string, not an integer"),
        ("[agent]\nenv = [1.5]", "2:7: agent.env: must be a table, not a list"),
        ("[agent]\nenv = { A = 1 }", "2:13: agent.env: must be a string, not an integer"),
        ("[keys]\ncooldown = 2026-01-01", "2:12: keys.cooldown: must be a string, not a time"),
        // Values
        ("[keys]\ncooldown = \"5 minutes\"", "2:12: keys.cooldown: \"5 minutes\" is no duration (500ms, 30s, 5m, 6h)"),
        ("[keys]\ncooldown = \"0s\"", "2:12: keys.cooldown: must be more than zero"),
        ("[keys]\nstrategy = \"random\"", "2:12: keys.strategy: \"random\" is none of lru, spread"),
        (
            "[agent]\nsandboxed = \"yess\"",
            "2:13: agent.sandboxed: \"yess\" is none of auto, yes, no (did you mean \"yes\"?)"
        ),
        ("[agent]\nname = \"\"", "2:8: agent.name: must not be empty"),
        ("[agent]\nname = \"-x\"", "2:8: agent.name: \"-x\" is no name (letters, digits, - . _)"),
        ("[agent]\ncommand = \" \"", "2:11: agent.command: must not be empty"),
        ("[agent]\nresume_prompt = \"a\\u001bb\"", "2:17: agent.resume_prompt: holds a control character"),
        // Paths
        ("[town]\nroot = \"gt\"", "2:8: town.root: \"gt\" is not an absolute path (begin it with / or ~/)"),
        ("[accounts]\ndirectory = \"\"", "2:13: accounts.directory: must not be empty"),
        (
            "[agent]\nprogram = \"claude\"",
            "2:11: agent.program: \"claude\" is not an absolute path (begin it with / or ~/)"
        ),
        (
            "[agent]\nconfig_dir = \"./c\"",
            "2:14: agent.config_dir: \"./c\" is not an absolute path (begin it with / or ~/)"
        ),
        ("[town]\nroot = \"/a/$NONE\"", "2:8: town.root: the variable \"NONE\" is not set"),
        ("[town]\nroot = \"/a/${DATA\"", "2:8: town.root: \"/a/${DATA\" has a ${ without its }"),
        ("[town]\nroot = \"/a/$-\"", "2:8: town.root: \"/a/$-\" has a $ that names no variable"),
        ("[town]\nroot = \"~bob/gt\"", "2:8: town.root: \"~bob/gt\": only one's own home can be written as ~"),
        ("[town]\nroot = \"/a\\u0000b\"", "2:8: town.root: holds a control character"),
        (
            "[paths]\nruntime = \"/\(String(repeating: "r", count: 100))\"",
            "2:11: paths.runtime: is too long: 101 bytes, at most 94 can be used"
        ),
        // URLs
        ("[agent]\nbase_url = \"ftp://h\"", "2:12: agent.base_url: \"ftp://h\" is no URL (https://HOST/…)"),
        ("[agent]\nbase_url = \"https://\"", "2:12: agent.base_url: \"https://\" names no host"),
        ("[agent]\nbase_url = \"https:///x\"", "2:12: agent.base_url: \"https:///x\" names no host"),
        ("[agent]\nbase_url = \"https://h:0/\"", "2:12: agent.base_url: \"https://h:0/\" names no host"),
        ("[agent]\nbase_url = \"https://u:p@h/\"", "2:12: agent.base_url: must not hold a user's name or password"),
        (
            "[agent]\nbase_url = \"https://h/?a\"",
            "2:12: agent.base_url: must end with its path: clients put theirs behind it"
        ),
        (
            "[agent]\nbase_url = \"https://h/ x\"",
            "2:12: agent.base_url: holds a space or a character that no URL holds"
        ),
        // Variables for agents
        (
            "[agent.env]\nMY_KEY = \"x\"",
            "2:1: agent.env: \"MY_KEY\" is refused: a name with KEY may carry a secret, and keys belong in the accounts directory"
        ),
        (
            "[agent.env]\nMODEL = \"sk-kimi-QzCANARYRkVn9Xb4Tm6W\"",
            "2:9: agent.env: the value looks like a key, and keys belong in the accounts directory"
        ),
        (
            "[agent]\nenv = { HEADERS = \"x-api: sk-QzCANARYRkVn9Xb4Tm6W\" }",
            "2:19: agent.env: the value looks like a key, and keys belong in the accounts directory"
        ),
        (
            "[agent.env]\nMODEL = \"pre_sk-kimi-QzCANARYRkVn9Xb4Tm6W\"",
            "2:9: agent.env: the value looks like a key, and keys belong in the accounts directory"
        ),
        (
            "[agent.env]\ngh_token = \"x\"",
            "2:1: agent.env: \"gh_token\" is refused: a name with TOKEN may carry a secret, and keys belong in the accounts directory"
        ),
        (
            "[agent.env]\nANTHROPIC_BASE_URL = \"x\"",
            "2:1: agent.env: \"ANTHROPIC_BASE_URL\" is set by gasclawd (agent.base_url)"
        ),
        (
            "[agent.env]\nCLAUDE_CONFIG_DIR = \"x\"",
            "2:1: agent.env: \"CLAUDE_CONFIG_DIR\" is set by gasclawd (agent.config_dir)"
        ),
        (
            "[agent.env]\n1A = \"x\"",
            "2:1: agent.env: \"1A\" is no variable's name (letters, digits and _, no digit first)"
        ),
        // No TOML
        ("[town", "1:6: this is not valid TOML"),
        ("\u{7f}ELF\u{1}", "1:1: this is not valid TOML"),
        ("[town]\nroot = \"/a\"\nroot = \"/b\"", "3:8: this is not valid TOML"),
        ("a\u{0}b", "1:2: a zero byte: this is no text"),
    ]) func anErrorNamesItsPlace(text: String, error: String) {
        #expect(errors(text) == ["g.toml:\(error)"])
    }

    @Test func allErrorsAreToldAtOnceInTheOrderOfTheFile() {
        let text = """
            [log]
            level = "loud"
            [town]
            root = "gt"
            path = ["a", "/b", "c"]
            [kes]
            [keys]
            cooldown = "1d"
            """
        let all = errors(text, ["GASCLAWD_RELOAD_SETTLE": "x", "GASCLAWD_AGENT_NAME": ""])
        #expect(
            all.map { $0.split(separator: " ")[0] } == [
                "g.toml:2:9:", "g.toml:4:8:", "g.toml:5:9:", "g.toml:5:20:", "g.toml:6:2:", "g.toml:8:12:",
                "environment:",
                "environment:",
            ])
        #expect(
            all.suffix(2).map { $0.prefix(35) } == [
                "environment: GASCLAWD_AGENT_NAME: m", "environment: GASCLAWD_RELOAD_SETTLE",
            ])
    }

    @Test func whatLooksLikeAKeyIsNeverQuoted() {
        let secret = "sk-kimi-Zq8Xw2Lm4Nb6Vc1Kj3Hg5Fd7"
        let everywhere = """
            \(secret) = 1
            [\(secret)A]
            [town]
            root = "\(secret)"
            path = ["\(secret)/$\(secret)", "${\(secret)}"]
            [agent]
            name = "\(secret)!"
            base_url = "\(secret)"
            sandboxed = "\(secret)"
            env = { \(secret) = "x", X = 3 }
            [keys]
            cooldown = "\(secret)"
            """
        let all = errors(everywhere, ["GASCLAWD_\(secret)": "x", "GASCLAWD_TOWN_ROOT": secret, "LOG_LEVEL": secret])
        #expect(all.count == 14)
        #expect(!all.joined().lowercased().contains("zq8xw2lm"))
        #expect(errors("[town]\nroot = \"\(secret)\" x").joined().contains("Zq8X") == false)
    }

    @Test func randomBytesAreErrorsAndNoCrash() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            let bytes = (0..<4096).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            #expect(throws: ConfigurationErrors.self) {
                try Configuration.load(bytes, path: "g.toml", environment: surroundings)
            }
        }
    }

    @Test(arguments: [
        ("", "", 0), ("ab", "ba", 1), ("cooldwn", "cooldown", 1), ("a", "", 1), ("kitten", "sitting", 3),
    ]) func editsAreCounted(a: String, b: String, edits: Int) {
        #expect(editDistance(a, b) == edits)
    }
}
