// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// An agent definition: what gt runs for a role.
struct GtAgent {
    var command: String
    var arguments: [String]
    var environment: [String: String] = [:]

    /// gt's own presets; claude's is found on gt's PATH, and its arguments skip permissions (gt-contract.md section 2,
    /// "What makes a live agent use a NEW key", and section 1, config).
    static let presets: [String: GtAgent] = [
        "claude": GtAgent(command: "claude", arguments: ["--dangerously-skip-permissions"]),
        "codex": GtAgent(command: "codex", arguments: ["--dangerously-bypass-approvals-and-sandbox"]),
        "gemini": GtAgent(command: "gemini", arguments: ["--approval-mode", "yolo"]),
    ]

    /// gt adds `--settings` for the roles of a rig only to what it takes for Claude.
    var isClaude: Bool { baseName(command) == "claude" }
}

/// `gt config` and the settings behind it (gt-contract.md section 1, "config", and section 3a).
enum GtConfig {
    static func run(_ arguments: [String]) throws(Failure) -> Int32 {
        switch (arguments.first, arguments.dropFirst().first) {
        case ("agent", "list"): return try list(Array(arguments.dropFirst(2)))
        case ("agent", "get"): return try get(Array(arguments.dropFirst(2)))
        case ("agent", "set"): return try set(Array(arguments.dropFirst(2)))
        case ("default-agent", let name): return try defaultAgent(name)
        case ("set", "dolt.port"):
            let town = try GtTown.find()
            var daemon = try Disk.object(town.path("mayor/daemon.json")) ?? [:]
            var environment = daemon["env"]?.object ?? [:]
            environment["GT_DOLT_PORT"] = .string(arguments.dropFirst(2).first ?? "3307")
            daemon["env"] = .object(environment)
            try Disk.overwrite(town.path("mayor/daemon.json"), daemon)
            return 0
        default: throw Failure("unknown command for \"gt config\"")
        }
    }

    /// Section 0: outside of a town these commands quietly use a file relative to the current folder.
    private static var settingsPath: String {
        GtTown.fromCurrentDirectory()?.path("settings/config.json") ?? "settings/config.json"
    }

    static func load(_ path: String) throws(Failure) -> JSONObject {
        try Disk.object(path) ?? ["type": "town-settings", "version": 1, "default_agent": "claude", "agents": [:]]
    }

    private static func save(_ object: JSONObject, _ path: String) throws(Failure) {
        // In place and 0644 (section 3a): a reader can see it torn.
        try Disk.makeDirectories(directoryName(path))
        try Disk.overwrite(path, object)
    }

    /// `agent set NAME "COMMAND LINE"`: split at spaces; it replaces the whole entry, so `env` and the default
    /// arguments are lost.
    private static func set(_ arguments: [String]) throws(Failure) -> Int32 {
        let words = Words(arguments, valued: ["--provider"])
        guard words.positional.count == 2 else {
            throw Failure("accepts 2 arg(s), received \(words.positional.count)")
        }
        let parts = words.positional[1].split(whereSeparator: \.isWhitespace).map(String.init)
        guard let command = parts.first else { throw Failure("command cannot be empty") }
        var file = try load(settingsPath)
        var agents = file["agents"]?.object ?? [:]
        var entry: JSONObject = [
            "command": .string(command), "args": .array(parts.dropFirst().map(JSONValue.string)),
        ]
        if let provider = words.value("--provider") { entry["provider"] = .string(provider) }
        agents[words.positional[0]] = .object(entry)
        file["agents"] = .object(agents)
        try save(file, settingsPath)
        Terminal.say("Agent '\(words.positional[0])' set to: \(words.positional[1])")
        return 0
    }

    private static func list(_ arguments: [String]) throws(Failure) -> Int32 {
        let custom = try load(settingsPath)["agents"]?.object ?? [:]
        var rows: [JSONValue] = []
        for (name, agent) in GtAgent.presets.sorted(by: { $0.key < $1.key }) where custom[name] == nil {
            rows.append([
                "name": .string(name), "command": .string(agent.command),
                "args": .string(agent.arguments.joined(separator: " ")), "type": "built-in", "is_custom": false,
            ])
        }
        for member in custom.members {
            rows.append([
                "name": .string(member.name), "command": .string(member.value["command"]?.string ?? ""),
                "args": .string((member.value["args"]?.array ?? []).compactMap(\.string).joined(separator: " ")),
                "type": "custom", "is_custom": true,
            ])
        }
        if arguments.contains("--json") {
            Terminal.write(String(decoding: JSONValue.array(rows).encoded(indented: true), as: UTF8.self))
        } else {
            for row in rows { Terminal.say("  \(row["name"]?.string ?? "")  \(row["command"]?.string ?? "")") }
        }
        return 0
    }

