// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import KeyPool
import Secrets
import Timekeeping

/// Why a sighting had the effect it had (contract D).
enum SightingVerdict: String {
    case acted, old, seen, cooling, limit, nobody
    case notTheKey = "not-the-key"
}

/// Where a failure was seen (contract D).
public enum SightingSource: String, Sendable { case transcript, hook, log, probe }

/// Failures that two sources tell of, the hook and the transcript: each is paired with the other's once.
///
/// The hook knows no row's id, and the client may shorten the text for it; so what pairs them is the agent's process,
/// the cause, and the time. Two failures of one process cannot come closer: it waits for its user after one.
struct SightingTwins: Sendable {
    struct Entry: Sendable {
        let source: SightingSource
        let cause: Cause
        let window: QuotaWindow?
        let time: Timestamp
    }
    var waiting: [ProcessName: [Entry]] = [:]
    /// How far apart the two may come: the daemon may have been away, or the follower behind.
    static let distanceMax = Duration.seconds(30)

    /// - Returns: Whether the other source told of it already; else it is noted for the other one.
    mutating func pair(
        _ source: SightingSource, _ verdict: Verdict, of process: ProcessName, at now: Timestamp
    ) -> Bool {
        var entries = (waiting[process] ?? []).filter { now - $0.time <= Self.distanceMax }
        defer { waiting[process] = entries.isEmpty ? nil : entries }
        if let index = entries.firstIndex(where: {
            $0.source != source && $0.cause == verdict.cause && $0.window == verdict.window
        }) {
            entries.remove(at: index)
            return true
        }
        entries.append(Entry(source: source, cause: verdict.cause, window: verdict.window, time: now))
        if entries.count > 16 { entries.removeFirst() }
        return false
    }

    mutating func forget(_ process: ProcessName) { waiting[process] = nil }
}

/// A failure of a session that was acted upon a moment ago; it is looked at again.
struct DeferredSighting: Sendable, Equatable {
    let verdict: Verdict
    let due: Timestamp
}

/// Rows that were acted upon: a file may be read twice. Bounded; the oldest go first.
struct SeenRows: Sendable {
    private var order: [String] = []
    private var members: Set<String> = []

    /// - Returns: Whether it is new.
    mutating func insert(_ row: String) -> Bool {
        guard members.insert(row).inserted else { return false }
        order.append(row)
        if order.count > 8192 {
            for old in order.prefix(4096) { members.remove(old) }
            order.removeFirst(4096)
        }
        return true
    }
}

extension Controller {
    /// Per session one effect in this time (design section 5).
    static let sessionLimit = Duration.seconds(30)
    /// Per pool at most this many rotations in the window; beyond it keys still cool, but nobody is restarted.
    static let rotationsMax = 10
    static let rotationsWindow = Duration.seconds(600)
    /// A row may have been stamped a moment before the lease's answer was.
    private static let clockSlack = Duration.milliseconds(2)

    mutating func readRow(_ row: TranscriptRow, _ folder: String, _ conversation: ConversationID?, _ now: Timestamp) {
        switch row {
        case .failure(let failure):
            see(failure, folder, conversation, now)
        case .turnBegan(let session, let time):
            guard let lease = lease(session, folder, conversation, time ?? now), (time ?? now) >= lease.since else {
                return
            }
            learn(conversation, of: lease.process)
            leases[lease.process]?.isBusy = true
            if let stalled = lease.stalledAt, (time ?? now) > stalled {
                leases[lease.process]?.stalledAt = nil
                leases[lease.process]?.stalledBy = nil
                effects.append(.persist)
            }
        case .turnEnded(let session, let time):
            guard let lease = lease(session, folder, conversation, time ?? now), (time ?? now) >= lease.since else {
                return
            }
            learn(conversation, of: lease.process)
            leases[lease.process]?.isBusy = false
        }
    }

    mutating func readSession(_ file: SessionFile) {
        guard let lease = leases.values.first(where: { $0.process.pid == file.pid }) else { return }
        // An agent can write these files too: another folder, or the conversation of one there, is not believed.
        if let directory = file.directory, directory != lease.directory { return }
        if let conversation = file.conversation,
            !leases.values.contains(where: { $0.conversation == conversation && $0.slug != lease.slug })
        {
            learn(conversation, of: lease.process)
        }
        if let isBusy = file.isBusy { leases[lease.process]?.isBusy = isBusy }
    }

    private mutating func learn(_ conversation: ConversationID?, of process: ProcessName) {
        guard let conversation, leases[process]?.conversation != conversation else { return }
        leases[process]?.conversation = conversation
        effects.append(.persist)
    }

