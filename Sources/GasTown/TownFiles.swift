// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import SystemPackage
import Timekeeping

/// Where a town keeps what its services say of themselves (gt: daemon/types.go, doltserver.go, config/types.go).
public struct TownFiles: Sendable, Hashable {
    public let root: FilePath

    public init(_ root: FilePath) { self.root = root }

    /// The town is installed if it is there.
    public var town: FilePath { root.pushing("mayor/town.json") }
    public var rigs: FilePath { root.pushing("mayor/rigs.json") }
    public var settings: FilePath { root.pushing("settings/config.json") }
    public var daemonSettings: FilePath { root.pushing("mayor/daemon.json") }
    /// Written at each heartbeat.
    public var daemonState: FilePath { root.pushing("daemon/state.json") }
    /// Held by the gt daemon as long as it lives.
    public var daemonLock: FilePath { root.pushing("daemon/daemon.lock") }
    /// There while `gt down` takes the town down.
    public var shuttingDown: FilePath { root.pushing("daemon/shutting-down") }
    public var stop: FilePath { root.pushing("ESTOP") }
    public var doltData: FilePath { root.pushing(".dolt-data") }
    public var doltConfig: FilePath { root.pushing(".dolt-data/config.yaml") }
    public var doltPID: FilePath { root.pushing("daemon/dolt.pid") }
    public var doltState: FilePath { root.pushing("daemon/dolt-state.json") }
    public var doltLog: FilePath { root.pushing("daemon/dolt.log") }

    /// The names of the registered rigs.
    public static func rigNames(_ bytes: [UInt8]) throws(JSONError) -> [String] {
        try JSONValue(parsing: bytes)["rigs"]?.object?.names ?? []
    }

    /// The number in a pid file: gt's daemon writes a second line behind it.
    public static func pid(_ bytes: [UInt8]) -> Int32? {
        let line = bytes.split(omittingEmptySubsequences: true) { $0 == 10 || $0 == 13 || $0 == 32 }.first ?? []
        return Int32(String(decoding: line, as: UTF8.self)).flatMap { $0 > 1 ? $0 : nil }
    }

    /// The port in dolt's configuration, which gt generates: it goes before every other one that gt knows.
    public static func doltPort(_ bytes: [UInt8]) -> UInt16? {
        var isInListener = false
        for line in bytes.split(separator: 10) {
            let text = String(decoding: line, as: UTF8.self)
            let body = text.drop { $0 == " " }
            if body.hasPrefix("#") || body.isEmpty { continue }
            if !text.hasPrefix(" ") {
                isInListener = text.hasPrefix("listener:")
            } else if isInListener, body.hasPrefix("port:") {
                let value = body.dropFirst(5).drop { $0 == " " }.prefix { $0.isNumber }
                return UInt16(value).flatMap { $0 > 0 ? $0 : nil }
            }
        }
        return nil
    }
}

/// What the gt daemon writes at each heartbeat (gt: daemon/types.go).
public struct DaemonHeartbeat: Sendable, Hashable {
    public let pid: Int32
    public let isRunning: Bool
    public let last: Timestamp?

    /// - Returns: nil for anything else, also for a file that is only half written yet.
    public init?(_ bytes: [UInt8]) {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: bytes) } catch { return nil }
        guard let pid = value["pid"]?.integer.flatMap(Int32.init(exactly:)), pid > 1 else { return nil }
        self.pid = pid
        isRunning = value["running"]?.bool ?? false
        last = value["last_heartbeat"]?.string.flatMap { Timestamp(rfc3339: $0) }
    }
}

/// What of `mayor/daemon.json` matters to whoever supervises the gt daemon.
public struct DaemonSettings: Sendable, Hashable {
    /// gt's own interval where the file names none (gt: config/operational.go).
    public static let heartbeatDefault = Duration.seconds(180)
    public var heartbeat = DaemonSettings.heartbeatDefault
    /// GT_DOLT_PORT of its `env`.
    public var doltPort: UInt16?

    public init() {}

    /// A file that is not understood says nothing.
    public init(_ bytes: [UInt8]) {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: bytes) } catch { return }
        if let text = value["heartbeat"]?["interval"]?.string, let interval = Duration(go: text),
            interval >= .seconds(1)
        {
            heartbeat = interval
        }
        doltPort = value["env"]?["GT_DOLT_PORT"]?.string.flatMap { UInt16($0) }
    }
}

extension Duration {
    /// Reads Go's durations, as `3m` or `1h30m0.5s` (https://pkg.go.dev/time#ParseDuration).
    public init?(go text: String) {
        var rest = text[...]
        var milliseconds = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            guard let value = Double(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
            rest = rest.dropFirst(unit.count)
            switch unit {
            case "ns": milliseconds += value / 1e6
            case "us", "µs": milliseconds += value / 1e3
            case "ms": milliseconds += value
            case "s": milliseconds += value * 1e3
            case "m": milliseconds += value * 6e4
            case "h": milliseconds += value * 3.6e6
            default: return nil
            }
        }
        guard milliseconds < 1e12 else { return nil }
        self = .milliseconds(Int64(milliseconds))
    }
}
