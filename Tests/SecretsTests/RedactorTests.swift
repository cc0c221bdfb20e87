// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import Secrets

@Suite struct RedactorTests {
    private static let random = "Qz7Rk2Vn9Xb4Tm6Wc1Yd8Jf3Hg5Lp0Ns2Qa4Ze6Ux8Iv1Ob3"
    private let redactor: Redactor
    private let key: Key

    init() throws {
        key = try #require(Key("sk-kimi-\(Self.random)"))
        redactor = Redactor(keys: [key])
    }

    /// Whether 8 characters of the canary in a row can be read in a text.
    private func leaks(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        let canary = Array(Self.random.utf8)
        guard bytes.count >= 8 else { return false }
        let windows = Set((0...(canary.count - 8)).map { Array(canary[$0..<($0 + 8)]) })
        return (0...(bytes.count - 8)).contains { windows.contains(Array(bytes[$0..<($0 + 8)])) }
    }

    @Test func aKeyIsReplacedWhereverItStands() {
        #expect(redactor.redact("error: \(key.reveal()) is bad") == "error: [key] is bad")
        #expect(redactor.redact("x=\(key.reveal())&y") == "x=[key]&y")
        #expect(redactor.redact(key.reveal()) == "[key]")
        #expect(redactor.redact("\(key.reveal()),\(key.reveal())") == "[key],[key]")
    }

    @Test func any8CharactersOfTheRandomPartAreReplaced() {
        for start in 0...(Self.random.count - 8) {
            for length in [8, 9, 20] where start + length <= Self.random.count {
                let piece = Self.random.dropFirst(start).prefix(length)
                #expect(redactor.redact("see '\(piece)' here") == "see '[key]' here")
                #expect(!leaks(redactor.redact("…\(piece)\u{301}")))
            }
        }
    }

    @Test func twoPiecesOfAKeyWithTextBetweenAreBothReplaced() {
        let halves = "\(Self.random.prefix(20)) and \(Self.random.suffix(20))"
        #expect(redactor.redact(halves) == "[key] and [key]")
    }

    @Test func tricksBetweenItsCharactersDoNotHideAKey() {
        for trick in ["\u{1B}[0m", "\u{200B}", "\u{202E}", "\u{0}", "\u{8}", "\u{AD}", "\u{9B}1m", "\u{1B}]0;t\u{7}"] {
            let broken = Self.random.map { "\($0)\(trick)" }.joined()
            #expect(!leaks(redactor.redact("a \(broken) b")), "\(trick.unicodeScalars.map(\.value))")
        }
    }

    @Test func unknownKeysAreKnownByTheirBeginning() {
        let none = Redactor()
        #expect(none.redact("sk-abcdefghijklmnop") == "[key]")
        #expect(none.redact("(sk-ant-api03-abcdefgh_ijklmnop)") == "([key])")
        #expect(none.redact("ak-9f8e7d") == "[key]")
        #expect(none.redact("in org-1a2b3c4d5e now") == "in [key] now")
    }

    @Test func anUnknownKeyIsFoundBehindAnEscapedCharacter() {
        let none = Redactor()
        // As a line of JSON, an address and a log without spaces show it.
        for before in [#"key:\n"#, #"\t"#, "api_key%3D", "%3d", #"\u003d"#, #"\u003C"#] {
            #expect(none.redact("\(before)sk-abcdefghijklmnop") == "\(before)[key]")
        }
        #expect(none.redact("keysk-kimi-abcdefghijklmnop0") == "key[key]")
        #expect(none.redact("d0a1b2task-0123456789abcdefghij") == "d0a1b2task-0123456789abcdefghij")
    }

    @Test func ordinaryWordsStay() {
        let text = "task-force, sk-learn, risk-averse users; disk-0123456789abcdefghij; Q2 budget 12345678"
        #expect(redactor.redact(text) == text)
    }

    @Test func whatSteersATerminalGoes() {
        #expect(redactor.redact("\u{1B}[31mred\u{1B}[0m") == "red")
        #expect(redactor.redact("a\u{1B}]8;;http://x\u{1B}\\b") == "ab")
        #expect(redactor.redact("a\u{202E}b\u{2066}c\u{200F}") == "abc")
        #expect(redactor.redact("a\nb\tc\r\nd").unicodeScalars.allSatisfy { $0.value >= 32 })
        #expect(redactor.redact("a\u{0}\u{7}\u{7f}\u{85}b") == "ab")
        #expect(redactor.redact("a\u{1B}") == "a")
        #expect(redactor.redact("a\u{1B}[12;") == "a")
    }

    @Test func aLongTextIsCutAtACharacter() {
        for letter in ["x", "é", "€", "😀"] {
            for shift in 0..<4 {
                let text = String(repeating: "y", count: shift) + String(repeating: letter, count: 600)
                let cut = redactor.redact(text)
                #expect(cut.utf8.count <= Redactor.lengthMax)
                #expect(cut.utf8.count > Redactor.lengthMax - 8)
                #expect(cut.hasSuffix("…"))
                #expect(!cut.contains("\u{FFFD}"))
            }
        }
        let fits = String(repeating: "z", count: Redactor.lengthMax)
        #expect(redactor.redact(fits) == fits)
    }

    @Test func aKeyAcrossTheCutDoesNotShow() {
        for shift in 430...500 {
            #expect(!leaks(redactor.redact(String(repeating: " ", count: shift) + key.reveal())))
        }
    }

    @Test func bytesThatAreNotTextAreShownWithoutTheKey() {
        let bytes = [0xFF, 0xFE] + Array(key.reveal().utf8) + [0xC3]
        let shown = redactor.redact(bytes: bytes)
        #expect(!leaks(shown))
        #expect(shown.contains("[key]"))
    }

    @Test func aKeyTooShortToHaveARandomPartBreaksNothing() throws {
        let short = try #require(Key("sk-a"))
        #expect(Redactor(keys: [short]).redact("a plain text") == "a plain text")
    }

    @Test func randomTextNeverLeaksAKey() {
        var generator = SystemRandomNumberGenerator()
        let alphabet: [Character] = ["\u{1B}", "[", "]", "m", " ", "é", "-", "\u{202E}", "\u{7}", "a", "\u{301}"]
        for _ in 0..<300 {
            var text = ""
            for _ in 0..<Int.random(in: 0..<12, using: &generator) {
                for _ in 0..<Int.random(in: 0..<5, using: &generator) {
                    text.append(alphabet.randomElement(using: &generator) ?? " ")
                }
                text += key.reveal().dropFirst(Int.random(in: 0..<30, using: &generator))
            }
            let shown = redactor.redact(text)
            #expect(!leaks(shown))
            #expect(shown.utf8.count <= Redactor.lengthMax)
        }
    }
}
