// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Supervision
import Timekeeping

/// What must hold of services after each step, and what must have come true in the end.
struct ServiceRules {
    private let policy = RestartPolicy()
    /// What was asked for by hand.
    private var isWanted: [ServiceName: Bool] = [:]
    /// When the next attempt was said to be.
    private var notBefore: [ServiceName: Timestamp] = [:]
    private(set) var kinds: Set<String> = []

    mutating func note(_ input: ServiceInput, _ life: ServiceLife) throws(Violation) {
        switch input {
        case .wanted(let name, let wish):
            isWanted[name] = wish != .stop
            notBefore[name] = nil
        // Whoever had what it needs is gone.
        case .unblocked(let name): notBefore[name] = nil
        case .found(let name, _, _): notBefore[name] = nil
        default: break
        }
    }

    /// What waits goes on waiting as long as it had to.
    mutating func clockSet(by jump: Duration) { notBefore = notBefore.mapValues { $0 + jump } }

    /// What was said before is still so, but that nobody waits longer than the longest wait, and that it is looked at once
    /// whether another still has what it needs.
    mutating func restarted(_ life: ServiceLife) {
        for name in ServiceName.allCases {
            let saved = life.disk?["services"]?[name.rawValue]
            isWanted[name] = saved?["wanted"] != "down"
            notBefore[name] = nil
            guard saved?["blocked"] != true,
                let retry = saved?["retry"]?.integer.map({ Timestamp(microseconds: Int64($0)) })
            else { continue }
            let longest = saved?["backoff"]?["parked"] == true ? policy.parkedRetry : policy.delayMax
            notBefore[name] = min(retry, life.now + longest)
        }
    }

    mutating func check(_ action: ServiceAction, _ life: ServiceLife) throws(Violation) {
        let now = life.now
        switch action {
        case .start(let name, _):
            if let work = life.work[name] {
                throw Violation(rule: "never two attempts at once", detail: "\(name): \(work)")
            }
            if let process = life.living[name] {
                throw Violation(rule: "never two attempts at once", detail: "\(name): \(process) lives")
            }
            if isWanted[name] == false {
                throw Violation(rule: "what was stopped by hand stays down", detail: "\(name)")
            }
            if life.obstacles.contains(name) {
                throw Violation(rule: "nothing is started while it is held", detail: "\(name)")
            }
            if let due = notBefore[name], now < due {
                throw Violation(
                    rule: "no attempt comes before its time", detail: "\(name): \(now.rfc3339) < \(due.rfc3339)")
            }
            for other in ServiceName.allCases where other < name && isWanted[other] != false {
                guard life.supervisor.isUp(other) else {
                    throw Violation(rule: "each waits for the one before it", detail: "\(name) before \(other)")
                }
            }
            notBefore[name] = nil
        case .stop(let name, let process):
            if case .stop? = life.work[name]?.work {
                throw Violation(rule: "never two stops at once", detail: "\(name)")
            }
            if let process, process != life.living[name] {
                throw Violation(rule: "what is ended is what lives", detail: "\(name): \(process)")
            }
        case .watch(let name, let process):
            guard process == life.living[name] else {
                throw Violation(rule: "what is watched is what lives", detail: "\(name): \(process)")
            }
        case .tell(let news):
            kinds.insert(news.kind.rawValue)
            guard let retry = news.nextRetryAt else { return }
            let wait = retry - now
            let isInPolicy =
                news.kind == .parked
                ? wait == policy.parkedRetry : wait >= policy.delayMin && wait <= policy.delayMax
            guard isInPolicy else {
                throw Violation(rule: "a wait is within the policy", detail: "\(news.name): \(news.kind) \(wait)")
            }
            notBefore[news.name] = retry
        case .persist: break
        }
    }

    /// After each step.
    func check(_ life: ServiceLife) throws(Violation) {
        let isSure = life.written.map { life.supervisor.isSurelyWritten(like: $0) } ?? false
        guard !life.isOpen || isSure || life.disk == life.supervisor.snapshot else {
            throw Violation(
                rule: "the services' saved state is what is in memory",
                detail: "\(life.disk?.line ?? "nothing") / \(life.supervisor.snapshot.line)")
        }
        if let wake = life.supervisor.nextWake(after: life.now), wake <= life.now {
            throw Violation(rule: "one timer, no polling", detail: "the supervisor wakes at once, again and again")
        }
        for item in life.supervisor.items(at: life.now) {
            guard item.isWanted == (isWanted[item.name] ?? true) else {
                throw Violation(rule: "what was asked for by hand is remembered", detail: "\(item.name)")
            }
            if let retry = item.nextRetryAt, retry - life.now > max(policy.delayMax, policy.parkedRetry) {
                throw Violation(rule: "a set clock makes no wait longer", detail: "\(item.name): \(retry.rfc3339)")
            }
        }
    }

    /// Calm has come, and time enough went by.
    func checkRest(_ life: ServiceLife) throws(Violation) {
        for item in life.supervisor.items(at: life.now) {
            if isWanted[item.name] ?? true {
                guard item.state == "up", item.pid == life.living[item.name]?.pid else {
                    throw Violation(
                        rule: "what is wanted is up in the end", detail: "\(item.name) is \(item.state): \(item.detail)"
                    )
                }
            } else if item.state != "down", item.state != "up" {
                throw Violation(rule: "what was stopped by hand is down in the end", detail: "\(item)")
            }
        }
    }
}
