// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage
import Timekeeping

/// Watches the files of a set of specs with one inotify instance, and polls what cannot be watched.
///
/// An event is a hint: it makes the watcher look again, and what it reports are files to read again. Nothing is
/// missed for good: an overflow of the kernel's queue, a lost watch or a moved parent lead to a new walk over the
/// specs concerned. Cost grows with the files that matter, not with the size of the tree around them.
public final class FileWatcher {
    public struct Statistics: Sendable {
        /// Directories under watch.
        public var directories = 0
        /// Files matched.
        public var files = 0
        /// Events read from the kernel.
        public var events = 0
        /// Times the kernel's queue overflowed.
        public var overflows = 0
        /// Walks over a spec, but for its first.
        public var rescans = 0
    }

    final class State {
        let spec: WatchSpec
        var roles: [Int32: Few<Role>] = [:]
        var leaves: [BytePath: Leaf] = [:]
        var polled: [PolledPath] = []
        init(_ spec: WatchSpec) { self.spec = spec }
    }

    struct HintedFile: Hashable {
        let spec: String
        let path: BytePath
    }

    let loop: EventLoop
    let onReports: ([WatchReport]) -> Void
    let onTrouble: () -> Void
    let budget: WatchBudget
    let pollInterval: Duration
    var instance = Instance.none(reason: "it is not open yet")
    var registration: EventLoop.Watch?
    /// When events were last read, and how many times in quick succession.
    var lastReading: Int64 = 0
    var quickReadings = 0
    var restTimer: EventLoop.Timer?
    var states: [String: State] = [:]
    /// Which specs listen to which watch.
    var users: [Int32: Few<String>] = [:]
    var known = KnownWatches()
    var dirty: Set<String> = []
    var hints: [WatchReport] = []
    /// Where in `hints` a file of a spec is.
    var hinted: [HintedFile: Int] = [:]
    var rereadAll = false
    /// Watches whose directory is called something else now.
    var moved: Set<Int32> = []
    var overflowBackoff = Duration.zero
    var overflowTimer: EventLoop.Timer?
    var calmTimer: EventLoop.Timer?
    var pollTimer: EventLoop.Timer?
    var isPolling = false
    public internal(set) var statistics = Statistics()

    /// - Parameters:
    ///   - loop: Where events arrive.
    ///   - budget: Directories beyond it are polled; it may be shared with other watchers.
    ///   - pollInterval: How often a path that cannot be watched is looked at.
    ///   - onTrouble: Called when what is polled may have changed.
    ///   - onReports: Called on the loop's thread with files to read again, each at most once a call.
    public init(
        on loop: EventLoop, budget: WatchBudget = WatchBudget(), pollInterval: Duration = .seconds(2),
        onTrouble: @escaping () -> Void = {}, onReports: @escaping ([WatchReport]) -> Void
    ) {
        self.loop = loop
        self.onReports = onReports
        self.onTrouble = onTrouble
        self.budget = budget
        self.pollInterval = pollInterval
        openInstance()
    }

    deinit { close() }

    /// Stops watching; nothing is reported any more.
    public func close() {
        for timer in [overflowTimer, calmTimer, pollTimer, restTimer] { if let timer { loop.cancel(timer) } }
        (overflowTimer, calmTimer, pollTimer, restTimer) = (nil, nil, nil, nil)
        if let registration { loop.cancel(registration) }
        registration = nil
        instance = .none(reason: "it is closed")
        states = [:]
        users = [:]
        known.removeAll()
        budget.note(0, of: self)
    }

    /// What is polled now, and why.
    public var polled: [PolledPath] {
        states.values.flatMap(\.polled).sorted { $0.path.bytes.lexicographicallyPrecedes($1.path.bytes) }
    }

    /// Which directories are looked at, why and how.
    public var plan: WatchPlan {
        var why: [Int32: Set<String>] = [:]
        for state in states.values {
            for (watch, roles) in state.roles {
                let isOnTheWay = roles.elements.allSatisfy { if case .ancestor = $0 { true } else { false } }
                why[watch, default: []].insert((isOnTheWay ? "the way to " : "") + state.spec.purpose)
            }
        }
        var entries = known.directories.compactMap { watch, directory in
            why[watch].map {
                WatchPlan.Entry(
                    path: directory.path.path, mode: .watched, why: $0.sorted(), since: directory.since, detail: nil)
            }
        }
        for (path, group) in Dictionary(
            grouping: states.values.flatMap { state in state.polled.map { (state.spec.purpose, $0) } }, by: \.1.path)
        {
            guard let first = group.min(by: { $0.1.since < $1.1.since })?.1 else { continue }
            entries.append(
                WatchPlan.Entry(
                    path: path, mode: .polled, why: Set(group.map(\.0)).sorted(), since: first.since,
                    detail: first.reason))
        }
        return WatchPlan(entries: entries)
    }

    /// Takes a spec in, or another one of the same id in its place.
    ///
    /// - Returns: The files that it matches now. They are not reported; later changes are.
    public func add(_ spec: WatchSpec) -> [FilePath] {
        let state = states[spec.id].flatMap { $0.spec == spec ? $0 : nil } ?? State(spec)
        if states[spec.id] !== state { remove(spec.id) }
        states[spec.id] = state
        walk(state)
        updateFigures()
        return state.leaves.filter { $0.value.status != nil }.keys.sorted {
            $0.bytes.lexicographicallyPrecedes($1.bytes)
        }.map(\.path)
    }

    /// Gives a spec up.
    public func remove(_ id: String) {
        guard let state = states.removeValue(forKey: id) else { return }
        release(state.roles.keys, of: id)
        dirty.remove(id)
        updateFigures()
    }

    /// Looks at all specs again and reports the files whose status differs: for what no event tells of, such as a
    /// write through another hard link or a mount over a watched directory.
    public func audit() {
        reopenInstance()
        dirty.formUnion(states.keys)
        flush()
    }

    /// Reports every file of every spec as possibly changed, after looking at all of them.
    public func rereadEverything() {
        rereadAll = true
        audit()
    }
}
