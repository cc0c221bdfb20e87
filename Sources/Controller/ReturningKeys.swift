// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import KeyPool
import Secrets
import Timekeeping

/// Key files that come back: whoever still runs with one of their keys stays as it is.
extension Controller {
    /// Agents that were to get another key because theirs was gone, and have not failed, are left alone when it is back.
    mutating func keepAgents(of changes: [PoolChange]) {
        for case .added(let id, _, _) in changes {
            // One that still has to rest, or goes to another endpoint now, is not the same to them.
            guard let record = pool.records[id], pool.isReady(id, at: handledUpTo) else { continue }
            let baseURL = record.baseURL ?? settings.launch.baseURL
            for lease in leases.values where lease.key == id && lease.baseURL == baseURL && !lease.isStalled {
                guard let pending = lease.pending, !pending.avoidsKey, reload?.process != lease.process else {
                    continue
                }
                if pending.isByVerb {
                    if pending.former == .key { leases[lease.process]?.pending?.former = nil }
                } else if pending.reason == .key {
                    leases[lease.process]?.pending = nil
                }
                effects.append(.persist)
            }
        }
    }

    /// The first file is back after a time without a key. A folder that is moved back is read file by file, so agents whose
    /// own key is not there yet wait as long for it as it would have been kept; they run and lack nothing. Whoever has
    /// stopped goes on at once.
    mutating func awaitOtherFiles(_ now: Timestamp) {
        let due = now + KeyPool.grace
        for lease in leases.values where !lease.isStalled && !pool.holds(lease.key) {
            guard let pending = lease.pending, pending.reason == .key, !pending.avoidsKey, pending.notBefore < due
            else {
                continue
            }
            leases[lease.process]?.pending?.notBefore = due
        }
    }
}