    /// The agent that wrote a row: by its conversation, else the only one of its folder.
    ///
    /// The file's own place counts, not what the row says: an agent can write rows, but a row that claims another's
    /// conversation stands in the wrong folder or file.
    private func lease(
        _ session: ConversationID?, _ folder: String, _ conversation: ConversationID?, _ time: Timestamp
    ) -> Lease? {
        let inFolder = leases.values.filter { $0.slug.matches(folder) }
        // Of two that have it the later one goes on with it: the end of the other is not known yet.
        if let session,
            let named = leases.values.filter({ $0.conversation == session })
                .max(by: { ($0.since, $0.process.pid) < ($1.since, $1.process.pid) })
        {
            return named.slug.matches(folder) && (conversation == nil || conversation == session) ? named : nil
        }
        return inFolder.count == 1 ? inFolder[0] : nil
    }

    private mutating func see(
        _ failure: TranscriptFailure, _ folder: String, _ conversation: ConversationID?, _ now: Timestamp
    ) {
        var verdict = CauseRules.classify(
            text: failure.text, status: failure.status, errorType: failure.errorType, at: failure.time ?? now)
        if let reset = failure.resetAt { verdict = verdict.resetting(at: reset) }
        let time = failure.time ?? now
        let owner = owner(of: failure, folder, conversation, time)
        let lease = owner?.lease
        var told = Telling(
            verdict: verdict, by: .transcript, text: redactor.redact(failure.text), session: lease?.session,
            key: owner?.key, place: effects.count)
        let isNew = seen.insert("\(failure.session?.text ?? folder) \(failure.uuid)")
        guard isNew else { return tell(told, .seen) }
        guard let owner else { return tell(told, .nobody) }
        guard time + Self.clockSlack >= owner.since else { return tell(told, .old) }
        if let lease, !failure.isSidechain {
            if let conversation { learn(conversation, of: lease.process) }
            stall(lease, verdict.cause, at: time, now)
        }
        told.evidence = lease?.process.text
        // The hook of the same failure was here first.
        if let lease, twins.pair(.transcript, verdict, of: lease.process, at: now) { return tell(told, .seen) }
        weigh(told, owner, now)
    }

    /// Notes that an agent has stopped: its last word is a final error.
    mutating func stall(_ lease: Lease, _ cause: Cause, at time: Timestamp, _ now: Timestamp) {
        leases[lease.process]?.isBusy = false
        if lease.stalledAt == nil {
            effects.append(
                .emit(
                    .agent(
                        "stalled", session: lease.session, role: lease.identity.role.rawValue,
                        pid: lease.process.pid, id: lease.key.text)))
        }
        leases[lease.process]?.stalledBy = cause
        // A row from the future would outlast every turn that begins.
        leases[lease.process]?.stalledAt = min(max(time, lease.since), now)
        effects.append(.persist)
    }

    /// A sighting on its way to its event.
    struct Telling {
        let verdict: Verdict
        let by: SightingSource
        /// Redacted.
        let text: String
        let session: String?
        let key: KeyID?
        /// The event's place among the effects: it stands before what it leads to.
        let place: Int
        /// What tells one witness from another; nil: it confirms nothing.
        var evidence: String?
    }

    func event(_ told: Telling, _ why: SightingVerdict, acted: Bool) -> Event {
        .sighting(
            id: told.key?.text, session: told.session, cause: told.verdict.cause.rawValue, by: told.by.rawValue,
            acted: acted, why: why.rawValue, text: told.text)
    }

    mutating func tell(_ told: Telling, _ why: SightingVerdict, acted: Bool = false) {
        effects.insert(.emit(event(told, why, acted: acted)), at: told.place)
    }

    /// Decides what follows from a failure that is new and somebody's.
    mutating func weigh(_ told: Telling, _ owner: Owner, _ now: Timestamp) {
        let verdict = told.verdict
        guard verdict.cause.effect.scope != .nothing else { return tell(told, .notTheKey) }
        guard pool.holds(owner.key) else { return tell(told, .nobody) }
        guard pool.isReady(owner.key, at: now) || wouldExtend(told, owner.key, now) else {
            return tell(told, .cooling)
        }
        let limitKey = told.session ?? "(active)"
        if let last = lastEffect[limitKey], now - last < Self.sessionLimit {
            if let lease = owner.lease {
                deferred[lease.process] = DeferredSighting(verdict: verdict, due: last + Self.sessionLimit)
            }
            effects.append(.persist)
            return tell(told, .limit)
        }
        let isLimited = isRotationLimited(now)
        if act(verdict, on: owner.key, by: owner.lease, evidence: told.evidence, now) {
            lastEffect[limitKey] = now
            if lastEffect.count > 4096 { lastEffect = lastEffect.filter { now - $0.value < Self.sessionLimit } }
            tell(told, isLimited ? .limit : .acted, acted: true)
            planProbe(owner.key, verdict.cause, now)
        } else {
            tell(told, .cooling)
        }
    }

