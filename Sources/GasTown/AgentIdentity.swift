// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// What an agent does in the town (contract C).
public enum AgentRole: String, Sendable, Hashable, CaseIterable {
    case mayor, deacon, boot, dog, witness, refinery, crew, polecat, overseer, other
}

/// Which agent a session is.
public struct AgentIdentity: Sendable, Hashable {
    public let role: AgentRole
    public let rig: String?
    /// Which one of several with the same role in the same place: a crew member's, a polecat's or a dog's name.
    public let name: String?

    public init(role: AgentRole, rig: String?, name: String? = nil) {
        self.role = role
        self.rig = rig
        self.name = name
    }

    /// Whether a text can be a rig's or a worker's name, and nothing else: part of a path, or an option.
    public static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, first != UInt8(ascii: "-"), first != UInt8(ascii: "."),
            text.utf8.count <= 128
        else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                true
            // Names of other alphabets.
            case 0x80...0xFF: true
            default: false
            }
        }
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
        name = Self.name(self.role, parts, session)
    }

    /// `<rig>/crew/<name>` and `<rig>/polecats/<name>`, `dog/<name>`; else from the session's name.
    private static func name(_ role: AgentRole, _ parts: [String], _ session: String) -> String? {
        let words = session.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        func behind(_ count: Int) -> String? {
            words.count > count ? words.dropFirst(count).joined(separator: "-") : nil
        }
        switch role {
        case .crew: return parts.count > 2 ? parts[2] : behind(2)
        case .polecat: return parts.count > 2 ? parts[2] : behind(1)
        case .dog: return parts.count > 1 ? parts.last : behind(2)
        case .mayor, .deacon, .boot, .witness, .refinery, .overseer, .other: return nil
        }
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
