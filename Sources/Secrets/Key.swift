// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// An API key.
///
/// It has no coding, and whatever prints, interpolates or dumps it shows its id. The one way to the text is
/// ``reveal()``, so a search for that word finds every place where a key leaves.
public struct Key: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let text: String
    public let id: KeyID

    /// The longest key taken, in characters (Claude Code takes no longer one from a helper).
    public static let lengthMax = 16384

    /// - Returns: nil unless the text begins with `sk-`, goes on, and is printable ASCII without spaces.
    public init?(_ text: String) {
        guard text.utf8.count <= Self.lengthMax, text.utf8.count > 3, text.hasPrefix("sk-"),
            text.utf8.allSatisfy({ (33...126).contains($0) })
        else { return nil }
        self.text = text
        id = KeyID(text)
    }

    /// The key itself.
    public func reveal() -> String { text }

    /// The last 20 characters, by which Claude Code remembers that a key was approved.
    public func revealApproval() -> String { String(text.suffix(20)) }

    public var description: String { "Key(\(id))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }

    public static func == (a: Key, b: Key) -> Bool { a.text == b.text }
    public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}

/// The first 12 hexadecimal digits of the SHA-256 of a key: the only form in which a key is shown.
public struct KeyID: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let text: String
    /// The digits as a number, which is compared and hashed in no time.
    private let value: UInt64

    fileprivate init(_ key: String) {
        text = String(SHA256.hex(Array(key.utf8)).prefix(12))
        value = Self.number(text)
    }

    /// Reads an id as a user types it or a state file holds it.
    public init?(text: String) {
        guard text.utf8.count == 12, text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
        else { return nil }
        self.text = text
        value = Self.number(text)
    }

    private static func number(_ digits: String) -> UInt64 {
        digits.utf8.reduce(0) { $0 << 4 | UInt64($1 < 97 ? $1 - 48 : $1 - 87) }
    }

    public var description: String { text }
    public static func == (a: KeyID, b: KeyID) -> Bool { a.value == b.value }
    public func hash(into hasher: inout Hasher) { hasher.combine(value) }
    public static func < (a: KeyID, b: KeyID) -> Bool { a.value < b.value }
}
