// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Timekeeping

/// Why a key is not given out until an instant.
public struct Cooldown: Sendable, Hashable {
    public var cause: Cause
    /// When it was seen; moved when the clock is set, so that no more time has passed since then.
    public internal(set) var since: Timestamp
    /// The end as it was named or reckoned. It is kept, also where a clock that is wrong makes it absurd.
    var end: Timestamp
    /// The provider named the end: it is an instant of the wall clock, whatever is done to ours.
    public internal(set) var isNamed: Bool

    init(cause: Cause, since: Timestamp, until end: Timestamp, isNamed: Bool = false) {
        self.cause = cause
        self.since = since
        self.end = end
        self.isNamed = isNamed
    }

    /// When the key is ready again: nothing rests longer than a subscription's longest window.
    public var until: Timestamp { min(end, since + KeyPool.resetMax) }
}

/// One observation that a key failed, as the pool needs it.
public struct PoolSighting: Sendable {
    public let verdict: Verdict
    /// What tells one lease from another: two of them are needed to confirm. nil where it is no lease's, which
    /// confirms nothing: one agent could write its own row and another where no agent lives.
    public let lease: String?
    /// We have asked the provider ourselves: that is no agent's word.
    public let isProbe: Bool
    public let time: Timestamp

    public init(verdict: Verdict, lease: String?, isProbe: Bool = false, time: Timestamp) {
        self.verdict = verdict
        self.lease = isProbe ? KeyMemory.Evidence.probe : lease
        self.isProbe = isProbe
        self.time = time
    }
}

/// A fault that the simulator switches on, to show that it finds such ones. Never set in the product.
package enum PlantedFault: String, Sendable, CaseIterable {
    /// A key that cools stays the active one.
    case keepsCoolingKey
    /// Sessions that stopped are not resumed when a key is ready again.
    case leavesStalled
    /// What is seen later shortens a cooldown.
    case shortensCooldown
    /// An agent that nothing happened to is started anew with each new configuration.
    case restartsWithoutNeed
    /// Agents are started anew though no key is ready.
    case restartsWithoutKey
    /// A known conversation is not handed to the next agent.
    case losesConversation
    /// What waits is not moved when the clock is set.
    case ignoresSetClock
    /// What has changed is not always written.
    case forgetsToSave
    /// A cooldown that is over is still there.
    case endsCooldownTwice
    /// Agents are started anew though the town stands still.
    case ignoresStop
    /// A key file's change is not always read.
    case losesEdits
}

/// What became of the pool. Each change is told when it is in force.
public enum PoolChange: Sendable, Hashable {
    case added(KeyID, account: String, reason: String)
    case removed(KeyID, account: String, reason: String)
    case cooled(KeyID, account: String, cause: Cause, until: Timestamp, reason: String)
    case disabled(KeyID, account: String, cause: Cause, reason: String)
    case recovered(KeyID, account: String, reason: String)
    case activated(KeyID, account: String, reason: String)
    /// No key is ready; the first one will be then (nil: all are disabled, or there is none).
    case exhausted(until: Timestamp?)
    /// A predecessor's state was taken in; it knew so many of the keys.
    case imported(path: String, count: Int)
}

/// How the next key is chosen (`keys.strategy`).
public enum KeyStrategy: String, Sendable {
    /// One active key until it cools, goes or is rotated; then the ready key used longest ago.
    case leastRecentlyUsed = "lru"
    /// Each lease takes the ready key with the fewest living leases: Kimi limits concurrent requests per account.
    case spread
}

/// The keys, what is wrong with each, and which one the next agent gets.
///
/// It decides and does nothing else: no clock, no file. Every mutation ends with the choice of the active key.
public struct KeyPool: Sendable {
    public struct Record: Sendable {
        public let key: Key
        public internal(set) var baseURL: String?
        /// The folders that hold it, sorted.
        public internal(set) var accounts: [String]
        public internal(set) var memory: KeyMemory

        public var id: KeyID { key.id }
        public var account: String { accounts.first ?? "" }
        public func isReady(at now: Timestamp) -> Bool {
            memory.disabled == nil && (memory.cooldown.map { $0.until <= now } ?? true)
        }
    }

    struct Account: Sendable {
        var keys: [AccountKey]
        var digest: String
        /// Its file is gone; its keys go when the grace has passed.
        var goneSince: Timestamp?
        /// It is gone in so far as its file holds no key.
        var isEmpty = false
    }

    /// How long keys stay when their file has vanished: editors and synchronizers take files away for a moment.
    public static let grace = Duration.seconds(2)
    /// The longest cooldown that one sighting alone can lead to without a reset time (design: rows can be forged).
    static let unconfirmedMax = Duration.seconds(60 * 60)
    /// No reset time beyond this is believed, and no longer wait.
    package static let resetMax = Duration.seconds(32 * 86400)
    /// How far apart two sightings have to be to confirm each other.
    static let confirmationMin = Duration.seconds(60)

