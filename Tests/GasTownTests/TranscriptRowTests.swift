// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing
import Timekeeping

@testable import GasTown

/// What a recorded failure has to be read as.
struct Recorded: Sendable {
    let file: String
    let status: Int
    let type: String
    let session: String
    let directory: String
    let time: String
    let begins: String
    let holds: String
}

@Suite struct RealRowTests {
    static let all = [
        Recorded(
            file: "quota-403", status: 403, type: "permission_error", session: "a4c54ede-02d0-497a-8eb1-4c5719c81023",
            directory: "/workspace/gt/project", time: "2026-11-22T10:04:24.821Z",
            begins: "Failed to authenticate. API Error: 403 ", holds: "reached your 5-hour usage limit"),
        Recorded(
            file: "quota-403-interactive-then-resumed", status: 403, type: "permission_error",
            session: "71625c97-55e3-4e3f-b203-be78b093110a", directory: "/workspace/gt/mayor",
            time: "2026-11-22T10:23:17.462Z", begins: "Please run /login · API Error: 403 ",
            holds: "reached your 5-hour usage limit"),
        Recorded(
            file: "invalid-401", status: 401, type: "authentication_error",
            session: "69320cbd-d632-436a-8fa7-d07f8d8b261c", directory: "/workspace/gt/project",
            time: "2026-11-22T10:04:30.233Z", begins: "Failed to authenticate. API Error: 401 ",
            holds: "appears to be invalid"),
        Recorded(
            file: "membership-402", status: 402, type: "invalid_request_error",
            session: "0a2d4982-8c35-4bbc-9799-78c44d85dca8", directory: "/workspace/gt/project",
            time: "2026-11-22T10:04:31.176Z", begins: "API Error: 402 ", holds: "membership benefits"),
        Recorded(
            file: "throttled-429", status: 429, type: "rate_limit_error",
            session: "f8e79b2a-56a4-4bbc-b72f-fd92d44b135a", directory: "/workspace/gt/project",
            time: "2026-11-22T10:04:27.821Z", begins: "API Error: Request rejected (429) · ",
            holds: "too many requests"),
    ]

    @Test(arguments: all) func theFinalRowIsOneFailureWithAllThatItTells(_ wanted: Recorded) throws {
        let failures = try Rows.failures(wanted.file)
        #expect(failures.count == 1, "retries are not final")
        let failure = try #require(failures.first)
        #expect(failure.status == wanted.status)
        #expect(failure.errorType == wanted.type)
        #expect(failure.session == ConversationID(wanted.session))
        #expect(failure.directory == wanted.directory)
        #expect(failure.time == Timestamp(rfc3339: wanted.time))
        #expect(failure.text.hasPrefix(wanted.begins))
        #expect(failure.text.contains(wanted.holds))
        #expect(!failure.isSidechain)
        #expect(ConversationID(failure.uuid) != nil)
    }

    @Test func aTurnThatSucceedsBeginsAndEnds() throws {
        let rows = try Rows.read("ok")
        let session = ConversationID("b4aaf752-3962-48ae-85a1-84fa1a8df859")
        #expect(rows.count == 2)
        #expect(rows.first == .turnBegan(session: session, time: Timestamp(rfc3339: "2026-11-22T10:04:23.765Z")))
        guard case .turnEnded(session, _) = try #require(rows.last) else {
            Issue.record("not ended: \(rows)")
            return
        }
    }

    @Test func aResumedConversationGoesOnBehindItsFailure() throws {
        let kinds = try Rows.read("quota-403-interactive-then-resumed").map { row in
            switch row {
            case .failure: "failure"
            case .turnBegan: "began"
            case .turnEnded: "ended"
            }
        }
        #expect(kinds == ["began", "failure", "began", "ended", "ended"])
    }

    @Test func noPieceOfARowIsAFailure() throws {
        for line in try Rows.lines("quota-403") + Rows.lines("invalid-401") {
            for length in stride(from: 0, to: line.count, by: 7) { #expect(TranscriptRow.read(line[..<length]) == nil) }
        }
    }
}

