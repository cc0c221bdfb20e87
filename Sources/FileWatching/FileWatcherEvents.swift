// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage
import Timekeeping

/// What the kernel tells: each event is a hint, and makes the watcher look again.
extension FileWatcher {
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

    func openInstance() {
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

    func reopenInstance() { if case .none = instance { openInstance() } }

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
    func replaceInstance() {
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

    func hint(_ path: BytePath, exists: Bool, of state: State) {
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
}
