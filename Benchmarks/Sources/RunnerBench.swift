// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import FileWatching
import Glibc
import LinuxSys
import SystemPackage

/// What runs a command when a file changes: from the change to the first line of a shell script.
struct RunnerBench {
    let scratch: String
    private var environment: [String: String] { ["PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/bin"] }

    /// - Returns: A table.
    func run(rounds: Int) throws -> [String] {
        let ourselves = try CurrentProcess.executable().string
        var table = Table(["a file renamed into place → first line of a script, p50 / p99 (ms)", "idle"])
        let all: [(String, String?, (Stage) throws -> [String])] = [
            (
                "gasclawd's watcher and its way to start a process", ourselves,
                { [ourselves, "react", $0.folder, $0.script] }
            ),
            ("entr 5", find("entr"), { ["/bin/sh", "-c", "echo \($0.file) | entr -n -p \($0.script)"] }),
            ("incron", find("incrond"), { try incron($0) }),
        ]
        for (name, program, command) in all {
            let cell = program == nil ? "skipped: it is not installed" : try measure(command, rounds)
            say("\(name): \(cell)")
            table.add([name, cell])
        }
        // Measured in a machine of its own, by Benchmarks/systemd-path.
        table.add([
            "systemd.path",
            CurrentProcess.environmentValue("BENCH_SYSTEMD_PATH") ?? "skipped: Benchmarks/run measures it",
        ])
        return table.lines
    }

    /// Called as `systemd-path FOLDER`, where systemd is process 1.
    static func systemd(_ folder: String) -> Int32 {
        do {
            say(
                try RunnerBench(scratch: folder).measure(
                    { stage in
                        let units = "/run/systemd/system"
                        try Syscalls.makeDirectories(FilePath(units))
                        try stage.write("[Path]\nPathChanged=\(stage.folder)\n", to: "\(units)/bench.path")
                        try stage.write(
                            """
                            [Unit]
                            StartLimitIntervalSec=0
                            [Service]
                            Type=oneshot
                            ExecStart=\(stage.script)
                            """, to: "\(units)/bench.service")
                        return ["/bin/sh", "-c", "systemctl daemon-reload && systemctl start bench.path && sleep 600"]
                    }, 100))
            return 0
        } catch {
            say("skipped: \(error)")
            return 0
        }
    }

    /// Called as `react FOLDER SCRIPT`: gasclawd's watcher, running a command for what it reports.
    static func react(_ folder: String, _ script: String) -> Int32 {
        do {
            let loop = try EventLoop()
            let watcher = FileWatcher(on: loop) { _ in
                do throws(SystemError) {
                    try Command.run([script], environment: ["PATH=/bin"], timeout: .seconds(10), on: loop) { _ in }
                } catch { say("\(error)") }
            }
            _ = watcher.add(WatchSpec(id: "all", base: FilePath(folder), pattern: [.visible]))
            try loop.run()
            return 0
        } catch {
            say("\(error)")
            return 1
        }
    }

    // MARK: -

    private func find(_ name: String) -> String? {
        ["/usr/bin/", "/usr/sbin/", "/usr/local/bin/"].map { $0 + name }.first { Syscalls.isExecutable(FilePath($0)) }
    }

    /// A file to be changed, and a script that tells when it runs.
    struct Stage {
        let scratch: String
        var folder: String { scratch + "/reacted" }
        var file: String { folder + "/file" }
        var script: String { scratch + "/script" }
        var pipe: String { scratch + "/pipe" }

        func write(_ text: String, to path: String, mode: UInt32 = 0o644) throws {
            let file = try Syscalls.open(FilePath(path), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
            try Syscalls.writeAll(file.raw, Array(text.utf8))
        }

        func replaceFile() throws -> Int64 {
            try write("x", to: scratch + "/next")
            let start = EventLoop.now
            try Syscalls.rename(FilePath(scratch + "/next"), to: FilePath(file))
            return start
        }
    }

    private func incron(_ stage: Stage) throws -> [String] {
        let base = scratch + "/incron"
        for name in ["system", "users", "locks"] { try Syscalls.makeDirectories(FilePath("\(base)/\(name)")) }
        try stage.write("\(stage.folder) IN_MOVED_TO \(stage.script)\n", to: "\(base)/system/bench")
        try stage.write(
            """
            system_table_dir = \(base)/system
            user_table_dir = \(base)/users
            lockfile_dir = \(base)/locks
            lockfile_name = incrond
            """, to: "\(base)/conf")
        return ["incrond", "-n", "-f", "\(base)/conf"]
    }

    private func measure(_ command: (Stage) throws -> [String], _ rounds: Int) throws -> String {
        let stage = Stage(scratch: scratch)
        try Syscalls.makeDirectories(FilePath(stage.folder))
        _ = stage.pipe.withCString { mkfifo($0, 0o600) }
        try stage.write("#!/bin/sh\necho >'\(stage.pipe)'\n", to: stage.script, mode: 0o755)
        _ = try stage.replaceFile()
        // Open for both, so that nobody waits for the other end.
        let pipe = try Syscalls.open(FilePath(stage.pipe), flags: O_RDWR | O_NONBLOCK)
        let child = try Child(try command(stage), environment: environment)
        defer {
            for pid in ProcessCost(tree: child.pid).pids { kill(pid, SIGKILL) }
            child.end()
        }
        func wait(_ milliseconds: Int32) throws -> Int64? {
            var poll = pollfd(fd: pipe.raw, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, milliseconds) > 0 else { return nil }
            let now = EventLoop.now
            var bytes = [UInt8](repeating: 0, count: 4096)
            _ = try bytes.withUnsafeMutableBytes { try Syscalls.read(pipe.raw, into: $0) }
            return now
        }
        // Until it answers, and then until it is quiet.
        var isReady = false
        for _ in 0..<100 where !isReady {
            _ = try stage.replaceFile()
            isReady = try wait(200) != nil
        }
        guard isReady else { return "no reaction within 20 s" }
        while try wait(500) != nil {}
        var samples = Samples(name: "")
        var missed = 0
        for _ in 0..<rounds {
            usleep(UInt32.random(in: 120_000...160_000))
            while try wait(0) != nil {}
            let start = try stage.replaceFile()
            if let end = try wait(3000) { samples.values.append(end - start) } else { missed += 1 }
        }
        return "\(short(samples.percentile(0.5))) / \(short(samples.percentile(0.99)))"
            + (missed > 0 ? ", \(missed) of \(rounds) missed" : "")
    }
}
