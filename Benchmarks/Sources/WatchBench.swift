// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// Watchers side by side: what they miss, how long they take, what they cost.
struct WatchBench {
    private let scratch: String
    private let ourselves: String
    private let watchers: [Watcher]
    private var environment: [String: String] { ["PATH": "/usr/local/bin:/usr/bin:/bin"] }

    init(scratch: String) throws {
        self.scratch = scratch
        ourselves = try CurrentProcess.executable().string
        watchers = Watcher.all(ourselves: ourselves, scratch: scratch)
    }

    private func fresh(_ name: String) throws -> String {
        let folder = "\(scratch)/\(name)"
        removeTree(folder)
        try Syscalls.makeDirectories(FilePath(folder))
        return folder
    }

    private func write(_ path: String, _ text: String) throws {
        let file = try Syscalls.open(FilePath(path), flags: O_WRONLY | O_CREAT | O_TRUNC)
        try Syscalls.writeAll(file.raw, Array(text.utf8))
    }

    private func removeTree(_ path: String) {
        do {
            let cleaner = try Child(["/bin/rm", "-rf", path], environment: environment)
            var status: Int32 = 0
            waitpid(cleaner.pid, &status, 0)
            close(cleaner.output)
        } catch { say("\(error)") }
    }

    /// Runs a measurement with each watcher that is there.
    private func each(_ body: (Watcher, Running, String) throws -> String) throws -> [String] {
        try watchers.map { watcher in
            let folder = try fresh("tree")
            try Syscalls.makeDirectories(FilePath(folder + "/a"))
            guard let running = try Running(watcher, on: folder) else { return "absent" }
            defer { running.end() }
            guard try running.untilReady(folder, since: EventLoop.now, seconds: 30) != nil else { return "no event" }
            return try body(watcher, running, folder)
        }
    }

    func run(rounds: Int) throws -> [String] {
        var rows = [[""] + watchers.map(\.name), [String](repeating: "---", count: watchers.count + 1)]
        func add(_ title: String, _ cells: [String]) {
            rows.append([title] + cells)
            say("\(title): " + zip(watchers.map(\.name), cells).map { "\($0) \($1)" }.joined(separator: " · "))
        }
        add(
            "rename → line, idle, p50 / p99 (ms)",
            try each { _, running, folder in try latency(running, folder, rounds) })
        add(
            "the same beside 5,000 log lines/s",
            try each { _, running, folder in
                let storm = try Child([ourselves, "storm", folder + "/a/storm.log", "5000"], environment: environment)
                defer { storm.end() }
                return try latency(running, folder, rounds / 2)
            })
        add("`mkdir -p a/b/c`, file in it (of 200)", try each { _, running, folder in try newFolders(running, folder) })
        add("folder swapped by two renames (of 200)", try each { _, running, folder in try swaps(running, folder) })
        add("`..data` swapped (of 200)", try each { _, running, folder in try links(running, folder) })
        add("root made anew after 0, 1, 10, 100 ms (of 4)", try recreations())
        add("change behind an overflow, then another", try each { _, running, folder in try overflow(running, folder) })
        for count in [1_000, 10_000, 50_000] {
            let figures = try footprint(count)
            for (index, title) in Footprint.titles.enumerated() {
                add("\(count) folders: \(title)", figures.map { $0?.cells[index] ?? "none in 60 s" })
            }
            if count > 1_000 {
                add(
                    "\(count) folders: change behind an overflow seen after (s) / processor time until then (s) / a later one",
                    figures.map { $0?.overload ?? "none" })
            }
        }
        return rows.map { "| " + $0.joined(separator: " | ") + " |" }
    }

    // MARK: - Latency

    private func latency(_ running: Running, _ folder: String, _ rounds: Int) throws -> String {
        var samples = Samples(name: "")
        for round in 0..<rounds {
            let name = "file\(round)x"
            try write("\(folder)/a/.new", "\(round)")
            usleep(UInt32.random(in: 3000...12000))
            while running.wait(milliseconds: 0, for: { _ in true }) != nil {}
            let start = EventLoop.now
            try Syscalls.rename(FilePath("\(folder)/a/.new"), to: FilePath("\(folder)/a/\(name)"))
            guard let end = running.wait(milliseconds: 5000, for: { $0.contains(name) }) else { return "missed" }
            samples.values.append(end - start)
        }
        return "\(short(samples.percentile(0.5))) / \(short(samples.percentile(0.99)))"
    }

