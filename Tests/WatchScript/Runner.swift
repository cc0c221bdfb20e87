// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import FileWatching
import Fixtures
import Glibc
import LinuxSys
import SystemPackage

/// Does what a script says, and holds against it what is reported. Beside that a reader of the reports must know, after
/// each step, what stands in every file.
final class Runner {
    let folder: FilePath
    private let loop: EventLoop
    private var watcher: FileWatcher
    private var reports: [WatchReport] = []
    /// What was there when it was first watched.
    private var found: Set<String> = []
    private var known: [FilePath: [UInt8]?] = [:]
    private var watched: Set<FilePath> = []
    private var owners: [FilePath: String] = [:]
    private var canary = 0
    private var isCanaryWatched = false
    private var line = 0
    /// Done while the next report is being handled.
    private var meanwhile: [String]?
    private var mounts: [FilePath] = []
    private var held: [String: Descriptor.Box] = [:]

    /// - Parameter isInMemory: The folder lies in memory, where the machine has such a place: a disk may take milliseconds
    ///   for each folder that is removed (ext4 with `discard`).
    init(isInMemory: Bool) throws {
        let isThere = try isInMemory && access("/dev/shm", W_OK) == 0 && isTmpfs("/dev/shm")
        folder = try TemporaryFolder.make("gasclawd-script", in: isThere ? "/dev/shm" : "/tmp")
        loop = try EventLoop()
        watcher = FileWatcher(on: loop) { _ in }
        try Syscalls.makeDirectory(folder.appending("canary"), mode: 0o777)
        try restart(watchesMax: 4096)
    }

    private func restart(watchesMax: Int) throws {
        watcher.close()
        watcher = FileWatcher(on: loop, budget: WatchBudget(watchesMax: watchesMax), pollInterval: .milliseconds(200)) {
            [unowned self] new in
            for report in new where report.spec != "canary" {
                if let words = meanwhile {
                    meanwhile = nil
                    hasChangedMore = true
                    do { try perform(words) } catch { problem = error }
                }
                known[report.path] = .some(content(report.path))
                watched.insert(report.path)
                owners[report.path] = report.spec
            }
            reports += new
        }
    }

    private var problem: (any Error)?
    /// A change was made while an earlier one was handled: behind the canary, so another one has to follow.
    private var hasChangedMore = false

    func noteMount(_ path: FilePath) { mounts.append(path) }

    func cleanUp() {
        watcher.close()
        for path in mounts.reversed() { umount2(path.string, Int32(MNT_DETACH)) }
        held = [:]
        remove(folder)
    }

    func run(_ script: Script) throws {
        var isFresh = true
        for step in script.lines {
            line = step.number
            if isFresh, step.words.first != "limit" {
                // What was reported of earlier steps is done with.
                try settle()
                reports = []
                found = []
                isFresh = false
            }
            if !step.words.isEmpty { try perform(step.words) }
            guard let (kind, expected) = step.expectation else { continue }
            try check(kind, Set(expected))
            isFresh = true
        }
    }

    // MARK: - What is expected

    private func check(_ kind: Script.Expectation, _ expected: Set<String>) throws {
        if kind == .later {
            guard try wait(until: { [unowned self] in expected.isSubset(of: seen) }) else {
                throw failure("expected later: \(expected.sorted()), reported: \(seen.sorted())")
            }
        } else {
            repeat {
                hasChangedMore = false
                try settle()
            } while hasChangedMore
            let isRight = kind != .atLeast ? seen == expected : expected.isSubset(of: seen)
            guard isRight else { throw failure("expected: \(expected.sorted()), reported: \(seen.sorted())") }
        }
        if let problem { throw problem }
        guard kind != .untold else { return }
        // A reader knows what is there.
        for path in watched where known[path] != .some(content(path)) {
            throw failure("the reader does not know \(path.shown)")
        }
    }

    /// The last word on each file: the name, with a `-` before it if nothing was there.
    private var seen: Set<String> {
        var last: [FilePath: Bool] = [:]
        for report in reports where report.spec != "canary" { last[report.path] = report.exists }
        let told = Set(last.map { ($0.value ? "" : "-") + name($0.key) })
        return told.union(found.filter { !told.contains("-" + $0) })
    }

    func failure(_ text: String) -> ScriptFailure { ScriptFailure("line \(line): \(text)") }

    private func name(_ path: FilePath) -> String {
        let prefix = folder.shown + "/"
        return path.shown.hasPrefix(prefix) ? String(path.shown.dropFirst(prefix.count)) : path.shown
    }

    private func content(_ path: FilePath) -> [UInt8]? {
        do { return try RegularFile.read(path, limit: 1 << 20).bytes } catch { return nil }
    }

    /// Runs the loop until all that was done so far has been reported: events come in order, and this one is last.
    private func settle() throws {
        canary += 1
        let path = folder.appending("canary/\(canary)")
        if !isCanaryWatched {
            isCanaryWatched = true
            _ = watcher.add(WatchSpec(id: "canary", base: folder.appending("canary"), pattern: [.visible]))
        }
        _ = try Syscalls.open(path, flags: O_WRONLY | O_CREAT, mode: 0o666)
        guard try wait(until: { [unowned self] in reports.contains { $0.path == path } }) else {
            throw failure("the watcher reports nothing any more")
        }
    }

