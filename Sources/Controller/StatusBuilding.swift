// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import KeyPool
import Timekeeping

/// What of the status the controller does not know by itself.
public struct Surroundings: Sendable {
    public var version: String
    public var bootID: String
    public var pid: Int32
    public var startedAt: Timestamp
    public var isStarting = true
    public var isStopping = false
    public var isTownInstalled = false
    /// Why the town is not all that it is to be.
    public var bootstrapProblem: String?
    /// When that is tried again.
    public var bootstrapRetryAt: Timestamp?
    /// Why the town that was here is not here now.
    public var townProblem: String?
    /// Why Claude Code's own files cannot be prepared.
    public var clientProblem: String?
    /// Where gt's list of agents differs from ours, by session.
    public var disagreements: [String: String] = [:]
    public var services: [StatusReport.ServiceItem] = []
    /// The first service that is wanted and in trouble.
    public var serviceProblem: String?
    /// Why a path is lost, where one is.
    public var watchProblem: String?
    /// Why a log or transcript is lost, where one is.
    public var logProblem: String?
    /// Why a rule for logs is not applied, where one is not.
    public var ruleProblem: String?
    public var stateProblem: String?
    public var isRootWithoutSandbox = false
    public var watch = StatusReport.Watch()

    public init(version: String, bootID: String, pid: Int32, startedAt: Timestamp) {
        self.version = version
        self.bootID = bootID
        self.pid = pid
        self.startedAt = startedAt
    }
}

extension Controller {
    /// The status as it is now.
    public func report(_ surroundings: Surroundings, at now: Timestamp) -> StatusReport {
        let items = pool.sorted.map { item($0, now) }
        var report = StatusReport(
            version: surroundings.version, bootID: surroundings.bootID, state: .ready, detail: "",
            pid: surroundings.pid,
            startedAt: surroundings.startedAt, generation: generation, townRoot: settings.townRoot,
            isTownInstalled: surroundings.isTownInstalled, isStopped: isStopped,
            activeKey: pool.active?.text, strategy: pool.strategy.rawValue, keys: items,
            rejected: rejected.sorted { $0.key < $1.key }.map(\.value), agents: agents + unmanagedItems,
            services: surroundings.services, watch: surroundings.watch,
            config: config)
        report.agents += absentAgents(now)
        addDisagreements(surroundings.disagreements, to: &report.agents, now)
        report.bootstrapError = surroundings.bootstrapProblem
        report.bootstrapRetryAt = surroundings.bootstrapRetryAt
        report.isTownAway = holds.contains(.away)
        report.holds = holds.map(\.text).sorted()
        report.rejectedTownFiles = rejectedTown.values.sorted { $0.path < $1.path }
        let trouble = trouble(surroundings, now)
        report.state =
            surroundings.isStopping
            ? .stopping : surroundings.isStarting ? .starting : trouble == nil ? .ready : .degraded
        report.detail = trouble ?? report.line
        return report
    }

    private func item(_ record: KeyPool.Record, _ now: Timestamp) -> StatusReport.KeyItem {
        let state =
            record.memory.disabled != nil
            ? "disabled" : !record.isReady(at: now) ? "cooling" : record.id == pool.active ? "active" : "ready"
        let cooldown = state == "cooling" ? record.memory.cooldown : nil
        return StatusReport.KeyItem(
            id: record.id.text, account: record.account, baseURL: record.baseURL ?? settings.launch.baseURL,
            state: state, cause: (record.memory.disabled?.cause ?? cooldown?.cause)?.rawValue, until: cooldown?.until,
            lastUsed: record.memory.lastUsed, leases: leases.values.count { $0.key == record.id })
    }

    private var agents: [StatusReport.AgentItem] {
        leases.values.sorted { ($0.session, $0.process.pid) < ($1.session, $1.process.pid) }.map { lease in
            StatusReport.AgentItem(
                session: lease.session, role: lease.identity.role.rawValue, rig: lease.identity.rig,
                pid: lease.process.pid, isRunning: true, key: lease.key.text, since: lease.since,
                isStalled: lease.isStalled, isBusy: lease.isBusy, isUnmanaged: false,
                pendingReload: lease.pending?.reason.rawValue,
                detail: lease.pending == nil
                    ? lease.isGivenUp ? "it cannot be started anew: it does not run in tmux" : nil : waitsFor(lease))
        }
    }

