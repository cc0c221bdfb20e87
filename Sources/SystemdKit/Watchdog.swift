// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CSystemd

/// systemd's watchdog for services (sd_watchdog_enabled(3)).
public struct Watchdog {
    /// The time within which systemd wants a sign of life; nil if it wants none, or wants it of another process
    /// (WATCHDOG_PID). Send at half of it.
    public static func interval() -> Duration? {
        var microseconds: UInt64 = 0
        guard sd_watchdog_enabled(0, &microseconds) > 0, microseconds <= UInt64(Int64.max) else { return nil }
        return .microseconds(Int64(microseconds))
    }
}

/// What systemd puts into the environment for this process alone.
public enum ServiceEnvironment {
    /// Variables to strip from children's environments (systemd.exec(5)): with them a child could speak in our name,
    /// feed our watchdog, or take our journal stream and directories for its own.
    public static let names = [
        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "FDSTORE",
        "JOURNAL_STREAM", "INVOCATION_ID", "SYSTEMD_EXEC_PID", "MAINPID", "MANAGERPID", "CREDENTIALS_DIRECTORY",
        "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY",
        "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE",
    ]
}
