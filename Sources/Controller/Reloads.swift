// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import KeyPool
import Secrets
import Timekeeping

/// The one reload that is going on.
struct RunningReload: Sendable {
    enum Action: Sendable {
        /// The same command again, in its pane.
        case respawn(ReloadOrder)
        /// gt's verb: another command or other variables.
        case restart(RestartOrder)
    }
    /// An agent that asked for its lease while gt was still at work on it.
    struct Returned: Sendable { let isResumed: Bool }

    let action: Action
    let identity: AgentIdentity
    let reason: ReloadReason
    /// The agent that was to be ended; nil where it had ended before.
    let process: ProcessName?
    let isResumed: Bool
    let attempts: Int
    /// Whether a lease will be asked for: what gt starts need not be started through us.
    var expectsLease = true
    /// The respawn, or gt's verb, has come to a good end.
    var isPerformed = false
    var returned: Returned?
    /// When it has failed: the respawn takes too long, or no agent asks for its lease behind it.
    var deadline: Timestamp

    var order: ReloadOrder? { if case .respawn(let order) = action { order } else { nil } }
    var restart: RestartOrder? { if case .restart(let order) = action { order } else { nil } }

    var id: UInt64 {
        switch action {
        case .respawn(let order): order.id
        case .restart(let order): order.id
        }
    }

    var session: String {
        switch action {
        case .respawn(let order): order.session
        case .restart(let order): order.session
        }
    }
}

