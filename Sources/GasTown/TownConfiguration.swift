// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Secrets
import TOML

/// What gt starts an agent with, as far as the town's files say it.
public struct EffectiveAgent: Sendable, Hashable {
    /// The name of the agent's definition.
    public let name: String
    public let command: String
    public let arguments: [String]
    public let environment: [String: String]
    /// What else of the definition and of the role changes the command line, as canonical text.
    let rest: [String]

    /// Stands for all of it in the state file: the values themselves may be nobody else's business.
    public var digest: String {
        var words = [name, command] + arguments + ["\u{0}env"]
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) { words += [name, value] }
        words += ["\u{0}rest"] + rest
        // The lengths keep two lists apart whose joined words are the same.
        return SHA256.hex(Array(words.map { "\($0.utf8.count):\($0)" }.joined().utf8))
    }

    /// Whether gt starts it through something called `claude`, as our launcher is: then it asks for a lease.
    public var isClaude: Bool { command.split(separator: "/").last == "claude" }
}

/// What the town's files say of agents, and gt's own precedence among them.
///
/// Each file is taken as a whole or not at all; what cannot be used leaves the last good one in force.
public struct TownConfiguration: Sendable, Equatable {
    /// Sections of a `config.json`, the town's or a rig's (gt: config/types.go:40-123, 646-686).
    private struct Layer: Sendable, Equatable {
        /// `default_agent` of the town, `agent` of a rig.
        var defaultAgent: String?
        var agents: [String: Definition] = [:]
        var roleAgents: [String: String] = [:]
        /// `crew_agents` of the town, `worker_agents` of a rig.
        var crewAgents: [String: String] = [:]
        var roleEffort: [String: String] = [:]
    }

    /// An entry of `agents`.
    private struct Definition: Sendable, Equatable {
        var command: String?
        /// nil: the preset's own; empty: none (gt: config/types.go:709-718).
        var arguments: [String]?
        var environment: [String: String] = [:]
        var provider: String?
        /// Every other member, sorted: `exec_wrapper` and its kin are part of the command.
        var rest: [String] = []
    }

    /// A `roles/*.toml` (gt: config/roles.go:133-176). `[health]` starts nobody.
    private struct Role: Sendable, Equatable {
        var environment: [String: String] = [:]
        var session: [String: String] = [:]
    }

    private var town = Layer()
    private var presets: [String: Definition] = [:]
    private var roles: [String: Role] = [:]
    private var rigLayers: [String: Layer] = [:]
    private var rigPresets: [String: [String: Definition]] = [:]
    private var rigRoles: [String: [String: Role]] = [:]
    private var daemon = JSONValue.null
    /// The registered rigs, each with the prefix of its sessions.
    public private(set) var rigs: [String: String] = [:]

    public init() {}

    /// Takes a file.
    ///
    /// - Parameters:
    ///   - bytes: nil where there is no such file, and gt's defaults are in force.
    ///   - file: Which one it is.
    /// - Returns: Whether anything that counts is another now; spaces and the order of members do not.
    public mutating func take(_ bytes: [UInt8]?, of file: TownFile) throws(TownFileError) -> Bool {
        let before = self
        switch file {
        case .settings:
            town = try bytes.map { bytes throws(TownFileError) in try Self.layer(bytes, isRig: false) } ?? Layer()
        case .presets: presets = try Self.presets(bytes)
        case .rigs: rigs = try Self.rigs(bytes)
        case .daemon:
            daemon = try bytes.map { bytes throws(TownFileError) in .object(try Self.object(bytes)) } ?? .null
        // A file that says nothing of agents is as none.
        case .role(let role):
            let read = try Self.role(bytes)
            roles[role] = read == Role() ? nil : read
        case .rigSettings(let rig):
            let read = try bytes.map { bytes throws(TownFileError) in try Self.layer(bytes, isRig: true) }
            rigLayers[rig] = read == Layer() ? nil : read
        case .rigPresets(let rig):
            let read = try Self.presets(bytes)
            rigPresets[rig] = read.isEmpty ? nil : read
        case .rigRole(let rig, let role):
            let read = try Self.role(bytes)
            rigRoles[rig, default: [:]][role] = read == Role() ? nil : read
            if rigRoles[rig]?.isEmpty == true { rigRoles[rig] = nil }
        }
        return self != before
    }

    /// Forgets what a rig's files said: it is registered no more.
    public mutating func remove(rig: String) {
        rigLayers[rig] = nil
        rigPresets[rig] = nil
        rigRoles[rig] = nil
    }

    /// Whether `mayor/daemon.json` holds all that it held before, and more: the daemon itself adds defaults at its start
    /// (gt: daemon/lifecycle_defaults.go:15-66).
    public func addsOnlyToDaemon(of old: TownConfiguration) -> Bool { Self.contains(daemon, old.daemon) }

