// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import SystemPackage
import Testing

@testable import Configuration

let surroundings = ConfigurationEnvironment(
    variables: ["HOME": "/home/ann", "DATA": "/data", "EMPTY": ""], home: "/home/ann", userID: 1000)

func load(_ text: String, _ variables: [String: String] = [:]) throws -> Configuration {
    let all = surroundings.variables.merging(variables) { $1 }
    return try Configuration.load(
        Array(text.utf8), path: "g.toml",
        environment: ConfigurationEnvironment(variables: all, home: "/home/ann", userID: 1000))
}

/// The errors of a text, as a user sees them.
func errors(_ text: String, _ variables: [String: String] = [:]) -> [String] {
    do {
        _ = try load(text, variables)
        return []
    } catch let errors as ConfigurationErrors {
        return errors.errors.map(\.description)
    } catch { return ["another error: \(error)"] }
}

@Suite struct ConfigurationTests {
    @Test func withoutAFileTheDefaultsOfTheContractCount() throws {
        let configuration = try Configuration.load(nil, path: "g.toml", environment: surroundings)
        #expect(configuration.town.root == "/workspace/gt")
        #expect(configuration.town.path == ["/home/ann/.local/bin", "/home/ann/go/bin", "/usr/local/go/bin"])
        #expect(configuration.accounts == "/home/ann/.kimi-accounts")
        #expect(configuration.agent.name == "kimi-claude")
        #expect(configuration.agent.command == "claude")
        #expect(configuration.agent.program == nil)
        #expect(configuration.agent.configDirectory == "/home/ann/.claude-kimigas")
        #expect(configuration.agent.baseURL == "https://api.kimi.com/coding/")
        #expect(configuration.agent.bypassesPermissions)
        #expect(configuration.agent.sandboxed == .automatic)
        #expect(configuration.agent.resumePrompt == "Go on with your work.")
        #expect(configuration.agent.environment == [])
        #expect(configuration.keys == .init(strategy: .leastRecentlyUsed, cooldown: .seconds(300), isProbed: false))
        #expect(configuration.services == .init(managed: [.dolt, .daemon, .mayor], doltPort: 3307))
        #expect(configuration.town.rigs == [.init(name: "project", url: "/project")])
        #expect(configuration.town.isBootstrapped)
        #expect(configuration.logRules.isEmpty && configuration.alerts.isEmpty && !configuration.filesIncidents)
        #expect(
            configuration.reload
                == .init(
                    isRolling: true, settle: .milliseconds(50), patience: .seconds(600), isParking: false))
        #expect(configuration.paths == .init(state: "/home/ann/.local/state/gasclawd", runtime: "/tmp/gasclawd-1000"))
        #expect(configuration.log == .info)
        #expect(try load("") == configuration)
    }

    @Test func everySettingIsReadFromTheFile() throws {
        let configuration = try load(
            """
            [town]
            root = "/srv/gt"
            path = ["/opt/bin", "~/bin"]
            [accounts]
            directory = "/srv/accounts"
            [agent]
            name = "mine"
            command = "claude --model x"
            program = "/opt/claude"
            config_dir = "/srv/claude"
            base_url = "http://localhost:8080/v1"
            permissions = "ask"
            sandboxed = "yes"
            resume_prompt = ""
            env = { ZED = "1", ANTHROPIC_MODEL = "m" }
            [keys]
            strategy = "lru"
            cooldown = "500ms"
            [reload]
            agents = "none"
            settle = "0s"
            patience = "6h"
            [paths]
            state = "/srv/state"
            runtime = "/srv/run"
            [log]
            level = "debug"
            """)
        #expect(
            configuration.town
                == .init(
                    root: "/srv/gt", path: ["/opt/bin", "/home/ann/bin"], rigs: Configuration.defaultRigs,
                    isBootstrapped: true))
        #expect(configuration.accounts == "/srv/accounts")
        #expect(
            configuration.agent
                == .init(
                    name: "mine", command: "claude --model x", program: "/opt/claude", configDirectory: "/srv/claude",
                    baseURL: "http://localhost:8080/v1", bypassesPermissions: false, sandboxed: .yes, resumePrompt: "",
                    environment: [.init(name: "ANTHROPIC_MODEL", value: "m"), .init(name: "ZED", value: "1")],
                    hasHooks: false))
        #expect(configuration.keys.cooldown == .milliseconds(500))
        #expect(
            configuration.reload
                == .init(
                    isRolling: false, settle: .zero, patience: .seconds(21600), isParking: false))
        #expect(configuration.paths == .init(state: "/srv/state", runtime: "/srv/run"))
        #expect(configuration.log == .debug)
    }

    @Test func aBaseURLKeepsItsEndAsWritten() throws {
        #expect(try load("[agent]\nbase_url = \"https://h.example/a\"").agent.baseURL == "https://h.example/a")
        #expect(try load("[agent]\nbase_url = \"https://h.example/a/\"").agent.baseURL == "https://h.example/a/")
    }

    @Test func variablesExpandInPaths() throws {
        #expect(try load("[town]\nroot = \"$DATA/gt\"").town.root == "/data/gt")
        #expect(try load("[town]\nroot = \"${DATA}x/$EMPTY\"").town.root == "/datax")
        #expect(try load("[town]\nroot = \"~\"").town.root == "/home/ann")
        #expect(try load("[agent]\ncommand = \"$DATA\"").agent.command == "$DATA", "a command stays text")
    }

    @Test func pathsAloneAreReadFromAFileWithErrorsElsewhere() throws {
        let text = Array("[town]\nroot = 3\n[paths]\nstate = \"/s\"\nruntime = \"/r\"\n[nonsense]\n".utf8)
        let paths = try Configuration.loadPaths(text, path: "g.toml", environment: surroundings)
        #expect(paths == .init(state: "/s", runtime: "/r"))
        #expect(throws: ConfigurationErrors.self) {
            try Configuration.loadPaths(Array("[paths".utf8), path: "g.toml", environment: surroundings)
        }
        let wrong = #expect(throws: ConfigurationErrors.self) {
            try Configuration.loadPaths(Array("[paths]\nstate = \"s\"".utf8), path: "g.toml", environment: surroundings)
        }
        #expect(wrong?.errors.count == 1)
    }

    @Test func pathsDependOnWhoAsks() throws {
        func paths(_ variables: [String: String], user: UInt32) throws -> Configuration.Paths {
            try Configuration.loadPaths(
                nil, path: "", environment: ConfigurationEnvironment(variables: variables, home: "/h", userID: user))
        }
        #expect(try paths([:], user: 0) == .init(state: "/var/lib/gasclawd", runtime: "/run/gasclawd"))
        let xdg = ["XDG_STATE_HOME": "/x/state", "XDG_RUNTIME_DIR": "/x/run"]
        #expect(try paths(xdg, user: 7) == .init(state: "/x/state/gasclawd", runtime: "/x/run/gasclawd"))
        #expect(try paths(xdg, user: 0) == .init(state: "/var/lib/gasclawd", runtime: "/run/gasclawd"))
        let systemd = ["STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "RUNTIME_DIRECTORY": "/run/$a"]
        let both = systemd.merging(xdg) { a, _ in a }
        #expect(try paths(both, user: 0) == .init(state: "/var/lib/a", runtime: "/run/$a"))
        #expect(try paths(["XDG_STATE_HOME": "relative"], user: 7).state == "/h/.local/state/gasclawd")
    }

    @Test func withoutAHomeOnlyWhatNeedsItIsMissing() throws {
        let homeless = ConfigurationEnvironment(variables: [:], home: nil, userID: 0)
        let text = "[accounts]\ndirectory = \"/a\"\n[agent]\nconfig_dir = \"/c\""
        let configuration = try Configuration.load(Array(text.utf8), path: "g.toml", environment: homeless)
        #expect(configuration.town.path == ["/usr/local/go/bin"])
        let error = #expect(throws: ConfigurationErrors.self) {
            try Configuration.load(nil, path: "g.toml", environment: homeless)
        }
        let needs = "needs a home directory, and HOME is not set"
        #expect(
            error?.errors.map(\.description) == [
                "environment: HOME: accounts.directory by default: \"~/.kimi-accounts\" \(needs)",
                "environment: HOME: agent.config_dir by default: \"~/.claude-kimigas\" \(needs)",
            ])
    }

    @Test func thisProcessHasAnEnvironment() {
        #expect(ConfigurationEnvironment.current.variables["PATH"] != nil)
        #expect(ConfigurationEnvironment.current.home?.hasPrefix("/") == true)
    }
}
