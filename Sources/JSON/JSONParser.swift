// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// Why a text is not JSON. It never quotes the text: that may hold a key.
public struct JSONError: Error, Equatable, CustomStringConvertible, Sendable {
    public let message: String
    /// The offset in bytes at which reading stopped.
    public let offset: Int
    /// Line and column (in bytes) of that place, both counted from 1.
    public let line: Int
    public let column: Int

    public init(message: String, offset: Int, line: Int, column: Int) {
        self.message = message
        self.offset = offset
        self.line = line
        self.column = column
    }

    public var description: String { "\(line):\(column): \(message)" }
}

extension JSONValue {
    /// Reads one JSON text (RFC 8259): exactly one value, UTF-8, white space around it allowed.
    ///
    /// - Parameters:
    ///   - bytes: The text. A byte-order mark is an error; bad UTF-8 in strings becomes U+FFFD.
    ///   - depthMax: Nesting beyond this is an error, so that no input can exhaust the stack.
    public init(parsing bytes: some Sequence<UInt8>, depthMax: Int = 128) throws(JSONError) {
        let array = ContiguousArray(bytes)
        var parser = Parser(bytes: array, depthMax: depthMax)
        self = try parser.document()
    }

    public init(parsing text: String, depthMax: Int = 128) throws(JSONError) {
        try self.init(parsing: text.utf8, depthMax: depthMax)
    }
}

private struct Parser {
    let bytes: ContiguousArray<UInt8>
    let depthMax: Int
    var position = 0

    init(bytes: ContiguousArray<UInt8>, depthMax: Int) {
        self.bytes = bytes
        self.depthMax = depthMax
    }

    mutating func document() throws(JSONError) -> JSONValue {
        let value = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw error("more text behind the value") }
        return value
    }

    func error(_ message: String) -> JSONError {
        var line = 1
        var column = 1
        for byte in bytes.prefix(position) {
            if byte == 10 {
                line += 1
                column = 1
            } else {
                column += 1
            }
        }
        return JSONError(message: message, offset: position, line: line, column: column)
    }

    var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte = next, byte == 32 || byte == 10 || byte == 13 || byte == 9 { position += 1 }
    }

    mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        skipSpace()
        guard let byte = next else { throw error("the text ends where a value should stand") }
        switch byte {
        case UInt8(ascii: "{"):
            guard depth < depthMax else { throw error("nested too deeply") }
            return try object(depth: depth)
        case UInt8(ascii: "["):
            guard depth < depthMax else { throw error("nested too deeply") }
            return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), 48...57: return try number()
        default: throw error("no JSON value begins like this")
        }
    }

    mutating func word(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard bytes[position...].starts(with: text.utf8) else { throw error("no JSON value begins like this") }
        position += text.utf8.count
        return value
    }

    mutating func object(depth: Int) throws(JSONError) -> JSONValue {
        position += 1
        var object = JSONObject()
        skipSpace()
        if next == UInt8(ascii: "}") {
            position += 1
            return .object(object)
        }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw error("a member's name should stand here") }
            let name = try string()
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw error("':' should stand here") }
            position += 1
            object[name] = try value(depth: depth + 1)
            skipSpace()
            switch next {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "}"):
                position += 1
                return .object(object)
            default: throw error("',' or '}' should stand here")
            }
        }
    }

    mutating func array(depth: Int) throws(JSONError) -> JSONValue {
        position += 1
        var elements: [JSONValue] = []
        skipSpace()
        if next == UInt8(ascii: "]") {
            position += 1
            return .array(elements)
        }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            switch next {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "]"):
                position += 1
                return .array(elements)
            default: throw error("',' or ']' should stand here")
            }
        }
    }

    mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        func isDigit(_ byte: UInt8?) -> Bool { byte.map { (48...57).contains($0) } ?? false }
        if next == UInt8(ascii: "-") { position += 1 }
        guard isDigit(next) else { throw error("a digit should stand here") }
        if next == UInt8(ascii: "0") { position += 1 } else { while isDigit(next) { position += 1 } }
        if next == UInt8(ascii: ".") {
            position += 1
            guard isDigit(next) else { throw error("a digit should stand here") }
            while isDigit(next) { position += 1 }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            guard isDigit(next) else { throw error("a digit should stand here") }
            while isDigit(next) { position += 1 }
        }
        return .number(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    mutating func string() throws(JSONError) -> String {
        position += 1
        let start = position
        // Most strings have no escape: find the end first and copy once.
        while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 32 { position += 1 }
        if next == UInt8(ascii: "\"") {
            position += 1
            return String(decoding: bytes[start..<(position - 1)], as: UTF8.self)
        }
        var text = ContiguousArray(bytes[start..<position])
        while true {
            guard let byte = next else { throw error("the text ends inside a string") }
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                position += 1
                text.append(contentsOf: try escape())
            case 0..<32: throw error("a control character inside a string")
            default:
                text.append(byte)
                position += 1
            }
        }
    }

    mutating func escape() throws(JSONError) -> [UInt8] {
        guard let byte = next else { throw error("the text ends inside a string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [8]
        case UInt8(ascii: "f"): return [12]
        case UInt8(ascii: "n"): return [10]
        case UInt8(ascii: "r"): return [13]
        case UInt8(ascii: "t"): return [9]
        case UInt8(ascii: "u"):
            let first = try codeUnit()
            if (0xD800..<0xDC00).contains(first), next == UInt8(ascii: "\\"), position + 1 < bytes.count,
                bytes[position + 1] == UInt8(ascii: "u")
            {
                let mark = position
                position += 2
                let second = try codeUnit()
                if (0xDC00..<0xE000).contains(second) {
                    let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    return Array(String(Unicode.Scalar(code) ?? "\u{FFFD}").utf8)
                }
                position = mark
            }
            return Array(String(Unicode.Scalar(first) ?? "\u{FFFD}").utf8)
        default: throw error("an unknown escape")
        }
    }

    mutating func codeUnit() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw error("four hexadecimal digits should stand here")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
