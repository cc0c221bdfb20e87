// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// A JSON value that can be written back as it was read.
///
/// Members keep their order and numbers keep their text. This is why it exists beside
/// `FoundationEssentials`' coder: files of other programs (`.claude.json`, `settings.json`) are read, changed in
/// one place and written, and every other byte of meaning must survive, also a 20-digit integer; and status and
/// events must show absent values as `null`, which synthesised coding leaves out.
public enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    /// A number in the text of RFC 8259 section 6.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)
}

extension JSONValue {
    /// The same value with each text in it changed; names stay.
    public func mappingStrings(_ change: (String) -> String) -> JSONValue {
        switch self {
        case .null, .bool, .number: return self
        case .string(let text): return .string(change(text))
        case .array(let values): return .array(values.map { $0.mappingStrings(change) })
        case .object(let object):
            var changed = JSONObject()
            for (name, value) in object.members { changed[name] = value.mappingStrings(change) }
            return .object(changed)
        }
    }
}

/// The members of a JSON object in their order.
///
/// Of members with the same name the last one counts, as in most parsers (RFC 8259 section 4 leaves it open).
public struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    public private(set) var members: [(name: String, value: JSONValue)] = []
    /// Where each name stands, from so many members on; before, looking through them is faster than hashing.
    private var positions: [String: Int] = [:]
    private static let indexedMin = 12

    public init() {}

    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        for (name, value) in elements { self[name] = value }
    }

    public subscript(name: String) -> JSONValue? {
        get { position(of: name).map { members[$0].value } }
        set {
            if let position = position(of: name) {
                if let newValue {
                    members[position].value = newValue
                } else {
                    members.remove(at: position)
                    index()
                }
            } else if let newValue {
                members.append((name, newValue))
                if members.count > Self.indexedMin { positions[name] = members.count - 1 } else { indexIfMany() }
            }
        }
    }

    private func position(of name: String) -> Int? {
        members.count < Self.indexedMin ? members.firstIndex { $0.name == name } : positions[name]
    }

    private mutating func indexIfMany() { if members.count == Self.indexedMin { index() } }

    private mutating func index() {
        positions = [:]
        guard members.count >= Self.indexedMin else { return }
        for (index, member) in members.enumerated() { positions[member.name] = index }
    }

    public var isEmpty: Bool { members.isEmpty }
    public var names: [String] { members.map(\.name) }

    public static func == (a: JSONObject, b: JSONObject) -> Bool {
        a.members.count == b.members.count && a.members.allSatisfy { b[$0.name] == $0.value }
    }
}

extension JSONValue {
    public subscript(name: String) -> JSONValue? {
        if case .object(let object) = self { object[name] } else { nil }
    }

    public var isNull: Bool { self == .null }

    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The number as an integer, nil where it is none or does not fit: `12` and `-3`, not `1.0` and `1e3`.
    public var integer: Int? {
        if case .number(let text) = self { Int(text) } else { nil }
    }

    /// The number as a floating-point value, nil where this is no number.
    public var double: Double? {
        if case .number(let text) = self { Double(text) } else { nil }
    }

    public var array: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }

    public var object: JSONObject? {
        if case .object(let value) = self { value } else { nil }
    }

    /// The string, or null where there is none.
    public static func optional(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }
    /// The integer, or null where there is none.
    public static func optional(_ value: Int?) -> JSONValue { value.map(JSONValue.init) ?? .null }
    /// The Boolean, or null where there is none.
    public static func optional(_ value: Bool?) -> JSONValue { value.map(JSONValue.bool) ?? .null }

    public init(_ value: some BinaryInteger) { self = .number(String(value)) }

    /// A floating-point number; not-a-number and the infinities, which JSON cannot say, become null.
    public init(_ value: Double) { self = value.isFinite ? .number("\(value)") : .null }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self.init(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(nilLiteral: ()) { self = .null }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        var object = JSONObject()
        for (name, value) in elements { object[name] = value }
        self = .object(object)
    }
}
