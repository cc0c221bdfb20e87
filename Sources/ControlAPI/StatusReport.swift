// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Timekeeping

/// What `/v1/status` answers (contract C). Absent values are null, never left out.
public struct StatusReport: Sendable, Equatable {
    public enum State: String, Sendable { case starting, ready, degraded, reloading, stopping }

    public struct KeyItem: Sendable, Equatable {
        public var id: String
        public var account: String
        public var baseURL: String
        /// `active`, `ready`, `cooling` or `disabled`.
        public var state: String
        public var cause: String?
        public var until: Timestamp?
        public var lastUsed: Timestamp?
        public var leases: Int

        public init(
            id: String, account: String, baseURL: String, state: String, cause: String?, until: Timestamp?,
            lastUsed: Timestamp?, leases: Int
        ) {
            self.id = id
            self.account = account
            self.baseURL = baseURL
            self.state = state
            self.cause = cause
            self.until = until
            self.lastUsed = lastUsed
            self.leases = leases
        }
    }

    public struct Rejected: Sendable, Equatable {
        public var path: String
        public var error: String
        public init(path: String, error: String) {
            self.path = path
            self.error = error
        }
    }

    public struct AgentItem: Sendable, Equatable {
        public var session: String
        public var role: String
        public var rig: String?
        /// nil: it is not running.
        public var pid: Int32?
        public var isRunning: Bool
        public var key: String?
        public var since: Timestamp
        public var isStalled: Bool
        public var isBusy: Bool?
        public var isUnmanaged: Bool
        public var pendingReload: String?
        /// Why it is unmanaged, not running, or not reloaded now.
        public var detail: String?

        public init(
            session: String, role: String, rig: String?, pid: Int32?, isRunning: Bool, key: String?, since: Timestamp,
            isStalled: Bool, isBusy: Bool?, isUnmanaged: Bool, pendingReload: String?, detail: String? = nil
        ) {
            self.session = session
            self.role = role
            self.rig = rig
            self.pid = pid
            self.isRunning = isRunning
            self.key = key
            self.since = since
            self.isStalled = isStalled
            self.isBusy = isBusy
            self.isUnmanaged = isUnmanaged
            self.pendingReload = pendingReload
            self.detail = detail
        }
    }

    public struct ServiceItem: Sendable, Equatable {
        public var name: String
        public var isWanted: Bool
        /// starting, up, backoff, parked, stopping, down or absent.
        public var state: String
        public var pid: Int32?
        public var restarts: Int
        public var since: Timestamp
        public var nextRetryAt: Timestamp?
        public var detail: String

        public init(
            name: String, isWanted: Bool, state: String, pid: Int32?, restarts: Int, since: Timestamp,
            nextRetryAt: Timestamp?, detail: String
        ) {
            self.name = name
            self.isWanted = isWanted
            self.state = state
            self.pid = pid
            self.restarts = restarts
            self.since = since
            self.nextRetryAt = nextRetryAt
            self.detail = detail
        }

        public var json: JSONValue {
            [
                "name": .string(name), "wanted": isWanted ? "up" : "down", "state": .string(state),
                "pid": pid.map { JSONValue($0) } ?? .null, "restarts": JSONValue(restarts),
                "since": .string(since.rfc3339), "next_retry_at": .optional(nextRetryAt?.rfc3339),
                "detail": .string(detail),
            ]
        }
    }

    public struct Watch: Sendable, Equatable {
        public var directories = 0
        public var files = 0
        public var events = 0
        public var overflows = 0
        public var rescans = 0
        public var polled: [String] = []
        public var probe: Duration?
        /// Which directories are looked at; given to whoever asks for the status.
        public var plan: [PlanItem] = []
        public init() {}
    }

    /// A directory that is looked at.
    public struct PlanItem: Sendable, Equatable {
        public let path: String
        /// `watched` or `polled`.
        public let mode: String
        /// What is looked for in it.
        public let why: [String]
        public let since: Timestamp
        /// Why it is polled.
        public let detail: String?
        public init(path: String, mode: String, why: [String], since: Timestamp, detail: String?) {
            self.path = path
            self.mode = mode
            self.why = why
            self.since = since
            self.detail = detail
        }
    }

    public struct Config: Sendable, Equatable {
        public var path: String?
        public var loadedAt: Timestamp
        /// Why the file as it is now was refused; empty if it is in force.
        public var errors: [String]
        public init(path: String?, loadedAt: Timestamp, errors: [String]) {
            self.path = path
            self.loadedAt = loadedAt
            self.errors = errors
        }
    }

    public var version: String
    public var bootID: String
    public var state: State
    public var detail: String
    public var pid: Int32
    public var startedAt: Timestamp
    public var generation: Int
    public var townRoot: String
    public var isTownInstalled: Bool
    /// There was a town, and it is not there.
    public var isTownAway = false
    public var isStopped: Bool
    /// Why agents are not started anew: texts.
    public var holds: [String] = []
    /// Files of the town that cannot be used; what they said before is in force.
    public var rejectedTownFiles: [Rejected] = []
    /// Why the town is not all that it is to be; nil: it is, or nobody looks after that.
    public var bootstrapError: String?
    /// When that is tried again by itself, if nothing happens before.
    public var bootstrapRetryAt: Timestamp?
    public var activeKey: String?
    /// `keys.strategy`.
    public var strategy: String
    public var keys: [KeyItem]
    public var rejected: [Rejected]
    public var agents: [AgentItem]
    public var services: [ServiceItem]
    public var watch: Watch
    public var config: Config

