// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

/// A pattern for one name inside a directory. Names are bytes.
public struct NamePattern: Hashable, Sendable {
    private enum Form: Hashable { case literal, visible, affix }
    private let form: Form
    private let prefix: [UInt8]
    private let suffix: [UInt8]

    /// Exactly this name.
    public static func name(_ name: String) -> NamePattern { exactly(Array(name.utf8)) }
    /// Exactly this name, which need not be UTF-8.
    public static func name(_ bytes: [UInt8]) -> NamePattern { exactly(bytes) }
    /// Every name that does not begin with a point. Kubernetes' `..data` and its timestamped folders are passed over:
    /// what they hold is reached through the links beside them.
    public static let visible = NamePattern(form: .visible, prefix: [], suffix: [])
    /// Names that begin and end so, whatever is between; none that begins with a point.
    public static func affix(_ prefix: String = "", _ suffix: String) -> NamePattern {
        NamePattern(form: .affix, prefix: Array(prefix.utf8), suffix: Array(suffix.utf8))
    }

    private static func exactly(_ bytes: [UInt8]) -> NamePattern {
        NamePattern(form: .literal, prefix: bytes, suffix: [])
    }

    /// The name, if it is exactly one.
    var literal: [UInt8]? { form == .literal ? prefix : nil }

    public func matches(_ name: [UInt8]) -> Bool {
        switch form {
        case .literal: name == prefix
        case .visible: name.first != UInt8(ascii: ".")
        case .affix:
            name.first != UInt8(ascii: ".") && name.count >= prefix.count + suffix.count && name.starts(with: prefix)
                && name.suffix(suffix.count).elementsEqual(suffix)
        }
    }
}

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

    public init(id: String, base: FilePath, pattern: [NamePattern], use: Use = .configuration) {
        self.id = id
        self.base = base.lexicallyNormalized()
        self.pattern = pattern
        self.use = use
    }

    /// One file, wherever its links lead.
    public static func file(_ path: FilePath, id: String) -> WatchSpec {
        WatchSpec(
            id: id, base: path.removingLastComponent(),
            pattern: [.name(path.lastName)])
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

/// Something that cannot be watched and is polled instead.
public struct PolledPath: Hashable, Sendable {
    public let path: FilePath
    /// Why, for people.
    public let reason: String
}
