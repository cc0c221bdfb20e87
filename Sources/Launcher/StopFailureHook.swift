// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import Glibc
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// `gasclawd hook stop-failure`: Claude Code runs it instead of its Stop hook when a turn ended with an API error, with
/// the failure on standard input (code.claude.com/docs/en/hooks).
///
/// An agent waits for it, so it never takes long, says nothing, and always succeeds: what it could not report stands in
/// the transcript.
public enum StopFailureHook {
    /// For the daemon's answer.
    private static let patience = Duration.milliseconds(10)
    /// From the failure's last byte to our end, whatever happens: on a machine that is busy with other things a report
    /// that is a moment late is worth more than none.
    private static let limit = Duration.milliseconds(100)
    /// For whoever writes the failure.
    private static let inputPatience = Duration.seconds(5)
    private static let lengthMax = 1 << 20

    /// - Parameter arguments: Behind `hook stop-failure`.
    /// - Parameter findSocket: The control socket for a configuration file, or for the usual one.
    public static func run(_ arguments: [String], findSocket: (_ config: String?) -> FilePath?) -> Int32 {
        // The environment that the client gave us has its key.
        CurrentProcess.setDumpable(false)
        guard
            let socket = value(of: "--socket", in: arguments).map({ FilePath($0) })
                ?? environmentSocket ?? findSocket(value(of: "--config", in: arguments))
        else { return 0 }
        guard let input = read(until: EventLoop.now + inputPatience.wholeMicroseconds * 1000) else { return 0 }
        endIn(limit)
        do {
            let report = try HookReport(try JSONValue(parsing: input))
            _ = try ControlClient(socket: socket).request(
                "POST", "/v1/sightings", body: report.json, timeout: patience)
        } catch {
            // No daemon, one that is busy, or no failure: nobody here could do anything about it.
            return 0
        }
        return 0
    }

    private static var environmentSocket: FilePath? {
        CurrentProcess.environmentValue("GASCLAWD_SOCKET").flatMap { $0.hasPrefix("/") ? FilePath($0) : nil }
    }

    private static func value(of option: String, in arguments: [String]) -> String? {
        for (index, word) in arguments.enumerated() {
            if word == option, index + 1 < arguments.count { return arguments[index + 1] }
            if word.hasPrefix(option + "=") { return String(word.dropFirst(option.count + 1)) }
        }
        return nil
    }

    /// All of standard input; nil if it does not end in time, or is too long.
    private static func read(until deadline: Int64) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            var poll = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            let left = (deadline - EventLoop.now) / 1_000_000
            guard left > 0 else { return nil }
            let count = Glibc.poll(&poll, 1, Int32(left))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return nil }
            let got = Glibc.read(0, &buffer, buffer.count)
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { return got == 0 ? bytes : nil }
            bytes += buffer[..<got]
            guard bytes.count <= lengthMax else { return nil }
        }
    }

    /// Ends the process with success when the time is over, whatever it waits for.
    private static func endIn(_ time: Duration) {
        signal(SIGALRM) { _ in _exit(0) }
        var timer = itimerval()
        timer.it_value.tv_usec = Int(time.wholeMicroseconds)
        setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &timer, nil)
    }
}