extension Controller {
    /// The longest time for ending a process tree and running its command again.
    private static let respawnMax = Duration.seconds(30)
    /// The longest time for gt's verb (contract G: 200 s), with what it takes to end it as a tree.
    private static let verbMax = Duration.seconds(220)
    /// The longest time from the respawn to the new agent's request.
    private static let returnMax = Duration.seconds(30)
    /// How long a conversation waits for its agent.
    static let ticketLife = Duration.seconds(120)
    /// No ticket is made for longer.
    static let ticketLifeMax = verbMax + returnMax

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
        guard lease.isStalled, !lease.isGivenUp, plantedFault != .leavesStalled else { return false }
        if !pool.isReady(lease.key, at: now) { return movesAgents(lease.key) }
        // Its key is ready again, and nobody was restarted when it failed: there were too many rotations.
        return lease.stalledBy.map { $0.effect.restarts != .nobody } ?? false && deferred[lease.process] == nil
    }

    /// Whether a key cools for a reason that moves the agents that stopped on it.
    private func movesAgents(_ key: KeyID) -> Bool {
        guard let memory = pool.records[key]?.memory else { return true }
        // Who takes a key out by hand wants its agents elsewhere.
        if memory.disabled?.cause == .manual { return true }
        guard let cause = memory.disabled?.cause ?? memory.cooldown?.cause else { return true }
        return cause.effect.restarts != .nobody
    }

    /// How long a stall may last that a reload is to mend; as a service that is not up (contract C).
    static let stallPatience = Duration.seconds(60)

    /// Until when nothing is wrong with an agent that has stopped: its first reload is on its way.
    func mendedBy(_ lease: Lease) -> Timestamp? {
        guard let stalled = lease.stalledAt, let pending = lease.pending, hold(on: lease.identity) == nil,
            pending.attempts == 0 || (pending.attempts == 1 && reload?.process == lease.process)
        else { return nil }
        return max(stalled, pending.since) + Self.stallPatience
    }

    /// Whether an agent has stopped and nothing is about to mend it: a rotation in order troubles nobody.
    func isStuck(_ lease: Lease, _ now: Timestamp) -> Bool {
        lease.isStalled && mendedBy(lease).map { $0 <= now } ?? true
    }

    /// Busy agents are waited for.
    func isHeldBack(_ lease: Lease) -> Bool { lease.isBusy == true && !lease.isStalled }

    /// Whether an agent is on its way from one process to the next.
    public var isReloading: Bool { reload != nil }

    /// Whether a session is on its way from one process to the next, or is to be brought back.
    public func isBeingReloaded(_ session: String) -> Bool {
        reload?.session == session || returns[session] != nil
            || revivals.values.contains { $0.session == session && $0.isOurs }
    }

    /// Whether an agent is being restarted, or is to be.
    public var hasPendingReloads: Bool {
        reload != nil || !returns.isEmpty || leases.values.contains { $0.pending != nil }
            || revivals.values.contains(where: \.isOurs)
    }

    /// Starts the next reload if none is going on.
    mutating func advanceReloads(_ now: Timestamp) {
        if let running = reload, running.deadline <= now {
            let place = running.order == nil ? "after gt's restart" : "in its pane"
            fail(running, "no agent came back \(place) within \(Self.returnMax.brief)", now)
        }
        let hasReadyKey = pool.hasReadyKey(at: now) || plantedFault == .restartsWithoutKey
        if hasReadyKey && !isRotationLimited(now) {
            // A session that stopped because of its key goes on as soon as there is one for it.
            let held = self
            restart(now, .key) { held.isToGoOn($0, now) }
        }
        let mayStart = holds.isDisjoint(with: [.stop, .shuttingDown, .away]) || plantedFault == .ignoresStop
        guard hasReadyKey, !isEnding, mayStart else { return }
        lookAtRevivals(now)
        // Who is down because of us comes first; how its pane is, is known in a moment.
        guard reload == nil, !revivals.values.contains(where: { $0.isOurs && $0.stage == .asked }) else { return }
        if beginRevival(now) || beginReturn(now) { return }
        let ready = leases.values.filter { lease in
            guard let pending = lease.pending, pending.notBefore <= now, hold(on: lease.identity) == nil else {
                return false
            }
            return !isHeldBack(lease) || pending.since + settings.patience <= now
        }
        // Stalled before idle before busy; among equals who waits longest, then by name, so that it can be foretold.
        func rank(_ lease: Lease) -> (Int, Timestamp, String, Int32) {
            let state = lease.isStalled ? 0 : lease.isBusy == true ? 2 : 1
            return (state, lease.pending?.since ?? now, lease.session, lease.process.pid)
        }
        guard let lease = ready.min(by: { rank($0) < rank($1) }), let pending = lease.pending else { return }
        if pending.isByVerb {
            beginVerb(lease, pending, now)
        } else {
            beginRespawn(lease, pending, now)
        }
    }

    private mutating func beginRespawn(_ lease: Lease, _ pending: Lease.Pending, _ now: Timestamp) {
        guard let place = lease.place else {
            leases[lease.process]?.pending = nil
            leases[lease.process]?.isGivenUp = true
            effects.append(.persist)
            effects.append(
                .emit(
                    .reload(
                        "failed", session: lease.session, role: lease.identity.role.rawValue,
                        reason: pending.reason.rawValue, resumed: false,
                        detail: "it does not run in tmux; start it again by hand")))
            return advanceReloads(now)
        }
        let conversation = conversation(toResume: lease)
        tickets[place] = ResumeTicket(
            conversation: conversation, expires: now + Self.ticketLife, avoids: pending.avoidsKey ? lease.key : nil)
        leases[lease.process]?.pending?.attempts += 1
        effects.append(.persist)
        let order = ReloadOrder(
            id: takeID(), session: lease.session, place: place, process: lease.process, identity: lease.identity)
        begin(
            RunningReload(
                action: .respawn(order), identity: lease.identity, reason: pending.reason, process: lease.process,
                isResumed: conversation != nil, attempts: pending.attempts + 1, deadline: now + Self.respawnMax))
    }

    private mutating func beginVerb(_ lease: Lease, _ pending: Lease.Pending, _ now: Timestamp) {
        guard let arguments = RestartVerb.arguments(for: lease.identity) else {
            leases[lease.process]?.pending = nil
            effects.append(.persist)
            return
        }
        let effective = town.effective(for: lease.identity)
        let conversation = effective.isClaude ? conversation(toResume: lease) : nil
        sessionTickets[lease.session] = ResumeTicket(
            conversation: conversation, expires: now + Self.verbMax + Self.returnMax,
            avoids: pending.avoidsKey ? lease.key : nil)
        leases[lease.process]?.pending?.attempts += 1
        effects.append(.persist)
        let order = RestartOrder(
            id: takeID(), session: lease.session, arguments: arguments, identity: lease.identity)
        begin(
            RunningReload(
                action: .restart(order), identity: lease.identity, reason: pending.reason, process: lease.process,
                isResumed: conversation != nil, attempts: pending.attempts + 1, expectsLease: effective.isClaude,
                deadline: now + Self.verbMax))
    }

    /// The conversation with which an agent goes on.
    func conversation(toResume lease: Lease) -> ConversationID? {
        guard plantedFault != .losesConversation else { return nil }
        return lease.mayResume && !settings.resumePrompt.isEmpty ? lease.conversation : nil
    }

    /// What gt was to bring back and did not.
    private mutating func beginReturn(_ now: Timestamp) -> Bool {
        func order(_ session: String, _ back: Return) -> (Timestamp, String) { (back.due, session) }
        guard
            let session = returns.filter({ $0.value.due <= now && hold(on: $0.value.identity) == nil })
                .min(by: { order($0.key, $0.value) < order($1.key, $1.value) })?.key,
            let back = returns.removeValue(forKey: session),
            let arguments = RestartVerb.arguments(for: back.identity)
        else { return false }
        let conversation = sessionTickets[session]?.conversation
        if let conversation {
            sessionTickets[session] = ResumeTicket(
                conversation: conversation, expires: now + Self.verbMax + Self.returnMax,
                avoids: sessionTickets[session]?.avoids)
        }
        let order = RestartOrder(id: takeID(), session: session, arguments: arguments, identity: back.identity)
        begin(
            RunningReload(
                action: .restart(order), identity: back.identity, reason: back.reason, process: nil,
                isResumed: conversation != nil, attempts: back.attempts,
                expectsLease: town.effective(for: back.identity).isClaude, deadline: now + Self.verbMax))
        return true
    }

    mutating func takeID() -> UInt64 {
        defer { nextReloadID += 1 }
        return nextReloadID
    }

    mutating func begin(_ running: RunningReload) {
        reload = running
        effects.append(.emit(event("started", running, isResumed: running.isResumed)))
        switch running.action {
        case .respawn(let order): effects.append(.reload(order))
        case .restart(let order): effects.append(.restart(order))
        }
    }

    /// The longest time that a respawn may take from now on.
    func respawnDeadline(_ now: Timestamp) -> Timestamp { now + Self.respawnMax }

    private func event(_ what: String, _ running: RunningReload, isResumed: Bool, detail: String? = nil) -> Event {
        .reload(
            what, session: running.session, role: running.identity.role.rawValue, reason: running.reason.rawValue,
            resumed: isResumed, detail: detail.map { redactor.redact($0) })
    }

    // MARK: - Outcomes

    mutating func reloadPerformed(_ id: UInt64, _ failure: String?, _ now: Timestamp) {
        guard var running = reload, running.id == id else { return }
        if let returned = running.returned {
            // Whatever gt says of it: the agent is there.
            return finish(running, isResumed: returned.isResumed)
        }
        if let failure { return fail(running, failure, now) }
        guard running.expectsLease else { return finish(running, isResumed: false) }
        running.isPerformed = true
        running.deadline = now + Self.returnMax
        reload = running
    }

    mutating func finish(_ running: RunningReload, isResumed: Bool) {
        reload = nil
        effects.append(.emit(event("finished", running, isResumed: isResumed)))
    }

    private mutating func fail(_ running: RunningReload, _ detail: String, _ now: Timestamp) {
        reload = nil
        effects.append(.emit(event("failed", running, isResumed: running.isResumed, detail: detail)))
        retry(running, at: now + Backoff.delay(after: running.attempts, using: &numbers), running.attempts + 1, now)
    }

    /// The agent has ended and may not be brought back now: that is nobody's failure.
    mutating func reloadPutOff(_ id: UInt64, _ why: String, _ now: Timestamp) {
        guard let running = reload, running.id == id else { return }
        reload = nil
        effects.append(.emit(event("failed", running, isResumed: running.isResumed, detail: "put off: \(why)")))
        retry(running, at: now, running.attempts, now)
    }

    private mutating func retry(_ running: RunningReload, at due: Timestamp, _ attempts: Int, _ now: Timestamp) {
        effects.append(.persist)
        if let process = running.process, leases[process] != nil {
            leases[process]?.pending?.notBefore = due
            return
        }
        switch running.action {
        case .respawn(let order):
            revivals[order.place] = Revival(
                session: order.session, identity: running.identity, reason: running.reason, since: now, due: due,
                attempts: attempts, conversation: nil, isOurs: true)
        case .restart(let order):
            returns[order.session] = Return(
                identity: running.identity, reason: running.reason, since: now, due: due, attempts: attempts)
        }
    }
}
