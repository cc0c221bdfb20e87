// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import TOML
import Testing

/// Agents can write account files: no text may end the process.
@Suite struct HostileTextTests {
    private func parse(_ text: String) throws -> TOMLValue { try TOML.parse(Array(text.utf8)) }

    @Test(arguments: [
        "[=]", "[.]", "[[.]]", "[,]", "[{}]", "[#]", "[\n]", "[é]", "[[é", "é", "a = é", "\u{2009}x", "[a]\u{3000}é",
    ]) func aNameThatCannotBeginIsRefused(text: String) {
        #expect(throws: TOMLError.self) { try parse(text) }
    }

    @Test(arguments: ["aDOTS = 1", "[aDOTS]", "x = { aDOTS = 1 }", "[[aDOTS]]"])
    func aNameWithTooManyPartsIsRefused(form: String) {
        for count in [1001, 30_000] {
            let text =
                "ok = 1\n" + form.split(separator: "DOTS").joined(separator: String(repeating: ".a", count: count))
            #expect(throws: TOMLError.self) { try parse(text) }
        }
    }

    @Test func dotsInStringsAndCommentsAreNotCounted() throws {
        let dots = String(repeating: "..", count: 1000)
        let long = "\"\"\"\n\(dots)\\\"\(dots)\"\"\""
        let text =
            "a = \"\(dots)\\\"\(dots)\" # \(dots)\nb = '\(dots)'\nc = \(long)\nd = '''\(dots)'\(dots)'''\n\"\(dots)\" = ''"
        #expect(try parse(text).table?.count == 5)
        let error = #expect(throws: TOMLError.self) {
            try parse("a = '\(dots)'\nb\(String(repeating: ".b", count: 1001)) = 1")
        }
        #expect(error?.position == TOMLPosition(line: 2, column: 2002))
    }

    @Test func nestingUpToTheLimitIsRead() throws {
        var value = try parse("a" + String(repeating: ".a", count: 1000) + " = 1")
        var depth = 0
        while let next = value["a"] {
            value = next
            depth += 1
        }
        #expect(depth == 1001)
    }

    @Test(arguments: [("", "[", ""), ("a = ", "[", ""), ("a = ", "{b=", ""), ("a = ", "[", "]")])
    func deepNestingIsAnErrorAndNoCrash(before: String, opening: String, closing: String) {
        let text = before + String(repeating: opening, count: 10_000) + String(repeating: closing, count: 10_000)
        #expect(throws: TOMLError.self) { try parse(text) }
    }

    @Test func randomBytesAreNoCrash() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20 {
            let bytes = (0..<(64 << 10)).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            #expect(throws: TOMLError.self) { try TOML.parse(bytes) }
        }
    }

    @Test func randomTextOfTOMLsCharactersIsNoCrash() {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("[]{}=\"'\\.,#ab1-+_:TZ \n".utf8)
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 1..<200, using: &generator)).map { _ in
                alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
            }
            do {
                #expect(try TOML.parse(bytes).table != nil)
            } catch {
                #expect(error.position.line >= 1 && error.position.column >= 1)
            }
        }
    }
}