    /// A cooling key can still learn that it is worse: a known reset time, another cause, or a confirmation.
    private func wouldExtend(_ told: Telling, _ key: KeyID, _ now: Timestamp) -> Bool {
        guard let memory = pool.records[key]?.memory, memory.disabled == nil else { return false }
        let verdict = told.verdict
        return verdict.resetAt != nil || verdict.cause.effect.disablesWhenConfirmed
            || memory.cooldown?.cause != verdict.cause
            || pool.wouldConfirm(PoolSighting(verdict: verdict, lease: told.evidence, time: now), on: key)
    }

    struct Owner {
        let key: KeyID
        let since: Timestamp
        let lease: Lease?
    }

    /// Whose failure it is: the lease of its conversation, else the only one in its folder, else the active key if it
    /// happened in the town, else nobody's.
    private func owner(
        of failure: TranscriptFailure, _ folder: String, _ conversation: ConversationID?, _ time: Timestamp
    ) -> Owner? {
        if let lease = lease(failure.session, folder, conversation, time) {
            return Owner(key: lease.key, since: lease.since, lease: lease)
        }
        // A row that names a living agent of another folder is forged.
        if let session = failure.session, leases.values.contains(where: { $0.conversation == session }) { return nil }
        guard let directory = failure.directory, ProjectSlug(directory: directory).matches(folder),
            isInTown(directory), let active = pool.active
        else { return nil }
        // Several agents in the folder: if they share a key it is that one, whoever it was.
        let there = leases.values.filter { $0.slug.matches(folder) }
        if let first = there.first, there.allSatisfy({ $0.key == first.key }) {
            return Owner(key: first.key, since: there.map(\.since).min() ?? first.since, lease: nil)
        }
        return Owner(key: active, since: activatedAt, lease: nil)
    }

    func isInTown(_ directory: String) -> Bool {
        [settings.townRoot, canonicalRoot ?? settings.townRoot].contains {
            directory == $0 || directory.hasPrefix($0 + "/")
        }
    }

    /// - Parameters:
    ///   - lease: Whose failure it was; nil where it was no lease's.
    ///   - evidence: The witness, for the pool.
    /// - Returns: Whether the key's state changed.
    mutating func act(
        _ verdict: Verdict, on key: KeyID, by lease: Lease?, evidence: String?, isProbe: Bool = false, _ now: Timestamp
    ) -> Bool {
        let wasLimited = isRotationLimited(now)
        let former = pool.active
        let changes = pool.report(
            PoolSighting(verdict: verdict, lease: evidence, isProbe: isProbe, time: now), on: key)
        // Also where nothing changes it is remembered for a confirmation.
        effects.append(.persist)
        guard !changes.isEmpty else { return false }
        // Beyond the limit nobody was moved: that must not put off its end.
        if pool.active != former, !wasLimited {
            rotations.removeAll { now - $0 >= Self.rotationsWindow }
            rotations.append(now)
        }
        take(changes, now)
        // While no key is ready nobody is restarted; who has stopped goes on when one is.
        guard !wasLimited, !pool.isExhausted else { return true }
        var out: Set<KeyID> = []
        for change in changes {
            switch change {
            case .cooled(let id, _, _, _, _), .disabled(let id, _, _, _): out.insert(id)
            default: break
            }
        }
        switch verdict.cause.effect.restarts {
        case .nobody: break
        case .failedSession: restart(now, .key) { $0.process == lease?.process }
        case .allLeases: restart(now, .key) { out.contains($0.key) }
        }
        return true
    }

    mutating func applyDeferred(_ now: Timestamp) {
        for (process, sighting) in deferred.sorted(by: { $0.key.pid < $1.key.pid }) where sighting.due <= now {
            deferred[process] = nil
            effects.append(.persist)
            guard let lease = leases[process], lease.isStalled, pool.isReady(lease.key, at: now) else { continue }
            if act(sighting.verdict, on: lease.key, by: lease, evidence: lease.process.text, now) {
                lastEffect[lease.session] = now
            }
        }
    }

    /// Whether so many rotations lie behind us that another would only burn keys.
    func isRotationLimited(_ now: Timestamp) -> Bool {
        rotations.suffix(Self.rotationsMax).count { now - $0 < Self.rotationsWindow } >= Self.rotationsMax
    }
}
