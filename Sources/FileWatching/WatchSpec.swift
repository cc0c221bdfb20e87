// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

/// Which files matter: those that `pattern` finds below `base`.
///
/// Every pattern but the last names directories, the last one files. `base` need not exist.
public struct WatchSpec: Hashable, Sendable {
    /// What is done with the files, which decides what the kernel is asked for.
    public enum Use: Hashable, Sendable {
        /// Files that are written and then read whole: a finished write counts, not each one.
        case configuration
        /// Files that grow: each write counts.
        case log
    }

    /// Unique among the specs of a watcher.
    public let id: String
    /// An absolute path.
    public let base: FilePath
    public let pattern: [NamePattern]
    public let use: Use
    /// What its files are, for people; the plan shows it.
    public let purpose: String
    /// Nothing outside of `base` counts, wherever links in it lead.
    public let isConfined: Bool
    /// Files are looked for on the way too: whatever is no directory and is matched by the last pattern.
    public let isDeep: Bool

    public init(
        id: String, base: FilePath, pattern: [NamePattern], use: Use = .configuration, purpose: String = "",
        isConfined: Bool = false, isDeep: Bool = false
    ) {
        self.id = id
        self.base = base.lexicallyNormalized()
        self.pattern = pattern
        self.use = use
        self.purpose = purpose.isEmpty ? id : purpose
        self.isConfined = isConfined
        self.isDeep = isDeep
    }

    /// Whether the pattern with this index names files, and nothing that leads on.
    func isLast(_ index: Int) -> Bool { index == pattern.count - 1 }

    /// Whether a directory of this name leads on.
    func leadsOn(_ name: [UInt8], at index: Int) -> Bool { !isLast(index) && pattern[index].matches(name) }

    /// Whether a file of this name is one of ours.
    func isFile(_ name: [UInt8], at index: Int) -> Bool {
        guard isDeep || isLast(index), let last = pattern.last else { return false }
        return last.matches(name)
    }

    /// One file, wherever its links lead.
    public static func file(_ path: FilePath, id: String, purpose: String = "") -> WatchSpec {
        WatchSpec(id: id, base: path.removingLastComponent(), pattern: [.name(path.lastName)], purpose: purpose)
    }
}

/// A hint that a file may have changed: read it again. The same file may be named again without a change.
public struct WatchReport: Hashable, Sendable {
    public let spec: String
    /// The name by which the spec found it, with links as they are.
    public let path: FilePath
    /// Whether something could be reached under the name when the report was made.
    public let exists: Bool
}
