// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlServer
import JSON
import Testing

@testable import Daemon

@Suite struct ReloadAnswerTests {
    private let answer = ReloadAnswer(generation: 7, sessions: ["hq-mayor", "pr-crew-ada", "pr-crew-max"])

    @Test func whoWaitsIsToldWhoCameBack() throws {
        guard case .value(let value) = answer.reply(["pr-crew-ada": nil, "hq-mayor": nil]) else {
            throw JSONError(message: "not a success", offset: 0, line: 1, column: 1)
        }
        #expect(value["ok"] == true && value["generation"] == 7)
        #expect(value["agents_to_reload"]?.array?.count == 3)
        #expect(value["agents_reloaded"] == ["hq-mayor", "pr-crew-ada"])
        #expect(value["agents_failed"] == [])
    }

    @Test func aFailureIsNoSuccess() throws {
        guard case .valueWithStatus(let value, 503) = answer.reply(["pr-crew-ada": nil, "hq-mayor": "gt: exit 1"])
        else { throw JSONError(message: "not a failure", offset: 0, line: 1, column: 1) }
        #expect(value["ok"] == false && value["generation"] == 7)
        #expect(value["agents_reloaded"] == ["pr-crew-ada"])
        #expect(value["agents_failed"] == [["session": "hq-mayor", "error": "gt: exit 1"]])
        #expect(value["error"]?["message"] == "not started anew: hq-mayor: gt: exit 1")
    }
}