@Suite struct TranscriptRowTests {
    @Test(arguments: [
        #"{"type":"assistant","message":{"content":[{"type":"text","text":"API Error: 429, isApiErrorMessage"}]}}"#,
        #"{"type":"assistant","isApiErrorMessage":false,"apiErrorStatus":429,"message":{"content":[{"text":"429"}]}}"#,
        #"{"type":"assistant","isApiErrorMessage":"true","message":{"content":[{"text":"API Error: 429"}]}}"#,
        #"{"type":"assistant","message":{"isApiErrorMessage":true,"content":[{"text":"API Error: 429"}]}}"#,
        #"{"type":"system","isApiErrorMessage":true,"subtype":"api_error","error":{"status":429}}"#,
        #"{"type":"tool","isApiErrorMessage":true,"message":{"content":"429 too many requests"}}"#,
        #"{"isApiErrorMessage":true,"message":{"content":"429"}}"#,
        #"{"type":"assistant","isApiErrorMessage":true}"#,
        #"{"type":"assistant","isApiErrorMessage":true,"message":{"content":[]}}"#,
        #"["isApiErrorMessage"]"#, "isApiErrorMessage", "", "429 quota exceeded", "{",
        #"{"type":"summary","summary":"isApiErrorMessage 429 \"user\""}"#,
    ])
    func talkIsNoFailure(_ line: String) {
        #expect(TranscriptRow.read(bytes(line)) == nil)
    }

    @Test func aUsersTalkOfFailuresIsATurn() {
        let line = #"{"type":"user","message":{"content":"what is \"isApiErrorMessage\":true, API Error: 429?"}}"#
        #expect(TranscriptRow.read(bytes(line)) == .turnBegan(session: nil, time: nil))
    }

    @Test(arguments: [
        #"{"type":"user","isSidechain":true}"#, #"{"type":"user","isMeta":true}"#,
        #"{"type":"assistant","isSidechain":true,"message":{"stop_reason":"end_turn"}}"#,
        #"{"type":"assistant","message":{"stop_reason":"tool_use","note":"end_turn"}}"#,
    ])
    func rowsOfSubagentsAndToolsSayNothingOfTheTurn(_ line: String) {
        #expect(TranscriptRow.read(bytes(line)) == nil)
    }

    @Test(
        arguments: [
            ("API Error: 403 {\"error\":{}}", 403), ("API Error (429 {\"error\":{}}) · Retrying", 429),
            ("API Error: Request rejected (429) · words", 429), ("API Error: Rate limit reached", nil),
            ("API Error: 999 words", nil), ("API Error: 40", nil),
        ] as [(String, Int?)])
    func anOlderClientsStatusIsReadFromItsText(_ text: String, _ status: Int?) throws {
        let row: JSONValue = [
            "type": "assistant", "isApiErrorMessage": true,
            "message": ["content": [["type": "text", "text": .string(text)]]],
        ]
        guard case .failure(let failure) = TranscriptRow.read(row.encoded()) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.status == status)
        #expect(failure.text == text)
        #expect(failure.session == nil)
    }

    @Test func aRowWithoutAnythingOptionalIsStillAFailure() {
        let line = #"{"type":"assistant","isApiErrorMessage":true,"message":{"content":"Rate limit reached"}}"#
        guard case .failure(let failure) = TranscriptRow.read(bytes(line)) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.text == "Rate limit reached")
        #expect(failure.directory == nil && failure.time == nil && failure.status == nil)
        #expect(!failure.uuid.isEmpty)
    }

    @Test func fieldsOfAnotherKindAreTakenForAbsent() {
        let line = #"""
            {"type":"assistant","isApiErrorMessage":true,"uuid":7,"sessionId":["x"],"cwd":{},"timestamp":1,
             "apiErrorStatus":"429","apiErrorType":1,"isSidechain":"no","message":{"content":[7,{"text":1},{"text":"t"}]}}
            """#
        guard case .failure(let failure) = TranscriptRow.read(bytes(line)) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.text == "t")
        #expect(failure.session == nil && failure.directory == nil && failure.status == nil && !failure.isSidechain)
    }

    @Test func aLongIdIsCut() {
        let id = String(repeating: "x", count: 100_000)
        let line = #"{"type":"assistant","isApiErrorMessage":true,"uuid":"\#(id)","message":{"content":"t"}}"#
        guard case .failure(let failure) = TranscriptRow.read(bytes(line)) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.uuid.utf8.count == 64)
    }
}
