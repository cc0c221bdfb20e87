// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Timekeeping

/// What the account files say now.
extension KeyPool {
    /// Ends the first reading: from now on there is an active key.
    public mutating func open(at now: Timestamp) -> [PoolChange] {
        isOpen = true
        var changes = rebuild(at: now, reason: "start")
        for name in accounts.keys.sorted() { changes += enable(name) }
        changes += takeLegacy(at: now)
        for id in records.keys { records[id]?.memory.cut(at: now) }
        for id in remembered.keys { remembered[id]?.cut(at: now) }
        let former = active
        active = nil
        if let former, isReady(former, at: now) {
            isExhausted = false
            return changes + activate(former, reason: "start")
        }
        if records.isEmpty { self.former = former.map { FormerKey(id: $0) } }
        return changes + settle(at: now, reason: "start")
    }

    /// Takes in what an account's file holds now.
    ///
    /// - Parameters:
    ///   - digest: Of the file's bytes; a key that was disabled comes back when it differs.
    ///   - name: The account's.
    ///   - keys: All that it holds now.
    ///   - now: The time that it is.
    ///   - reason: For the events.
    public mutating func setAccount(
        _ name: String, keys: [AccountKey], digest: String, at now: Timestamp, reason: String
    ) -> [PoolChange] {
        var changes: [PoolChange] = []
        let old = accounts[name]
        accounts[name] = Account(keys: keys, digest: digest, goneSince: nil)
        if keys.isEmpty && !(old?.keys.isEmpty ?? true) {
            // A file without a key is like no file (contract H): the grace covers a save in two steps.
            accounts[name]?.keys = old?.keys ?? []
            accounts[name]?.goneSince = old?.goneSince ?? now
            accounts[name]?.isEmpty = true
            return settle(at: now, reason: reason)
        }
        // Before all files are read once it would be done again for each of them.
        guard isOpen else { return [] }
        changes += rebuild(at: now, reason: reason)
        changes += enable(name)
        return changes + settle(at: now, reason: reason)
    }

    /// Takes keys into use again whose file has another content than when they were disabled.
    mutating func enable(_ name: String) -> [PoolChange] {
        var changes: [PoolChange] = []
        for entry in accounts[name]?.keys ?? [] {
            let id = entry.key.id
            guard let disabled = records[id]?.memory.disabled, disabled.cause != .manual,
                disabled.digests[name] != accounts[name]?.digest
            else { continue }
            records[id]?.memory.disabled = nil
            records[id]?.memory.cooldown = nil
            records[id]?.memory.evidence = []
            changes.append(.recovered(id, account: name, reason: "its file was changed"))
        }
        return changes
    }

    /// An account's file is gone: its keys follow after the grace.
    public mutating func accountGone(_ name: String, at now: Timestamp) {
        guard accounts[name] != nil, accounts[name]?.goneSince == nil else { return }
        accounts[name]?.goneSince = now
    }

    /// An account's file is there again but cannot be read: its last good keys stay (contract H).
    public mutating func accountUnreadable(_ name: String, at now: Timestamp) -> [PoolChange] {
        guard accounts[name]?.goneSince != nil else { return [] }
        accounts[name]?.goneSince = nil
        return settle(at: now, reason: "its file is back")
    }

    /// The accounts whose files have been read.
    public var accountNames: [String] { accounts.keys.sorted() }

    /// Brings the records in line with the accounts.
    mutating func rebuild(at now: Timestamp, reason: String) -> [PoolChange] {
        var changes: [PoolChange] = []
        var present: [KeyID: (key: Key, baseURL: String?, accounts: [String])] = [:]
        for name in accounts.keys.sorted() {
            for entry in accounts[name]?.keys ?? [] {
                var known = present[entry.key.id] ?? (entry.key, entry.baseURL, [])
                known.accounts.append(name)
                if known.baseURL == nil { known.baseURL = entry.baseURL }
                present[entry.key.id] = known
            }
        }
        let gone = records.values.filter { present[$0.id] == nil }
        for record in gone.sorted(by: { ($0.account, $0.id.text) < ($1.account, $1.id.text) }) {
            records[record.id] = nil
            remembered[record.id] = record.memory
            changes.append(.removed(record.id, account: record.account, reason: reason))
        }
        for (id, found) in present.sorted(by: { ($0.value.accounts[0], $0.key) < ($1.value.accounts[0], $1.key) }) {
            if records[id] != nil {
                records[id]?.accounts = found.accounts
                records[id]?.baseURL = found.baseURL
            } else {
                let memory = remembered.removeValue(forKey: id) ?? KeyMemory()
                records[id] = Record(key: found.key, baseURL: found.baseURL, accounts: found.accounts, memory: memory)
                changes.append(.added(id, account: found.accounts[0], reason: reason))
            }
        }
        trimRemembered()
        return changes
    }

    /// What is remembered of absent keys is bounded: the least recently used go first.
    mutating func trimRemembered() {
        let max = 256
        guard remembered.count > max else { return }
        let order = remembered.sorted { $0.value.order < $1.value.order }
        for (id, _) in order.prefix(remembered.count - max) { remembered[id] = nil }
    }
}
