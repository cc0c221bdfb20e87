// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// What stands in `ESTOP` and `ESTOP.<rig>`: `trigger\tRFC3339\treason\n` (gt: estop/estop.go:21,57-61).
public struct EmergencyStop: Sendable, Hashable {
    public let trigger: String
    public let since: String
    public let reason: String

    /// No such file is this long. In bytes.
    public static let lengthMax = 64 << 10

    /// A file that says less is a stop all the same: only its being there counts.
    public init(_ bytes: [UInt8]) {
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") }
        let fields = line.split(separator: UInt8(ascii: "\t"), maxSplits: 2, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        trigger = fields.first ?? ""
        since = fields.count > 1 ? fields[1] : ""
        reason = fields.count > 2 ? fields[2] : ""
    }
}

/// Whether a rig is at work: `.beads-wisp/config/<rig>.json` (gt: wisp/config.go:17-49).
public enum RigState {
    /// - Returns: Whether gt starts nobody in it; a file that is not understood holds nobody back.
    public static func isParked(_ bytes: [UInt8]) -> Bool {
        do throws(JSONError) {
            let status = try JSONValue(parsing: bytes)["values"]?["status"]?.string
            return status == "parked" || status == "docked"
        } catch { return false }
    }
}

/// The operator's switch for the deacon: `.runtime/deacon/paused.json` (gt: daemon/daemon.go:1247-1261).
public enum DeaconPause {
    /// - Returns: Whether it is on; a file that does not say no says yes.
    public static func isOn(_ bytes: [UInt8]) -> Bool {
        do throws(JSONError) { return try JSONValue(parsing: bytes)["paused"]?.bool ?? true } catch { return true }
    }
}

/// What gt's daemon knows of agents that it restarts: `daemon/restart_state.json` (gt: daemon/restart_tracker.go:36-105).
public struct RestartState: Sendable, Hashable {
    /// The agents that it restarts no more.
    public let crashLoops: Set<String>

    public init(_ bytes: [UInt8]) throws(JSONError) {
        let value = try JSONValue(parsing: bytes)
        var found: Set<String> = []
        for (agent, state) in value["agents"]?.object?.members ?? [] {
            // Go writes a time that was never set as the year 1.
            guard let since = state["crash_loop_since"]?.string, !since.isEmpty, !since.hasPrefix("0001-") else {
                continue
            }
            found.insert(agent)
        }
        crashLoops = found
    }

    public init() { crashLoops = [] }
}

/// A line of `.events.jsonl` that tells of sessions that died (gt: events/events.go:18-149, daemon/daemon.go:2576-2582,
/// 2624-2632).
public struct TownEvent: Sendable, Hashable {
    public enum Kind: String, Sendable, CaseIterable {
        case sessionDeath = "session_death"
        case massDeath = "mass_death"
    }
    public let kind: Kind
    /// As gt wrote it.
    public let time: String?
    public let actor: String
    /// As one line of JSON.
    public let payload: String

    /// Tells it from every other: gt's events have no number.
    public var identity: String { "\(kind.rawValue) \(time ?? "") \(actor) \(payload)" }

    /// nil for every other line.
    public static func read(_ line: some Collection<UInt8>) -> TownEvent? {
        do throws(JSONError) {
            let value = try JSONValue(parsing: line)
            guard let kind = value["type"]?.string.flatMap(Kind.init(rawValue:)) else { return nil }
            return TownEvent(
                kind: kind, time: value["ts"]?.string, actor: value["actor"]?.string ?? "",
                payload: value["payload"]?.line ?? "{}")
        } catch { return nil }
    }
}
