// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// A place in a file: line and column, both counted from 1.
public struct TOMLPosition: Hashable, Sendable, CustomStringConvertible {
    public let line: Int
    public let column: Int

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    public var description: String { "\(line):\(column)" }
}

/// A TOML value with its place in the file.
public struct TOMLValue: Sendable {
    public enum Content: Sendable {
        case string(String)
        case integer(Int64)
        case float(Double)
        case boolean(Bool)
        /// A date, a time or both, as text.
        case time(String)
        case array([TOMLValue])
        case table([TOMLMember])
    }

    public let content: Content
    public let position: TOMLPosition

    public var string: String? { if case .string(let value) = content { value } else { nil } }
    public var integer: Int64? { if case .integer(let value) = content { value } else { nil } }
    public var boolean: Bool? { if case .boolean(let value) = content { value } else { nil } }
    public var array: [TOMLValue]? { if case .array(let value) = content { value } else { nil } }
    public var table: [TOMLMember]? { if case .table(let value) = content { value } else { nil } }

    /// A member of a table.
    public subscript(name: String) -> TOMLValue? { table?.first { $0.name == name }?.value }

    /// What kind of value it is, for messages.
    public var kind: String {
        switch content {
        case .string: "a string"
        case .integer: "an integer"
        case .float: "a number with a fraction"
        case .boolean: "true or false"
        case .time: "a time"
        case .array: "a list"
        case .table: "a table"
        }
    }
}

/// A named value of a table.
public struct TOMLMember: Sendable {
    public let name: String
    public let namePosition: TOMLPosition
    public let value: TOMLValue
}

/// Why a text is not TOML. The message never quotes the text: that may hold a key.
public struct TOMLError: Error, Hashable, Sendable, CustomStringConvertible {
    public let message: String
    public let position: TOMLPosition

    public var description: String { "\(position): \(message)" }
}
