// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Timekeeping

/// What is kept running, in the order in which it is started; stopped in the reverse order.
public enum ServiceName: String, Sendable, CaseIterable, Comparable {
    /// The SQL server that beads live in.
    case dolt
    /// The gt daemon, which keeps agents alive.
    case daemon
    /// The agent that coordinates the others.
    case mayor

    private var rank: Int {
        switch self {
        case .dolt: 0
        case .daemon: 1
        case .mayor: 2
        }
    }

    public static func < (a: ServiceName, b: ServiceName) -> Bool { a.rank < b.rank }
}

/// A process that cannot be confused with a later one of the same number (proc(5), field 22 of `stat`).
public struct ServiceProcess: Sendable, Hashable {
    public let pid: Int32
    /// Clock ticks since boot.
    public let startTime: UInt64

    public init(pid: Int32, startTime: UInt64) {
        self.pid = pid
        self.startTime = startTime
    }
}

/// Why a service must not be started now.
public enum Obstacle: Sendable, Hashable {
    /// It cannot be: what it needs is not on this machine.
    case absent(String)
    /// Somebody wants it to stand still: the operator's switches are heeded.
    case held(String)
    /// Something else has to happen first, and does.
    case waiting(String)

    public var reason: String {
        switch self {
        case .absent(let reason), .held(let reason), .waiting(let reason): reason
        }
    }
}

/// What has happened to services. Everything that the supervisor learns comes in here, with the time.
public enum ServiceInput: Sendable, Hashable {
    /// These are kept up from now on (`services.manage`).
    case managed([ServiceName])
    /// What runs already has been looked for: from now on what is missing is started.
    case opened
    case obstacle(ServiceName, Obstacle?)
    /// By hand.
    case wanted(ServiceName, ServiceWish)
    /// A living one that we did not start in this attempt: left by an earlier process, or brought back by gt.
    case found(ServiceName, ServiceProcess, detail: String)
    /// An attempt to start it succeeded: it answers.
    case answered(ServiceName, attempt: UInt64, ServiceProcess, detail: String)
    /// An attempt to start it failed.
    case failed(ServiceName, attempt: UInt64, reason: String)
    /// An attempt to start it cannot succeed while somebody else has what it needs; no failure of its own.
    case blocked(ServiceName, attempt: UInt64, reason: String)
    /// Whoever had it is gone.
    case unblocked(ServiceName)
    /// - Parameter isExpected: It was ended on purpose, and whoever did it brings it back.
    case exited(ServiceName, ServiceProcess, status: String, isExpected: Bool)
    /// It lives but does not do its work.
    case unhealthy(ServiceName, ServiceProcess, reason: String)
    /// A stop is done.
    ///
    /// - Parameter problem: What is still there, and why.
    case stopped(ServiceName, problem: String?)
    /// A time that was asked for has come.
    case woke
    /// Somebody set the clock.
    ///
    /// - Parameter by: How far; negative: back.
    case clockSet(by: Duration)
}

/// What can be wanted of a service by hand.
public enum ServiceWish: String, Sendable, Hashable, CaseIterable { case start, stop, restart }

/// What has to be done. The performer reports what came of it as new inputs.
public enum ServiceAction: Sendable, Hashable {
    case start(ServiceName, attempt: UInt64)
    /// End it, and an attempt to start it that is going on.
    case stop(ServiceName, ServiceProcess?)
    /// Report the end of this process.
    case watch(ServiceName, ServiceProcess)
    case tell(ServiceNews)
    /// What survives a restart has changed.
    case persist
}

/// A change that others want to know of (contract D, `service.*`).
public struct ServiceNews: Sendable, Hashable {
    public enum Kind: String, Sendable { case starting, up, exited, backoff, parked, stopped }
    public let kind: Kind
    public let name: ServiceName
    public let pid: Int32?
    /// How it ended: `exit 1`, `signal 9`; nil where nobody knows.
    public let status: String?
    public let nextRetryAt: Timestamp?
    public let detail: String
}

/// How a service stands (contract C, `services`).
public struct ServiceItem: Sendable, Hashable {
    public let name: ServiceName
    public let isWanted: Bool
    /// starting, up, backoff, parked, stopping, down or absent.
    public let state: String
    public let pid: Int32?
    public let restarts: Int
    public let since: Timestamp
    public let nextRetryAt: Timestamp?
    public let detail: String
}
