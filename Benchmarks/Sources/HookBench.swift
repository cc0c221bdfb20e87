// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// `gasclawd hook stop-failure`, for which an agent waits, beside a program that does nothing.
extension Bench {
    static func hook(gasclawd: String, page: String, rounds: Int) throws {
        let bench = try Bench(gasclawd: gasclawd)
        defer { bench.remove() }
        try bench.measureHook(rounds: rounds)
        try Page(path: FilePath(page)).put(bench.table.lines, under: "hook")
    }

    private func measureHook(rounds: Int) throws {
        _ = try putKey(account: 1)
        try start(following: "sighting", waits: false)
        defer { stop() }
        try write(
            #"{"session_id":"00000000-0000-4000-8000-000000000001","transcript_path":"/nowhere","cwd":"/nowhere","#
                + #""hook_event_name":"StopFailure","error":"rate_limit","error_details":"429 too many requests"}"#,
            to: "failure")
        var nothing = Samples(name: "/bin/true, start -> end")
        var version = Samples(name: "gasclawd version, start -> end")
        var hook = Samples(name: "gasclawd hook stop-failure, start -> end")
        var seen = Samples(name: "gasclawd hook stop-failure, start -> sighting at a subscriber")
        guard var events = reader else { throw BenchError(description: "no events") }
        // In turns: what else the machine does meets all of them.
        for _ in 0..<rounds {
            usleep(UInt32.random(in: 1000...4000))
            nothing.values.append(try time(["/bin/true"]))
            version.values.append(try time([gasclawd, "version"]))
            let start = EventLoop.now
            hook.values.append(
                try time([gasclawd, "hook", "stop-failure", "--socket", "\(runtime)/control.sock"]))
            _ = try events.wait(seconds: 10) { $0.contains("\"sighting\"") }
            seen.values.append(EventLoop.now - start)
        }
        note(nothing, from: "start of `/bin/true`", to: "its end")
        note(version, from: "start of `gasclawd version`", to: "its end")
        note(
            hook, from: "start of `gasclawd hook stop-failure`",
            to: "its end, the daemon having answered (budget: 10 ms)")
        note(seen, from: "start of `gasclawd hook stop-failure`", to: "its end, and the `sighting` at a subscriber")
    }

    private func time(_ arguments: [String]) throws -> Int64 {
        let start = EventLoop.now
        let child = try Child(arguments, environment: environment, input: "\(root)/failure")
        var status: Int32 = 0
        waitpid(child.pid, &status, 0)
        let end = EventLoop.now
        close(child.output)
        guard status == 0 else { throw BenchError(description: "\(arguments) failed: \(status)") }
        return end - start
    }
}
