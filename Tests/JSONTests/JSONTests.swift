// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing

@Suite struct JSONTests {
    @Test func orderAndNumbersSurviveReadingAndWriting() throws {
        let text = #"{"z":1,"a":[1.50,-0,12345678901234567890,1e400],"m":{"b":null,"a":true}}"#
        #expect(try JSONValue(parsing: text).line == text)
    }

    @Test func indentedTextReadsBackAsTheSameValue() throws {
        let value: JSONValue = ["a": [1, 2, ["x": "y"]], "empty": [], "none": nil, "o": [:]]
        #expect(try JSONValue(parsing: value.encoded(indented: true)) == value)
    }

    @Test func theLastOfTwoMembersWithOneNameCounts() throws {
        #expect(try JSONValue(parsing: #"{"a":1,"a":2}"#)["a"] == 2)
    }

    @Test(arguments: [
        (#""\u00e9\n\"\/""#, "é\n\"/"), (#""\ud83d\ude00""#, "😀"), (#""\ud83d""#, "\u{FFFD}"),
        (#""\ud83d\u0041""#, "\u{FFFD}A"), (#""é😀""#, "é😀"),
    ]) func stringsAreUnescaped(text: String, value: String) throws {
        #expect(try JSONValue(parsing: text) == .string(value))
    }

    @Test(arguments: [
        "", " ", "{", "[1,", "{\"a\"}", "{\"a\":}", "{a:1}", "01", "1.", "-", "1e", "tru", "nul", "\"", "\"\\x\"",
        "\"\\u12\"", "\"\n\"", "1 2", "[1]]", "'a'", "\u{FEFF}1", "{\"a\":1,}", "[,]",
    ]) func whatIsNoJSONIsRefused(text: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    }

    @Test func anErrorNamesThePlaceAndQuotesNothing() {
        let error = #expect(throws: JSONError.self) { try JSONValue(parsing: "{\"a\":12,\n  sk-kimi-secret") }
        #expect(error?.description == "2:3: a member's name should stand here")
    }

    @Test func deepNestingIsAnErrorAndNoCrash() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: JSONError.self) { try JSONValue(parsing: deep) }
    }

    @Test func removingAMemberKeepsTheOthersReachable() {
        var object: JSONObject = ["a": 1, "b": 2, "c": 3]
        object["b"] = nil
        #expect(object["c"] == 3)
        #expect(object.names == ["a", "c"])
    }

    @Test func controlCharactersAreEscapedInTheOutput() {
        #expect(JSONValue.string("\u{1}\u{7f}\t").line == #""\u0001\u007f\t""#)
    }
}
