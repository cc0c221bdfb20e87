// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Timekeeping

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
    /// The key that was active when the last file was gone, until it is back or others have been in use for a while.
    var former: FormerKey?
    /// Nothing is chosen before all files have been read once, or the first file read would always win.
    var isOpen = false
    public var cooldown: Duration
    public var strategy: KeyStrategy
    package var plantedFault: PlantedFault?

    public init(cooldown: Duration, strategy: KeyStrategy = .leastRecentlyUsed) {
        self.cooldown = cooldown
        self.strategy = strategy
    }

    // MARK: - Questions

    public func isReady(_ id: KeyID, at now: Timestamp) -> Bool { records[id]?.isReady(at: now) ?? false }
    /// How many keys an agent may get: those that are ready and are not going. The active one is one also in its grace.
    public func readyCount(at now: Timestamp) -> Int {
        records.values.count { $0.isReady(at: now) && ($0.id == active || !isGoing($0)) }
    }
    /// Whether ``readyCount(at:)`` is more than zero.
    public func hasReadyKey(at now: Timestamp) -> Bool {
        active.map { isReady($0, at: now) } ?? false
            || records.values.contains { $0.isReady(at: now) && !isGoing($0) }
    }
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
        former = nil
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
        guard strategy == .spread else {
            // Who starts in the active key's grace would be started anew after it.
            let other = activeRecord.flatMap { isGoing($0) ? choice(at: now, except: $0.id) : nil }
            return other.flatMap { records[$0] } ?? activeRecord
        }
        let ready = records.values.filter { $0.isReady(at: now) && !isGoing($0) }
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

    /// The ready key that was used longest ago. One that is going is none: whoever got it would lose it within the grace.
    private func choice(at now: Timestamp, except: KeyID? = nil) -> KeyID? {
        records.values.filter { $0.id != except && $0.isReady(at: now) && !isGoing($0) }
            .min { ($0.memory.order, $0.account, $0.id.text) < ($1.memory.order, $1.account, $1.id.text) }?.id
    }

    /// The key to be used next: the active one as long as it is ready, else the one used longest ago, else the one
    /// whose cooldown ends first. A key that is going stays active in its grace, but does not become it.
    mutating func settle(at now: Timestamp, reason: String) -> [PoolChange] {
        guard isOpen else { return [] }
        let hadKeys = active != nil || isExhausted
        if let changes = takeFormer(at: now) { return changes }
        if let active, isReady(active, at: now) || (plantedFault == .keepsCoolingKey && holds(active)) {
            endExhaustion(at: now)
            return []
        }
        if let next = choice(at: now) {
            endExhaustion(at: now)
            // The one that fails now is last in the order when it is back.
            if let active, active != next { records[active]?.memory.retired = now }
            return active == next ? [] : activate(next, reason: reason)
        }
        if let active, !holds(active) { former = FormerKey(id: active) }
        let soonest = records.values.filter { $0.memory.disabled == nil && ($0.id == active || !isGoing($0)) }
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

    mutating func activate(_ id: KeyID, reason: String) -> [PoolChange] {
        active = id
        return [.activated(id, account: records[id]?.account ?? "", reason: reason)]
    }
}