    // MARK: - Completeness

    /// Counts which of some names are reported within six seconds of the last change.
    private func count(_ running: Running, _ names: [[String]]) -> String {
        var missing = Set(names.indices)
        let deadline = EventLoop.now + 6_000_000_000
        while !missing.isEmpty, EventLoop.now < deadline {
            _ = running.wait(milliseconds: 200) { line in
                for index in missing where names[index].contains(where: line.contains) { missing.remove(index) }
                return missing.isEmpty
            }
        }
        return "\(names.count - missing.count)"
    }

    private func newFolders(_ running: Running, _ folder: String) throws -> String {
        for number in 0..<200 {
            try Syscalls.makeDirectories(FilePath("\(folder)/n\(number)/b/c"))
            try write("\(folder)/n\(number)/b/c/leaf\(number)x", "x")
        }
        return count(running, (0..<200).map { ["leaf\($0)x"] })
    }

    private func swaps(_ running: Running, _ folder: String) throws -> String {
        for number in 0..<200 {
            try Syscalls.makeDirectories(FilePath("\(folder)/s\(number)x"))
            try write("\(folder)/s\(number)x/file", "old")
        }
        usleep(1_500_000)
        while running.wait(milliseconds: 100, for: { _ in true }) != nil {}
        for number in 0..<200 {
            try Syscalls.makeDirectories(FilePath("\(scratch)/spare"))
            try write("\(scratch)/spare/file", "new")
            try Syscalls.rename(FilePath("\(folder)/s\(number)x"), to: FilePath("\(scratch)/old"))
            try Syscalls.rename(FilePath("\(scratch)/spare"), to: FilePath("\(folder)/s\(number)x"))
            removeTree("\(scratch)/old")
        }
        // Who names the folder alone leaves the file to be guessed; it counts all the same.
        return count(running, (0..<200).map { ["s\($0)x"] })
    }

    private func links(_ running: Running, _ folder: String) throws -> String {
        try Syscalls.makeDirectories(FilePath("\(folder)/m/..0"))
        try write("\(folder)/m/..0/config", "0")
        try Syscalls.link(FilePath("\(folder)/m/..data"), to: "..0")
        try Syscalls.link(FilePath("\(folder)/m/config"), to: "..data/config")
        usleep(1_500_000)
        var seen = 0
        var missed = 0
        for number in 1...200 {
            while running.wait(milliseconds: 0, for: { _ in true }) != nil {}
            try Syscalls.makeDirectories(FilePath("\(folder)/m/..\(number)"))
            try write("\(folder)/m/..\(number)/config", "\(number)")
            try Syscalls.link(FilePath("\(folder)/m/..data_tmp"), to: FilePath("..\(number)"))
            while running.wait(milliseconds: 5, for: { _ in true }) != nil {}
            try Syscalls.rename(FilePath("\(folder)/m/..data_tmp"), to: FilePath("\(folder)/m/..data"))
            if running.wait(
                milliseconds: 1500,
                for: {
                    $0.contains("/..data") && !$0.contains("_tmp") || $0.contains("config")
                        || $0.contains("\"m/..data\"")
                }) != nil
            {
                seen += 1
            } else {
                missed += 1
                // Each costs a second and a half: what is missed so often is known by then.
                if missed == 20 { return "\(seen) of \(number)" }
            }
        }
        return "\(seen)"
    }

    private func recreations() throws -> [String] {
        try watchers.map { watcher in
            var seen = 0
            for pause in [0, 1, 10, 100] {
                let folder = try fresh("root")
                guard let running = try Running(watcher, on: folder) else { return "absent" }
                defer { running.end() }
                guard try running.untilReady(folder, since: EventLoop.now, seconds: 30) != nil else { continue }
                removeTree(folder)
                usleep(UInt32(pause) * 1000)
                try Syscalls.makeDirectories(FilePath(folder))
                usleep(300_000)
                try write("\(folder)/again", "x")
                if running.wait(milliseconds: 4000, for: { $0.contains("again") }) != nil { seen += 1 }
            }
            return "\(seen)"
        }
    }

    // MARK: - Overflow

