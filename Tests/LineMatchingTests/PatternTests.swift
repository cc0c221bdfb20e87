// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import Testing

@testable import LineMatching

extension Pattern {
    fileprivate func match(_ line: some Sequence<UInt8>) -> Outcome { Array(line).withUnsafeBytes { match($0) } }
    fileprivate func match(_ line: String) -> Outcome { match(line.utf8) }
}

struct PatternTests {
    @Test(arguments: [
        ("quota exceeded", "x quota exceeded y", true), ("quota exceeded", "quota  exceeded", false),
        ("^a.c$", "abc", true), ("^a.c$", "abcd", false), ("(?i)QuOtA", "the quota", true), ("", "", true),
        ("x$", "", false), ("\\d{3}", "a404", true), ("ü", "für", true), ("(?<=a)b", "ab", true),
        ("end$", String(repeating: "x", count: 60_000) + "end", true),
        ("^start", String(repeating: "x", count: 60_000) + "start", false),
        ("(?<!x)start", String(repeating: "x", count: 300) + "start", false),
    ])
    func aLineMatchesOrNot(_ pattern: String, _ line: String, _ isMatched: Bool) throws {
        #expect(try Pattern(pattern).match(line) == (isMatched ? .matched : .none))
    }

    @Test func linesAreBytes() throws {
        #expect(try Pattern("a.b").match([0x61, 0xFF, 0x62]) == .matched)
        #expect(try Pattern("a\\x00b").match([0x61, 0, 0x62]) == .matched)
        #expect(try Pattern("limit").match([0xFF, 0xFE, 0] + Array("limit".utf8)) == .matched)
    }

    @Test(arguments: ["(", "[a", "a**", "(?<n>a)(?<n>b)", "\\", "(*UTF)a", "*a"])
    func whatIsNoPatternIsToldWithItsPlace(_ pattern: String) {
        let problem = Pattern.problem(in: pattern)
        #expect(problem != nil)
        #expect((0...pattern.utf8.count).contains(problem?.offset ?? -1))
        #expect(problem?.message.isEmpty == false)
    }

    @Test func aPatternThatIsTooLongIsRefused() {
        #expect(Pattern.problem(in: String(repeating: "a", count: 5000)) != nil)
        #expect(Pattern.problem(in: "quota (exceeded|used up)") == nil)
    }

    /// What would take longer than anybody lives is given up in a moment.
    @Test(arguments: ["(a+)+$", "(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)(.*)(.*)(.*)(.*)(.*)[0-9]"])
    func noPatternHoldsTheLoopUp(_ pattern: String) throws {
        let line = String(repeating: "a", count: 64 << 10) + "!"
        let compiled = try Pattern(pattern)
        let before = EventLoop.now
        #expect(compiled.match(line) == .limit)
        #expect(EventLoop.now - before < 5_000_000_000)
    }

    @Test func theClockIsLookedAtAlsoBehindTheLastStretch() throws {
        let line = [UInt8](repeating: 0x78, count: Pattern.stretch + 10)
        let pattern = try Pattern("limit")
        func match(_ times: [Int64]) -> Pattern.Outcome {
            var left = times[...]
            return line.withUnsafeBytes { pattern.match($0) { left.popFirst() ?? times[times.count - 1] } }
        }
        #expect(match([0, 1_000_000, 19_000_000]) == .none)
        #expect(match([0, 1_000_000, 21_000_000]) == .limit)
        #expect(match([0, 21_000_000]) == .limit)
    }

    /// What went fast may go slowly from the next place on.
    @Test func howeverFastItGoesTheClockIsLookedAtEveryFewPlaces() throws {
        let line = [UInt8](repeating: 0x78, count: 64 << 10)
        let pattern = try Pattern("limit")
        var looks = 0
        let outcome = line.withUnsafeBytes {
            pattern.match($0) {
                looks += 1
                return 0
            }
        }
        #expect(outcome == .none)
        #expect(looks > line.count / 300)
    }

    @Test func aPatternMayNotRaiseItsOwnLimits() throws {
        #expect(
            try Pattern("(*LIMIT_MATCH=4000000000)(a+)+$").match(String(repeating: "a", count: 2000) + "!") == .limit)
    }
}

struct RuleTests {
    @Test func aRuleThatHitsItsLimitThreeTimesIsOff() throws {
        let rule = try LineRule(name: "r", pattern: "(a+)+$")
        let bad = Array((String(repeating: "a", count: 3000) + "!").utf8)
        #expect(bad.withUnsafeBytes { rule.match($0) } == .gaveUp)
        #expect(Array("aaa".utf8).withUnsafeBytes { rule.match($0) } == .matched)
        #expect(bad.withUnsafeBytes { rule.match($0) } == .gaveUp)
        #expect(!rule.isOff)
        #expect(bad.withUnsafeBytes { rule.match($0) } == .switchedOff)
        #expect(rule.isOff)
        #expect(Array("aaa".utf8).withUnsafeBytes { rule.match($0) } == .none)
    }

