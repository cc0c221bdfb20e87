// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Logging
import Testing

@testable import SystemdKit

@Suite struct JournalTests {
    @Test(arguments: [
        ("id", "GASCLAWD_ID"), ("requestId", "GASCLAWD_REQUEST_ID"), ("request-id", "GASCLAWD_REQUEST_ID"),
        ("request.id", "GASCLAWD_REQUEST_ID"), ("_EVIL", "GASCLAWD_EVIL"), ("9lives", "GASCLAWD_9LIVES"),
        ("next_retry_at", "GASCLAWD_NEXT_RETRY_AT"), ("schlüssel", "GASCLAWD_SCHL_SSEL"),
    ])
    func aKeyBecomesANameThatJournaldKeeps(key: String, name: String) {
        #expect(JournalField.name(for: key) == name)
    }

    @Test func noKeyGivesANameThatJournaldDrops() {
        for key in ["", "-", "ÄÖÜ", String(repeating: "long-", count: 40), "a\nb=c", "\u{0}"] {
            let name = JournalField.name(for: key)
            #expect((1...64).contains(name.count), "\(key)")
            #expect(name.allSatisfy { ("A"..."Z").contains($0) || ("0"..."9").contains($0) || $0 == "_" }, "\(key)")
            #expect(name.first != "_")
        }
    }

    @Test func aListIsARepeatedFieldAndADictionaryOneForEachKey() {
        let fields = JournalHandler.fields(
            .warning, "config.rejected",
            ["errors": .array(["a", "b"]), "at": .dictionary(["line": "3"]), "message_id": "0123", "errno": "28"],
            label: "gasclawd", identifier: "gasclawd")
        func values(_ name: String) -> [String] {
            fields.filter { $0.name == name }.map { String(decoding: $0.value, as: UTF8.self) }
        }
        #expect(values("GASCLAWD_ERRORS") == ["a", "b"])
        #expect(values("GASCLAWD_AT_LINE") == ["3"])
        #expect(values("MESSAGE_ID") == ["0123"])
        #expect(values("ERRNO") == ["28"])
        #expect(values("PRIORITY") == ["4"])
        #expect(values("SYSLOG_IDENTIFIER") == ["gasclawd"])
        #expect(values("MESSAGE").first?.contains("errors=") == true)
        #expect(values("MESSAGE").first?.contains("message_id") == false)
    }

    @Test func aRecordComesOutAsItWentIn() {
        let fields = [
            JournalField("MESSAGE", "two\nlines"), JournalField(name: "BINARY", value: [0, 61, 10, 255]),
            JournalField("LARGE", String(repeating: "x", count: 300_000)), JournalField("EMPTY", ""),
        ]
        let items = JournalEncoding.decode(JournalEncoding.encode(line: "<4>line", fields: fields))
        #expect(items.count == 5)
        #expect(items[0] == Array("<4>line".utf8))
        for (item, field) in zip(items.dropFirst(), fields) {
            #expect(item == Array("\(field.name)=".utf8) + field.value)
        }
    }

    @Test func aTornRecordGivesWhatIsWhole() {
        let bytes = JournalEncoding.encode(line: "line", fields: [JournalField("MESSAGE", "text")])
        for count in bytes.indices { #expect(JournalEncoding.decode(Array(bytes[..<count])).count <= 2) }
        #expect(JournalEncoding.decode([255, 255, 255, 127, 1]).isEmpty)
    }
}