    /// Says where gt sees something else; an agent that only gt knows gets a line of its own.
    private func addDisagreements(
        _ disagreements: [String: String], to agents: inout [StatusReport.AgentItem], _ now: Timestamp
    ) {
        for (session, text) in disagreements.sorted(by: { $0.key < $1.key }) {
            if let index = agents.firstIndex(where: { $0.session == session }) {
                agents[index].detail = agents[index].detail.map { "\($0); \(text)" } ?? text
                continue
            }
            let identity = AgentIdentity(role: nil, rig: nil, session: session)
            agents.append(
                StatusReport.AgentItem(
                    session: redactor.redact(session), role: identity.role.rawValue, rig: identity.rig, pid: nil,
                    isRunning: false, key: nil, since: now, isStalled: false, isBusy: nil, isUnmanaged: false,
                    pendingReload: nil, detail: text))
        }
    }

    /// What a reload that is due waits for.
    func waitsFor(_ lease: Lease) -> String? {
        guard let pending = lease.pending, reload?.process != lease.process else { return nil }
        if let hold = hold(on: lease.identity) { return "waits: \(hold.text)" }
        if pending.attempts > 0 {
            return "attempt \(pending.attempts) failed; again at \(pending.notBefore.rfc3339InSeconds)"
        }
        return isHeldBack(lease)
            ? "busy until its turn ends, at the latest \((pending.since + settings.patience).rfc3339InSeconds)" : nil
    }

    /// Agents that have ended and are to be brought back.
    private func absentAgents(_ now: Timestamp) -> [StatusReport.AgentItem] {
        func item(
            _ session: String, _ identity: AgentIdentity, _ reason: ReloadReason, _ since: Timestamp, _ due: Timestamp
        )
            -> StatusReport.AgentItem
        {
            let why =
                hold(on: identity).map { "waits: \($0.text)" }
                ?? "it has ended; looked at again at \(due.rfc3339InSeconds)"
            return StatusReport.AgentItem(
                session: session, role: identity.role.rawValue, rig: identity.rig, pid: nil, isRunning: false, key: nil,
                since: since, isStalled: false, isBusy: nil, isUnmanaged: false, pendingReload: reason.rawValue,
                detail: why)
        }
        let present = Set(leases.values.map(\.session))
        // Of others it is not known whether they ended on purpose.
        return
            (revivals.values.filter { $0.isOurs || $0.stage == .confirmed }.map {
                item($0.session, $0.identity, $0.reason, $0.since, $0.due)
            }
            + returns.map { item($0.key, $0.value.identity, $0.value.reason, $0.value.since, $0.value.due) })
            .filter { !present.contains($0.session) }.sorted { $0.session < $1.session }
    }

    /// The first of what makes the state degraded, in the order of contract C.
    private func trouble(_ surroundings: Surroundings, _ now: Timestamp) -> String? {
        if !pool.hasReadyKey(at: now) {
            if pool.records.isEmpty {
                return "no key: \(settings.accounts) holds none (add one as \(settings.accounts)/1/config.toml)"
            }
            if pool.records.values.contains(where: { $0.isReady(at: now) }) {
                return "no ready key whose file is there: those that are gone are kept for \(KeyPool.grace.brief)"
            }
            if let until = pool.records.values.compactMap({ $0.memory.cooldown?.until }).min() {
                return "no ready key: the first one is ready at \(until.rfc3339InSeconds)"
            }
            return "no ready key: all are disabled"
        }
        if isRotationLimited(now) { return "\(Self.rotationsMax) rotations within 10 minutes: keys cool, agents stay" }
        if let problem = surroundings.serviceProblem { return problem }
        if let problem = surroundings.bootstrapProblem ?? surroundings.townProblem ?? surroundings.clientProblem {
            return problem
        }
        if let polled = surroundings.watch.polled.first { return "polled instead of watched: \(polled)" }
        if let problem = surroundings.watchProblem ?? surroundings.logProblem ?? surroundings.ruleProblem {
            return problem
        }
        if let error = config.errors.first { return "configuration refused: \(error)" }
        if let file = rejectedTown.values.min(by: { $0.path < $1.path }) {
            return "a file of the town is refused: \(file.error)"
        }
        if let stalled = leases.values.filter({ isStuck($0, now) }).min(by: { $0.session < $1.session }) {
            return "agent stalled: \(stalled.session)"
        }
        if let agent = unmanagedItems.first {
            return "agent unmanaged: \(agent.session): \(agent.detail ?? "no lease") (start it anew)"
        }
        if let problem = surroundings.stateProblem { return problem }
        if surroundings.isRootWithoutSandbox {
            return "agents run as root without a sandbox (use a user of its own, or agent.sandboxed)"
        }
        return nil
    }
}
