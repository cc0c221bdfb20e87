// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// A field of a journal record (systemd.journal-fields(7)). A name may stand several times in a record.
public struct JournalField: Sendable, Hashable {
    public let name: String
    public let value: [UInt8]

    public init(name: String, value: [UInt8]) {
        self.name = name
        self.value = value
    }

    public init(_ name: String, _ value: String) { self.init(name: name, value: Array(value.utf8)) }

    /// The longest name that journald keeps, in characters.
    public static let nameLengthMax = 64

    /// A name that journald keeps: it drops every field whose name is not made of `A-Z`, `0-9` and `_`, begins with a
    /// digit or an underscore, or is longer than 64 characters — without a word.
    ///
    /// - Parameter key: A key of a log record: `requestId`, `request-id` and `request.id` all become `…REQUEST_ID`.
    /// - Returns: The name with our prefix, which also keeps it apart from the names that journald itself gives.
    public static func name(for key: String) -> String {
        var name = ""
        var wasLower = false
        for scalar in key.unicodeScalars {
            switch scalar {
            case "a"..."z", "0"..."9":
                name.unicodeScalars.append(scalar)
                wasLower = true
            case "A"..."Z":
                if wasLower { name += "_" }
                name.unicodeScalars.append(scalar)
                wasLower = false
            default:
                if !name.isEmpty && name.last != "_" { name += "_" }
                wasLower = false
            }
        }
        return String(("GASCLAWD_" + name.uppercased()).prefix(nameLengthMax))
    }
}

/// A record on its way to the writing thread: a line for standard error, should there be no journal, and the fields.
enum JournalEncoding {
    /// Length before each item, four bytes, the lowest first.
    static func encode(line: String, fields: [JournalField]) -> [UInt8] {
        var bytes: [UInt8] = []
        func add(_ item: [UInt8]) {
            for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: item.count >> shift)) }
            bytes += item
        }
        add(Array(line.utf8))
        for field in fields { add(Array(field.name.utf8) + [UInt8(ascii: "=")] + field.value) }
        return bytes
    }

    /// - Returns: The line first, then `NAME=value` for each field.
    static func decode(_ bytes: [UInt8]) -> [[UInt8]] {
        var items: [[UInt8]] = []
        var position = 0
        while position + 4 <= bytes.count {
            let count = (0..<4).reduce(0) { $0 | Int(bytes[position + $1]) << (8 * $1) }
            position += 4
            guard position + count <= bytes.count else { break }
            items.append(Array(bytes[position..<(position + count)]))
            position += count
        }
        return items
    }
}
