// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Timekeeping

/// Keys whose files are gone, and the key that was active before they were.
///
/// A folder that is moved away takes its files along within milliseconds, but each file's grace ends by itself, and a
/// folder that comes back is read file by file. Neither may move an agent from key to key.
extension KeyPool {
    struct FormerKey: Sendable {
        let id: KeyID
        /// Until when it becomes active again if its file is back; nil while there is no ready key.
        var end: Timestamp?
    }

    /// Whether a key is in its grace: each file that held it is gone, or holds no key any more.
    func isGoing(_ record: Record) -> Bool {
        record.accounts.allSatisfy { accounts[$0]?.goneSince != nil }
    }

    /// A key is ready again: the one before has a last chance.
    mutating func endExhaustion(at now: Timestamp) {
        if isExhausted { former?.end = now + Self.grace }
        isExhausted = false
    }

    /// Makes the key active again that was active when the last file was gone.
    ///
    /// Which file of a folder that comes back is read first is chance; its key is active until this one's file is read.
    /// - Returns: nil if it is not back, or comes too late.
    mutating func takeFormer(at now: Timestamp) -> [PoolChange]? {
        guard let former, let record = records[former.id] else { return nil }
        guard strategy == .leastRecentlyUsed, former.end.map({ now < $0 }) ?? true else {
            self.former = nil
            return nil
        }
        guard record.isReady(at: now), !isGoing(record) else { return nil }
        self.former = nil
        isExhausted = false
        return active == former.id ? [] : activate(former.id, reason: "its file is back")
    }
}
