// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Secrets
import Timekeeping

import Controller

/// What must hold after each step, and what must have come true in the end.
struct Rules {
    /// Until when each key rests, as the events told.
    private var resting: [KeyID: Timestamp] = [:]
    private var disabled: Set<KeyID> = []
    private var generation = 0
    /// Keys that somebody rotated away from, with the agents that held them then.
    private var moved: Set<ProcessName> = []
    private var cleared: Set<KeyID> = []
    private(set) var types: Set<String> = []

    mutating func noteCommand(_ command: KeyCommand, _ key: KeyID) {
        if command == .clear { cleared.insert(key) }
    }

    /// A rest as it is saved: a named end is kept as it was named, and the wait for it ends with the limit at the latest.
    private struct Rest {
        var since: Timestamp
        var kept: Timestamp
        let isNamed: Bool

        init?(_ cooldown: JSONValue?) {
            guard let since = cooldown?["since"]?.string.flatMap({ Timestamp(rfc3339: $0) }),
                let kept = cooldown?["until"]?.string.flatMap({ Timestamp(rfc3339: $0) })
            else { return nil }
            self.since = since
            self.kept = kept
            isNamed = cooldown?["named"] == true
        }

        var end: Timestamp { min(kept, since + KeyPool.resetMax) }
    }

    /// Who set the clock moved no end that a provider named, and made no other wait longer or shorter.
    private mutating func checkClock(
        _ jump: Duration, _ before: Controller, _ simulation: Simulation
    ) throws(Violation) {
        let keys = simulation.controller.snapshot["keys"]
        let formerKeys = before.snapshot["keys"]
        for (id, former) in resting.sorted(by: { $0.key < $1.key }) {
            guard let rest = Rest(keys?[id.text]?["cooldown"]), let old = Rest(formerKeys?[id.text]?["cooldown"]) else {
                continue
            }
            let isKept = rest.isNamed ? rest.kept == old.kept : rest.end == former + jump
            guard isKept, rest.since == old.since + jump, rest.end <= simulation.now + KeyPool.resetMax else {
                throw Violation(
                    rule: "a set clock changes no wait",
                    detail: "\(id): \(former.rfc3339) → \(rest.end.rfc3339), set by \(jump)")
            }
            resting[id] = rest.end
        }
    }

    /// A new process counts its generations anew, and takes up what the old one had saved.
    mutating func restarted(_ simulation: Simulation) {
        generation = 0
        moved = []
        let records = simulation.disk?["keys"]?.object?.members ?? []
        var rests: [KeyID: Timestamp] = [:]
        var out: Set<KeyID> = []
        for (name, memory) in records {
            guard let id = KeyID(text: name) else { continue }
            // What was written by a clock that is ahead of ours lasts no longer than it was to last. A named end is kept.
            if var rest = Rest(memory["cooldown"]) {
                let now = simulation.now
                if rest.since > now {
                    if !rest.isNamed { rest.kept = now + (rest.kept - rest.since) }
                    rest.since = now
                } else if rest.isNamed, rest.end <= now, rest.kept > now, rest.kept <= now + KeyPool.resetMax {
                    rest.since = now
                }
                rests[id] = rest.end
            }
            if memory["disabled"]?.object != nil { out.insert(id) }
        }
        resting = rests
        disabled = out
    }

    // MARK: - After each step

    mutating func check(
        _ simulation: Simulation, before: Controller, effects: [Effect], input: Input
    ) throws(Violation) {
        let controller = simulation.controller
        let pool = controller.pool
        let now = simulation.now
        if case .rotationRequested = input {
            moved.formUnion(before.leases.values.filter { $0.key == before.pool.active }.map(\.process))
        }
        if case .clockSet(let jump) = input { try checkClock(jump, before, simulation) }
        if case .reloadRequested = input { moved.formUnion(before.leases.keys) }
        for effect in effects {
            switch effect {
            case .emit(let event): try check(event, now)
            case .reload(let order): try check(order, simulation, before)
            default: break
            }
        }
        guard controller.isStarted else { return }
        // In an order that a seed repeats.
        let planned = controller.leases.filter { process, lease in
            lease.pending != nil && before.leases[process].map { $0.pending == nil } ?? false
        }
        for lease in planned.values.sorted(by: { $0.process.pid < $1.process.pid }) {
            try checkNeed(of: lease, simulation)
        }
        // It is asked about what is due now in this very moment.
        let isBehind = controller.nextWake(after: now).map { $0 <= now } ?? false
        if !isBehind, pool.readyCount(at: now) > 0, !(pool.active.map { pool.isReady($0, at: now) } ?? false) {
            throw Violation(rule: "no cooling key is active while one is ready", detail: "\(pool.active as Any)")
        }
        if controller.generation < generation {
            throw Violation(rule: "the generation only grows", detail: "\(generation) → \(controller.generation)")
        }
        generation = controller.generation
        try checkFiles(simulation)
        // Their texts are made only where it is not sure: that costs more than all else.
        if !(simulation.written.map { controller.isSurelyWritten(like: $0) } ?? false) {
            guard let disk = simulation.disk, Self.durable(disk) == Self.durable(controller.snapshot) else {
                throw Violation(
                    rule: "what is saved is what is in memory",
                    detail: "\(input)".prefix(60) + ": " + Self.difference(simulation.disk, controller.snapshot))
            }
        }
    }

    /// Keys, cooldowns, leases, deferred failures: all that a crash must not take. Tickets and plans of agents that are on
    /// their way change by the clock alone; what a crash takes of them is looked at again at the start.
    private static func durable(_ state: JSONValue) -> JSONValue {
        var object = state.object ?? JSONObject()
        for name in ["resumes", "session_resumes", "absent", "probes"] { object[name] = nil }
        return .object(object)
    }

