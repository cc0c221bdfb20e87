// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// What is wrong with a script, or with what it found.
struct ScriptFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// The machine does not let us do what the script needs.
struct Forbidden: Error { let what: String }

/// Commands on the left, on the right of a bar what must be reported of them.
///
/// Lines without a bar are done along with the next one that has one, without a pause in between. `repeat N` and `end`
/// stand around what is done N times, with `$i` for the number. Names may hold `\xNN`. A line `in memory` is for what makes
/// many folders.
///
///     COMMAND |  NAME -NAME      exactly these are reported, the second one as gone
///     COMMAND |+ NAME            at least these
///     COMMAND |~ NAME            these, as soon as a poll finds them; others may come before
///     COMMAND |?                 exactly these, and there is more that nobody can know yet
struct Script {
    enum Expectation {
        case exactly, atLeast, later, untold
    }

    struct Line {
        let number: Int
        /// The words of the command; empty where the line only expects.
        let words: [String]
        let expectation: (kind: Expectation, reports: [String])?
    }

    let lines: [Line]
    private(set) var isInMemory = false

    init(_ text: String) throws {
        var lines: [Line] = []
        var loop: (start: Int, count: Int)?
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let content = raw.prefix { $0 != "#" }
            let parts = content.split(separator: "|", maxSplits: 1, omittingEmptySubsequences: false)
            let words = (parts.first ?? "").split(separator: " ").map(String.init)
            if words == ["in", "memory"] {
                isInMemory = true
                continue
            }
            if words.first == "repeat", words.count == 2, let count = Int(words[1]) {
                loop = (lines.count, count)
                continue
            }
            if words.first == "end", let (start, count) = loop {
                let body = Array(lines[start...])
                lines.removeSubrange(start...)
                for round in 1...count {
                    lines += body.map { line in
                        func filled(_ words: [String]) -> [String] {
                            words.map {
                                $0.split(separator: "$i", omittingEmptySubsequences: false).joined(
                                    separator: "\(round)")
                            }
                        }
                        return Line(
                            number: line.number, words: filled(line.words),
                            expectation: line.expectation.map { ($0.kind, filled($0.reports)) })
                    }
                }
                loop = nil
                continue
            }
            var expectation: (Expectation, [String])?
            if parts.count == 2 {
                let kind: Expectation =
                    switch parts[1].first {
                    case "~": .later
                    case "+": .atLeast
                    case "?": .untold
                    default: .exactly
                    }
                let rest = kind == .exactly ? parts[1] : parts[1].dropFirst()
                expectation = (kind, rest.split(separator: " ").map(String.init))
            }
            guard !words.isEmpty || expectation != nil else { continue }
            lines.append(Line(number: index + 1, words: words, expectation: expectation))
        }
        guard loop == nil else { throw ScriptFailure("a repeat has no end") }
        self.lines = lines
    }
}

/// The bytes of a name in a script: `\xNN` stands for one.
func unescaped(_ name: String) -> [UInt8] {
    let bytes = Array(name.utf8)
    var result: [UInt8] = []
    var position = 0
    while position < bytes.count {
        if bytes[position] == UInt8(ascii: "\\"), position + 3 < bytes.count, bytes[position + 1] == UInt8(ascii: "x"),
            let value = UInt8(String(decoding: bytes[(position + 2)...(position + 3)], as: UTF8.self), radix: 16)
        {
            result.append(value)
            position += 4
        } else {
            result.append(bytes[position])
            position += 1
        }
    }
    return result
}
