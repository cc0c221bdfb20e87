// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// Bytes of which at least one run must be in a line for a pattern to match it.
///
/// Read off the pattern's text, and only where that is certain: what is not understood gives no literals, and every
/// line is then tried.
struct RequiredLiterals: Hashable {
    /// One of these is in every line that matches; in lower case where case does not count.
    var runs: [[UInt8]]
    var ignoresCase: Bool

    /// A run of one byte finds candidates everywhere.
    private static let lengthMin = 2
    /// Longer ones find no fewer candidates.
    private static let lengthMax = 32

    /// - Returns: nil if nothing is certain.
    init?(of pattern: String) {
        var parser = Parser(bytes: Array(pattern.utf8))
        guard let runs = parser.alternatives(), runs.allSatisfy({ $0.count >= Self.lengthMin }) else { return nil }
        ignoresCase = parser.ignoresCase
        let isFolded = ignoresCase
        self.runs = runs.map { run in
            run.prefix(Self.lengthMax).map { isFolded ? asciiLowercase($0) : $0 }
        }
    }

    /// Walks over the outermost level of a pattern.
    private struct Parser {
        let bytes: [UInt8]
        var position = 0
        var ignoresCase = false

        private var next: UInt8? { position < bytes.count ? bytes[position] : nil }
        private func isNext(_ text: String) -> Bool { bytes[position...].starts(with: text.utf8) }

        /// The longest run of each alternative.
        mutating func alternatives() -> [[UInt8]]? {
            // Verbs such as (*ACCEPT) end a match before its end, and the others set what the rest means.
            if firstRange(of: Array("(*".utf8)) != nil { return nil }
            if isNext("(?i)") {
                ignoresCase = true
                position += 4
            }
            var runs: [[UInt8]] = []
            while true {
                guard let run = concatenation() else { return nil }
                runs.append(run)
                guard next == UInt8(ascii: "|") else { break }
                position += 1
            }
            return position == bytes.count ? runs : nil
        }

        private func firstRange(of needle: [UInt8]) -> Int? {
            guard bytes.count >= needle.count else { return nil }
            return (0...(bytes.count - needle.count)).first { bytes[$0...].starts(with: needle) }
        }

        private mutating func concatenation() -> [UInt8]? {
            var best: [UInt8] = []
            var run: [UInt8] = []
            func ended() -> [UInt8] { run.count > best.count ? run : best }
            while let byte = next, byte != UInt8(ascii: "|") {
                switch byte {
                case UInt8(ascii: "("):
                    best = ended()
                    run = []
                    guard skipGroup() else { return nil }
                case UInt8(ascii: "["):
                    best = ended()
                    run = []
                    guard skipClass() else { return nil }
                case UInt8(ascii: ")"): return nil
                case UInt8(ascii: "*"), UInt8(ascii: "?"), UInt8(ascii: "{"):
                    // What stands before it may be absent. (A brace that is no quantifier costs a byte, no more.)
                    if !run.isEmpty { run.removeLast() }
                    best = ended()
                    run = []
                    guard skipQuantifier() else { return nil }
                case UInt8(ascii: "+"):
                    best = ended()
                    run = []
                    position += 1
                case UInt8(ascii: "."), UInt8(ascii: "^"), UInt8(ascii: "$"):
                    best = ended()
                    run = []
                    position += 1
                case UInt8(ascii: "\\"):
                    guard let literal = escape() else { return nil }
                    if let literal = literal.byte {
                        run.append(literal)
                    } else {
                        best = ended()
                        run = []
                    }
                default:
                    run.append(byte)
                    position += 1
                }
            }
            return ended()
        }

        private struct Escape { var byte: UInt8? }

        /// An escaped character; nil for what is not certain.
        private mutating func escape() -> Escape? {
            position += 1
            guard let byte = next else { return nil }
            position += 1
            switch byte {
            case UInt8(ascii: "t"): return Escape(byte: 9)
            case UInt8(ascii: "d"), UInt8(ascii: "D"), UInt8(ascii: "w"), UInt8(ascii: "W"), UInt8(ascii: "s"),
                UInt8(ascii: "S"), UInt8(ascii: "b"), UInt8(ascii: "B"), UInt8(ascii: "A"), UInt8(ascii: "z"),
                UInt8(ascii: "Z"), UInt8(ascii: "h"), UInt8(ascii: "H"), UInt8(ascii: "R"), UInt8(ascii: "N"):
                return Escape(byte: nil)
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"):
                return nil
            default: return Escape(byte: byte)
            }
        }

        private mutating func skipQuantifier() -> Bool {
            guard next == UInt8(ascii: "{") else {
                position += 1
                return true
            }
            guard let end = bytes[position...].firstIndex(of: UInt8(ascii: "}")) else { return false }
            position = end + 1
            return true
        }

        /// Passes over a group: what is in it is not used. Options that are set in it would hold behind it.
        private mutating func skipGroup() -> Bool {
            var depth = 0
            while let byte = next {
                switch byte {
                case UInt8(ascii: "\\"):
                    position += 1
                    // "\Q" quotes until "\E", and what else a letter does inside a group does not matter.
                    if next == UInt8(ascii: "Q") { return false }
                    position += 1
                case UInt8(ascii: "["):
                    guard skipClass() else { return false }
                case UInt8(ascii: "("):
                    depth += 1
                    position += 1
                    if next == UInt8(ascii: "?") {
                        position += 1
                        // Groups without capture, looks ahead and behind, atomic ones. Everything else (options,
                        // comments, conditions, calls) is not certain.
                        guard isNext(":") || isNext("=") || isNext("!") || isNext(">") || isNext("<=") || isNext("<!")
                        else { return false }
                    }
                case UInt8(ascii: ")"):
                    depth -= 1
                    position += 1
                    if depth == 0 { return true }
                default: position += 1
                }
            }
            return false
        }

        /// Passes over a class; a bracket that stands first in it is one of its characters.
        private mutating func skipClass() -> Bool {
            position += 1
            if next == UInt8(ascii: "^") { position += 1 }
            if next == UInt8(ascii: "]") { position += 1 }
            while let byte = next {
                switch byte {
                case UInt8(ascii: "\\"):
                    position += 1
                    if next == UInt8(ascii: "Q") { return false }
                    position += 1
                case UInt8(ascii: "["):
                    // [:alpha:] and the like.
                    position += 1
                    if next == UInt8(ascii: ":") {
                        while position < bytes.count, !isNext(":]") { position += 1 }
                        guard position < bytes.count else { return false }
                        position += 2
                    }
                case UInt8(ascii: "]"):
                    position += 1
                    return true
                default: position += 1
                }
            }
            return false
        }
    }
}

func asciiLowercase(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }
