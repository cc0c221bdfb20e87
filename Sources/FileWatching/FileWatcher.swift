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

    private final class State {
        let spec: WatchSpec
        var roles: [Int32: Few<Role>] = [:]
        var leaves: [BytePath: Leaf] = [:]
        var polled: [PolledPath] = []
        init(_ spec: WatchSpec) { self.spec = spec }
    }

    private struct HintedFile: Hashable {
        let spec: String
        let path: BytePath
    }

    private let loop: EventLoop
    private let onReports: ([WatchReport]) -> Void
    private let onTrouble: () -> Void
    private let budget: WatchBudget
    private let pollInterval: Duration
    private var instance = Instance.none(reason: "it is not open yet")
    private var registration: EventLoop.Watch?
    /// When events were last read, and how many times in quick succession.
    private var lastReading: Int64 = 0
    private var quickReadings = 0
    private var restTimer: EventLoop.Timer?
    private var states: [String: State] = [:]
    /// Which specs listen to which watch.
    private var users: [Int32: Few<String>] = [:]
    private var known = KnownWatches()
    private var dirty: Set<String> = []
    private var hints: [WatchReport] = []
    /// Where in `hints` a file of a spec is.
    private var hinted: [HintedFile: Int] = [:]
    private var rereadAll = false
    /// Watches whose directory is called something else now.
    private var moved: Set<Int32> = []
    private var overflowBackoff = Duration.zero
    private var overflowTimer: EventLoop.Timer?
    private var calmTimer: EventLoop.Timer?
    private var pollTimer: EventLoop.Timer?
    private var isPolling = false
    public private(set) var statistics = Statistics()

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

    // MARK: - Events

    /// In a storm events are read every so often, and not one by one: the first few of them come at once, and the kernel
    /// makes one of equal ones that wait. Who wakes up for each of 5,000 lines a second has no processor time left when a
    /// key changes.
    private static let rest = Duration.milliseconds(2)
    /// Readings that follow each other within this time are a storm, from this number on.
    private static let quick: Int64 = 4_000_000
    private static let quickReadingsMax = 16

    private func restInAStorm() {
        let now = EventLoop.now
        quickReadings = now - lastReading < Self.quick ? quickReadings + 1 : 0
        lastReading = now
        guard quickReadings >= Self.quickReadingsMax, restTimer == nil, let paused = registration else { return }
        loop.cancel(paused)
        registration = nil
        restTimer = loop.schedule(after: Self.rest) { [unowned self] in
            restTimer = nil
            guard registration == nil, case .open(let inotify) = instance else { return }
            do throws(SystemError) { try listen(to: inotify) } catch {
                // No memory for a place in epoll: what comes meanwhile waits in the queue.
                lastReading = 0
                restTimer = loop.schedule(after: pollInterval) { [unowned self] in
                    restTimer = nil
                    replaceInstance()
                    flush()
                }
            }
        }
    }

    private func listen(to inotify: Inotify) throws(SystemError) {
        registration = try loop.watch(inotify.raw, for: .reading) { [unowned self] in readEvents() }
    }

    private func openInstance() {
        do throws(SystemError) {
            let inotify = try Inotify()
            try listen(to: inotify)
            instance = .open(inotify)
        } catch {
            // The walks tell it: without an instance everything is polled, and the next poll tries again.
            let limit =
                error.errno == .tooManyOpenFiles
                ? " (sysctl fs.inotify.max_user_instances, or the limit of open files)" : ""
            instance = .none(reason: "no inotify instance can be made: \(error.errno)\(limit)")
        }
    }

    private func reopenInstance() { if case .none = instance { openInstance() } }

    private func readEvents() {
        guard case .open(let inotify) = instance else { return }
        do throws(SystemError) {
            // One buffer a turn: other descriptors of the loop get their turn too, and a storm cannot hold it.
            _ = try inotify.drain { [unowned self] event in
                statistics.events += 1
                take(event)
            }
        } catch {
            replaceInstance()
        }
        flush()
        restInAStorm()
    }

    /// The instance is of no use any more: begin with a new one.
    private func replaceInstance() {
        if let registration { loop.cancel(registration) }
        registration = nil
        users = [:]
        known.removeAll()
        for state in states.values { state.roles = [:] }
        openInstance()
        rereadAll = true
        dirty.formUnion(states.keys)
    }

    private func take(_ event: Inotify.Event) {
        if event.mask.contains(.overflowed) {
            statistics.overflows += 1
            overflowed()
            return
        }
        guard let listeners = users[event.watch] else { return }
        if !event.mask.isDisjoint(with: [.ignored, .unmounted, .selfMoved, .selfDeleted]) {
            if event.mask.contains(.ignored) {
                users[event.watch] = nil
                known.remove(event.watch)
                for id in listeners.elements { states[id]?.roles[event.watch] = nil }
            }
            if event.mask.contains(.selfMoved) { moved.insert(event.watch) }
            dirty.formUnion(listeners.elements)
            return
        }
        for id in listeners.elements {
            guard let state = states[id], let roles = state.roles[event.watch] else { continue }
            for role in roles.elements { take(event, as: role, of: state) }
        }
    }

    private func take(_ event: Inotify.Event, as role: Role, of state: State) {
        // Another spec that uses the same watch may have asked for more.
        guard !event.mask.isDisjoint(with: role.mask(state.spec.use)) else { return }
        if event.name.isEmpty {
            // The directory itself: its mode may have opened or closed it to us.
            dirty.insert(state.spec.id)
            return
        }
        let isWrite = !event.mask.isDisjoint(with: [.modified, .closedAfterWriting])
        switch role {
        case .ancestor: break
        case .hop(let name):
            if name == event.name && !isWrite { dirty.insert(state.spec.id) }
        case .target(let name, let logical):
            guard name == event.name else { return }
            if isWrite { hint(logical, exists: true, of: state) } else { dirty.insert(state.spec.id) }
        case .level(let logical, let index):
            let leadsOn = state.spec.leadsOn(event.name, at: index)
            let isFile = state.spec.isFile(event.name, at: index)
            // Only directories and links to them lead on. (A link that goes or is replaced is a hop's.)
            if leadsOn, !isWrite,
                event.mask.contains(.isDirectory) || !isFile && isLink(logical.entry(event.name).path)
            {
                dirty.insert(state.spec.id)
                return
            }
            guard isFile, state.spec.isLast(index) || !event.mask.contains(.isDirectory) else { return }
            let path = logical.entry(event.name)
            if isWrite && state.leaves[path]?.isLink == false {
                hint(path, exists: true, of: state)
            } else {
                lookAgain(path, of: state, isLast: state.spec.isLast(index))
            }
        }
    }

    private func isLink(_ path: FilePath) -> Bool {
        do throws(SystemError) {
            return try Syscalls.status(of: path, followingLinks: false).kind == .link
        } catch {
            // Gone again, or not to be seen: the latter is for the walk to find out.
            return error.errno != .noSuchFileOrDirectory
        }
    }

    /// The usual case of a save: one file came, went or was replaced. Links need the whole walk.
    ///
    /// - Parameter isLast: A directory by this name would be one of the files.
    private func lookAgain(_ path: BytePath, of state: State, isLast: Bool) {
        var status: FileStatus?
        do throws(SystemError) { status = try Syscalls.status(of: path.path, followingLinks: false) } catch {
            guard error.errno == .noSuchFileOrDirectory else {
                dirty.insert(state.spec.id)
                return
            }
        }
        guard status?.kind != .link, status?.kind != .directory || isLast, state.leaves[path]?.isLink != true else {
            dirty.insert(state.spec.id)
            return
        }
        // A link to a folder that is gone was none of them.
        if status == nil, !isLast, state.leaves[path] == nil { return }
        state.leaves[path] = status.map { Leaf(status: $0, isLink: false) }
        hint(path, exists: status != nil, of: state)
    }

    private func hint(_ path: BytePath, exists: Bool, of state: State) {
        let file = HintedFile(spec: state.spec.id, path: path)
        if let position = hinted[file] {
            // The last word counts.
            if hints[position].exists != exists {
                hints[position] = WatchReport(spec: state.spec.id, path: path.path, exists: exists)
            }
        } else {
            hinted[file] = hints.count
            hints.append(WatchReport(spec: state.spec.id, path: path.path, exists: exists))
        }
    }

    /// Everything is looked at again; if the queue overflows time and again, with growing pauses, so that our own
    /// reading cannot become a loop that never ends.
    private func overflowed() {
        onTrouble()
        guard overflowTimer == nil else { return }
        if let calmTimer { loop.cancel(calmTimer) }
        calmTimer = loop.schedule(after: .seconds(10)) { [unowned self] in
            calmTimer = nil
            overflowBackoff = .zero
        }
        if overflowBackoff == .zero {
            overflowBackoff = .milliseconds(100)
            rereadAll = true
            dirty.formUnion(states.keys)
            return
        }
        overflowTimer = loop.schedule(after: overflowBackoff) { [unowned self] in
            overflowTimer = nil
            rereadEverything()
        }
        overflowBackoff = min(overflowBackoff * 2, .seconds(5))
    }

    // MARK: - Walks

    private func flush() {
        let everything = rereadAll
        rereadAll = false
        // A move leaves the watch where it was; its directory's new name is found by the walk that follows.
        for watch in moved { known.remove(watch) }
        moved = []
        while let id = dirty.popFirst() {
            guard let state = states[id] else { continue }
            let before = state.leaves
            statistics.rescans += 1
            walk(state)
            for (path, leaf) in state.leaves where everything || before[path] != leaf {
                hint(path, exists: leaf.status != nil, of: state)
            }
            for path in before.keys where state.leaves[path] == nil {
                hint(path, exists: mayExist(path.path, in: state.spec), of: state)
            }
        }
        updateFigures()
        guard !hints.isEmpty else { return }
        let reports = hints
        hints = []
        hinted = [:]
        for report in reports { refresh(report) }
        onReports(reports)
    }

    /// A walk that failed (no descriptors left, permission denied) found nothing, which does not mean that nothing is
    /// there: only what certainly is gone is said to be.
    private func mayExist(_ path: FilePath, in spec: WatchSpec) -> Bool {
        do throws(SystemError) {
            _ = try Syscalls.status(of: path)
            // Behind a link that leads out of its base there is nothing for a confined spec.
            guard spec.isConfined else { return true }
            return try Syscalls.realPath(path).isWithin(Syscalls.realPath(spec.base))
        } catch {
            return ![.noSuchFileOrDirectory, .notDirectory, .tooManySymbolicLinkLevels].contains(error.errno)
        }
    }

    /// What is being reported is no news to the next audit. Whoever reads the file does so after this, so a later
    /// change is either in what is read or seen by the audit.
    private func refresh(_ report: WatchReport) {
        let path = BytePath(report.path)
        guard let state = states[report.spec], let leaf = state.leaves[path] else { return }
        do throws(SystemError) {
            let status = try Syscalls.status(of: report.path, followingLinks: leaf.isLink)
            if leaf.isLink || status.kind != .link { state.leaves[path]?.status = status }
        } catch {
            // It is gone since; an event tells.
        }
    }

    private func walk(_ state: State) {
        let before = state.roles
        let wasPolled = state.polled
        var result = WalkResult()
        // Watches of walks that had to be made again.
        var passing: Set<Int32> = []
        for attempt in 0..<4 {
            result = Walk.result(
                of: state.spec, instance: instance, known: known, watchesMax: budget.watchesMax,
                watchedByOthers: budget.used(beside: self))
            for (watch, directory) in result.added { known.add(directory, watch) }
            if !result.isUnsettled { break }
            passing.formUnion(result.roles.keys)
            if attempt == 3 {
                result.polled.append(
                    PolledPath(path: state.spec.base, reason: "it is moved all the time", since: Timestamp.now))
            }
        }
        state.roles = result.roles
        state.leaves = result.leaves
        state.polled = result.polled.map { path in wasPolled.first { $0.isSame(as: path) } ?? path }
        for watch in result.roles.keys { users.insert(state.spec.id, for: watch) }
        release(before.keys.filter { result.roles[$0] == nil }, of: state.spec.id)
        release(passing.filter { result.roles[$0] == nil }, of: state.spec.id)
        if wasPolled != state.polled { onTrouble() }
        if !isPolling { schedulePoll() }
    }

    private func release(_ watches: some Sequence<Int32>, of id: String) {
        for watch in watches {
            users[watch] = users[watch].flatMap { $0.removing(id) }
            // Nobody's: also one of a walk that had to be made again.
            if users[watch] == nil {
                known.remove(watch)
                if case .open(let inotify) = instance { inotify.remove(watch) }
            }
        }
    }

    /// The longest pause between two looks at what is polled.
    private static let pollPauseMax = Duration.seconds(10)

    /// - Parameter took: How long the last look took: where there is much to look at, looking takes a fifth of our time.
    private func schedulePoll(took: Duration = .zero) {
        let isNeeded = states.values.contains { !$0.polled.isEmpty }
        if isNeeded && pollTimer == nil {
            pollTimer = loop.schedule(after: max(pollInterval, min(took * 4, Self.pollPauseMax))) { [unowned self] in
                pollTimer = nil
                let began = EventLoop.now
                reopenInstance()
                isPolling = true
                dirty.formUnion(states.values.filter { !$0.polled.isEmpty }.map(\.spec.id))
                flush()
                isPolling = false
                schedulePoll(took: .nanoseconds(EventLoop.now - began))
            }
        } else if !isNeeded, let pollTimer {
            loop.cancel(pollTimer)
            self.pollTimer = nil
        }
    }

    private func updateFigures() {
        statistics.directories = users.count
        budget.note(users.count, of: self)
        statistics.files = states.values.reduce(0) { $0 + $1.leaves.count }
    }
}
