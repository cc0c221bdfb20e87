// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import TOML

@Suite struct TOMLTests {
    private func parse(_ text: String) throws -> TOMLValue { try TOML.parse(Array(text.utf8)) }

    /// The place of the error in a text.
    private func place(_ text: String) -> String? {
        do {
            _ = try parse(text)
            return nil
        } catch let error as TOMLError { return "\(error.position)" } catch { return "another error" }
    }

    @Test func everyKindOfValueIsRead() throws {
        let document = try parse(
            """
            text = "a\\n\\u00e9"
            literal = 'c:\\d'
            whole = -9223372036854775808
            hexadecimal = 0xff
            part = 1.5
            yes = true
            when = 2026-11-22T10:04:25Z
            list = [1, "two", [3]]
            inline = { a = 1, b.c = 2 }
            """)
        #expect(document["text"]?.string == "a\né")
        #expect(document["literal"]?.string == "c:\\d")
        #expect(document["whole"]?.integer == .min)
        #expect(document["hexadecimal"]?.integer == 255)
        guard case .float(let part)? = document["part"]?.content else {
            Issue.record("no float")
            return
        }
        #expect(part == 1.5)
        #expect(document["yes"]?.boolean == true)
        guard case .time(let when)? = document["when"]?.content else {
            Issue.record("no time")
            return
        }
        #expect(when == "2026-11-22T10:04:25Z")
        #expect(document["list"]?.array?.count == 3)
        #expect(document["list"]?.array?[2].array?[0].integer == 3)
        #expect(document["inline"]?["b"]?["c"]?.integer == 2)
        #expect(document["nothing"] == nil)
    }

    @Test func theOrderIsTheFiles() throws {
        let document = try parse("z = 1\na = 2\n[m]\ny = 1\nb = 2\n[c]\n")
        #expect(document.table?.map(\.name) == ["z", "a", "m", "c"])
        #expect(document["m"]?.table?.map(\.name) == ["y", "b"])
    }

    @Test func valuesAndNamesHaveTheirPlaces() throws {
        let document = try parse("a = 1\n\n  [table]\n  key   =  \"v\"\nlist = [\n  1,\n    2 ]\n[x.y]\nz = 0\n")
        let table = try #require(document.table)
        #expect(table.map { "\($0.name) \($0.namePosition)" } == ["a 1:1", "table 3:4", "x 8:2"])
        #expect(table[0].value.position == TOMLPosition(line: 1, column: 5))
        let members = try #require(table[1].value.table)
        #expect(members[0].namePosition == TOMLPosition(line: 4, column: 3))
        #expect(members[0].value.position == TOMLPosition(line: 4, column: 12))
        #expect(members[1].value.array?.map { "\($0.position)" } == ["6:3", "7:5"])
        #expect(document["x"]?["y"]?["z"]?.position == TOMLPosition(line: 9, column: 5))
    }

    @Test(arguments: [
        "[town", "a = ", "a = 1 b = 2", "= 1", "a = \"x", "a = 'x\n'", "a = [1,", "a = { b = 1", "a = 01", "a = tru",
        "[a]\n[a]", "a = 1\na = 2", "a.b = 1\na = 2", "[a]\nb = 1\n[a.b]", "a = 2026-13-01", "a = \"\\q\"", "é = 1",
        "\u{0}",
        "a = \"\u{1}\"", "[[a]]\n[a]", "a = 99999999999999999999", "}", "]",
    ]) func whatIsNoTOMLIsRefused(text: String) {
        #expect(throws: TOMLError.self) { try parse(text) }
    }

    @Test(arguments: [
        ("a = 1\nb = \n", "2:5"), ("[a]\nx = 1\nx = 2", "3:5"), ("ok = 1\n  !", "2:3"), ("a\u{0}", "1:2"),
        ("x = 1\ny\u{0}", "2:2"),
    ]) func anErrorHasItsPlace(text: String, position: String) {
        #expect(place(text) == position)
    }

    @Test func anErrorNeverQuotesTheText() {
        for text in ["api_key = sk-kimi-Canary", "a = \"sk-kimi-Canary", "sk-kimi-Canary", "a = 1\na = \"sk-Canary\""] {
            let error = #expect(throws: TOMLError.self) { try parse(text) }
            #expect(error?.description.contains("Canary") == false)
        }
    }

    @Test func anEmptyTextIsAnEmptyTable() throws {
        for text in ["", "\n\n", "# a comment", " \t\r\n", "\u{FEFF}"] {
            #expect(try parse(text).table?.isEmpty == true)
        }
    }

    @Test func bytesThatAreNotUTF8AreRefused() {
        for bytes: [UInt8] in [
            [0x61, 0x3D, 0x22, 0xFF, 0x22], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xFF, 0xFE, 0x61],
        ] {
            #expect(throws: TOMLError.self) { try TOML.parse(bytes) }
        }
    }

    @Test func windowsLineEndsCountAsOneLine() throws {
        let document = try parse("a = 1\r\nb = 2\r\n")
        #expect(document["b"]?.position == TOMLPosition(line: 2, column: 5))
    }
}
