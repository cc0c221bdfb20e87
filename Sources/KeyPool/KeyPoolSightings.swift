// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Timekeeping

/// What a failure means for a key.
extension KeyPool {
    /// Draws the consequences of a failure for a key.
    ///
    /// - Returns: What changed; empty if the key cools at least as long already, or it was not the key's fault.
    public mutating func report(_ sighting: PoolSighting, on id: KeyID) -> [PoolChange] {
        guard let record = records[id] else { return [] }
        let verdict = sighting.verdict
        let effect = verdict.cause.effect
        guard effect.scope != .nothing, record.memory.disabled == nil else { return [] }
        let earlier = earlier(sighting, on: id)
        let repeats = earlier.count
        let isConfirmed = isConfirmed(sighting, by: earlier)
        records[id]?.memory.note(
            KeyMemory.Evidence(cause: verdict.cause, lease: sighting.lease, time: sighting.time))
        let reason = "\(verdict.detail) (\(verdict.rule))"
        if effect.disablesWhenConfirmed && isConfirmed {
            var digests: [String: String] = [:]
            for name in record.accounts { digests[name] = accounts[name]?.digest }
            records[id]?.memory.disabled = KeyMemory.Disabled(
                cause: verdict.cause, since: sighting.time, digests: digests)
            records[id]?.memory.cooldown = nil
            return [.disabled(id, account: record.account, cause: verdict.cause, reason: reason)]
                + settle(at: sighting.time, reason: verdict.cause.rawValue)
        }
        let until = Self.end(
            of: verdict, isConfirmed: isConfirmed, repeats: repeats, configured: cooldown, at: sighting.time)
        var changes: [PoolChange] = []
        for other in sorted where other.id == id || (effect.scope == .account && shareQuota(other, record)) {
            guard other.memory.disabled == nil else { continue }
            // A cooldown is never shortened by what is seen later.
            // Nor is it drawn out by the same words said again.
            if let present = other.memory.cooldown, present.until > sighting.time, plantedFault != .shortensCooldown,
                present.until >= until
                    || (present.cause == verdict.cause && !isConfirmed && verdict.resetAt == nil)
            {
                continue
            }
            records[other.id]?.memory.cooldown = Cooldown(
                cause: verdict.cause, since: sighting.time, until: until,
                isNamed: Self.namedEnd(of: verdict, at: sighting.time) != nil)
            records[other.id]?.memory.window = verdict.window
            changes.append(
                .cooled(other.id, account: other.account, cause: verdict.cause, until: until, reason: reason))
        }
        return changes + settle(at: sighting.time, reason: verdict.cause.rawValue)
    }

    /// Whether a sighting would confirm what is known of a key already.
    public func wouldConfirm(_ sighting: PoolSighting, on id: KeyID) -> Bool {
        isConfirmed(sighting, by: earlier(sighting, on: id))
    }

    /// What was seen of the same cause within the last day.
    private func earlier(_ sighting: PoolSighting, on id: KeyID) -> [KeyMemory.Evidence] {
        (records[id]?.memory.evidence ?? []).filter {
            $0.cause == sighting.verdict.cause && sighting.time - $0.time <= KeyMemory.evidenceMax
        }
    }

    /// Two leases a minute apart confirm each other (agents can be wrong, and write these files); so does our own
    /// question to the provider with whatever was seen before or after it.
    private func isConfirmed(_ sighting: PoolSighting, by earlier: [KeyMemory.Evidence]) -> Bool {
        if sighting.isProbe { return !earlier.isEmpty }
        guard let lease = sighting.lease else { return false }
        return earlier.contains {
            $0.isProbe
                || ($0.lease != nil && $0.lease != lease && sighting.time - $0.time >= Self.confirmationMin)
        }
    }

    /// Keys of one account, or of one user in two of them, use up the same quota.
    private func shareQuota(_ a: Record, _ b: Record) -> Bool {
        !Set(a.accounts).isDisjoint(with: b.accounts) || (a.memory.owner != nil && a.memory.owner == b.memory.owner)
    }

    /// Notes whose key it is, as its provider says.
    public mutating func note(owner: String, of id: KeyID) { records[id]?.memory.owner = owner }

    /// Forgets what was seen of a cause: it has proved wrong.
    public mutating func forgetEvidence(of cause: Cause, on id: KeyID) {
        records[id]?.memory.evidence.removeAll { $0.cause == cause }
    }

    /// Until when a key would rest.
    ///
    /// - Parameters:
    ///   - verdict: What the failure was taken for.
    ///   - isConfirmed: Two leases, or our own question to the provider, say the same.
    ///   - repeats: How many times in a row it was throttled before.
    ///   - configured: `keys.cooldown`.
    ///   - now: When the failure was seen.
    public static func end(
        of verdict: Verdict, isConfirmed: Bool = false, repeats: Int = 0, configured: Duration, at now: Timestamp
    ) -> Timestamp {
        if let reset = namedEnd(of: verdict, at: now) { return reset }
        var length = verdict.cause.cooldown(window: verdict.window, repeats: repeats, configured: configured)
        if verdict.cause.heedsRetryAfter, let asked = verdict.retryAfter { length = max(.seconds(1), asked) }
        return now + min(length, isConfirmed ? resetMax : unconfirmedMax)
    }

    /// The end that the provider named, if it is believed.
    private static func namedEnd(of verdict: Verdict, at now: Timestamp) -> Timestamp? {
        guard verdict.cause.heedsRetryAfter, let reset = verdict.resetAt, reset > now, reset - now <= resetMax else {
            return nil
        }
        return reset
    }
}
