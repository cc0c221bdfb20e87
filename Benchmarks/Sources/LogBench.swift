// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import FileWatching
import Glibc
import LineMatching
import LinuxSys
import LogFollowing
import SystemPackage

/// Called as `follow FILE`: gasclawd's follower, printing each line, to be compared with `tail -F`.
enum FollowCommand {
    static func run(_ file: String) -> Int32 {
        do {
            let loop = try EventLoop()
            let path = FilePath(file)
            let follower = LogFollower(path, from: .end)
            func read() {
                do {
                    var lines: [UInt8] = []
                    while try follower.read(line: { lines += $0 + [10] }) {}
                    if !lines.isEmpty { try Syscalls.writeAll(1, lines) }
                } catch { say("\(error)") }
                if let wait = follower.nextDeadline {
                    loop.schedule(after: min(wait, .seconds(1)) + .milliseconds(10)) { read() }
                }
            }
            let watcher = FileWatcher(on: loop) { _ in read() }
            _ = watcher.add(
                WatchSpec(id: "log", base: path.removingLastComponent(), pattern: [.name(path.lastName)], use: .log))
            read()
            try loop.run()
            return 0
        } catch {
            say("\(error)")
            return 1
        }
    }
}

/// Logs: how fast lines are passed over, and which are lost or doubled when a log is rotated.
struct LogBench {
    let scratch: String

    private static let patterns = ["^(?:Failed to authenticate\\. )?API Error: ", "quota (exceeded|used up)"]

    /// - Returns: Rows of a table.
    func run() throws -> [String] {
        var rows: [String] = []
        let path = "\(scratch)/big.log"
        let line =
            "2026/11/26 10:00:00 the witness of rig project looked at polecat nux and found nothing to do (#12345)\n"
        let block = Array(String(repeating: line, count: 10_000).utf8)
        do {
            let file = try Syscalls.open(FilePath(path), flags: O_WRONLY | O_CREAT | O_TRUNC)
            for _ in 0..<250 { try Syscalls.writeAll(file.raw, block) }
        }
        let megabytes = Double(block.count * 250) / 1e6
        var ours = Samples(name: ""), grep = Samples(name: ""), cat = Samples(name: "")
        for _ in 0..<3 {
            ours.values.append(try follow(path))
            grep.values.append(
                try time([
                    "/bin/grep", "-E", "-c", Self.patterns.joined(separator: "|").filter { $0 != "?" && $0 != ":" },
                    path,
                ]))
            cat.values.append(try time(["/bin/dd", "if=\(path)", "of=/dev/null", "bs=256k", "status=none"]))
        }
        func rate(_ samples: Samples) -> String { "\(Int(megabytes / (samples.percentile(0.5) / 1000)))" }
        say(
            "log lines without a trigger: ours \(rate(ours)) MB/s, grep -E \(rate(grep)) MB/s, reading alone \(rate(cat)) MB/s"
        )
        rows.append(
            "| \(Int(megabytes)) MB of lines without a trigger (MB/s) | \(rate(ours)) | `grep -E`: \(rate(grep)) |")
        try Syscalls.unlink(FilePath(path))
        for kind in [
            "renamed and made anew", "the same, 20 late lines to the old file", "copied and truncated", "renamed over",
        ] {
            let own = try rotation(kind, [CurrentProcess.executable().string, "follow"])
            let tail = try rotation(kind, ["/usr/bin/tail", "-n", "0", "-F"])
            say("\(kind): ours \(own), tail -F \(tail)")
            rows.append("| 20,000 lines, rotated each 1,000: \(kind) (lost, doubled) | \(own) | `tail -F`: \(tail) |")
        }
        return rows
    }

    /// Called as `scan FILE`: for a profiler.
    static func scan(_ path: String) -> Int32 {
        do {
            let took = try LogBench(scratch: "").follow(path)
            say("\(took / 1_000_000) ms")
            return 0
        } catch {
            say("\(error)")
            return 1
        }
    }

    private func follow(_ path: String) throws -> Int64 {
        let rules = try Self.patterns.enumerated().map { try LineRule(name: "\($0)", pattern: $1) }
        let filter = LineFilter(rules)
        let follower = LogFollower(FilePath(path), from: .beginning)
        let start = EventLoop.now
        var matches = 0
        while try follower.read(
            candidates: { block in
                var pass = LineFilter.Pass()
                return { filter.next(block, from: $0, &pass) }
            },
            line: { line in
                if line.withUnsafeBytes({ text in rules.contains { $0.match(text) == .matched } }) { matches += 1 }
            })
        {}
        return EventLoop.now - start
    }

    private func time(_ words: [String]) throws -> Int64 {
        let start = EventLoop.now
        let child = try Child(words, environment: ["PATH": "/usr/bin:/bin", "LC_ALL": "C"])
        var status: Int32 = 0
        waitpid(child.pid, &status, 0)
        close(child.output)
        return EventLoop.now - start
    }

    private func rotation(_ kind: String, _ words: [String]) throws -> String {
        let path = FilePath("\(scratch)/rotated.log")
        var file = try Syscalls.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC | O_APPEND)
        let child = try Child(words + [path.string], environment: ["PATH": "/usr/bin:/bin"])
        defer { child.end() }
        usleep(500_000)
        var reader = LineReader(child.output)
        var counts = [Int](repeating: 0, count: 20_000 + 400)
        func take(milliseconds: Int32) -> Bool {
            var poll = pollfd(fd: child.output, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, milliseconds) > 0 else { return false }
            for line in reader.take() {
                if let number = Int(line), counts.indices.contains(number) { counts[number] += 1 }
            }
            return true
        }
        var number = 0
        var expected = 0
        for round in 0..<20 {
            for _ in 0..<100 {
                var text = ""
                for _ in 0..<10 {
                    text += "\(number)\n"
                    number += 1
                }
                try Syscalls.writeAll(file.raw, Array(text.utf8))
                usleep(200)
                while take(milliseconds: 0) {}
            }
            let old = FilePath(path.string + ".\(round)")
            switch kind {
            case "copied and truncated":
                usleep(2000)
                _ = try Syscalls.open(path, flags: O_WRONLY | O_TRUNC)
            case "renamed over":
                let next = FilePath(path.string + ".next")
                let new = try Syscalls.open(next, flags: O_WRONLY | O_CREAT | O_TRUNC | O_APPEND)
                // The last lines stand in it again, as gt's pruner leaves them.
                let kept = (max(0, number - 500)..<number).map { "\($0)\n" }.joined()
                try Syscalls.writeAll(new.raw, Array(kept.utf8))
                try Syscalls.rename(next, to: path)
                file = new
            default:
                try Syscalls.rename(path, to: old)
                let new = try Syscalls.open(path, flags: O_WRONLY | O_CREAT | O_APPEND)
                if kind.contains("late") {
                    usleep(2000)
                    for late in 0..<20 {
                        try Syscalls.writeAll(file.raw, Array("\(20_000 + round * 20 + late)\n".utf8))
                    }
                }
                file = new
            }
        }
        expected = kind.contains("late") ? 20_400 : 20_000
        let deadline = EventLoop.now + 4_000_000_000
        while EventLoop.now < deadline { _ = take(milliseconds: 200) }
        let lost = counts[..<expected].count { $0 == 0 }
        let doubled = counts[..<expected].reduce(0) { $0 + max(0, $1 - 1) }
        return "\(lost), \(doubled)"
    }
}