    private func overflow(_ running: Running, _ folder: String) throws -> String {
        try write("\(folder)/a/canary", "before")
        try Syscalls.makeDirectories(FilePath("\(folder)/flood"))
        usleep(1_000_000)
        while running.wait(milliseconds: 100, for: { _ in true }) != nil {}
        let load = try overload(running, folder, canary: "a/canary", patience: Self.patience)
        return "\(load.seen == nil ? "missed" : "seen"), \(load.works ? "seen" : "missed")"
    }

    /// How long a change behind an overflow is waited for, in seconds.
    private static let patience = 20

    private struct Overload {
        /// From its waking up, in nanoseconds.
        var seen: Int64?
        var processorSeconds: Double
        var works: Bool
    }

    /// Stops a watcher, makes more events than the kernel's queue holds and one change, and lets it go on.
    ///
    /// - Parameter patience: How long to wait for the change, in seconds.
    private func overload(_ running: Running, _ folder: String, canary: String, patience: Int) throws -> Overload {
        let cost = cost(of: running)
        let group = cost.pids
        for pid in group { kill(pid, SIGSTOP) }
        for number in 0..<9000 { try write("\(folder)/flood/\(number)", "x") }
        try write("\(folder)/\(canary)", "after")
        let before = cost.processorSeconds
        for pid in group { kill(pid, SIGCONT) }
        let start = EventLoop.now
        let name = FilePath(canary).lastComponent?.string ?? canary
        let seen = running.wait(milliseconds: patience * 1000, for: { $0.contains(name) })
        let used = cost.processorSeconds - before
        try write("\(folder)/later", "x")
        let works = running.wait(milliseconds: 10_000, for: { $0.contains("later") }) != nil
        return Overload(seen: seen.map { $0 - start }, processorSeconds: used, works: works)
    }

    /// Of a pipeline all are charged, and the server that it may have started.
    private func cost(of running: Running) -> ProcessCost {
        var pids = ProcessCost(tree: running.child.pid).pids
        do {
            let text = try RegularFile.read(FilePath("\(scratch)/wm.pid"), limit: 100).bytes
            if let server = pid_t(String(decoding: text.prefix { $0 != 10 }, as: UTF8.self)) { pids.append(server) }
        } catch { /* Only watchman has one. */  }
        return ProcessCost(pids)
    }

    // MARK: - Footprint

    private struct Footprint {
        static let titles = [
            "first event (s)", "memory resident / its share (MB)", "watches / kernel memory for each (bytes)",
            "idle for 10 s: wake-ups / processor time (ms)",
        ]
        var cells: [String]
        var overload: String?
    }

    private func footprint(_ count: Int) throws -> [Footprint?] {
        let folder = try fresh("big")
        for number in 0..<count { try Syscalls.makeDirectories(FilePath("\(folder)/d\(number / 1000)/\(number)")) }
        try Syscalls.makeDirectories(FilePath("\(folder)/flood"))
        try write("\(folder)/d0/0/canary", "before")
        return try watchers.map { watcher in
            // What the folders cost by themselves is there before.
            let kernel = ProcessCost.kernelKilobytes
            let start = EventLoop.now
            guard let running = try Running(watcher, on: folder) else {
                return Footprint(cells: Footprint.titles.map { _ in "absent" }, overload: "absent")
            }
            defer { running.end() }
            guard let ready = try running.untilReady(folder, since: start, seconds: 60) else { return nil }
            while running.wait(milliseconds: 1000, for: { _ in true }) != nil {}
            let cost = cost(of: running)
            let grown = max(0, ProcessCost.kernelKilobytes - kernel)
            let watches = cost.watches
            var figures = Footprint(cells: [
                short(Double(ready) / 1e9),
                "\(short(Double(cost.residentKilobytes) / 1024)) / \(short(Double(cost.proportionalKilobytes) / 1024))",
                "\(watches) / \(watches == 0 ? 0 : grown * 1024 / watches)",
            ])
            let (switches, used) = (cost.switches, cost.processorSeconds)
            usleep(10_000_000)
            figures.cells.append(
                "\(cost.switches - switches) / \(Int((max(0, cost.processorSeconds - used) * 1000).rounded()))")
            if count > 1_000 {
                let load = try overload(running, folder, canary: "d0/0/canary", patience: Self.patience)
                figures.overload =
                    "\(load.seen.map { short(Double($0) / 1e9) } ?? "never (\(Self.patience) s)") / \(short(load.processorSeconds)) / "
                    + (load.works ? "seen" : "missed")
            }
            return figures
        }
    }
}
