// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import FileWatching

/// A folder that is watched, and what was reported of it.
final class Watched {
    private final class Box { var reports: [[WatchReport]] = [] }

    let folder: TemporaryFolder
    let loop: EventLoop
    let watcher: FileWatcher
    private let box: Box
    private(set) var troubles: () -> Int
    private var canary = 0

    init(watchesMax: Int = 4096) throws {
        folder = try TemporaryFolder()
        loop = try EventLoop()
        let box = Box()
        self.box = box
        final class Count { var value = 0 }
        let count = Count()
        troubles = { count.value }
        watcher = FileWatcher(
            on: loop, budget: WatchBudget(watchesMax: watchesMax), pollInterval: .milliseconds(200),
            onTrouble: { count.value += 1 }
        ) { box.reports.append($0) }
        try folder.makeDirectory("canary")
    }

    deinit { watcher.close() }

    /// `<base>/<account>/config.toml`, as for the accounts directory.
    func watchAccounts(_ base: String = "accounts") -> [String] {
        names(
            watcher.add(
                WatchSpec(id: "a", base: folder.path.appending(base), pattern: [.visible, .name("config.toml")])))
    }

    func watchFile(_ name: String, id: String = "f") -> [String] {
        names(watcher.add(.file(folder.path.appending(name), id: id)))
    }

    func names(_ paths: [FilePath]) -> [String] { paths.map(name) }

    private func name(_ path: FilePath) -> String {
        let prefix = folder.path.shown + "/"
        return path.shown.hasPrefix(prefix) ? String(path.shown.dropFirst(prefix.count)) : path.shown
    }

    /// Each report since the last call, in order: the path, with a `-` before it if nothing was there.
    func takeReports(of spec: String? = nil) -> [String] {
        defer { box.reports = [] }
        for call in box.reports {
            #expect(Set(call.map { "\($0.spec) \($0.path.bytes)" }).count == call.count, "each file once a call")
        }
        return box.reports.joined().filter { $0.spec != "canary" && (spec == nil || $0.spec == spec) }
            .map { ($0.exists ? "" : "-") + name($0.path) }
    }

    var hasReports: Bool { box.reports.joined().contains { $0.spec != "canary" } }

    /// Runs the loop until all that was done so far has been reported: events come in order, and this one is last.
    func settle() throws {
        canary += 1
        let path = folder.path.appending("canary/\(canary)")
        if canary == 1 {
            _ = watcher.add(WatchSpec(id: "canary", base: folder.path.appending("canary"), pattern: [.visible]))
        }
        try folder.write("canary/\(canary)", "")
        let came = try loop.run { [box] in box.reports.joined().contains { $0.path == path && $0.exists } }
        #expect(came, "the watcher reports nothing any more")
    }

    /// What is reported of an action.
    func reports(_ action: () throws -> Void) throws -> Set<String> {
        try settle()
        _ = takeReports()
        try action()
        try settle()
        return Set(takeReports())
    }

    /// Expects that exactly this is reported of an action.
    func expect(
        _ expected: Set<String>, sourceLocation: SourceLocation = #_sourceLocation, of action: () throws -> Void
    ) throws {
        let reports = try reports(action)
        #expect(reports == expected, sourceLocation: sourceLocation)
    }

    /// Runs the loop until something is reported that no event told of.
    func polled() throws -> Set<String> {
        try loop.run { [unowned self] in hasReports }
        return Set(takeReports())
    }
}