    public internal(set) var records: [KeyID: Record] = [:]
    public internal(set) var active: KeyID?
    var accounts: [String: Account] = [:]
    /// What is known of keys that are in no file now; they may come back.
    var remembered: [KeyID: KeyMemory] = [:]
    /// What predecessors knew, until the pool opens.
    var legacy: [LegacyState] = []
    /// No key is ready, and that was told.
    public internal(set) var isExhausted = false
    /// Nothing is chosen before all files have been read once, or the first file read would always win.
    private var isOpen = false
    public var cooldown: Duration
    public var strategy: KeyStrategy
    package var plantedFault: PlantedFault?

    public init(cooldown: Duration, strategy: KeyStrategy = .leastRecentlyUsed) {
        self.cooldown = cooldown
        self.strategy = strategy
    }

    // MARK: - Questions

    public func isReady(_ id: KeyID, at now: Timestamp) -> Bool { records[id]?.isReady(at: now) ?? false }
    public func readyCount(at now: Timestamp) -> Int { records.values.count { $0.isReady(at: now) } }
    public var activeRecord: Record? { active.flatMap { records[$0] } }
    /// All keys in the order of their accounts.
    public var sorted: [Record] {
        records.values.sorted { ($0.account, $0.id.text) < ($1.account, $1.id.text) }
    }

    /// When the pool changes by itself: a cooldown or a grace ends.
    public func nextChange(after now: Timestamp) -> Timestamp? {
        let cooling = records.values.compactMap { $0.memory.disabled == nil ? $0.memory.cooldown?.until : nil }
        let going = accounts.values.compactMap { $0.goneSince.map { $0 + Self.grace } }
        return (cooling + going).min()
    }

    /// Whether a key is still in the pool: leases on others are started anew.
    public func holds(_ id: KeyID) -> Bool { records[id] != nil }

    /// For the simulator: whether another one would be written down in the same way. It is no if it is not sure.
    package func isSurelyWritten(like other: KeyPool) -> Bool {
        active == other.active && isExhausted == other.isExhausted && remembered == other.remembered
            && records.count == other.records.count
            && records.allSatisfy { other.records[$0.key]?.memory == $0.value.memory }
    }

