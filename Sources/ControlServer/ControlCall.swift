// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON
import Timekeeping

/// A request that the daemon has to answer.
public struct ControlCall: Sendable {
    public enum Request: Sendable {
        case status
        /// Answered by whoever turns the loop: that it answers is the answer.
        case health
        case readiness
        case metrics
        /// - Parameter wait: Answer only when the agents are back, at the latest after this time; nil: at once.
        case reload(wait: Duration?)
        case events(since: Int, types: Set<String>)
        case lease(LeaseRequest)
        case sighting(HookReport)
        case rotate
        /// - Parameters:
        ///   - command: `clear`, `disable` or `enable`.
        ///   - key: Its id; nil: all.
        case key(command: String, key: String?)
        /// - Parameter sessions: nil: all.
        case agentsReload(sessions: [String]?)
        /// - Parameter command: `start`, `stop` or `restart`.
        case service(name: String, command: String)
        /// End the town, then the daemon.
        case stop
    }

    public let request: Request
    /// The calling process, as the kernel knows it (SO_PEERCRED, unix(7)).
    public let peer: Int32
    /// Unique among the calls; names it in ``ControlEvent/withdrawn(_:)``.
    public let serial: UInt64
    /// Callable from any thread, once.
    public let reply: @Sendable (ControlReply) -> Void
}

/// What the daemon answers.
public enum ControlReply: Sendable {
    case value(JSONValue)
    /// With this HTTP status.
    case valueWithStatus(JSONValue, Int)
    case failure(ControlError)
    case text(String, type: String)
    /// Lines of events; whoever follows gets later ones through ``ControlServer/publish(_:)``.
    case lines([String], lastSeq: Int)
}

/// What the server tells the daemon.
public enum ControlEvent: Sendable {
    case call(ControlCall)
    /// Whoever made the call has gone before it was answered.
    case withdrawn(UInt64)
    /// A process that followed events and stopped reading them was disconnected.
    case abandoned(peer: Int32)
}

/// An event for those who follow.
public struct PublishedEvent: Sendable {
    public let seq: Int
    public let type: String
    public let time: Timestamp
    public let line: String

    public init(seq: Int, type: String, time: Timestamp, line: String) {
        self.time = time
        self.seq = seq
        self.type = type
        self.line = line
    }
}
