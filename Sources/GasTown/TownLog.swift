// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// `logs/town.log`: `YYYY-MM-DD HH:MM:SS [type] agent detail` (gt: townlog/logger.go:62-223).
public enum TownLog {
    /// What tells how an agent's session stands; of the rest nothing follows.
    private static let ends = ["kill", "done"]
    private static let starts = ["spawn", "handoff", "crash"]

    /// Whether gt's last word of an agent is that it has been ended, or is done.
    ///
    /// - Parameters:
    ///   - identity: The agent.
    ///   - log: The end of the log; its first line may be cut.
    public static func isEnded(_ identity: AgentIdentity, in log: some BidirectionalCollection<UInt8>) -> Bool {
        let names = addresses(of: identity)
        for line in log.split(separator: 10).reversed() {
            let fields = line.split(separator: 32, maxSplits: 4).map { String(decoding: $0, as: UTF8.self) }
            guard fields.count > 3, fields[2].hasPrefix("["), fields[2].hasSuffix("]"), names.contains(fields[3]) else {
                continue
            }
            let type = String(fields[2].dropFirst().dropLast())
            if ends.contains(type) { return true }
            if starts.contains(type) { return false }
        }
        return false
    }

    /// Polecats are written in two ways.
    private static func addresses(of identity: AgentIdentity) -> Set<String> {
        let role = identity.role.rawValue
        guard let rig = identity.rig else { return [role, identity.name.map { "\(role)/\($0)" } ?? role] }
        guard let name = identity.name else { return ["\(rig)/\(role)"] }
        return ["\(rig)/\(role)/\(name)", "\(rig)/\(role)s/\(name)", "\(rig)/\(name)"]
    }
}
