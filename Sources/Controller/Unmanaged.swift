// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import Timekeeping

/// An agent of the town that was not started through us: no rotation reaches it until it is started anew.
public struct UnmanagedAgent: Sendable, Equatable {
    public let process: ProcessName
    public let session: String
    public let identity: AgentIdentity
    public let directory: String
    public let isBusy: Bool?
    public let since: Timestamp
    /// Whether our launcher started it.
    public let hasOurMark: Bool

    /// - Parameters:
    ///   - hasOurMark: Its environment is one that our launcher makes.
    ///   - process: Which it is.
    ///   - session: Its session in tmux.
    ///   - identity: Role and rig.
    ///   - directory: Where it works.
    ///   - isBusy: nil where it is not known.
    ///   - since: When it was first seen.
    public init(
        process: ProcessName, session: String, identity: AgentIdentity, directory: String, isBusy: Bool?,
        since: Timestamp, hasOurMark: Bool = false
    ) {
        self.hasOurMark = hasOurMark
        self.process = process
        self.session = session
        self.identity = identity
        self.directory = directory
        self.isBusy = isBusy
        self.since = since
    }
}

extension Controller {
    /// No more than this are shown: files can be written by anybody.
    private static let unmanagedMax = 256

    mutating func findUnmanaged(_ agent: UnmanagedAgent) {
        guard leases[agent.process] == nil, isInTown(agent.directory) else { return }
        guard unmanaged[agent.process] == nil else {
            unmanaged[agent.process] = agent
            return
        }
        guard unmanaged.count < Self.unmanagedMax else { return }
        unmanaged[agent.process] = agent
        effects.append(.watch(agent.process))
        effects.append(
            .emit(
                .agent(
                    "unmanaged", session: redactor.redact(agent.session), role: agent.identity.role.rawValue,
                    pid: agent.process.pid, id: nil, detail: reason(agent))))
    }

    /// Why it holds no lease.
    private func reason(_ agent: UnmanagedAgent) -> String {
        if agent.hasOurMark { return "our launcher started it, but its lease is lost" }
        let command = redactor.redact(town.effective(for: agent.identity).command)
        return town.effective(for: agent.identity).isClaude
            ? "it was not started through gasclawd"
            : "gt starts it as \(command), not through gasclawd"
    }

    var unmanagedItems: [StatusReport.AgentItem] {
        unmanaged.values.sorted { ($0.session, $0.process.pid) < ($1.session, $1.process.pid) }.map { agent in
            StatusReport.AgentItem(
                session: redactor.redact(agent.session), role: agent.identity.role.rawValue,
                rig: agent.identity.rig.map(redactor.redact), pid: agent.process.pid, isRunning: true, key: nil,
                since: agent.since, isStalled: false, isBusy: agent.isBusy, isUnmanaged: true, pendingReload: nil,
                detail: reason(agent))
        }
    }
}
