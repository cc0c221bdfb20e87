// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// The id of a conversation of Claude Code: the UUID by which its transcript is named.
///
/// It goes into a command line, so nothing but a UUID is taken.
public struct ConversationID: Sendable, Hashable, CustomStringConvertible {
    public let text: String

    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == 36 else { return nil }
        for (position, byte) in bytes.enumerated() {
            switch position {
            case 8, 13, 18, 23: guard byte == UInt8(ascii: "-") else { return nil }
            default:
                guard (48...57).contains(byte) || (97...102).contains(byte) || (65...70).contains(byte) else {
                    return nil
                }
            }
        }
        self.text = text
    }

    /// From the name of a transcript, `<id>.jsonl`.
    public init?(transcript name: some Collection<UInt8>) {
        let bytes = Array(name)
        guard bytes.count == 42, bytes.suffix(6).elementsEqual(".jsonl".utf8) else { return nil }
        self.init(String(decoding: bytes.prefix(36), as: UTF8.self))
    }

    public var description: String { text }
}

/// The folder below `projects/` in which the client keeps the transcripts of a directory.
public enum ProjectSlug: Sendable, Hashable {
    case exact(String)
    /// Names of more than 200 characters are cut there, and a hash is added that only the client knows.
    case prefix(String)

    /// The absolute path with every character that is not a letter or digit replaced by `-` (transcripts/README.md).
    public init(directory: String) {
        var name = ""
        // The client counts in UTF-16: a character outside of the basic plane gives two dashes.
        for unit in directory.utf16 {
            let isKept = (48...57).contains(unit) || (65...90).contains(unit) || (97...122).contains(unit)
            name.append(isKept ? Character(Unicode.Scalar(UInt8(unit))) : "-")
        }
        self = name.count > 200 ? .prefix(String(name.prefix(200)) + "-") : .exact(name)
    }

    public func matches(_ name: String) -> Bool {
        switch self {
        case .exact(let exact): name == exact
        case .prefix(let prefix): name.hasPrefix(prefix)
        }
    }
}
