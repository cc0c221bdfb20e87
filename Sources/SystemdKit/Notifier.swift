// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CSystemd
import LinuxSys
import SystemPackage
import Timekeeping

/// What a service tells systemd about itself (sd_notify(3)).
public enum NotifyState: Sendable {
    /// The start, or a reload, is complete.
    case ready
    /// The service has begun to stop.
    case stopping
    /// One line for `systemctl status`.
    case status(String)
    /// A sign of life.
    case watchdog
    /// Ask for what a missed watchdog leads to, at once: we know that we cannot go on.
    case watchdogTrigger
    /// Our main process is this one from now on.
    case mainPID(Int32)
    /// Why the service fails, as errno(3).
    case errno(Int32)
    /// A reload begins; the time is CLOCK_MONOTONIC when it began, without which systemd does not believe the
    /// `ready` after it.
    case reloading(monotonicMicroseconds: Int64)
    /// The start, stop or reload that goes on may take this much longer, counted from now (EXTEND_TIMEOUT_USEC).
    case extendTimeout(Duration)

    /// The state's lines in the protocol.
    var lines: String {
        switch self {
        case .ready: return "READY=1"
        case .stopping: return "STOPPING=1"
        case .status(let text):
            // A line end would begin another assignment; other control characters are of no use to anybody.
            let line = String(
                String.UnicodeScalarView(
                    text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
            return "STATUS=\(line)"
        case .watchdog: return "WATCHDOG=1"
        case .watchdogTrigger: return "WATCHDOG=trigger"
        case .mainPID(let pid): return "MAINPID=\(pid)"
        case .errno(let number): return "ERRNO=\(number)"
        case .reloading(let start): return "RELOADING=1\nMONOTONIC_USEC=\(start)"
        case .extendTimeout(let duration): return "EXTEND_TIMEOUT_USEC=\(duration.wholeMicroseconds)"
        }
    }
}

/// Tells systemd about this service.
///
/// It reads NOTIFY_SOCKET at each call. The datagram is handed to the service manager's socket; nobody's answer is
/// waited for.
public struct Notifier: Sendable {
    /// What came of a message.
    public enum Outcome: Sendable, Hashable {
        case sent
        /// There is no NOTIFY_SOCKET: nobody wants to know.
        case notUnderSystemd
        case failed(SystemError)
    }

    public init() {}

    /// Sends the states as one message. The corresponding C function is `sd_notify`.
    public func send(_ states: [NotifyState]) -> Outcome {
        let result = sd_notify(0, states.map(\.lines).joined(separator: "\n"))
        if result > 0 { return .sent }
        if result == 0 { return .notUnderSystemd }
        return .failed(SystemError(call: "sd_notify", errno: Errno(rawValue: -result)))
    }
}
