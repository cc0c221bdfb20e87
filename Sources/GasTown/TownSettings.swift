// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// What the town's `settings/config.json` says of agents, and gt's commands to change it.
public struct TownSettings: Sendable, Hashable {
    public struct Agent: Sendable, Hashable {
        public let command: String
        public let arguments: [String]
    }
    public let agents: [String: Agent]
    public let defaultAgent: String?

    /// - Parameter bytes: nil where there is no file: gt writes it at the first `gt config`.
    public init(_ bytes: [UInt8]?) throws(JSONError) {
        guard let bytes, !bytes.isEmpty else {
            agents = [:]
            defaultAgent = nil
            return
        }
        let value = try JSONValue(parsing: bytes)
        var found: [String: Agent] = [:]
        for (name, agent) in value["agents"]?.object?.members ?? [] {
            guard let command = agent["command"]?.string else { continue }
            found[name] = Agent(command: command, arguments: (agent["args"]?.array ?? []).compactMap(\.string))
        }
        agents = found
        defaultAgent = value["default_agent"]?.string
    }

    /// The `gt config` calls that are still needed, in order; each without the program's name.
    ///
    /// - Parameters:
    ///   - command: What agents are to be started with; gt splits it at spaces.
    ///   - name: The agent's, in gt.
    public func registration(name: String, command: String) -> [[String]] {
        var calls: [[String]] = []
        let words = command.split(separator: " ").map(String.init)
        let wanted = Agent(command: words.first ?? "", arguments: Array(words.dropFirst()))
        // `gt config agent set` replaces the whole entry: arguments and variables that somebody added would be lost.
        let isRegistered = agents[name].map {
            $0.command == wanted.command && $0.arguments.starts(with: wanted.arguments)
        }
        if isRegistered != true { calls.append(["config", "agent", "set", name, command]) }
        if defaultAgent != name { calls.append(["config", "default-agent", name]) }
        return calls
    }
}
