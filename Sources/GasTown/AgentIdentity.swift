// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// What an agent does in the town (contract C).
public enum AgentRole: String, Sendable, Hashable, CaseIterable {
    case mayor, deacon, boot, dog, witness, refinery, crew, polecat, overseer, other
}

/// Which agent a session is.
public struct AgentIdentity: Sendable, Hashable {
    public let role: AgentRole
    public let rig: String?

    public init(role: AgentRole, rig: String?) {
        self.role = role
        self.rig = rig
    }

    /// From what gt gives an agent in its environment, else from the session's name (gt: session/names.go).
    ///
    /// - Parameters:
    ///   - role: `GT_ROLE`: `mayor`, or `<rig>/crew/<name>` and its kin.
    ///   - rig: `GT_RIG`.
    ///   - session: The tmux session.
    public init(role: String?, rig: String?, session: String) {
        let parts = (role ?? "").split(separator: "/").map(String.init)
        // `<rig>/crew/<name>`, `deacon/boot`, `dog/<name>`, `mayor`: a rig, an agent may be called like a role.
        let second = parts.count > 1 ? Self.role(ofWord: parts[1]) : nil
        let found = second ?? parts.first.flatMap(Self.role(ofWord:)) ?? Self.role(ofSession: session)
        self.role = found ?? .other
        let named = rig.flatMap { $0.isEmpty ? nil : $0 }
        let first: String? =
            switch second {
            case .witness, .refinery, .crew, .polecat: parts[0]
            default: parts.count > 1 && Self.role(ofWord: parts[0]) == nil ? parts[0] : nil
            }
        self.rig = named ?? first
    }

    private static func role(ofWord word: String) -> AgentRole? {
        switch word {
        case "coordinator": .mayor
        case "health-check": .deacon
        case "polecats": .polecat
        case "dogs": .dog
        case "other": nil
        default: AgentRole(rawValue: word)
        }
    }

    private static func role(ofSession session: String) -> AgentRole? {
        let parts = session.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard parts.count > 1 else { return nil }
        if parts[0] == "hq" { return role(ofWord: parts[1]) }
        switch parts[1] {
        case "witness": return .witness
        case "refinery": return .refinery
        case "crew": return .crew
        default: return nil
        }
    }
}
