// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Secrets
import Timekeeping

/// What is known of a key beyond its text: this is what survives a restart.
public struct KeyMemory: Sendable, Hashable {
    public struct Evidence: Sendable, Hashable {
        public let cause: Cause
        /// nil where it was no lease's.
        public let lease: String?
        public let time: Timestamp

        /// Stands for our own question to the provider; no process is called so.
        static let probe = "probe"
        var isProbe: Bool { lease == Self.probe }
    }
    public struct Disabled: Sendable, Hashable {
        public let cause: Cause
        public let since: Timestamp
        /// The digests of its files then, by account: another content brings the key back.
        public let digests: [String: String]
    }

    /// When an agent was last started with it.
    public internal(set) var lastUsed: Timestamp?
    /// When another key took its place.
    var retired: Timestamp?
    public internal(set) var cooldown: Cooldown?
    public internal(set) var disabled: Disabled?
    /// Which of the subscription's windows the cooldown is for.
    public internal(set) var window: QuotaWindow?
    /// Whose key it is, where the provider said so: a digest of the user's id.
    var owner: String?
    /// How long a sighting counts.
    static let evidenceMax = Duration.seconds(86400)

    /// Sightings of the last day, to tell a confirmation from a repeat; bounded.
    var evidence: [Evidence] = []

    public init() {}

    /// The place in the order of use; never used is first.
    var order: Timestamp { max(lastUsed ?? .distantPast, retired ?? .distantPast) }

    mutating func note(_ new: Evidence) {
        evidence.removeAll { new.time - $0.time > Self.evidenceMax }
        evidence.append(new)
        if evidence.count > 16 { evidence.removeFirst() }
    }
}

extension Timestamp {
    static let distantPast = Timestamp(microseconds: .min)
}

// MARK: - State file

extension KeyPool {
    /// Cooldowns, last use and the active key, by id: no key is in it.
    public var snapshot: JSONValue {
        var keys = JSONObject()
        var all = remembered
        for record in records.values { all[record.id] = record.memory }
        for (id, memory) in all.sorted(by: { $0.key < $1.key }) { keys[id.text] = memory.json }
        return ["active": .optional(active?.text), "exhausted": .bool(isExhausted), "keys": .object(keys)]
    }

    /// Takes up what an earlier process knew. Call it before the first account is set.
    ///
    /// What is not understood is passed over: a state file is a help, not a condition.
    public mutating func restore(_ json: JSONValue) {
        active = json["active"]?.string.flatMap(KeyID.init(text:))
        isExhausted = json["exhausted"]?.bool ?? false
        for (name, value) in json["keys"]?.object?.members ?? [] {
            guard let id = KeyID(text: name) else { continue }
            remembered[id] = KeyMemory(json: value)
        }
    }
}

extension KeyMemory {
    var json: JSONValue {
        func time(_ instant: Timestamp?) -> JSONValue { .optional(instant?.rfc3339) }
        return [
            "last_used": time(lastUsed), "retired": time(retired), "owner": .optional(owner),
            "window": .optional(window?.rawValue),
            "cooldown": cooldown.map {
                [
                    "cause": .string($0.cause.rawValue), "since": time($0.since), "until": time($0.end),
                    "named": .bool($0.isNamed),
                ]
            } ?? .null,
            "disabled": disabled.map { disabled in
                var digests = JSONObject()
                for (name, digest) in disabled.digests.sorted(by: { $0.key < $1.key }) {
                    digests[name] = .string(digest)
                }
                return [
                    "cause": .string(disabled.cause.rawValue), "since": time(disabled.since),
                    "files": .object(digests),
                ]
            } ?? .null,
            "evidence": .array(
                evidence.map {
                    ["cause": .string($0.cause.rawValue), "lease": .optional($0.lease), "time": time($0.time)]
                }),
        ]
    }

    init(json: JSONValue) {
        func time(_ value: JSONValue?) -> Timestamp? { value?.string.flatMap { Timestamp(rfc3339: $0) } }
        func cause(_ value: JSONValue?) -> Cause? { value?["cause"]?.string.flatMap(Cause.init(rawValue:)) }
        lastUsed = time(json["last_used"])
        retired = time(json["retired"])
        owner = json["owner"]?.string
        window = json["window"]?.string.flatMap(QuotaWindow.init(rawValue:))
        if let value = json["cooldown"], let cause = cause(value), let since = time(value["since"]),
            let until = time(value["until"])
        {
            cooldown = Cooldown(
                cause: cause, since: since, until: until, isNamed: value["named"]?.bool ?? false)
        }
        if let value = json["disabled"], let cause = cause(value), let since = time(value["since"]) {
            var digests: [String: String] = [:]
            for (name, digest) in value["files"]?.object?.members ?? [] { digests[name] = digest.string }
            disabled = Disabled(cause: cause, since: since, digests: digests)
        }
        evidence = (json["evidence"]?.array ?? []).prefix(16).compactMap { value in
            guard let cause = cause(value), let time = time(value["time"]) else { return nil }
            return Evidence(cause: cause, lease: value["lease"]?.string, time: time)
        }
    }
}
