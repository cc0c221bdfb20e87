// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import FileWatching
import Glibc
import LinuxSys
import SystemPackage

/// A program that prints a line for each change below a folder.
struct Watcher {
    let name: String
    /// nil where it is not installed.
    let command: ((_ folder: String) -> [String])?
    /// Run at its end, for what it leaves behind.
    var cleanUp: [String]?

    private static let watchfiles =
        "import sys,watchfiles\nfor changes in watchfiles.watch(sys.argv[1]):\n for c in changes: print(c[1],flush=True)"
    private static let watchdog = """
        import sys,time
        from watchdog.observers import Observer
        from watchdog.events import FileSystemEventHandler
        class H(FileSystemEventHandler):
         def on_any_event(self,e):
          if e.event_type in ('opened','closed_no_write'): return
          print(e.src_path,getattr(e,'dest_path',''),flush=True)
        o=Observer();o.schedule(H(),sys.argv[1],recursive=True);o.start()
        while True: time.sleep(9)
        """

    /// - Parameters:
    ///   - ourselves: This program.
    ///   - scratch: For what a watcher wants to keep.
    static func all(ourselves: String, scratch: String) -> [Watcher] {
        func find(_ name: String) -> String? {
            ["/usr/bin/", "/usr/local/bin/", "/bin/"].map { $0 + name }.first { Syscalls.isExecutable(FilePath($0)) }
        }
        let python = CurrentProcess.environmentValue("BENCH_PYTHON")
        let server =
            "--sockname=\(scratch)/wm.sock --statefile=\(scratch)/wm.state --logfile=\(scratch)/wm.log "
            + "--pidfile=\(scratch)/wm.pid"
        return [
            Watcher(name: "gasclawd", command: { [ourselves, "watch", $0] }),
            Watcher(
                name: "inotifywait",
                command: find("inotifywait").map { path in
                    { [path, "-m", "-r", "-q", "-e", "modify,close_write,create,delete,move", "--format", "%w%f", $0] }
                }),
            Watcher(
                name: "watchman",
                command: find("watchman").map { path in
                    { folder in
                        let subscribe = #"["subscribe","\#(folder)","s",{"fields":["name"]}]\n"#
                        return [
                            "/bin/sh", "-c",
                            "\(path) \(server) watch \(folder); { printf '\(subscribe)'; sleep 600; } | "
                                + "\(path) \(server) -j -p --no-pretty",
                        ]
                    }
                },
                cleanUp: find("watchman").map { ["/bin/sh", "-c", "\($0) \(server) shutdown-server >/dev/null 2>&1"] }),
            Watcher(
                name: "watchfiles", command: python.map { path in { [path, "-c", watchfiles, $0] } }),
            Watcher(name: "watchdog", command: python.map { path in { [path, "-c", watchdog, $0] } }),
        ]
    }
}

/// Called as `watch FOLDER`: gasclawd's own watcher, printing each report, so that it can be compared with others.
///
/// It matches what the others match: all files down to some depth, and none that begin with a point.
enum WatchCommand {
    static func run(_ folder: String) -> Int32 {
        do {
            let loop = try EventLoop()
            let watcher = FileWatcher(on: loop, budget: WatchBudget(watchesMax: 200_000)) { reports in
                say(reports.map(\.path.shown).joined(separator: "\n"))
            }
            _ = watcher.add(
                WatchSpec(
                    id: "all", base: FilePath(folder), pattern: [NamePattern](repeating: .visible, count: 4),
                    isDeep: true))
            say("watching")
            try loop.run()
            return 0
        } catch {
            say("\(error)")
            return 1
        }
    }
}

/// Called as `storm FILE RATE`: so many lines a second to a log.
enum StormCommand {
    static func run(_ file: String, rate: Int) -> Int32 {
        do {
            let log = try Syscalls.open(FilePath(file), flags: O_WRONLY | O_CREAT | O_APPEND)
            let line = Array("2026/11/26 10:00:00 nothing of interest happened to anybody in this town today\n".utf8)
            let start = EventLoop.now
            var written = 0
            while true {
                let due = Int((EventLoop.now - start) / 1_000_000) * rate / 1000
                while written < due {
                    try Syscalls.writeAll(log.raw, line)
                    written += 1
                }
                usleep(1000)
            }
        } catch {
            return 1
        }
    }
}

/// A watcher at work in a folder.
final class Running {
    let child: Child
    private var reader: LineReader
    private let cleanUp: [String]?
    private(set) var lines = 0

    init?(_ watcher: Watcher, on folder: String) throws {
        guard let command = watcher.command else { return nil }
        child = try Child(
            command(folder), environment: ["PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": folder + "-home"])
        reader = LineReader(child.output)
        cleanUp = watcher.cleanUp
    }

    func end() {
        kill(child.pid, SIGCONT)
        kill(child.pid, SIGKILL)
        child.end()
        guard let cleanUp else { return }
        do {
            let cleaner = try Child(cleanUp, environment: ["PATH": "/usr/bin:/bin"])
            var status: Int32 = 0
            waitpid(cleaner.pid, &status, 0)
        } catch { say("\(error)") }
    }

    /// Reads lines until one is wanted or the time is over.
    ///
    /// - Returns: When it came, on the loop's clock.
    func wait(milliseconds: Int, for isWanted: (String) -> Bool) -> Int64? {
        let deadline = EventLoop.now + Int64(milliseconds) * 1_000_000
        repeat {
            var poll = pollfd(fd: child.output, events: Int16(POLLIN), revents: 0)
            let left = max(0, (deadline - EventLoop.now) / 1_000_000)
            guard Glibc.poll(&poll, 1, Int32(min(left, 100))) > 0 else { continue }
            let now = EventLoop.now
            let taken = reader.take()
            if taken.isEmpty { return nil }
            lines += taken.count
            if taken.contains(where: isWanted) { return now }
        } while EventLoop.now < deadline
        return nil
    }

    /// Pokes a file until it is reported: banners say nothing about readiness.
    ///
    /// - Returns: How long it took since a time.
    func untilReady(_ folder: String, since start: Int64, seconds: Int) throws -> Int64? {
        for number in 0..<(seconds * 10) {
            let name = "poke\(number)"
            let file = try Syscalls.open(FilePath("\(folder)/\(name)"), flags: O_WRONLY | O_CREAT)
            try Syscalls.writeAll(file.raw, [10])
            _ = consume file
            if let came = wait(milliseconds: 100, for: { $0.contains("poke") }) { return came - start }
        }
        return nil
    }
}
