// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing

@testable import GasTown

@Suite struct BeadsCallTests {
    @Test func theSeedsWordsBecomeThoseOfTheRealTool() {
        #expect(
            BeadsCall.create(title: "task-123", description: "Fix it").arguments
                == ["create", "task-123", "-d", "Fix it", "--json"])
        #expect(BeadsCall.create(title: "t", description: "").arguments == ["create", "t", "--json"])
        #expect(
            BeadsCall.create(title: "t", description: "d", labels: ["a", "b"]).arguments
                == ["create", "t", "-d", "d", "-l", "a,b", "--json"])
        #expect(BeadsCall.list.arguments == ["list", "--json"])
        #expect(BeadsCall.search("parser").arguments == ["search", "parser", "--json"])
        #expect(BeadsCall.show(id: "hq-1").arguments == ["show", "hq-1", "--json"])
        #expect(BeadsCall.close(id: "hq-1", reason: "done").arguments == ["close", "hq-1", "-r", "done", "--json"])
    }

    @Test func aWordThatBeginsWithAHyphenIsNoOption() {
        #expect(
            BeadsCall.create(title: "--force", description: "-x").arguments
                == ["create", "--title=--force", "-d", "-x", "--json"])
        #expect(BeadsCall.search("-v").arguments == ["search", "--query=-v", "--json"])
    }

    @Test func aTextThatIsTooLongForAnArgumentGoesThroughStandardInput() {
        let long = String(repeating: "ä", count: 60_000)
        let call = BeadsCall.create(title: "t", description: long)
        #expect(call.arguments == ["create", "t", "--stdin", "--json"])
        #expect(call.input == Array(long.utf8))
        #expect(BeadsCall.create(title: "t", description: "short").input.isEmpty)
    }

    @Test func itsVariablesReplaceWhatWasInherited() {
        let environment = BeadsCall.environment(
            ["PATH=/bin", "BEADS_DIR=/elsewhere", "BEADS_DOLT_SERVER_PORT=1"], root: "/t", port: 3308)
        #expect(environment.filter { $0.hasPrefix("BEADS_DIR=") } == ["BEADS_DIR=/t/.beads"])
        #expect(environment.filter { $0.hasPrefix("BEADS_DOLT_SERVER_PORT=") } == ["BEADS_DOLT_SERVER_PORT=3308"])
        #expect(environment.contains("BD_JSON_ENVELOPE=1") && environment.contains("PATH=/bin"))
        #expect(environment.contains("BEADS_DOLT_AUTO_START=0"))
        #expect(!BeadsCall.environment([], root: "/t", port: nil).contains { $0.hasPrefix("BEADS_DOLT_PORT") })
    }

    @Test(arguments: ["", "-1", "--force", "a b", "a\n", "ä", "../x", String(repeating: "a", count: 200)])
    func whatCannotBeAnIDNeverBecomesAnArgument(_ text: String) { #expect(!Bead.isID(text)) }

    @Test(arguments: ["hq-a1b2c", "gt-1.2", "x_1"]) func idsAreKnown(_ text: String) { #expect(Bead.isID(text)) }
}

@Suite struct BeadsAnswerTests {
    private func read(_ output: String, _ errors: String = "", isSuccess: Bool = true) throws(BeadsError) -> JSONValue {
        try BeadsAnswer.data(
            isSuccess: isSuccess, status: "exit 1", output: Array(output.utf8), errors: Array(errors.utf8))
    }

    @Test func bothFormsOfAnAnswerAreRead() throws {
        #expect(try read(#"{"schema_version":1,"data":[{"id":"a"}]}"#) == [["id": "a"]])
        #expect(try read(#"[{"id":"a"}]"#) == [["id": "a"]])
        #expect(try read(#"{"schema_version":1,"id":"a"}"#)["id"]?.string == "a")
        #expect(try read("null").isNull)
        #expect(try read("Warning: stale\n[]\n") == [])
    }

    @Test(arguments: [
        (#"{"error":"no issue found"}"#, "", false, "no issue found"),
        ("", #"{"error":"database is locked"}"#, false, "database is locked"),
        ("", "Error: title required\nUsage:", false, "title required"),
        ("", "", false, "exit 1"),
        ("", "", true, "it printed nothing"),
        ("No issues found.", "", true, "it printed no JSON: No issues found."),
        (#"{"error":"locked"}"#, "", true, "locked"),
        ("{\"schema_version\": 1, \"da", "", true, "it printed no JSON: {\"schema_version\": 1, \"da"),
        ("42", "", true, "it printed no JSON: 42"),
        (#"{"schema_version":1,"error":{"message":"m"}}"#, "", false, "m"),
    ])
    func anErrorIsFoundWhereverItIsTold(_ output: String, _ errors: String, _ isSuccess: Bool, _ told: String) {
        #expect(throws: BeadsError(told)) { try read(output, errors, isSuccess: isSuccess) }
    }

    @Test func aNameIsLookedUpAndMustBeOne() throws {
        func bead(_ id: String, _ title: String, _ status: String = "open") throws -> Bead {
            try #require(Bead(["id": .string(id), "title": .string(title), "status": .string(status)]))
        }
        let beads = [try bead("a", "x"), try bead("b", "y"), try bead("c", "y"), try bead("d", "z", "closed")]
        #expect(try BeadsAnswer.open("x", in: beads).id == "a")
        #expect(throws: BeadsError("2 open beads have that name: b, c")) { try BeadsAnswer.open("y", in: beads) }
        for name in ["z", "X", "", "xx"] {
            #expect(throws: BeadsError("no open bead has that name")) { try BeadsAnswer.open(name, in: beads) }
        }
    }
}