    @Test func aRuleThatIsSlowOnlyNearTheEndOfItsLinesIsOffToo() throws {
        let rule = try LineRule(name: "r", pattern: "ee.{0,9500}quota[0-9]")
        let bad = Array((String(repeating: "x", count: 32_640) + String(repeating: "e", count: 32_000) + "quota").utf8)
        #expect((1...3).map { _ in bad.withUnsafeBytes { rule.match($0) } } == [.gaveUp, .gaveUp, .switchedOff])
    }

    @Test func aCarriageReturnAtTheEndIsNoPartOfTheLine() throws {
        let rule = try LineRule(name: "r", pattern: "over$")
        #expect(Array("is over\r".utf8).withUnsafeBytes { rule.match($0) } == .matched)
    }
}

struct LiteralTests {
    @Test(
        arguments: [
            ("quota exceeded", ["quota exceeded"]), ("^API Error: (\\d+)", ["API Error: "]),
            ("a+bc?def", ["def"]), ("429|too many", ["429", "too many"]), ("429|x", nil), ("ab*", nil), (".*", nil),
            ("(quota|limit) reached", [" reached"]), ("(quota)", nil), ("[abc]limit[]x]end of it", ["end of it"]),
            ("a\\.b\\.c", ["a.b.c"]), ("\\Qa.b\\E", nil), ("limit\\d{2,3}x", ["limit"]), ("abc{0,2}defg", ["defg"]),
            ("(?i)Quota Exceeded", ["quota exceeded"]), ("x(?i)Quota", nil), ("(*ACCEPT)abc", nil),
            ("(?=abc)def", ["def"]), ("(?(?=a)b|c)def", nil), ("[[:alpha:]]+ limit", [" limit"]), ("", nil),
            ("a(b\\)c)def", ["def"]), ("\\x41bc", nil), ("abc|", nil),
        ] as [(String, [String]?)])
    func aPatternTellsWhatItsLinesHold(_ pattern: String, _ runs: [String]?) throws {
        #expect(RequiredLiterals(of: pattern)?.runs == runs?.map { Array($0.utf8) })
        #expect(Pattern.problem(in: pattern) == nil)
    }

    /// Against the simplest search there is.
    @Test(arguments: [1, 2, 3, 4])
    func theScannerFindsWhatAPlainSearchFinds(_ run: UInt64) {
        var random = Generator(state: run)
        for _ in 0..<300 {
            let ignoresCase = Bool.random(using: &random)
            let alphabet = Array("abAB \n".utf8)
            func text(_ count: Int) -> [UInt8] { (0..<count).map { _ in alphabet.randomElement(using: &random) ?? 0 } }
            let text = text(Int.random(in: 0...200, using: &random))
            var literals = RequiredLiterals(words: ["ab"])
            literals.ignoresCase = ignoresCase
            literals.runs = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                (0..<Int.random(in: 2...5, using: &random)).map { _ in
                    let byte = alphabet.randomElement(using: &random) ?? 0
                    return ignoresCase ? asciiLowercase(byte) : byte
                }
            }
            let scanner = LiteralScanner([literals])
            let folded = ignoresCase ? text.map(asciiLowercase) : text
            let expected = text.indices.filter { index in literals.runs.contains { folded[index...].starts(with: $0) } }
            var found: [Int] = []
            var pass = LiteralScanner.Pass()
            text.withUnsafeBytes { buffer in
                var position = 0
                while let place = scanner.next(buffer, from: position, &pass) {
                    found.append(place)
                    position = place + 1
                }
            }
            #expect(found == expected)
        }
    }

    @Test func withoutLiteralsEveryLineIsACandidate() throws {
        let filter = LineFilter([try LineRule(name: "r", pattern: "\\d+"), try LineRule(name: "s", pattern: "limit")])
        var pass = LineFilter.Pass()
        Array("abc".utf8).withUnsafeBytes { #expect(filter.next($0, from: 1, &pass) == 1) }
        let other = LineFilter([try LineRule(name: "s", pattern: "limit")], words: ["death"])
        Array("a death, a limit".utf8).withUnsafeBytes { buffer in
            var pass = LineFilter.Pass()
            #expect(other.next(buffer, from: 0, &pass) == 2)
            #expect(other.next(buffer, from: 3, &pass) == 11)
            #expect(other.next(buffer, from: 12, &pass) == nil)
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers in each run.
private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
