// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// A file of the town from which gt learns what its agents are started with (gt-contract.md section 3a).
public enum TownFile: Sendable, Hashable {
    /// `settings/config.json`: read at each start of an agent (gt: config/agents.go:549-586).
    case settings
    /// `settings/agents.json`: a gt process reads it once, so that its daemon never sees an edit (the same place).
    case presets
    /// `mayor/rigs.json`: the rigs, and the prefixes of their sessions.
    case rigs
    /// `mayor/daemon.json`: the daemon reads it once, at its start (gt: daemon/daemon.go:209-217).
    case daemon
    /// `roles/<role>.toml`.
    case role(String)
    /// `<rig>/settings/config.json`.
    case rigSettings(rig: String)
    /// `<rig>/settings/agents.json`.
    case rigPresets(rig: String)
    /// `<rig>/roles/<role>.toml`.
    case rigRole(rig: String, role: String)

    /// No such file is this long. In bytes (contract G).
    public static let lengthMax = 1 << 20

    /// Its path below the town's root.
    public var path: String {
        switch self {
        case .settings: "settings/config.json"
        case .presets: "settings/agents.json"
        case .rigs: "mayor/rigs.json"
        case .daemon: "mayor/daemon.json"
        case .role(let role): "roles/\(role).toml"
        case .rigSettings(let rig): "\(rig)/settings/config.json"
        case .rigPresets(let rig): "\(rig)/settings/agents.json"
        case .rigRole(let rig, let role): "\(rig)/roles/\(role).toml"
        }
    }

    /// The file at a path below the town's root; nil for one that says nothing of agents.
    public init?(components: [String]) {
        func role(_ name: String) -> String? { name.hasSuffix(".toml") ? String(name.dropLast(5)) : nil }
        switch components.count {
        case 2:
            switch (components[0], components[1]) {
            case ("settings", "config.json"): self = .settings
            case ("settings", "agents.json"): self = .presets
            case ("mayor", "rigs.json"): self = .rigs
            case ("mayor", "daemon.json"): self = .daemon
            case ("roles", let name):
                guard let role = role(name) else { return nil }
                self = .role(role)
            default: return nil
            }
        case 3:
            switch (components[1], components[2]) {
            case ("settings", "config.json"): self = .rigSettings(rig: components[0])
            case ("settings", "agents.json"): self = .rigPresets(rig: components[0])
            case ("roles", let name):
                guard let role = role(name) else { return nil }
                self = .rigRole(rig: components[0], role: role)
            default: return nil
            }
        default: return nil
        }
    }

    /// Whether gt's daemon reads it only when it starts.
    public var needsDaemonRestart: Bool {
        switch self {
        case .presets, .daemon: true
        case .settings, .rigs, .role, .rigSettings, .rigPresets, .rigRole: false
        }
    }
}

/// Why a file of the town cannot be used. It never quotes the file: that may hold a key.
public struct TownFileError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}
