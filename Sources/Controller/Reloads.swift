// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import KeyPool
import Secrets
import Timekeeping

/// The one reload that is going on.
struct RunningReload: Sendable {
    let order: ReloadOrder
    let role: AgentRole
    let reason: ReloadReason
    let isResumed: Bool
    let attempts: Int
    /// When it has failed: the respawn takes too long, or no agent asks for its lease behind it.
    var deadline: Timestamp
}

/// A pane whose agent is gone and has to be started again.
struct Revival: Sendable {
    let session: String
    let role: AgentRole
    let reason: ReloadReason
    let due: Timestamp
    let attempts: Int
}

extension Controller {
    /// The longest time for ending a process tree and running its command again.
    private static let respawnMax = Duration.seconds(30)
    /// The longest time from the respawn to the new agent's request.
    private static let returnMax = Duration.seconds(30)
    private static let retryAfter = Duration.seconds(30)
    private static let attemptsMax = 3
    /// A session that ends so soon after a resume did not survive it, and is started plainly once.
    private static let resumeTrial = Duration.seconds(20)
    /// A death is first the town's own hooks' to mend (contract G).
    private static let hookTime = Duration.seconds(15)

    /// Asks for restarts of the leases that a condition holds for.
    ///
    /// - Parameter avoidsKey: They shall not get the same key again if there is another.
    mutating func restart(
        _ now: Timestamp, _ reason: ReloadReason, avoidsKey: Bool = false, where isConcerned: (Lease) -> Bool
    ) {
        guard settings.isRolling || reason == .manual else { return }
        for lease in leases.values where !lease.isNested && isConcerned(lease) && lease.pending == nil {
            leases[lease.process]?.pending = Lease.Pending(
                reason: reason, since: now, notBefore: now, avoidsKey: avoidsKey)
            effects.append(.persist)
        }
    }

    /// A key is ready after a time without one: whoever stopped meanwhile goes on.
    mutating func resumeStalled(_ now: Timestamp) {
        for lease in leases.values where lease.isStalled && lease.pending?.reason == .key {
            leases[lease.process]?.pending?.reason = .recovered
        }
        restart(now, .recovered) { $0.isStalled }
    }

    private func isToGoOn(_ lease: Lease, _ now: Timestamp) -> Bool {
        guard lease.isStalled, !lease.isGivenUp else { return false }
        if !pool.isReady(lease.key, at: now) { return movesAgents(lease.key) }
        // Its key is ready again, and nobody was restarted when it failed: there were too many rotations.
        return lease.stalledBy.map { $0.effect.restarts != .nobody } ?? false && deferred[lease.process] == nil
    }

    /// Whether a key cools for a reason that moves the agents that stopped on it.
    private func movesAgents(_ key: KeyID) -> Bool {
        guard let memory = pool.records[key]?.memory else { return true }
        guard let cause = memory.disabled?.cause ?? memory.cooldown?.cause else { return true }
        return cause.effect.restarts != .nobody
    }

    /// Busy agents are waited for.
    func isHeldBack(_ lease: Lease) -> Bool { lease.isBusy == true && !lease.isStalled }

    /// Whether an agent is on its way from one process to the next.
    public var isReloading: Bool { reload != nil }

    /// Whether an agent is being restarted, or is to be.
    public var hasPendingReloads: Bool { reload != nil || leases.values.contains { $0.pending != nil } }