    /// Text only, there is no --json.
    private static func get(_ arguments: [String]) throws(Failure) -> Int32 {
        guard let name = arguments.first else { throw Failure("accepts 1 arg(s), received 0") }
        if arguments.contains("--json") { throw Failure("unknown flag: --json") }
        guard let agent = try agent(name, layers: [try load(settingsPath)]) else {
            throw Failure("agent '\(name)' not found")
        }
        Terminal.say("Agent: \(name)\nCommand: \(agent.command)\nArgs: \(agent.arguments.joined(separator: " "))")
        return 0
    }

    private static func defaultAgent(_ name: String?) throws(Failure) -> Int32 {
        var file = try load(settingsPath)
        guard let name else {
            Terminal.say("Default agent: \(file["default_agent"]?.string ?? "claude")")
            return 0
        }
        guard try agent(name, layers: [file]) != nil else { throw Failure("agent '\(name)' not found") }
        file["default_agent"] = .string(name)
        try save(file, settingsPath)
        Terminal.say("Default agent set to: \(name)")
        return 0
    }

    // MARK: - What a role runs

    private static func agent(_ name: String, layers: [JSONObject]) throws(Failure) -> GtAgent? {
        for layer in layers {
            guard let entry = layer["agents"]?[name], !entry.isNull else { continue }
            var agent = GtAgent(
                command: entry["command"]?.string ?? GtAgent.presets[name]?.command ?? "claude",
                // Without `args` an entry has claude's own (section 1, config).
                arguments: entry["args"]?.array?.compactMap(\.string) ?? GtAgent.presets[name]?.arguments
                    ?? GtAgent.presets["claude"]?.arguments ?? [])
            for member in entry["env"]?.object?.members ?? [] {
                if let value = member.value.string { agent.environment[member.name] = value }
            }
            return agent
        }
        guard var preset = GtAgent.presets[name] else { return nil }
        // A preset is looked up by the gt process; a custom entry's bare word is left to the pane's PATH (section 2).
        preset.command = Environment.find(preset.command) ?? preset.command
        return preset
    }

    /// The agent of a role: the override, else for a crew member the rig's or the town's choice for it, else the rig's or
    /// the town's choice for the role, else the rig's agent, else the town's default. The files are read at each start;
    /// `settings/agents.json` is cached for the life of the process (section 2), which for a gt command is as good.
    static func agent(
        for role: String, rig: String?, name: String?, override: String?, in town: GtTown
    ) throws(Failure) -> GtAgent {
        let own = try load(town.path("settings/config.json"))
        let ofRig = try rig.flatMap { rig throws(Failure) in
            try Disk.object(town.path("\(rig)/settings/config.json"))
        }
        var layers = [ofRig, own].compactMap { $0 }
        for path in [rig.map { "\($0)/settings/agents.json" }, "settings/agents.json"] {
            if let path, let presets = try Disk.object(town.path(path)) { layers.append(presets) }
        }
        if let override {
            guard let agent = try agent(override, layers: layers) else {
                throw Failure("agent '\(override)' not found")
            }
            return agent
        }
        var choices: [String?] = []
        if role == "crew", let name {
            choices += [ofRig?["worker_agents"]?[name]?.string, own["crew_agents"]?[name]?.string]
        }
        choices += [ofRig?["role_agents"]?[role]?.string, own["role_agents"]?[role]?.string]
        for case let chosen? in choices {
            // One that is not known is passed over with a warning.
            if let agent = try agent(chosen, layers: layers) { return agent }
            Terminal.complain("warning: role_agents[\(role)]=\(chosen) - unknown agent, falling back to default")
        }
        let chosen = ofRig?["agent"]?.string ?? own["default_agent"]?.string ?? "claude"
        guard let agent = try agent(chosen, layers: layers) else { throw Failure("agent '\(chosen)' not found") }
        return agent
    }
}
