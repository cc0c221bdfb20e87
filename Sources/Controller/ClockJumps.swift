// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import KeyPool
import Timekeeping

/// Somebody sets the clock: an hour back, or two days ahead.
///
/// What waits for a time waits as long as it would have, whichever way the clock went; only an end that a provider named
/// stays the instant that it is.
extension Controller {
    mutating func clockSet(by jump: Duration) {
        guard plantedFault != .ignoresSetClock else { return }
        let distance = jump < .zero ? .zero - jump : jump
        // What time servers put right is not worth a word.
        if distance >= .seconds(1) {
            let way = jump < .zero ? "back" : "ahead"
            effects.append(
                .note("the clock was set \(way) by \(distance.brief): what waits goes on waiting as long as it had to"))
        }
        pool.clockSet(by: jump)
        for process in leases.keys { leases[process]?.clockSet(by: jump) }
        // Rows are compared with these. Ahead they would make old what is not read yet.
        if jump < .zero { activatedAt = activatedAt + jump }
        twins.clockSet(by: jump)
        probes.clockSet(by: jump)
        lastEffect = lastEffect.mapValues { $0 + jump }
        deferred = deferred.mapValues { DeferredSighting(verdict: $0.verdict, due: $0.due + jump) }
        rotations = rotations.map { $0 + jump }
        waiting = waiting.map { $0.clockSet(by: jump) }
        tickets = tickets.mapValues { $0.clockSet(by: jump) }
        sessionTickets = sessionTickets.mapValues { $0.clockSet(by: jump) }
        if let running = reload { reload?.deadline = running.deadline + jump }
        revivals = revivals.mapValues { $0.clockSet(by: jump) }
        returns = returns.mapValues { $0.clockSet(by: jump) }
        lostServers = lostServers.mapValues { $0 + jump }
        parking.notBefore = parking.notBefore.map { $0 + jump }
        effects.append(.persist)
    }

    /// What an earlier process wrote down is from no time that has not come yet: the clock was set while nobody looked.
    mutating func cutFuture(_ now: Timestamp) {
        deferred = deferred.mapValues {
            DeferredSighting(verdict: $0.verdict, due: min($0.due, now + Self.sessionLimit))
        }
        probes.cut(at: now)
        let longest = now + Self.ticketLifeMax
        tickets = tickets.mapValues { $0.cut(at: longest) }
        sessionTickets = sessionTickets.mapValues { $0.cut(at: longest) }
    }
}

extension Lease {
    mutating func clockSet(by jump: Duration) {
        if jump < .zero {
            since = since + jump
            stalledAt = stalledAt.map { $0 + jump }
        }
        guard var pending else { return }
        pending.since = pending.since + jump
        pending.notBefore = pending.notBefore + jump
        self.pending = pending
    }

    mutating func cut(at now: Timestamp) {
        since = min(since, now)
        stalledAt = stalledAt.map { min($0, now) }
        guard var pending else { return }
        pending.since = min(pending.since, now)
        pending.notBefore = min(pending.notBefore, now)
        self.pending = pending
    }
}

extension SightingTwins {
    mutating func clockSet(by jump: Duration) {
        waiting = waiting.mapValues { entries in
            entries.map { Entry(source: $0.source, cause: $0.cause, window: $0.window, time: $0.time + jump) }
        }
    }
}

extension Probes {
    mutating func clockSet(by jump: Duration) {
        planned = planned.mapValues { Planned(kind: $0.kind, due: $0.due + jump) }
        asked = asked.mapValues { $0 + jump }
    }

    mutating func cut(at now: Timestamp) { asked = asked.mapValues { min($0, now) } }
}

extension WaitingLaunch {
    func clockSet(by jump: Duration) -> WaitingLaunch {
        WaitingLaunch(
            token: token, request: request, process: process, isNested: isNested, deadline: deadline + jump)
    }
}

extension ResumeTicket {
    func clockSet(by jump: Duration) -> ResumeTicket {
        ResumeTicket(conversation: conversation, expires: expires + jump, avoids: avoids)
    }

    func cut(at longest: Timestamp) -> ResumeTicket {
        ResumeTicket(conversation: conversation, expires: min(expires, longest), avoids: avoids)
    }
}

extension Revival {
    func clockSet(by jump: Duration) -> Revival {
        Revival(
            session: session, identity: identity, reason: reason, since: since + jump, due: due + jump,
            attempts: attempts, conversation: conversation, isOurs: isOurs, isService: isService,
            isServerLost: isServerLost, stage: stage)
    }
}

extension Return {
    func clockSet(by jump: Duration) -> Return {
        Return(identity: identity, reason: reason, since: since + jump, due: due + jump, attempts: attempts)
    }
}