    private static func difference(_ a: JSONValue?, _ b: JSONValue) -> String {
        guard let a else { return "nothing is saved" }
        for (name, value) in durable(b).object?.members ?? [] where a[name] != value {
            return "\(name): \((a[name] ?? .null).line.prefix(3000)) / \(value.line.prefix(3000))"
        }
        return "a member is missing"
    }

    private mutating func check(_ event: Event, _ now: Timestamp) throws(Violation) {
        types.insert(event.type)
        guard let id = event["id"]?.string.flatMap(KeyID.init(text:)) else { return }
        switch event.type {
        case "key.cooled":
            guard let until = event["until"]?.string.flatMap({ Timestamp(rfc3339: $0) }) else { return }
            if let former = resting[id], former > now, until < former {
                throw Violation(rule: "a cooldown is never shortened", detail: "\(id): \(former) → \(until)")
            }
            resting[id] = until
            disabled.remove(id)
        case "key.disabled":
            disabled.insert(id)
            if event["cause"]?.string != "manual" { resting[id] = nil }
        case "key.recovered":
            let wasOut = disabled.remove(id) != nil
            let rest = resting.removeValue(forKey: id)
            if !wasOut && rest == nil {
                throw Violation(rule: "a cooldown ends exactly once", detail: "\(id): \(event["reason"] ?? .null)")
            }
            if let rest, rest > now, event["reason"]?.string?.hasSuffix("is over") == true {
                throw Violation(rule: "a cooldown ends at its end", detail: "\(id): \(rest.rfc3339)")
            }
        // What is known of a key that is gone is kept for when it is back.
        default: break
        }
    }

    /// Whether a restart was called for.
    private func check(_ order: ReloadOrder, _ simulation: Simulation, _ before: Controller) throws(Violation) {
        let controller = simulation.controller
        let now = simulation.now
        if controller.pool.readyCount(at: now) == 0 {
            throw Violation(rule: "nobody is restarted while no key is ready", detail: order.session)
        }
        if controller.isStopped { throw Violation(rule: "nobody is restarted while the town stands still", detail: "") }
        guard let process = order.process, let lease = controller.leases[process] else { return }
        // It was called for when it was decided; its key may be ready again since.
        if before.leases[process]?.pending == nil { try checkNeed(of: lease, simulation) }
        // Whoever did not fail goes on where it was, and so does whoever did.
        guard let known = lease.conversation, lease.mayResume else { return }
        guard controller.conversation(waitingIn: order.place) == known else {
            throw Violation(rule: "a conversation is kept", detail: order.session)
        }
    }

    private func checkNeed(of lease: Lease, _ simulation: Simulation) throws(Violation) {
        let controller = simulation.controller
        let needsIt =
            lease.isStalled || !controller.pool.isReady(lease.key, at: simulation.now) || moved.contains(lease.process)
            || lease.launch != controller.settings.launch || lease.pending?.reason == .manual
        if !needsIt { throw Violation(rule: "nobody is restarted without need", detail: lease.session) }
    }

    /// Each accepted edit is in force; what is gone is gone after the grace, and nothing else is.
    private func checkFiles(_ simulation: Simulation) throws(Violation) {
        let pool = simulation.controller.pool
        var wanted: Set<KeyID> = []
        var allowed: Set<KeyID> = []
        for (_, file) in simulation.files {
            let ids = file.keys.compactMap { Simulation.id($0) }
            allowed.formUnion(ids)
            guard let gone = file.goneSince else {
                wanted.formUnion(ids)
                continue
            }
            let isOver = simulation.now - gone >= KeyPool.grace
            if !isOver { wanted.formUnion(ids) }
        }
        let present = Set(pool.records.keys)
        if let missing = wanted.subtracting(present).min() {
            throw Violation(rule: "each accepted edit is in force", detail: "\(missing) is missing")
        }
        if let extra = present.subtracting(allowed).min() {
            throw Violation(rule: "each accepted edit is in force", detail: "\(extra) is in no file")
        }
    }

    // MARK: - In the end

    /// Calm has come, and time enough went by.
    func checkRest(_ simulation: Simulation) throws(Violation) {
        let controller = simulation.controller
        for lease in controller.leases.values.sorted(by: { $0.process.pid < $1.process.pid })
        where simulation.agents[lease.process] != nil {
            if lease.pending != nil, lease.place != nil {
                throw Violation(rule: "each restart comes", detail: "\(lease.session): \(lease.pending as Any)")
            }
            guard lease.isStalled, !lease.isGivenUp, lease.place != nil else { continue }
            if lease.stalledBy?.effect.restarts != .nobody {
                throw Violation(
                    rule: "each stalled session is resumed once a key is ready",
                    detail: "\(lease.session) by \(lease.stalledBy.map(\.rawValue) ?? "?")")
            }
        }
        for (name, file) in simulation.files where file.goneSince == nil {
            for key in file.keys where Simulation.id(key).map({ !controller.pool.holds($0) }) ?? false {
                throw Violation(rule: "each accepted edit is in force in the end", detail: "\(name): \(key)")
            }
        }
    }

    /// Longer than any rest.
    func checkEnd(_ simulation: Simulation) throws(Violation) {
        for record in simulation.controller.pool.sorted
        where record.memory.cooldown != nil && record.memory.disabled == nil {
            throw Violation(rule: "each cooldown ends", detail: "\(record.id)")
        }
    }
}
