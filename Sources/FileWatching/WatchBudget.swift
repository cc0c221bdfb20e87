// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// How many directories the watchers of a process may watch together: the kernel's memory for them is not theirs alone.
public final class WatchBudget {
    public let watchesMax: Int
    private var used: [ObjectIdentifier: Int] = [:]

    /// - Parameter watchesMax: Directories beyond this number are polled.
    public init(watchesMax: Int = 4096) { self.watchesMax = watchesMax }

    /// What the other watchers use.
    func used(beside watcher: FileWatcher) -> Int {
        used.reduce(0) { $0 + ($1.key == ObjectIdentifier(watcher) ? 0 : $1.value) }
    }

    func note(_ count: Int, of watcher: FileWatcher) {
        used[ObjectIdentifier(watcher)] = count == 0 ? nil : count
    }
}