    @discardableResult
    private func wait(until condition: @escaping () -> Bool) throws -> Bool {
        var holds = condition()
        if holds { return true }
        let end = loop.schedule(after: .seconds(60)) { [unowned self] in loop.stop() }
        func look() {
            holds = condition()
            if holds { loop.stop() } else { loop.schedule(after: .milliseconds(2)) { look() } }
        }
        loop.schedule(after: .milliseconds(1)) { look() }
        try loop.run()
        loop.cancel(end)
        return holds
    }

    // MARK: - Commands

    func path(_ name: String) -> FilePath { name.hasPrefix("/") ? FilePath(name) : folder.entry(unescaped(name)) }

    private func perform(_ words: [String]) throws {
        let command = words[0]
        let arguments = Array(words.dropFirst())
        func argument(_ index: Int) throws -> String {
            guard index < arguments.count else { throw failure("\(command) needs another word") }
            return arguments[index]
        }
        switch command {
        case "watch": try watch(arguments)
        case "unwatch":
            watcher.remove(try argument(0))
            for path in watched where owners[path] == (try argument(0)) { watched.remove(path) }
        case "during": meanwhile = arguments
        case "settle":
            try settle()
            reports = []
            found = []
        case "audit": watcher.audit()
        case "limit":
            guard let number = Int(try argument(0)) else { throw failure("limit wants a number") }
            try restart(watchesMax: number)
            isCanaryWatched = false
        case "polled": try expectPolled(arguments)
        case "plan": try expectPlan(arguments)
        case "overflows":
            guard watcher.statistics.overflows >= Int(try argument(0)) ?? 0 else {
                throw failure("\(watcher.statistics.overflows) overflows")
            }
        case "directories":
            guard watcher.statistics.directories == Int(try argument(0)) else {
                throw failure("\(watcher.statistics.directories) directories are watched")
            }
        case "sleep": usleep(useconds_t(Int(try argument(0)) ?? 0) * 1000)
        case "hold": held[try argument(0)] = Descriptor.Box(try Syscalls.open(path(try argument(0)), flags: O_RDWR))
        case "release": held[try argument(0)] = nil
        default: try change(command, arguments)
        }
    }

    /// `watch file NAME`, `watch accounts BASE`, `watch glob BASE PATTERN`, `watch deep BASE PATTERN` for files at every
    /// level; `log` or `confined` may follow.
    private func watch(_ arguments: [String]) throws {
        guard arguments.count >= 2 else { throw failure("watch what?") }
        let spec: WatchSpec
        switch arguments[0] {
        case "file": spec = .file(path(arguments[1]), id: arguments[1])
        case "accounts":
            spec = WatchSpec(id: arguments[1], base: path(arguments[1]), pattern: [.visible, .name("config.toml")])
        case "glob", "deep":
            guard arguments.count >= 3 else { throw failure("which pattern?") }
            spec = WatchSpec(
                id: arguments[1], base: path(arguments[1]),
                pattern: arguments[2].split(separator: "/").map { NamePattern.glob($0.utf8) },
                use: arguments.contains("log") ? .log : .configuration, isConfined: arguments.contains("confined"),
                isDeep: arguments[0] == "deep")
        default: throw failure("what is \(arguments[0])?")
        }
        for path in watcher.add(spec) {
            known[path] = .some(content(path))
            watched.insert(path)
            owners[path] = spec.id
            // What is there counts as reported of this step.
            found.insert(name(path))
        }
    }

    /// `polled none`, or `polled NAME WORDS of the reason`; waits until it is so.
    private func expectPolled(_ arguments: [String]) throws {
        let wanted = arguments.first ?? "none"
        let reason = arguments.dropFirst().joined(separator: " ")
        let holds = try wait { [unowned self] in
            let polled = watcher.polled
            if wanted == "none" { return polled.isEmpty }
            return polled.contains { name($0.path).hasSuffix(wanted) && $0.reason.contains(reason) }
        }
        guard holds else { throw failure("polled: \(watcher.polled.map { "\(name($0.path)): \($0.reason)" })") }
    }

    /// `plan watched|polled NAME`; `plan not NAME`.
    private func expectPlan(_ arguments: [String]) throws {
        guard arguments.count == 2 else { throw failure("plan MODE NAME") }
        let wanted = try Syscalls.realPath(folder).entry(unescaped(arguments[1]))
        let entries = watcher.plan.entries.filter { $0.path == wanted }
        let holds = arguments[0] == "not" ? entries.isEmpty : entries.contains { $0.mode.rawValue == arguments[0] }
        guard holds else { throw failure("the plan is:\n\(watcher.plan)") }
    }
}

/// Whether it is a file system in memory (statfs(2)).
private func isTmpfs(_ path: FilePath) throws -> Bool {
    let folder = try Syscalls.open(path, flags: Syscalls.directory)
    return try Syscalls.fileSystemType(of: folder.raw) == 0x0102_1994
}

extension Descriptor {
    /// Keeps a file open.
    final class Box {
        let descriptor: Descriptor
        init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
    }
}
