// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage
import Timekeeping

/// What is looked at: walks over specs, and what cannot be watched from time to time.
extension FileWatcher {
    func flush() {
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

    func walk(_ state: State) {
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

    func release(_ watches: some Sequence<Int32>, of id: String) {
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

    func updateFigures() {
        statistics.directories = users.count
        budget.note(users.count, of: self)
        statistics.files = states.values.reduce(0) { $0 + $1.leaves.count }
    }
}
