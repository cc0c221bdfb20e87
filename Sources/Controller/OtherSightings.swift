// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import KeyPool
import Timekeeping

/// What the client's StopFailure hook reported (code.claude.com/docs/en/hooks). All of it is from outside.
public struct HookSighting: Sendable {
    public let conversation: ConversationID?
    public let directory: String?
    /// The client's own words, and the details of the error.
    public let text: String
    public let status: Int?
    /// The client's name for the error, as `rate_limit`.
    public let errorType: String?
    /// Agents among the ancestors of whoever reported it, the nearest first: the kernel knows them, so they are
    /// believed before what the report says.
    public let ancestors: [ProcessName]

    public init(
        conversation: ConversationID?, directory: String?, text: String, status: Int?, errorType: String?,
        ancestors: [ProcessName]
    ) {
        self.conversation = conversation
        self.directory = directory
        self.text = text
        self.status = status
        self.errorType = errorType
        self.ancestors = ancestors
    }
}

/// A line of a log that a rule of `[[watch.logs]]` matched.
public struct LogSighting: Sendable {
    /// What tells one rule from another.
    public let rule: String
    /// What a matching line stands for; nil: its own words tell, and it is nobody's failure.
    public let cause: Cause?
    /// The line; from outside, not yet redacted.
    public let text: String
    /// When it was there at the latest; nil: before we followed the file.
    public let time: Timestamp?

    public init(rule: String, cause: Cause?, text: String, time: Timestamp?) {
        self.rule = rule
        self.cause = cause
        self.text = text
        self.time = time
    }
}

/// Failures that are seen elsewhere than in transcripts.
extension Controller {
    mutating func seeHook(_ report: HookSighting, _ now: Timestamp) {
        let verdict = CauseRules.classify(
            text: report.text, status: report.status, errorType: report.errorType, at: now)
        let reporter = report.ancestors.first { leases[$0] != nil }.flatMap { leases[$0] }
        let owner = owner(ofHook: report, reporter)
        let lease = owner?.lease
        var told = Telling(
            verdict: verdict, by: .hook, text: redactor.redact(report.text), session: lease?.session, key: owner?.key,
            place: effects.count)
        guard let owner else { return tell(told, .nobody) }
        // Who is no descendant of an agent says whose failure it was, and nothing vouches for that.
        told.evidence = reporter?.process.text
        if let lease {
            // The row of the same failure was here first, and it has said that the agent stopped.
            if twins.pair(.hook, verdict, of: lease.process, at: now) { return tell(told, .seen) }
            stall(lease, verdict.cause, at: now, now)
        }
        weigh(told, owner, now)
    }

    private func owner(ofHook report: HookSighting, _ reporter: Lease?) -> Owner? {
        func owner(_ lease: Lease) -> Owner { Owner(key: lease.key, since: lease.since, lease: lease) }
        if let reporter { return owner(reporter) }
        if let conversation = report.conversation,
            let named = leases.values.filter({ $0.conversation == conversation })
                .max(by: { ($0.since, $0.process.pid) < ($1.since, $1.process.pid) })
        {
            return owner(named)
        }
        guard let directory = report.directory else { return nil }
        let there = leases.values.filter { $0.slug == ProjectSlug(directory: directory) }
        if there.count == 1 { return owner(there[0]) }
        if let first = there.first, there.allSatisfy({ $0.key == first.key }) {
            return Owner(key: first.key, since: first.since, lease: nil)
        }
        guard isInTown(directory), let active = pool.active else { return nil }
        return Owner(key: active, since: activatedAt, lease: nil)
    }

    /// A matching line concerns the active key if it arrived after its activation; one effect a rule and activation
    /// (contract H).
    mutating func seeLogLine(_ line: LogSighting, _ now: Timestamp) {
        let classified = CauseRules.classify(text: line.text, status: nil, at: now)
        // The rule's author says what it is; the line may still say until when.
        let cause = line.cause ?? classified.cause
        let verdict = Verdict(
            cause: cause, window: cause == .quota ? classified.window : nil,
            retryAfter: classified.retryAfter, resetAt: classified.resetAt, rule: line.rule)
        let concerned = line.cause == nil ? nil : pool.active
        let told = Telling(
            verdict: verdict, by: .log, text: redactor.redact(line.text), session: nil, key: concerned,
            place: effects.count)
        guard let active = concerned else { return tell(told, .nobody) }
        guard let time = line.time, time > activatedAt else { return tell(told, .old) }
        guard verdict.cause.effect.scope != .nothing else { return tell(told, .notTheKey) }
        guard !firedRules.contains(line.rule) else { return tell(told, .seen) }
        guard pool.isReady(active, at: now) else { return tell(told, .cooling) }
        let isLimited = isRotationLimited(now)
        firedRules.insert(line.rule)
        guard act(verdict, on: active, by: nil, evidence: nil, now) else { return tell(told, .cooling) }
        tell(told, isLimited ? .limit : .acted, acted: true)
        planProbe(active, verdict.cause, now)
    }
}
