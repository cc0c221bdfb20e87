// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import KeyPool
import Timekeeping

/// What is to be done later: failures that are looked at again, agents that are to be brought back. It has to survive a
/// restart.
extension Controller {
    /// Plans of agents that are on their way at this moment, as they would be tried again.
    private var plannedRevivals: [PanePlace: Revival] {
        var plans = revivals
        if let reload, let order = reload.order, leases.values.allSatisfy({ $0.process != order.process }) {
            plans[order.place] = Revival(
                session: order.session, identity: reload.identity, reason: reload.reason, since: handledUpTo,
                due: reload.deadline, attempts: reload.attempts, conversation: nil, isOurs: true)
        }
        return plans
    }

    private var plannedReturns: [String: Return] {
        var plans = returns
        if let reload, let order = reload.restart, reload.returned == nil,
            leases.values.allSatisfy({ $0.process != reload.process })
        {
            plans[order.session] = Return(
                identity: reload.identity, reason: reload.reason, since: handledUpTo, due: reload.deadline,
                attempts: reload.attempts)
        }
        return plans
    }

    /// The agents that are to be brought back.
    private func addAbsent(to object: inout JSONObject) {
        func entry(_ session: String, _ identity: AgentIdentity, _ reason: ReloadReason, _ attempts: Int) -> JSONObject
        {
            [
                "session": .string(session), "role": .string(identity.role.rawValue), "rig": .optional(identity.rig),
                "name": .optional(identity.name), "reason": .string(reason.rawValue), "attempts": JSONValue(attempts),
            ]
        }
        var entries: [JSONValue] = []
        for (place, plan) in plannedRevivals.sorted(by: {
            ($0.value.session, $0.key.pane) < ($1.value.session, $1.key.pane)
        }) {
            var value = entry(plan.session, plan.identity, plan.reason, plan.attempts)
            value["tmux_socket"] = .string(place.socket)
            value["pane"] = .string(place.pane)
            value["conversation"] = .optional(plan.conversation?.text)
            value["ours"] = .bool(plan.isOurs)
            value["server_lost"] = .bool(plan.isServerLost)
            entries.append(.object(value))
        }
        for (session, plan) in plannedReturns.sorted(by: { $0.key < $1.key }) {
            entries.append(.object(entry(session, plan.identity, plan.reason, plan.attempts)))
        }
        object["absent"] = .array(entries)
        object["session_resumes"] = .array(
            sessionTickets.sorted { $0.key < $1.key }.map { session, ticket in
                [
                    "session": .string(session), "conversation": .optional(ticket.conversation?.text),
                    "expires": .string(ticket.expires.rfc3339),
                ]
            })
    }

    private mutating func restoreAbsent(_ state: JSONValue, _ now: Timestamp) {
        for value in (state["session_resumes"]?.array ?? []).prefix(512) {
            guard let session = value["session"]?.string,
                let expires = value["expires"]?.string.flatMap({ Timestamp(rfc3339: $0) }), expires > now
            else { continue }
            sessionTickets[session] = ResumeTicket(
                conversation: value["conversation"]?.string.flatMap(ConversationID.init), expires: expires)
        }
        for value in (state["absent"]?.array ?? []).prefix(512) {
            guard let session = value["session"]?.string,
                let role = value["role"]?.string.flatMap(AgentRole.init(rawValue:)),
                let reason = value["reason"]?.string.flatMap(ReloadReason.init(rawValue:)),
                let attempts = value["attempts"]?.integer.map({ min(max(0, $0), 1000) })
            else { continue }
            let identity = AgentIdentity(role: role, rig: value["rig"]?.string, name: value["name"]?.string)
            // Whoever was at work on it may still be.
            let due = now + Self.hookTime
            if let socket = value["tmux_socket"]?.string, let pane = value["pane"]?.string {
                revivals[PanePlace(socket: socket, pane: pane)] = Revival(
                    session: session, identity: identity, reason: reason, since: now, due: due, attempts: attempts,
                    conversation: value["conversation"]?.string.flatMap(ConversationID.init),
                    isOurs: value["ours"]?.bool ?? false,
                    isServerLost: value["server_lost"]?.bool ?? false)
            } else {
                returns[session] = Return(
                    identity: identity, reason: reason, since: now, due: due, attempts: attempts)
            }
        }
    }

    func addPlans(to object: inout JSONObject) {
        addAbsent(to: &object)
        object["deferred"] = .array(
            deferred.sorted { $0.key.text < $1.key.text }.map { process, sighting in
                [
                    "pid": JSONValue(process.pid), "start_time": JSONValue(process.startTime),
                    "cause": .string(sighting.verdict.cause.rawValue),
                    "window": .optional(sighting.verdict.window?.rawValue), "rule": .string(sighting.verdict.rule),
                    "due": .string(sighting.due.rfc3339),
                ]
            })
    }

    mutating func restorePlans(_ state: JSONValue, at now: Timestamp) {
        restoreAbsent(state, now)
        for value in (state["deferred"]?.array ?? []).prefix(512) {
            guard let pid = value["pid"]?.integer, let pid = Int32(exactly: pid),
                let start = value["start_time"]?.integer, let start = UInt64(exactly: start),
                let cause = value["cause"]?.string.flatMap(Cause.init(rawValue:)),
                let due = value["due"]?.string.flatMap({ Timestamp(rfc3339: $0) })
            else { continue }
            let verdict = Verdict(
                cause: cause, window: value["window"]?.string.flatMap(QuotaWindow.init(rawValue:)),
                rule: value["rule"]?.string ?? "")
            deferred[ProcessName(pid: pid, startTime: start)] = DeferredSighting(verdict: verdict, due: due)
        }
    }
}