    // MARK: - Accounts

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
    private mutating func enable(_ name: String) -> [PoolChange] {
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
    public mutating func accountUnreadable(_ name: String) { accounts[name]?.goneSince = nil }

    /// The accounts whose files have been read.
    public var accountNames: [String] { accounts.keys.sorted() }

    /// Brings the records in line with the accounts.
    private mutating func rebuild(at now: Timestamp, reason: String) -> [PoolChange] {
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

    // MARK: - Sightings

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

    // MARK: - Time and choice

    /// Ends cooldowns and graces whose time has come.
    public mutating func expire(at now: Timestamp) -> [PoolChange] {
        var changes: [PoolChange] = []
        let gone = accounts.filter { $0.value.goneSince.map { now - $0 >= Self.grace } ?? false }
        for name in gone.keys.sorted() {
            let isEmpty = accounts[name]?.isEmpty ?? false
            accounts[name] = nil
            changes += rebuild(at: now, reason: isEmpty ? "its file holds no key" : "its file is gone")
        }
        // One that is disabled too is not back.
        let rested = records.values.filter { record in
            record.memory.disabled == nil && record.memory.cooldown.map { $0.until <= now } ?? false
        }
        for record in rested.sorted(by: { ($0.account, $0.id) < ($1.account, $1.id) }) {
            guard let cooldown = record.memory.cooldown else { continue }
            if plantedFault != .endsCooldownTwice { records[record.id]?.memory.cooldown = nil }
            changes.append(.recovered(record.id, account: record.account, reason: "\(cooldown.cause.rawValue) is over"))
        }
        let hasRecovered = changes.contains { if case .recovered = $0 { true } else { false } }
        return changes
            + settle(at: now, reason: hasRecovered ? "recovered" : gone.isEmpty ? "time" : "a key was removed")
    }

    /// Puts the active key at the end of the order.
    ///
    /// - Returns: nil if no other key is ready.
    public mutating func rotate(at now: Timestamp) -> [PoolChange]? {
        guard let old = active, let next = choice(at: now, except: old) else { return nil }
        records[old]?.memory.retired = now
        return activate(next, reason: "rotate")
    }

    // MARK: - By hand

    /// Ends cooldowns.
    ///
    /// - Parameters:
    ///   - id: The key; nil: all.
    ///   - now: When that was asked for.
    public mutating func clear(_ id: KeyID?, at now: Timestamp) -> [PoolChange] {
        var changes: [PoolChange] = []
        for record in sorted where (id == nil || record.id == id) && record.memory.cooldown != nil {
            records[record.id]?.memory.cooldown = nil
            records[record.id]?.memory.evidence = []
            guard record.memory.disabled == nil else { continue }
            changes.append(.recovered(record.id, account: record.account, reason: "cleared by hand"))
        }
        return changes + settle(at: now, reason: "cleared by hand")
    }

    /// Takes a key out until ``enable(_:at:)``, whatever happens to its file.
    public mutating func disable(_ id: KeyID, at now: Timestamp) -> [PoolChange] {
        guard let record = records[id], record.memory.disabled?.cause != .manual else { return [] }
        records[id]?.memory.disabled = KeyMemory.Disabled(cause: .manual, since: now, digests: [:])
        return [.disabled(id, account: record.account, cause: .manual, reason: "disabled by hand")]
            + settle(at: now, reason: "disabled by hand")
    }

    /// Takes a key into use again, also one that was disabled because two agents saw it fail.
    public mutating func enable(_ id: KeyID, at now: Timestamp) -> [PoolChange] {
        guard let record = records[id], record.memory.disabled != nil else { return [] }
        records[id]?.memory.disabled = nil
        records[id]?.memory.evidence = []
        let reason = "enabled by hand"
        let change: PoolChange =
            if let rest = record.memory.cooldown, rest.until > now {
                // It still has to rest for what it did before.
                .cooled(id, account: record.account, cause: rest.cause, until: rest.until, reason: reason)
            } else {
                .recovered(id, account: record.account, reason: reason)
            }
        if !(record.memory.cooldown.map { $0.until > now } ?? false) { records[id]?.memory.cooldown = nil }
        return [change] + settle(at: now, reason: reason)
    }

    /// The key that the next lease gets.
    ///
    /// - Parameters:
    ///   - leases: How many living leases each key has.
    ///   - avoided: Not this one, if there is another: the lease was moved away from it by hand.
    ///   - now: When the lease is taken.
    public func recordForLease(_ leases: [KeyID: Int], avoiding avoided: KeyID? = nil, at now: Timestamp) -> Record? {
        guard strategy == .spread else { return activeRecord }
        let ready = records.values.filter { $0.isReady(at: now) }
        return ready.min { rank($0, leases, avoided) < rank($1, leases, avoided) } ?? activeRecord
    }

    private func rank(
        _ record: Record, _ leases: [KeyID: Int], _ avoided: KeyID?
    ) -> (Int, Int, Timestamp, String, String) {
        (record.id == avoided ? 1 : 0, leases[record.id] ?? 0, record.memory.order, record.account, record.id.text)
    }

    /// Makes the key active that the next lease would get; only with ``KeyStrategy/spread`` is it another one.
    public mutating func follow(_ leases: [KeyID: Int], at now: Timestamp) -> [PoolChange] {
        guard strategy == .spread, isOpen, !isExhausted, let next = recordForLease(leases, at: now)?.id, next != active
        else { return [] }
        return activate(next, reason: KeyStrategy.spread.rawValue)
    }

    /// Notes that an agent was started with the key.
    public mutating func used(_ id: KeyID, at now: Timestamp) { records[id]?.memory.lastUsed = now }

    /// The ready key that was used longest ago.
    private func choice(at now: Timestamp, except: KeyID? = nil) -> KeyID? {
        records.values.filter { $0.id != except && $0.isReady(at: now) }
            .min { ($0.memory.order, $0.account, $0.id.text) < ($1.memory.order, $1.account, $1.id.text) }?.id
    }

    /// The key to be used next: the active one as long as it is ready, else the one used longest ago, else the one
    /// whose cooldown ends first.
    private mutating func settle(at now: Timestamp, reason: String) -> [PoolChange] {
        guard isOpen else { return [] }
        let hadKeys = active != nil || isExhausted
        if let active, isReady(active, at: now) || (plantedFault == .keepsCoolingKey && holds(active)) {
            isExhausted = false
            return []
        }
        if let next = choice(at: now) {
            isExhausted = false
            // The one that fails now is last in the order when it is back.
            if let active, active != next { records[active]?.memory.retired = now }
            return active == next ? [] : activate(next, reason: reason)
        }
        let soonest = records.values.filter { $0.memory.disabled == nil }
            .compactMap { record in record.memory.cooldown.map { (record, $0.until) } }
            .min { ($0.1, $0.0.account, $0.0.id.text) < ($1.1, $1.0.account, $1.0.id.text) }
        var changes: [PoolChange] = []
        if let soonest {
            if active != soonest.0.id { changes += activate(soonest.0.id, reason: "all keys cool") }
        } else {
            active = nil
        }
        if !isExhausted && (hadKeys || !records.isEmpty || reason == "start") {
            changes.append(.exhausted(until: soonest?.1))
        }
        isExhausted = true
        return changes
    }

    private mutating func activate(_ id: KeyID, reason: String) -> [PoolChange] {
        active = id
        return [.activated(id, account: records[id]?.account ?? "", reason: reason)]
    }
}