    private static func contains(_ value: JSONValue, _ part: JSONValue) -> Bool {
        guard let part = part.object else { return part.isNull || value == part }
        return part.members.allSatisfy { member in value[member.name].map { contains($0, member.value) } ?? false }
    }

    // MARK: - Precedence

    /// gt's own presets that are started here; whatever else there is has Claude's defaults (gt: config/types.go:
    /// 709-718: without `args` an entry skips permissions).
    private static let builtIn: [String: Definition] = [
        "claude": Definition(command: "claude", arguments: ["--dangerously-skip-permissions"])
    ]

    /// What gt would start for an agent now.
    ///
    /// The order is gt's: a crew member's own agent of the rig, then of the town; the role's agent of the rig, then of
    /// the town; the rig's agent; the town's default; claude. The definition of the name: the rig's, the town's, the
    /// rig's `agents.json`, the town's, gt's own. A chosen name without a definition is passed over. Its `env` is merged
    /// last and wins (gt: loader.go:2281-2284, 2335-2363, 2534-2600). `cost_tier` alone says nothing: gt writes what it
    /// means into `role_agents`.
    ///
    /// - Parameter identity: A dog is always the same: it ignores all of this (gt: loader.go:1659-1667, config/
    ///   cost_tier.go:238-245).
    public func effective(for identity: AgentIdentity) -> EffectiveAgent {
        guard identity.role != .dog else {
            return EffectiveAgent(
                name: "claude", command: "claude", arguments: ["--dangerously-skip-permissions", "--model", "haiku"],
                environment: [:], rest: [])
        }
        let role = identity.role.rawValue
        let rig = Self.isOfRig(identity.role) ? identity.rig : nil
        let layer = rig.flatMap { rigLayers[$0] } ?? Layer()
        var choices: [String?] = []
        if identity.role == .crew, let name = identity.name {
            choices += [layer.crewAgents[name], town.crewAgents[name]]
        }
        choices += [layer.roleAgents[role], town.roleAgents[role]]
        let ofRole = choices.lazy.compactMap { $0 }.first { definition($0, rig) != nil }
        let name = ofRole ?? layer.defaultAgent ?? town.defaultAgent ?? "claude"
        let found = definition(name, rig) ?? Definition()
        let preset = found.provider.flatMap { definition($0, nil) } ?? Self.builtIn["claude"]
        let roleFile = self.role(role, rig)
        var environment = roleFile.environment
        environment.merge(found.environment) { _, own in own }
        var rest = found.rest
        if let effort = layer.roleEffort[role] ?? town.roleEffort[role] { rest.append("role_effort=\(effort)") }
        rest += roleFile.session.sorted { $0.key < $1.key }.map { "session.\($0.key)=\($0.value)" }
        return EffectiveAgent(
            name: name, command: found.command ?? preset?.command ?? "claude",
            arguments: found.arguments ?? preset?.arguments ?? [], environment: environment, rest: rest)
    }

    private static func isOfRig(_ role: AgentRole) -> Bool {
        switch role {
        case .witness, .refinery, .crew, .polecat: true
        case .mayor, .deacon, .boot, .dog, .overseer, .other: false
        }
    }

    private func definition(_ name: String, _ rig: String?) -> Definition? {
        if let rig, let found = rigLayers[rig]?.agents[name] { return found }
        if let found = town.agents[name] { return found }
        if let rig, let found = rigPresets[rig]?[name] { return found }
        return presets[name] ?? Self.builtIn[name]
    }

    /// A role's file of the rig goes over the town's, value by value.
    private func role(_ role: String, _ rig: String?) -> Role {
        var merged = roles[role] ?? Role()
        guard let own = rig.flatMap({ rigRoles[$0]?[role] }) else { return merged }
        merged.environment.merge(own.environment) { _, own in own }
        merged.session.merge(own.session) { _, own in own }
        return merged
    }

    // MARK: - Reading

