// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import Glibc
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// A folder with keys and a configuration, and a daemon on it.
final class Bench {
    let gasclawd: String
    let root: String
    /// In memory, as systemd has it, where the machine has such a place: a file system on a disk makes its writers wait.
    let runtime: String
    private var serial = 0
    private(set) var daemon: Child?
    private(set) var events: Child?
    var reader: LineReader?
    /// A town with many folders: in memory too, for some disks take milliseconds for each that is removed.
    var largeTown: String { "\(runtime)-town" }
    /// What was measured: from, to, median, 99th percentile, how often.
    private(set) var table = Table(["from", "to", "median", "p99", "n"])
    /// What is no time.
    private(set) var figures = Table(["what", "measured", "budget"])

    init(gasclawd: String) throws {
        self.gasclawd = gasclawd
        var template = Array("/tmp/gasclawd-bench.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BenchError(description: "no temporary folder") }
        root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let inMemory = "/dev/shm/\(FilePath(root).lastComponent?.string ?? "gasclawd-bench")"
        var isInMemory = true
        do { try Syscalls.makeDirectories(FilePath(inMemory)) } catch { isInMemory = false }
        runtime = isInMemory ? inMemory : "\(root)/run"
        for folder in ["accounts/1", "accounts/2", "town/mayor", "bin", "claude"] {
            try Syscalls.makeDirectories(FilePath("\(root)/\(folder)"))
        }
        let ourselves = try CurrentProcess.executable()
        for name in ["tmux", "claude"] { try Syscalls.link(FilePath("\(root)/bin/\(name)"), to: ourselves) }
        try configure(town: "\(root)/town")
    }

    func configure(town: String) throws {
        try write(
            """
            [town]
            root = "\(town)"
            path = ["\(root)/bin"]
            bootstrap = false
            [services]
            manage = []
            [accounts]
            directory = "\(root)/accounts"
            [agent]
            program = "\(root)/bin/claude"
            config_dir = "\(root)/claude"
            sandboxed = "yes"
            [paths]
            state = "\(root)/state"
            runtime = "\(runtime)"
            [[watch.logs]]
            files = "logs/numbered.log"
            match = '^quota exceeded: line '
            cause = "quota"
            """, to: "gasclawd.toml")
    }

    func note(_ samples: Samples, from: String, to: String) {
        say(samples.line)
        table.add([
            from, to, samples.percentile(0.5).milliseconds, samples.percentile(0.99).milliseconds,
            "\(samples.values.count)",
        ])
    }

    func note(_ what: String, _ measured: String, budget: String = "") {
        say("\(what): \(measured)")
        figures.add([what, measured, budget])
    }

    func remove() {
        stop()
        do {
            let tmux = try Child(["/usr/bin/tmux", "-S", "\(root)/tmux", "kill-server"], environment: environment)
            tmux.end()
            let cleaner = try Child(["/bin/rm", "-rf", root, runtime, largeTown], environment: environment)
            var status: Int32 = 0
            waitpid(cleaner.pid, &status, 0)
        } catch { say("\(root) stays: \(error)") }
    }

    var environment: [String: String] {
        ["PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": root, "BENCH_STAMPS": "\(root)/stamps"]
    }

    func write(_ text: String, to name: String) throws {
        try AtomicFile.replace(FilePath("\(root)/\(name)"), with: Array(text.utf8), durable: false)
    }

    /// Another key each time, as the account file that a user would write.
    func putKey(account: Int) throws -> Int64 {
        serial += 1
        let digits = String(serial)
        let key = "sk-kimi-" + String(repeating: "0", count: 40 - digits.count) + digits
        let temporary = FilePath("\(root)/accounts/\(account)/.new")
        try AtomicFile.replace(temporary, with: Array("[providers.kimi]\napi_key = \"\(key)\"\n".utf8), durable: false)
        let start = EventLoop.now
        try Syscalls.rename(temporary, to: FilePath("\(root)/accounts/\(account)/config.toml"))
        return start
    }

    /// - Parameter waits: Whether the first events are of no interest: they are what had happened by then.
    func start(following types: String, waits: Bool = true) throws {
        let daemon = try Child(
            [gasclawd, "run", "--config", "\(root)/gasclawd.toml"], environment: environment, errors: "\(root)/log")
        self.daemon = daemon
        let client = ControlClient(socket: FilePath("\(runtime)/control.sock"))
        let deadline = EventLoop.now + 20_000_000_000
        while true {
            do throws(ControlClientError) {
                if try client.request("GET", "/v1/status", timeout: .seconds(1))["state"]?.string != "starting" {
                    break
                }
            } catch {
                guard EventLoop.now < deadline else {
                    throw BenchError(description: "the daemon is not ready: \(error)")
                }
            }
            usleep(2000)
        }
        let events = try Child(
            ["/usr/bin/env", gasclawd, "events", "--follow", "--json", "--config", "\(root)/gasclawd.toml"]
                + types.split(separator: ",").flatMap { ["--type", String($0)] }, environment: environment)
        self.events = events
        reader = LineReader(events.output)
        if waits { _ = try reader?.wait(seconds: 20) { _ in true } }
    }

    func stop() {
        events?.end()
        daemon?.end()
        events = nil
        daemon = nil
    }

    // MARK: - What is measured

    /// From the start of the process to READY=1.
    func measureStart(rounds: Int) throws {
        _ = try putKey(account: 1)
        var samples = Samples(name: "gasclawd run -> READY=1 (no services, 1 key)")
        for _ in 0..<rounds {
            let socket = try NotifySocket("\(root)/notify")
            let start = EventLoop.now
            var variables = environment
            variables["NOTIFY_SOCKET"] = "\(root)/notify"
            let child = try Child(
                [gasclawd, "run", "--config", "\(root)/gasclawd.toml"], environment: variables, errors: "\(root)/log")
            while !(try socket.receive().contains("READY=1")) {}
            samples.values.append(EventLoop.now - start)
            child.end()
            socket.remove()
        }
        note(samples, from: "start of `gasclawd run`", to: "READY=1 (one key, no services)")
    }

    /// A key file renamed into place: `key.activated` at a subscriber, and inotifywait's line; at rest, and beside a
    /// log of the town that grows by 5,000 lines a second.
    func measureKeys(rounds: Int) throws {
        try start(following: "key.activated")
        defer { stop() }
        // In turns: what else the machine does meets both.
        var rest = (Samples(name: "key, idle"), Samples(name: "inotifywait, idle"))
        var storm = (Samples(name: "key, beside a storm"), Samples(name: "inotifywait, beside a storm"))
        let ourselves = try CurrentProcess.executable().string
        try Syscalls.makeDirectories(FilePath("\(root)/town/daemon"))
        for _ in 0..<4 {
            try measureKeys(rounds / 4, into: &rest)
            let writer = try Child(
                [ourselves, "storm", "\(root)/town/daemon/daemon.log", "5000"], environment: environment)
            defer { writer.end() }
            usleep(300_000)
            try measureKeys(rounds / 4, into: &storm)
        }
        let from = "key file renamed into place"
        note(rest.0, from: from, to: "`key.activated` at a subscriber of the control socket")
        note(rest.1, from: from, to: "line of `inotifywait -m`")
        note(storm.0, from: "the same beside 5,000 log lines/s", to: "`key.activated`")
        note(storm.1, from: "the same beside 5,000 log lines/s", to: "line of `inotifywait -m`")
        note(
            "`key.activated`, median against inotifywait's, idle / beside the storm",
            "\(ratio(rest.0, rest.1)) / \(ratio(storm.0, storm.1))")
        note("`key.activated` beside the storm against idle, median", ratio(storm.0, rest.0), budget: "below 2")
        note(
            "`key.activated`, idle and beside the storm, p50 / p99 (ms)",
            "\(short(rest.0.percentile(0.5))) / \(short(rest.0.percentile(0.99))), "
                + "\(short(storm.0.percentile(0.5))) / \(short(storm.0.percentile(0.99)))", budget: "1 / 5")
    }

    private func measureKeys(_ rounds: Int, into samples: inout (Samples, Samples)) throws {
        let watcher = try Child(
            ["inotifywait", "-m", "-q", "-e", "moved_to", "\(root)/accounts/1"], environment: environment)
        defer { watcher.end() }
        var lines = LineReader(watcher.output)
        usleep(300_000)
        for _ in 0..<rounds {
            usleep(UInt32.random(in: 3000...12000))
            let start = try putKey(account: 1)
            let (own, other) = try race(start, &lines)
            samples.0.values.append(own)
            samples.1.values.append(other)
        }
    }

    /// Waits for both; each gets the time at which it arrived.
    private func race(_ start: Int64, _ other: inout LineReader) throws -> (Int64, Int64) {
        guard var own = reader else { throw BenchError(description: "no events") }
        var ownTime: Int64?
        var otherTime: Int64?
        while ownTime == nil || otherTime == nil {
            var polls = [
                pollfd(fd: own.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: other.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&polls, 2, 10000) > 0 else { throw BenchError(description: "no event within 10 s") }
            let now = EventLoop.now
            if polls[0].revents != 0, !own.take().isEmpty, ownTime == nil { ownTime = now - start }
            if polls[1].revents != 0, !other.take().isEmpty, otherTime == nil { otherTime = now - start }
        }
        reader = own
        return (ownTime ?? 0, otherTime ?? 0)
    }

    private func ratio(_ a: Samples, _ b: Samples) -> String {
        let value = a.percentile(0.5) / b.percentile(0.5)
        return short(value)
    }

    /// Memory, threads and wake-ups of a daemon that has nothing to do.
    func measureIdle(seconds: UInt32) throws {
        try start(following: "key.activated")
        defer { stop() }
        guard let daemon else { return }
        events?.end()
        events = nil
        // What a start leaves to be done has been done by then.
        sleep(10)
        let cost = ProcessCost([daemon.pid])
        let (switches, used) = (cost.switches, cost.processorSeconds)
        sleep(seconds)
        note(
            "idle for \(seconds) s without a watchdog: wake-ups, processor time",
            "\(cost.switches - switches), \(Int(((cost.processorSeconds - used) * 1000).rounded())) ms",
            budget: "\(seconds / 30)")
        note(
            "idle: memory resident / its share (MB)",
            "\(short(Double(cost.residentKilobytes) / 1024)) / \(short(Double(cost.proportionalKilobytes) / 1024))",
            budget: "20")
    }

    func text(_ path: String) throws -> String {
        String(decoding: try RegularFile.read(FilePath(path), limit: 1 << 20).bytes, as: UTF8.self)
    }

    /// An error row appended to a transcript: what a subscriber sees, and when tmux is called to respawn the pane.
    ///
    /// Each round has a daemon and an agent of its own: a session is acted upon once in 30 s.
    func measureRows(rounds: Int) throws {
        var started = Samples(name: "error row appended -> agent.reload.started at a subscriber")
        var first = Samples(name: "error row appended -> first tmux command of the reload")
        var respawn = Samples(name: "error row appended -> respawn-pane (the old process is gone)")
        var theirs = Samples(name: "error row appended -> line of inotifywait -m")
        var standIn = Samples(name: "start of what stands in for tmux -> its stamp")
        _ = try putKey(account: 2)
        for round in 0..<rounds {
            let cleaner = try Child(["/bin/rm", "-rf", "\(root)/state", "\(root)/claude"], environment: environment)
            var status: Int32 = 0
            waitpid(cleaner.pid, &status, 0)
            try start(following: "key.activated,agent.leased,agent.reload.started")
            let directory = "\(root)/town/mayor"
            let tmux = try Child(
                [
                    "/usr/bin/tmux", "-S", "\(root)/tmux", "-f", "/dev/null", "new-session", "-d", "-s", "hq-\(round)",
                    "-c",
                    directory, "-e", "GT_SESSION=hq-\(round)", "\(root)/state/bin/claude",
                ], environment: environment)
            waitpid(tmux.pid, &status, 0)
            _ = try reader?.wait(seconds: 20) { $0.contains("agent.leased") }
            guard case .exact(let slug) = ProjectSlug(directory: directory) else { return }
            let folder = FilePath("\(root)/claude/projects/\(slug)")
            try Syscalls.makeDirectories(folder)
            let id = "00000000-0000-4000-8000-\(String(1_000_000_000_000 + round).dropFirst(1))"
            let file = try Syscalls.open(
                folder.appending("\(id).jsonl"), flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
            let watcher = try Child(
                ["inotifywait", "-m", "-q", "-e", "modify", folder.string], environment: environment)
            var lines = LineReader(watcher.output)
            usleep(300_000)
            try write("", to: "stamps")
            let row: JSONValue = [
                "type": "assistant", "isApiErrorMessage": true, "apiErrorStatus": 403, "uuid": .string("row-\(round)"),
                "timestamp": .string(Timestamp.now.rfc3339), "sessionId": .string(id), "cwd": .string(directory),
                "message": [
                    "role": "assistant",
                    "content": [["type": "text", "text": "API Error: 403 You've reached your 5-hour usage limit."]],
                ],
            ]
            let bytes = row.encoded() + [10]
            let start = EventLoop.now
            try Syscalls.writeAll(file.raw, bytes)
            var own: Int64?
            var other: Int64?
            while own == nil || other == nil {
                guard var events = reader else { break }
                var polls = [
                    pollfd(fd: events.descriptor, events: Int16(POLLIN), revents: 0),
                    pollfd(fd: lines.descriptor, events: Int16(POLLIN), revents: 0),
                ]
                guard poll(&polls, 2, 10000) > 0 else { throw BenchError(description: "no reload within 10 s") }
                let now = EventLoop.now
                if polls[0].revents != 0, events.take().contains(where: { $0.contains("reload.started") }) {
                    own = now - start
                }
                if polls[1].revents != 0, !lines.take().isEmpty, other == nil { other = now - start }
                reader = events
            }
            _ = try reader?.wait(seconds: 20) { $0.contains("agent.leased") }
            let stamps = try text("\(root)/stamps").split(separator: "\n").map { $0.split(separator: " ") }
            if let stamp = stamps.first, let time = Int64(stamp[1]) { first.values.append(time - start) }
            if let stamp = stamps.first(where: { $0[0] == "respawn" }), let time = Int64(stamp[1]) {
                respawn.values.append(time - start)
            }
            started.values.append(own ?? 0)
            theirs.values.append(other ?? 0)
            watcher.end()
            stop()
            let killer = try Child(["/usr/bin/tmux", "-S", "\(root)/tmux", "kill-server"], environment: environment)
            waitpid(killer.pid, &status, 0)
            try write("", to: "stamps")
            let began = EventLoop.now
            let alone = try Child(["\(root)/bin/tmux", "-V"], environment: environment)
            waitpid(alone.pid, &status, 0)
            if let stamp = try text("\(root)/stamps").split(separator: "\n").first?.split(separator: " ").last {
                standIn.values.append((Int64(stamp) ?? began) - began)
            }
        }
        let from = "error row appended to a transcript"
        note(started, from: from, to: "`agent.reload.started` at a subscriber")
        note(theirs, from: from, to: "line of `inotifywait -m`")
        note(first, from: from, to: "first call of tmux for the restart")
        note(respawn, from: from, to: "`respawn-pane`, the old process being gone")
        note(standIn, from: "start of the program that stands in for tmux", to: "its stamp")
        note(
            "error row → first call of tmux, p50 (ms); without the start of what stands in for it",
            "\(short(first.percentile(0.5))); \(short(first.percentile(0.5) - standIn.percentile(0.5)))", budget: "5")
    }
}

extension Substring {
    var trimmed: String { String(drop { $0 == " " || $0 == "\t" }) }
}
