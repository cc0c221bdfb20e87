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

/// A failure of a session that was acted upon a moment ago; it is looked at again.
struct DeferredSighting: Sendable {
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
        let verdict = CauseRules.classify(text: failure.text, status: failure.status, errorType: failure.errorType)
        let time = failure.time ?? now
        let owner = owner(of: failure, folder, conversation, time)
        let lease = owner?.lease
        let name = lease?.session
        let text = redactor.redact(failure.text)
        // The sighting stands before what it leads to.
        let place = effects.count
        func tell(_ why: SightingVerdict, acted: Bool) {
            let event = Event.sighting(
                id: owner?.key.text, session: name, cause: verdict.cause.rawValue, by: "transcript", acted: acted,
                why: why.rawValue, text: text)
            effects.insert(.emit(event), at: place)
        }
        let isNew = seen.insert("\(failure.session?.text ?? folder) \(failure.uuid)")
        guard isNew else { return tell(.seen, acted: false) }
        guard let owner else { return tell(.nobody, acted: false) }
        guard time + Self.clockSlack >= owner.since else { return tell(.old, acted: false) }
        if let lease, !failure.isSidechain {
            if let conversation { learn(conversation, of: lease.process) }
            leases[lease.process]?.isBusy = false
            if lease.stalledAt == nil {
                effects.append(
                    .emit(
                        .agent(
                            "stalled", session: lease.session, role: lease.identity.role.rawValue,
                            pid: lease.process.pid, id: lease.key.text)))
            }
            leases[lease.process]?.stalledBy = verdict.cause
            // A row from the future would outlast every turn that begins.
            leases[lease.process]?.stalledAt = min(max(time, lease.since), now)
            effects.append(.persist)
        }
        guard verdict.cause.effect.scope != .nothing else { return tell(.notTheKey, acted: false) }
        guard pool.holds(owner.key) else { return tell(.nobody, acted: false) }
        guard pool.isReady(owner.key, at: now) || wouldExtend(verdict, owner.key) else {
            return tell(.cooling, acted: false)
        }
        let limitKey = name ?? "(active)"
        if let last = lastEffect[limitKey], now - last < Self.sessionLimit {
            if let lease { deferred[lease.process] = DeferredSighting(verdict: verdict, due: last + Self.sessionLimit) }
            effects.append(.persist)
            return tell(.limit, acted: false)
        }
        let isLimited = isRotationLimited(now)
        if act(verdict, on: owner.key, by: lease, now) {
            tell(isLimited ? .limit : .acted, acted: true)
        } else {
            tell(.cooling, acted: false)
        }
    }

    /// A cooling key can still learn that it is worse: a known reset time, or a confirmation.
    private func wouldExtend(_ verdict: Verdict, _ key: KeyID) -> Bool {
        guard let memory = pool.records[key]?.memory, memory.disabled == nil else { return false }
        return verdict.resetAt != nil || verdict.cause.effect.disablesWhenConfirmed
            || memory.cooldown?.cause != verdict.cause
    }

    private struct Owner {
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

    /// - Returns: Whether the key's state changed.
    private mutating func act(_ verdict: Verdict, on key: KeyID, by lease: Lease?, _ now: Timestamp) -> Bool {
        let wasLimited = isRotationLimited(now)
        let former = pool.active
        let changes = pool.report(
            PoolSighting(verdict: verdict, lease: lease?.process.text, time: now), on: key)
        guard !changes.isEmpty else { return false }
        lastEffect[lease?.session ?? "(active)"] = now
        if lastEffect.count > 4096 { lastEffect = lastEffect.filter { now - $0.value < Self.sessionLimit } }
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
            guard let lease = leases[process], lease.isStalled, pool.isReady(lease.key, at: now) else { continue }
            _ = act(sighting.verdict, on: lease.key, by: lease, now)
        }
    }

    /// Whether so many rotations lie behind us that another would only burn keys.
    func isRotationLimited(_ now: Timestamp) -> Bool {
        rotations.suffix(Self.rotationsMax).count { now - $0 < Self.rotationsWindow } >= Self.rotationsMax
    }
}
