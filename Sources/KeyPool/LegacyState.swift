// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Secrets
import Timekeeping

/// What a predecessor (gasclaw, kimigas) knew of the keys: `key-rotation.json`.
///
/// Both wrote the same form, with seconds since the epoch by the hash of a key, and each hashed in its own way; the
/// hashes cannot be told apart by their looks, so either is tried.
public struct LegacyState: Sendable, Hashable {
    /// For the event.
    public let path: String
    let lastUsed: [String: Timestamp]
    /// When a key was marked, not until when.
    let limited: [String: Timestamp]

    /// How long a mark held.
    static let limit = Duration.seconds(300)
    public static let lengthMax = 1 << 20

    /// - Returns: nil if it holds nothing that is understood.
    public init?(_ json: JSONValue, path: String) {
        self.path = path
        lastUsed = Self.times(json["last_used"])
        limited = Self.times(json["rate_limited"])
        guard !lastUsed.isEmpty || !limited.isEmpty else { return nil }
    }

    private static func times(_ json: JSONValue?) -> [String: Timestamp] {
        var times: [String: Timestamp] = [:]
        for (hash, value) in (json?.object?.members ?? []).prefix(4096) {
            guard let seconds = value.double, (0..<4e9).contains(seconds), KeyID(text: hash) != nil else { continue }
            times[hash] = Timestamp(microseconds: Int64(seconds * 1_000_000))
        }
        return times
    }

    /// The names that a key has in such a file: the first 12 digits of its SHA-256 (kimigas), and BLAKE2b with a digest
    /// of 6 bytes (gasclaw).
    static func names(of key: Key) -> [String] {
        [key.id.text, BLAKE2b.hex(Array(key.reveal().utf8), length: 6)]
    }
}

extension KeyPool {
    /// Notes what a predecessor knew; it is taken in when the pool opens. Call it before.
    public mutating func note(_ legacy: LegacyState) { self.legacy.append(legacy) }

    /// Takes in what the predecessors knew of the keys that are there.
    mutating func takeLegacy(at now: Timestamp) -> [PoolChange] {
        var changes: [PoolChange] = []
        for source in legacy {
            var count = 0
            for record in sorted {
                let names = LegacyState.names(of: record.key)
                let used = names.compactMap { source.lastUsed[$0] }.max().map { min($0, now) }
                let marked = names.compactMap { source.limited[$0] }.max()
                if used != nil || marked != nil { count += 1 }
                if let used, record.memory.lastUsed.map({ $0 < used }) ?? true {
                    records[record.id]?.memory.lastUsed = used
                }
                guard let marked, marked <= now, now - marked < LegacyState.limit, record.memory.cooldown == nil,
                    record.memory.disabled == nil
                else { continue }
                let until = marked + LegacyState.limit
                records[record.id]?.memory.cooldown = Cooldown(cause: .throttled, since: marked, until: until)
                changes.append(
                    .cooled(
                        record.id, account: record.account, cause: .throttled, until: until,
                        reason: "a predecessor had seen it throttled"))
            }
            changes.append(.imported(path: source.path, count: count))
        }
        legacy = []
        return changes
    }
}