    /// Starts the next reload if none is going on.
    mutating func advanceReloads(_ now: Timestamp) {
        if let running = reload, running.deadline <= now {
            fail(running, "no agent came back in its pane within \(Self.returnMax.brief)", now)
        }
        let hasReadyKey = pool.readyCount(at: now) > 0
        if hasReadyKey && !isRotationLimited(now) {
            // A session that stopped because of its key goes on as soon as there is one for it.
            let held = self
            restart(now, .key) { held.isToGoOn($0, now) }
        }
        guard reload == nil, hasReadyKey, !isStopped, !isEnding else { return }
        func order(_ place: PanePlace, _ revival: Revival) -> (Timestamp, String, String) {
            (revival.due, place.socket, place.pane)
        }
        if let place = revivals.filter({ $0.value.due <= now })
            .min(by: { order($0.key, $0.value) < order($1.key, $1.value) })?.key,
            let revival = revivals.removeValue(forKey: place)
        {
            let order = makeOrder(session: revival.session, place: place, process: nil)
            begin(
                RunningReload(
                    order: order, role: revival.role, reason: revival.reason, isResumed: false,
                    attempts: revival.attempts, deadline: now + Self.respawnMax))
            return
        }
        let ready = leases.values.filter { lease in
            guard let pending = lease.pending, pending.notBefore <= now else { return false }
            return !isHeldBack(lease) || pending.since + settings.patience <= now
        }
        // Stalled before idle before busy; among equals who waits longest, then by name, so that it can be foretold.
        func rank(_ lease: Lease) -> (Int, Timestamp, String, Int32) {
            let state = lease.isStalled ? 0 : lease.isBusy == true ? 2 : 1
            return (state, lease.pending?.since ?? now, lease.session, lease.process.pid)
        }
        guard let lease = ready.min(by: { rank($0) < rank($1) }), let pending = lease.pending else { return }
        guard let place = lease.place else {
            leases[lease.process]?.pending = nil
            leases[lease.process]?.isGivenUp = true
            effects.append(
                .emit(
                    .reload(
                        "failed", session: lease.session, role: lease.identity.role.rawValue,
                        reason: pending.reason.rawValue, resumed: false,
                        detail: "it does not run in tmux; start it again by hand")))
            return advanceReloads(now)
        }
        let conversation = lease.mayResume && !settings.resumePrompt.isEmpty ? lease.conversation : nil
        tickets[place] = ResumeTicket(
            conversation: conversation, expires: now + .seconds(120), avoids: pending.avoidsKey ? lease.key : nil)
        let order = makeOrder(session: lease.session, place: place, process: lease.process)
        leases[lease.process]?.pending?.attempts += 1
        effects.append(.persist)
        begin(
            RunningReload(
                order: order, role: lease.identity.role, reason: pending.reason, isResumed: conversation != nil,
                attempts: pending.attempts + 1, deadline: now + Self.respawnMax))
    }

    private mutating func makeOrder(session: String, place: PanePlace, process: ProcessName?) -> ReloadOrder {
        defer { nextReloadID += 1 }
        return ReloadOrder(id: nextReloadID, session: session, place: place, process: process)
    }

    private mutating func begin(_ running: RunningReload) {
        reload = running
        effects.append(
            .emit(
                .reload(
                    "started", session: running.order.session, role: running.role.rawValue,
                    reason: running.reason.rawValue, resumed: running.isResumed)))
        effects.append(.reload(running.order))
    }

    mutating func reloadPerformed(_ id: UInt64, _ failure: String?, _ now: Timestamp) {
        guard var running = reload, running.order.id == id else { return }
        if let failure {
            fail(running, failure, now)
        } else {
            running.deadline = now + Self.returnMax
            reload = running
        }
    }

    private mutating func fail(_ running: RunningReload, _ detail: String, _ now: Timestamp) {
        reload = nil
        effects.append(
            .emit(
                .reload(
                    "failed", session: running.order.session, role: running.role.rawValue,
                    reason: running.reason.rawValue, resumed: running.isResumed, detail: redactor.redact(detail))))
        let mayRetry = running.attempts < Self.attemptsMax
        if let process = running.order.process, leases[process] != nil {
            if mayRetry {
                leases[process]?.pending?.notBefore = now + Self.retryAfter
            } else {
                leases[process]?.pending = nil
                leases[process]?.isGivenUp = true
            }
        } else if mayRetry {
            revivals[running.order.place] = Revival(
                session: running.order.session, role: running.role, reason: running.reason,
                due: now + Self.retryAfter, attempts: running.attempts + 1)
        }
        effects.append(.persist)
    }

    mutating func processExited(_ process: ProcessName, _ now: Timestamp) {
        noted.remove(process)
        unmanaged[process] = nil
        guard let lease = leases.removeValue(forKey: process) else { return }
        followLeases(now)
        deferred[process] = nil
        twins.forget(process)
        effects.append(
            .emit(
                .agent(
                    "exited", session: lease.session, role: lease.identity.role.rawValue, pid: process.pid,
                    id: lease.key.text)))
        effects.append(.leasesChanged)
        effects.append(.persist)
        guard let place = lease.place, reload?.order.process != process else { return }
        if let pending = lease.pending {
            // It ended before its turn came: whoever starts it again, its conversation goes on.
            let conversation = lease.mayResume && pending.reason != .config ? lease.conversation : nil
            tickets[place] = ResumeTicket(
                conversation: conversation, expires: now + .seconds(60), avoids: pending.avoidsKey ? lease.key : nil)
        } else if lease.wasResumed, now - lease.since < Self.resumeTrial {
            revivals[place] = Revival(
                session: lease.session, role: lease.identity.role, reason: .key, due: now + Self.hookTime, attempts: 1)
        }
        if tickets.count > 512 { tickets = tickets.filter { $0.value.expires > now } }
    }
}
