// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON
import KeyPool
import Secrets
import Timekeeping

/// A question to a key's provider that has to be asked now.
public struct ProbeOrder: Sendable {
    public let key: Key
    public let kind: ProbeKind
    public let url: String

    public init(key: Key, kind: ProbeKind, url: String) {
        self.key = key
        self.kind = kind
        self.url = url
    }
}

/// Questions to providers (`keys.probe`): which are due, and when their accounts were last asked about.
struct Probes: Sendable {
    struct Planned: Sendable {
        let kind: ProbeKind
        let due: Timestamp
    }
    var planned: [KeyID: Planned] = [:]
    /// By account; within ``Controller/probeDistance`` nobody asks again, also after a restart.
    var asked: [String: Timestamp] = [:]

    var json: JSONValue {
        var object = JSONObject()
        for (account, time) in asked.sorted(by: { $0.key < $1.key }) { object[account] = .string(time.rfc3339) }
        return .object(object)
    }

    init() {}

    init(_ json: JSONValue?) {
        for (account, value) in (json?.object?.members ?? []).prefix(4096) {
            asked[account] = value.string.flatMap { Timestamp(rfc3339: $0) }
        }
    }
}

extension Controller {
    /// An account is asked about at most so often.
    static let probeDistance = Duration.seconds(60)

    /// Plans to ask about a key that failed.
    mutating func planProbe(_ key: KeyID, _ cause: Cause, _ now: Timestamp) {
        guard settings.isProbed, let record = pool.records[key], record.memory.disabled == nil else { return }
        let baseURL = record.baseURL ?? settings.launch.baseURL
        guard let kind = ProbeKind.fitting(cause, baseURL: baseURL), kind.url(baseURL: baseURL) != nil else { return }
        // A clock that was set back must not keep an account from being asked about for ever.
        let last = probes.asked[record.account].map { min($0, now) }
        let due = last.map { max(now, $0 + Self.probeDistance) } ?? now
        // One question to an account answers for all of its keys, unless it is about the key itself.
        let isAsked = probes.planned.contains { other, plan in
            plan.kind == kind && (other == key || (kind == .usages && pool.records[other]?.account == record.account))
        }
        if !isAsked { probes.planned[key] = Probes.Planned(kind: kind, due: due) }
    }

    /// Asks what is due.
    mutating func startProbes(_ now: Timestamp) {
        guard settings.isProbed, !isEnding else { return probes.planned = [:] }
        let due = probes.planned.filter { $0.value.due <= now }.sorted {
            ($0.value.due, $0.key) < ($1.value.due, $1.key)
        }
        for (id, plan) in due {
            probes.planned[id] = nil
            guard let record = pool.records[id], record.memory.disabled == nil,
                let url = plan.kind.url(baseURL: record.baseURL ?? settings.launch.baseURL)
            else { continue }
            if let last = probes.asked[record.account], last <= now, now - last < Self.probeDistance {
                // Another key of the account was asked about in this very moment.
                probes.planned[id] = Probes.Planned(kind: plan.kind, due: last + Self.probeDistance)
                continue
            }
            probes.asked[record.account] = now
            if probes.asked.count > 256 { probes.asked = probes.asked.filter { now - $0.value < Self.probeDistance } }
            effects.append(.probe(ProbeOrder(key: record.key, kind: plan.kind, url: url)))
            effects.append(.persist)
        }
    }

    /// Draws the consequences of a provider's answer.
    mutating func takeProbe(_ key: KeyID, _ kind: ProbeKind, _ outcome: ProbeOutcome, _ now: Timestamp) {
        guard let record = pool.records[key] else { return }
        let place = effects.count
        func telling(_ verdict: Verdict, _ text: String) -> Telling {
            Telling(
                verdict: verdict, by: .probe, text: redactor.redact(text), session: nil, key: key, place: place)
        }
        switch outcome {
        case .usage(let report):
            if let owner = report.owner {
                pool.note(owner: owner, of: key)
                effects.append(.persist)
            }
            let seen = record.memory.cooldown?.cause == .quota ? record.memory.window ?? .fiveHours : nil
            let found = report.exhaustedUntil(seen: seen, at: now)
            let verdict = Verdict(
                cause: .quota, window: found?.window ?? seen, resetAt: found?.until, rule: "probe usages")
            let told = telling(verdict, report.text)
            // Nothing is used up, or somebody has ended the rest meanwhile: what was seen before stands as it is.
            guard found != nil, record.memory.cooldown != nil else { return tell(told, .cooling) }
            actUpon(told, key, now)
        case .good:
            let verdict = Verdict(cause: .invalid, window: nil, rule: "probe models")
            // Whatever an agent's row said: nothing of it confirms the next one.
            pool.forgetEvidence(of: .invalid, on: key)
            effects.append(.persist)
            tell(telling(verdict, "models: the key is good"), .notTheKey)
        case .refused(let verdict, let text):
            actUpon(telling(verdict, text), key, now)
            // One refusal is no confirmation; the next one is.
            if verdict.cause == .invalid { planProbe(key, .invalid, now) }
        case .nothing(let why):
            tell(
                telling(Verdict(cause: .overloaded, window: nil, rule: "probe"), "\(kind.rawValue): \(why)"), .notTheKey
            )
        }
    }

    private mutating func actUpon(_ told: Telling, _ key: KeyID, _ now: Timestamp) {
        let isLimited = isRotationLimited(now)
        guard act(told.verdict, on: key, by: nil, evidence: nil, isProbe: true, now) else {
            return tell(told, .cooling)
        }
        tell(told, isLimited ? .limit : .acted, acted: true)
    }
}
