// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import Timekeeping

/// A pane whose agent has ended and may have to be started again.
struct Revival: Sendable {
    /// How far we are: a pane is looked at before anything is done to it.
    enum Stage: Sendable { case waiting, asked, confirmed }

    let session: String
    let identity: AgentIdentity
    let reason: ReloadReason
    /// When it was gone.
    let since: Timestamp
    var due: Timestamp
    let attempts: Int
    /// Goes on with it.
    let conversation: ConversationID?
    /// We ended it: how it ended says nothing about whether it was done.
    let isOurs: Bool
    /// It is a service, which is brought back as one: all that is added here is its conversation.
    var isService = false
    /// Its session went with the tmux server, which nobody had told to end.
    var isServerLost = false
    var stage = Stage.waiting
}

/// A session that gt was to bring back.
struct Return: Sendable {
    let identity: AgentIdentity
    let reason: ReloadReason
    let since: Timestamp
    let due: Timestamp
    let attempts: Int
}

/// How often the agents of a pane have died one after the other.
struct Deaths: Sendable {
    var count = 0
    /// What gt had started the last one with: the pane's command stays what it was.
    var settingsDigest: String?
    var session: String
}

extension Controller {
    /// A session that ends so soon after a resume did not survive it, and is started plainly once.
    private static let resumeTrial = Duration.seconds(20)
    /// A death is first the town's own hooks' and daemon's to mend (contract G).
    static let hookTime = Duration.seconds(15)
    /// The supervisor comes after ``hookTime``; its conversation has to wait for it then.
    private static let serviceTime = Duration.seconds(12)
    /// Who has run for so long has not died from being started.
    private static let stableAfter = Duration.seconds(1800)
    /// tmux answers at once, or not at all.
    private static let lookMax = Duration.seconds(15)
    /// Ended by a signal that the agent took itself (gt: cmd/log.go:357-403 calls 0 done and 130 a kill).
    private static let wantedEnds: Set<Int32> = [0, 130]

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
        guard let place = lease.place, !lease.isNested else { return }
        if let reload, reload.process == process, reload.order == nil {
            // gt makes the session anew: its pane's number may be the same, its command is not.
            deaths[place] = nil
            return
        }
        var died = deaths[place].flatMap { $0.session == lease.session ? $0 : nil } ?? Deaths(session: lease.session)
        died.settingsDigest = lease.settingsDigest
        defer {
            deaths[place] = died
            if deaths.count > 512 { deaths = deaths.filter { revivals[$0.key] != nil } }
        }
        guard reload?.process != process else { return }
        // Another one runs in the pane already: its end was told late.
        guard !leases.values.contains(where: { $0.place == place }) else { return }
        if now - lease.since >= Self.stableAfter { died.count = 0 }
        died.count += 1
        let isTrial = lease.wasResumed && now - lease.since < Self.resumeTrial
        if let pending = lease.pending {
            // It ended before its turn came: whoever starts it again, its conversation goes on.
            let conversation = lease.mayResume && pending.reason != .config ? lease.conversation : nil
            tickets[place] = ResumeTicket(
                conversation: conversation, expires: now + .seconds(60), avoids: pending.avoidsKey ? lease.key : nil)
            sessionTickets[lease.session] = tickets[place]
        }
        if tickets.count > 512 { tickets = tickets.filter { $0.value.expires > now } }
        if sessionTickets.count > 512 { sessionTickets = sessionTickets.filter { $0.value.expires > now } }
        planRevival(of: lease, at: place, now, deaths: died.count, isTrial: isTrial)
    }

    /// - Parameters:
    ///   - deaths: How often the agents of this pane have died in a row, with this one.
    ///   - isTrial: It was resumed a moment ago and did not survive it.
    mutating func planRevival(
        of lease: Lease, at place: PanePlace, _ now: Timestamp, deaths: Int = 1, isTrial: Bool = false
    ) {
        guard settings.isRolling else { return }
        let isService = lease.identity.role == .mayor && settings.managesMayor && !isTrial
        var due = now + (isService ? Self.serviceTime : Self.hookTime)
        if deaths > 1, !isService { due = due + Backoff.delay(after: deaths - 1, using: &numbers) }
        revivals[place] = Revival(
            session: lease.session, identity: lease.identity, reason: isTrial ? .key : .recovered, since: now,
            due: due,
            attempts: deaths,
            // What killed it may be its conversation: that is tried once.
            conversation: isTrial || deaths > 1 ? nil : conversation(toResume: lease), isOurs: isTrial,
            isService: isService,
            isServerLost: lostServers[place.socket].map { now - $0 < Self.serverTime && $0 <= now } ?? false)
    }

    /// The agents of a server that dies with it die within this time.
    private static let serverTime = Duration.seconds(5)

    /// Where a tmux server ends in order, its sessions were ended before it, or it was told to end them: that is
    /// somebody's wish. One that dies takes all of them along, and gt brings back those of its own roles alone.
    mutating func serverEnded(_ socket: String, _ isCrash: Bool?, _ now: Timestamp) {
        let recent = revivals.filter { $0.key.socket == socket && now - $0.value.since < Self.serverTime }
        let living = leases.values.count { $0.place?.socket == socket && !$0.isNested }
        // Sessions are ended one by one; several at once have lost their server.
        guard isCrash ?? (living + recent.count > 1) else { return }
        // We have ended them ourselves.
        guard !isEnding else { return }
        effects.append(.note("the tmux server has died; its agents are brought back"))
        lostServers = lostServers.filter { now - $0.value < Self.serverTime }
        lostServers[socket] = now
        for place in recent.keys { revivals[place]?.isServerLost = true }
        effects.append(.persist)
    }

    /// There is no pane any more in which an agent could be started again: gt makes its session anew.
    private mutating func planReturn(of revival: Revival, _ now: Timestamp) {
        // gt was faster.
        guard !leases.values.contains(where: { $0.session == revival.session }) else { return }
        if let conversation = revival.conversation {
            sessionTickets[revival.session] = ResumeTicket(
                conversation: conversation, expires: now + Self.ticketLife)
        }
        guard !revival.isService, RestartVerb.arguments(for: revival.identity) != nil else { return }
        returns[revival.session] = Return(
            identity: revival.identity, reason: revival.reason, since: revival.since, due: now,
            attempts: revival.attempts)
    }

    /// Asks for a look at the panes whose time has come.
    mutating func lookAtRevivals(_ now: Timestamp) {
        for (place, revival) in revivals.sorted(by: { ($0.key.socket, $0.key.pane) < ($1.key.socket, $1.key.pane) })
        where revival.due <= now && revival.stage != .confirmed && hold(on: revival.identity) == nil {
            // One that was not answered is asked again.
            revivals[place]?.stage = .asked
            revivals[place]?.due = now + Self.lookMax
            effects.append(.look(place, session: revival.session))
        }
    }

    mutating func paneSeen(_ place: PanePlace, _ state: PaneState, _ now: Timestamp) {
        guard let revival = revivals[place], revival.stage == .asked else { return }
        effects.append(.persist)
        switch state {
        case .gone:
            revivals[place] = nil
            deaths[place] = nil
            if revival.isServerLost { planReturn(of: revival, now) }
        case .alive:
            // gt was faster, and what it started has not asked us yet, or never will.
            revivals[place] = nil
        case .dead(let status):
            if let status, Self.wantedEnds.contains(status), !revival.isOurs {
                revivals[place] = nil
                effects.append(.note("\(revival.session) has ended by itself (exit \(status)) and is left so"))
                return
            }
            if revival.isService {
                revivals[place] = nil
                guard let conversation = revival.conversation, tickets[place] == nil else { return }
                tickets[place] = ResumeTicket(conversation: conversation, expires: now + Self.ticketLife)
                sessionTickets[revival.session] = tickets[place]
                return effects.append(.persist)
            }
            revivals[place]?.stage = .confirmed
            revivals[place]?.due = now
        case .unknown:
            revivals[place]?.stage = .waiting
            revivals[place]?.due = now + Backoff.delay(after: revival.attempts, using: &numbers)
        }
    }

    /// - Returns: Whether one was begun.
    mutating func beginRevival(_ now: Timestamp) -> Bool {
        func order(_ place: PanePlace, _ revival: Revival) -> (Timestamp, String, String) {
            (revival.due, place.socket, place.pane)
        }
        guard
            let place = revivals.filter({
                $0.value.stage == .confirmed && $0.value.due <= now && hold(on: $0.value.identity) == nil
            }).min(by: { order($0.key, $0.value) < order($1.key, $1.value) })?.key,
            let revival = revivals.removeValue(forKey: place)
        else { return false }
        if let conversation = revival.conversation, tickets[place] == nil {
            tickets[place] = ResumeTicket(conversation: conversation, expires: now + Self.ticketLife)
        }
        let order = ReloadOrder(
            id: takeID(), session: revival.session, place: place, process: nil, identity: revival.identity)
        begin(
            RunningReload(
                action: .respawn(order), identity: revival.identity, reason: revival.reason, process: nil,
                isResumed: revival.conversation != nil, attempts: revival.attempts, deadline: respawnDeadline(now)))
        return true
    }
}
