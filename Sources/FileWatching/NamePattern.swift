// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// A pattern for one name inside a directory. Names are bytes.
public struct NamePattern: Hashable, Sendable {
    private enum Form: Hashable {
        case literal([UInt8])
        case visible
        case affix([UInt8], [UInt8])
        case glob([Token])
    }

    /// A part of a glob.
    fileprivate enum Token: Hashable {
        case byte(UInt8)
        /// `?`
        case any
        /// `*`
        case run
        /// `[…]`
        case set([ClosedRange<UInt8>], isNegated: Bool)
    }

    private let form: Form

    /// Exactly this name.
    public static func name(_ name: String) -> NamePattern { NamePattern(form: .literal(Array(name.utf8))) }
    /// Exactly this name, which need not be UTF-8.
    public static func name(_ bytes: [UInt8]) -> NamePattern { NamePattern(form: .literal(bytes)) }
    /// Every name that does not begin with a point. Kubernetes' `..data` and its timestamped folders are passed over:
    /// what they hold is reached through the links beside them.
    public static let visible = NamePattern(form: .visible)
    /// Names that begin and end so, whatever is between; none that begins with a point.
    public static func affix(_ prefix: String = "", _ suffix: String) -> NamePattern {
        NamePattern(form: .affix(Array(prefix.utf8), Array(suffix.utf8)))
    }

    /// `*`, `?`, `[…]` and `\` as in glob(7), byte by byte; a name that begins with a point matches only a pattern that
    /// does.
    public static func glob(_ text: some Sequence<UInt8>) -> NamePattern {
        let bytes = Array(text)
        var tokens: [Token] = []
        var position = 0
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "*"): tokens.append(.run)
            case UInt8(ascii: "?"): tokens.append(.any)
            case UInt8(ascii: "\\") where position + 1 < bytes.count:
                position += 1
                tokens.append(.byte(bytes[position]))
            case UInt8(ascii: "["):
                if let (set, end) = set(bytes, from: position) {
                    tokens.append(set)
                    position = end
                } else {
                    tokens.append(.byte(bytes[position]))
                }
            case let byte: tokens.append(.byte(byte))
            }
            position += 1
        }
        let literal = tokens.map { token in if case .byte(let byte) = token { byte } else { nil as UInt8? } }
        return literal.contains(nil) ? NamePattern(form: .glob(tokens)) : name(literal.compactMap { $0 })
    }

    /// A set that begins here, and where it ends; nil if the bracket is a character like others.
    private static func set(_ bytes: [UInt8], from start: Int) -> (Token, end: Int)? {
        var position = start + 1
        guard position < bytes.count else { return nil }
        let isNegated = bytes[position] == UInt8(ascii: "!") || bytes[position] == UInt8(ascii: "^")
        if isNegated { position += 1 }
        var ranges: [ClosedRange<UInt8>] = []
        let first = position
        while position < bytes.count {
            let low = bytes[position]
            // A bracket that stands first is one of the characters.
            if low == UInt8(ascii: "]"), position > first { return (.set(ranges, isNegated: isNegated), position) }
            if position + 2 < bytes.count, bytes[position + 1] == UInt8(ascii: "-"),
                bytes[position + 2] != UInt8(ascii: "]")
            {
                let high = bytes[position + 2]
                if low <= high { ranges.append(low...high) }
                position += 3
            } else {
                ranges.append(low...low)
                position += 1
            }
        }
        return nil
    }

    /// The name, if it is exactly one.
    var literal: [UInt8]? { if case .literal(let name) = form { name } else { nil } }

    public func matches(_ name: [UInt8]) -> Bool {
        let isVisible = name.first != UInt8(ascii: ".")
        return switch form {
        case .literal(let literal): name == literal
        case .visible: isVisible
        case .affix(let prefix, let suffix):
            isVisible && name.count >= prefix.count + suffix.count && name.starts(with: prefix)
                && name.suffix(suffix.count).elementsEqual(suffix)
        case .glob(let tokens):
            (isVisible || tokens.first == .byte(UInt8(ascii: "."))) && Self.matches(tokens, name)
        }
    }

    /// In time of at most the product of both lengths: only the last run is tried again.
    private static func matches(_ tokens: [Token], _ name: [UInt8]) -> Bool {
        var token = 0
        var position = 0
        var retry: (token: Int, position: Int)?
        while position < name.count {
            if token < tokens.count, tokens[token] == .run {
                retry = (token, position)
                token += 1
            } else if token < tokens.count, tokens[token].matches(name[position]) {
                token += 1
                position += 1
            } else if let last = retry {
                retry = (last.token, last.position + 1)
                token = last.token + 1
                position = last.position + 1
            } else {
                return false
            }
        }
        return tokens[token...].allSatisfy { $0 == .run }
    }
}

extension NamePattern.Token {
    fileprivate func matches(_ byte: UInt8) -> Bool {
        switch self {
        case .byte(let own): own == byte
        case .any: true
        case .run: false
        case .set(let ranges, let isNegated): ranges.contains { $0.contains(byte) } != isNegated
        }
    }
}
