// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage
import Timekeeping

/// Something that cannot be watched and is polled instead.
public struct PolledPath: Hashable, Sendable {
    public let path: FilePath
    /// Why, for people.
    public let reason: String
    /// Since when.
    public var since: Timestamp

    /// Whether two are the same but for their beginning.
    func isSame(as other: PolledPath) -> Bool { path == other.path && reason == other.reason }
}

/// What is looked at, why, and how: each directory once.
public struct WatchPlan: Hashable, Sendable {
    public struct Entry: Hashable, Sendable {
        public enum Mode: String, Hashable, Sendable {
            /// The kernel tells of changes.
            case watched
            /// It is looked at every two seconds.
            case polled
        }

        /// Without links, as the kernel knows it.
        public let path: FilePath
        public let mode: Mode
        /// What is looked for in it: purposes of specs, each once.
        public let why: [String]
        public let since: Timestamp
        /// Why it is polled; nil where it is watched.
        public let detail: String?
    }

    /// By path; what is polled may stand beside its being watched.
    public var entries: [Entry]

    public init(entries: [Entry] = []) {
        self.entries = entries.sorted {
            ($0.path.shown, $0.mode.rawValue) < ($1.path.shown, $1.mode.rawValue)
        }
    }

    /// Both plans as one.
    public func joined(with other: WatchPlan) -> WatchPlan { WatchPlan(entries: entries + other.entries) }
}

extension WatchPlan: CustomStringConvertible {
    /// One directory a line: how, where, since when, why.
    public var description: String {
        entries.map { entry in
            let why = entry.why.joined(separator: ", ")
            let detail = entry.detail.map { ": \($0)" } ?? ""
            return "\(entry.mode.rawValue) \(entry.path.shown) since \(entry.since.rfc3339) for \(why)\(detail)"
        }.joined(separator: "\n")
    }
}

/// A watched directory.
struct WatchedDirectory: Hashable {
    /// As the kernel knew it at the last walk.
    let path: BytePath
    let identity: FileIdentity
    let fileSystem: FileSystem
    let since: Timestamp

    /// The same directory under another name.
    func moved(to path: BytePath) -> WatchedDirectory {
        WatchedDirectory(path: path, identity: identity, fileSystem: fileSystem, since: since)
    }
}

/// What a watcher watches, by watch descriptor.
struct KnownWatches {
    private(set) var directories: [Int32: WatchedDirectory] = [:]

    mutating func add(_ directory: WatchedDirectory, _ watch: Int32) { directories[watch] = directory }

    mutating func remove(_ watch: Int32) { directories[watch] = nil }

    mutating func removeAll() { self = KnownWatches() }
}
