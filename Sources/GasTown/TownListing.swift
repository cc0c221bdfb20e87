// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// What gt says of its agents: `gt status --json --fast` (gt: cmd/status.go:64-180). The plain list of `gt agents` is for
/// people and has no machine's form.
public struct TownListing: Sendable, Hashable {
    public static let arguments = ["status", "--json", "--fast"]

    /// Whether the agent's process lives, by session; a session alone is not taken for it (gt: cmd/status.go:640-664).
    public let agents: [String: Bool]

    /// Reads what gt wrote on its standard output.
    ///
    /// - Parameter output: All of it; members that are not known here are passed over.
    /// - Throws: If it is no JSON, or says nothing of agents: gt prints text where something is wrong, and exits with 0.
    public init(_ output: [UInt8]) throws(JSONError) {
        let value = try JSONValue(parsing: output)
        guard let global = value["agents"]?.array else {
            throw JSONError(message: "it says nothing of agents", offset: 0, line: 1, column: 1)
        }
        var found: [String: Bool] = [:]
        for agent in global + (value["rigs"]?.array ?? []).flatMap({ $0["agents"]?.array ?? [] }) {
            guard let session = agent["session"]?.string, !session.isEmpty, let isRunning = agent["running"]?.bool
            else {
                continue
            }
            found[session] = isRunning
        }
        agents = found
    }

    /// Where gt and we see something else, by session.
    ///
    /// - Parameter living: The sessions in which we see an agent.
    /// - Returns: What to say; nothing is done because of it, for either may be behind.
    public func disagreements(living: Set<String>) -> [String: String] {
        var found: [String: String] = [:]
        for (session, isRunning) in agents where isRunning != living.contains(session) {
            found[session] =
                isRunning ? "gt lists it as running; no process of it is known here" : "gt does not see it running"
        }
        return found
    }
}