    public init(
        version: String, bootID: String, state: State, detail: String, pid: Int32, startedAt: Timestamp,
        generation: Int,
        townRoot: String, isTownInstalled: Bool, isStopped: Bool, activeKey: String?,
        strategy: String = "lru", keys: [KeyItem],
        rejected: [Rejected], agents: [AgentItem], services: [ServiceItem] = [], watch: Watch, config: Config
    ) {
        self.services = services
        self.version = version
        self.bootID = bootID
        self.state = state
        self.detail = detail
        self.pid = pid
        self.startedAt = startedAt
        self.generation = generation
        self.townRoot = townRoot
        self.isTownInstalled = isTownInstalled
        self.isStopped = isStopped
        self.activeKey = activeKey
        self.strategy = strategy
        self.keys = keys
        self.rejected = rejected
        self.agents = agents
        self.watch = watch
        self.config = config
    }

    /// Whether agents can be given a working key: ready, or degraded with a ready key (contract B, `/readyz`).
    public var isServing: Bool {
        state == .ready || state == .reloading
            || (state == .degraded && keys.contains { $0.state == "ready" || $0.state == "active" })
    }

    /// `dolt, daemon up, mayor starting`; nil without services.
    private var servicesLine: String? {
        guard !services.isEmpty else { return nil }
        let up = services.filter { $0.state == "up" }.map(\.name)
        let others = services.filter { $0.state != "up" }.map { "\($0.name) \($0.state)" }
        return ((up.isEmpty ? [] : ["\(up.joined(separator: ", ")) up"]) + others).joined(separator: ", ")
    }

    /// The one line for systemd and people:
    /// `3 keys: 2 ready, 1 cooling until 14:05 · dolt, daemon, mayor up · 6 agents · generation 12`.
    public var line: String {
        let ready = keys.count { $0.state == "ready" || $0.state == "active" }
        let cooling = keys.filter { $0.state == "cooling" }
        let disabled = keys.count { $0.state == "disabled" }
        var parts = ["\(keys.count) \(keys.count == 1 ? "key" : "keys"): \(ready) ready"]
        if let until = cooling.compactMap(\.until).min() {
            parts.append("\(cooling.count) cooling until \(until.timeOfDay.prefix(5))")
        }
        if disabled > 0 { parts.append("\(disabled) disabled") }
        let running = agents.count(where: \.isRunning)
        return parts.joined(separator: ", ") + (servicesLine.map { " · \($0)" } ?? "")
            + " · \(running) \(running == 1 ? "agent" : "agents") · generation \(generation)"
    }

    public var json: JSONValue {
        [
            "version": .string(version), "boot_id": .string(bootID), "state": .string(state.rawValue),
            "detail": .string(detail), "pid": JSONValue(pid), "started_at": .string(startedAt.rfc3339),
            "generation": JSONValue(generation),
            "town": [
                "root": .string(townRoot), "installed": .bool(isTownInstalled), "estop": .bool(isStopped),
                "away": .bool(isTownAway),
                "holds": .array(holds.map(JSONValue.string)),
                "rejected": .array(
                    rejectedTownFiles.map { ["path": .string($0.path), "error": .string($0.error)] }),
                "bootstrap": [
                    "error": .optional(bootstrapError),
                    "next_retry_at": .optional(bootstrapRetryAt?.rfc3339),
                ],
            ],
            "keys": [
                "total": JSONValue(keys.count),
                "ready": JSONValue(keys.count { $0.state == "ready" || $0.state == "active" }),
                "cooling": JSONValue(keys.count { $0.state == "cooling" }),
                "disabled": JSONValue(keys.count { $0.state == "disabled" }),
                "active": .optional(activeKey), "strategy": .string(strategy),
                "items": .array(keys.map(Self.json)),
                "rejected": .array(rejected.map { ["path": .string($0.path), "error": .string($0.error)] }),
            ],
            "services": .array(services.map(\.json)),
            "agents": .array(agents.map(Self.json)),
            "watch": [
                "directories": JSONValue(watch.directories), "files": JSONValue(watch.files),
                "events": JSONValue(watch.events), "overflows": JSONValue(watch.overflows),
                "rescans": JSONValue(watch.rescans), "polled": .array(watch.polled.map(JSONValue.string)),
                "probe_ms": watch.probe.map { JSONValue(Double($0.wholeMicroseconds) / 1000) } ?? .null,
                "plan": .array(watch.plan.map(Self.json)),
            ],
            "config": [
                "path": .optional(config.path), "loaded_at": .string(config.loadedAt.rfc3339),
                "ok": .bool(config.errors.isEmpty), "errors": .array(config.errors.map(JSONValue.string)),
            ],
        ]
    }

    private static func json(_ item: PlanItem) -> JSONValue {
        [
            "path": .string(item.path), "mode": .string(item.mode), "why": .array(item.why.map(JSONValue.string)),
            "since": .string(item.since.rfc3339), "detail": .optional(item.detail),
        ]
    }

    private static func json(_ key: KeyItem) -> JSONValue {
        [
            "id": .string(key.id), "account": .string(key.account), "base_url": .string(key.baseURL),
            "state": .string(key.state), "cause": .optional(key.cause), "until": .optional(key.until?.rfc3339),
            "last_used": .optional(key.lastUsed?.rfc3339), "leases": JSONValue(key.leases),
        ]
    }

    private static func json(_ agent: AgentItem) -> JSONValue {
        [
            "session": .string(agent.session), "role": .string(agent.role), "rig": .optional(agent.rig),
            "pid": .optional(agent.pid.map(Int.init)), "running": .bool(agent.isRunning), "key": .optional(agent.key),
            "since": .string(agent.since.rfc3339), "stalled": .bool(agent.isStalled), "busy": .optional(agent.isBusy),
            "unmanaged": .bool(agent.isUnmanaged), "pending_reload": .optional(agent.pendingReload),
            "detail": .optional(agent.detail),
        ]
    }
}