    private static func object(_ bytes: [UInt8]) throws(TownFileError) -> JSONObject {
        // gt writes some of these files in place: for a moment they are empty.
        guard !bytes.isEmpty else { throw TownFileError("the file is empty") }
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: bytes) } catch { throw TownFileError("\(error)") }
        guard let object = value.object else { throw TownFileError("this is no JSON object") }
        return object
    }

    private static func layer(_ bytes: [UInt8], isRig: Bool) throws(TownFileError) -> Layer {
        let object = try object(bytes)
        var layer = Layer()
        layer.defaultAgent = try string(object[isRig ? "agent" : "default_agent"], isRig ? "agent" : "default_agent")
        layer.agents = try definitions(object["agents"])
        layer.roleAgents = try strings(object["role_agents"], "role_agents")
        let crew = isRig ? "worker_agents" : "crew_agents"
        layer.crewAgents = try strings(object[crew], crew)
        layer.roleEffort = try strings(object["role_effort"], "role_effort")
        return layer
    }

    private static func presets(_ bytes: [UInt8]?) throws(TownFileError) -> [String: Definition] {
        guard let bytes else { return [:] }
        return try definitions(try object(bytes)["agents"])
    }

    private static func definitions(_ value: JSONValue?) throws(TownFileError) -> [String: Definition] {
        var found: [String: Definition] = [:]
        for (name, entry) in try members(value, "agents") where !entry.isNull {
            let place = "agents.\(name)"
            guard let object = entry.object else { throw TownFileError("\(place) is no object") }
            var definition = Definition()
            for (member, value) in object.members where !value.isNull {
                switch member {
                // An empty command is none (gt: config/types.go:709-718).
                case "command": definition.command = try string(value, "\(place).command")
                case "provider": definition.provider = try string(value, "\(place).provider")
                case "env": definition.environment = try strings(value, "\(place).env")
                case "args": definition.arguments = try list(value, "\(place).args")
                // Its own name, and how gt recognises its process: nothing that it is started with.
                case "name", "process_names": break
                default: definition.rest.append("\(member)=\(canonical(value))")
                }
            }
            definition.rest.sort()
            found[name] = definition
        }
        return found
    }

    private static func rigs(_ bytes: [UInt8]?) throws(TownFileError) -> [String: String] {
        guard let bytes else { return [:] }
        var found: [String: String] = [:]
        for (name, rig) in try members(try object(bytes)["rigs"], "rigs") {
            // It becomes part of paths and of command lines.
            guard AgentIdentity.isName(name) else { throw TownFileError("a rig's name is none that gt allows") }
            let prefix = rig["beads"]?["prefix"]?.string ?? ""
            found[name] = prefix.hasSuffix("-") ? String(prefix.dropLast()) : prefix
        }
        return found
    }

    private static func role(_ bytes: [UInt8]?) throws(TownFileError) -> Role {
        guard let bytes else { return Role() }
        let document: TOMLValue
        do throws(TOMLError) { document = try TOML.parse(bytes) } catch { throw TownFileError("\(error)") }
        var role = Role()
        for (section, path) in [("env", \Role.environment), ("session", \Role.session)] {
            for member in document[section]?.table ?? [] {
                role[keyPath: path][member.name] = text(member.value)
            }
        }
        return role
    }

    private static func text(_ value: TOMLValue) -> String {
        switch value.content {
        case .string(let text), .time(let text): text
        case .integer(let number): "\(number)"
        case .float(let number): "\(number)"
        case .boolean(let flag): "\(flag)"
        case .array(let values): "[" + values.map(text).joined(separator: "\u{0}") + "]"
        case .table(let members):
            "{" + members.sorted { $0.name < $1.name }.map { "\($0.name)=\(text($0.value))" }.joined(separator: "\u{0}")
                + "}"
        }
    }

    // MARK: - Types

    private static func members(
        _ value: JSONValue?, _ place: String
    ) throws(TownFileError) -> [(name: String, value: JSONValue)] {
        guard let value, !value.isNull else { return [] }
        guard let object = value.object else { throw TownFileError("\(place) is no object") }
        return object.members
    }

    private static func string(_ value: JSONValue?, _ place: String) throws(TownFileError) -> String? {
        guard let value, !value.isNull else { return nil }
        guard let text = value.string else { throw TownFileError("\(place) is no string") }
        return text.isEmpty ? nil : text
    }

    private static func strings(_ value: JSONValue?, _ place: String) throws(TownFileError) -> [String: String] {
        var found: [String: String] = [:]
        for (name, value) in try members(value, place) where !value.isNull {
            guard let text = value.string else { throw TownFileError("\(place).\(name) is no string") }
            found[name] = text
        }
        return found
    }

    private static func list(_ value: JSONValue, _ place: String) throws(TownFileError) -> [String] {
        guard let values = value.array else { throw TownFileError("\(place) is no list") }
        var words: [String] = []
        for value in values {
            guard let word = value.string else { throw TownFileError("\(place) holds something that is no string") }
            words.append(word)
        }
        return words
    }

    /// The value as text, members sorted by name.
    private static func canonical(_ value: JSONValue) -> String {
        switch value {
        case .array(let values): "[" + values.map(canonical).joined(separator: ",") + "]"
        case .object(let object):
            "{"
                + object.members.sorted { $0.name < $1.name }
                .map { "\(JSONValue.string($0.name).line):\(canonical($0.value))" }.joined(separator: ",") + "}"
        default: value.line
        }
    }
}
