// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// The rows that a real Claude Code wrote.
private func recorded(_ name: String) throws -> [JSONValue] {
    let tests = directoryName(directoryName(#filePath))
    let rows = try jsonLines("\(tests)/GasTownTests/Rows/\(name).jsonl")
    try #require(!rows.isEmpty)
    return rows
}

/// Every member's path in a row, so that two rows can be compared by their form.
private func form(_ value: JSONValue, at path: String = "") -> Set<String> {
    switch value {
    case .object(let object):
        object.members.reduce(into: [path]) { $0.formUnion(form($1.value, at: "\(path).\($1.name)")) }
    case .array(let elements): elements.reduce(into: [path + "[]"]) { $0.formUnion(form($1, at: path + "[]")) }
    default: [path]
    }
}

private func text(_ row: JSONValue) -> String? { row["message"]?["content"]?.array?.first?["text"]?.string }

@Suite struct ClaudeTests {
    @Test(arguments: [
        ("ok", "ok"), ("quota-5h-403", "quota-403"), ("throttled-429", "throttled-429"),
        ("invalid-401", "invalid-401"), ("membership-402", "membership-402"),
    ])
    func aHeadlessTranscriptHasTheRecordedForm(fault: String, recording: String) throws {
        let test = try TestTown()
        try test.prepareClaude()
        try test.fault(fault, on: test.key)
        let result = try test.run("claude", ["-p", "say hi"])
        #expect(result.status == .exited(fault == "ok" ? 0 : 1))
        let rows = try test.rows(of: test.town.directory)
        let expected = try recorded(recording)
        #expect(rows.count == expected.count)
        for (row, old) in zip(rows, expected) {
            #expect(form(row) == form(old))
            for name in [
                "type", "subtype", "error", "isApiErrorMessage", "apiErrorStatus", "apiErrorType", "entrypoint",
            ] { #expect(row[name] == old[name], "\(name)") }
        }
        if fault != "ok" {
            #expect(rows.last.flatMap(text) == expected.last.flatMap(text))
            #expect(String(decoding: result.output, as: UTF8.self).contains(text(try #require(expected.last)) ?? "?"))
        }
    }

    @Test func aConversationGoesOnUnderItsIDWithAnotherKey() throws {
        let test = try TestTown()
        try test.install()
        let folder = test.town.root + "/mayor"
        try test.prepareClaude(trusting: [folder])
        try test.fault("quota-5h-403", on: test.key)
        try test.startInteractive(["say hi"], session: "one", in: folder)
        try eventually("the error row", any: { try test.rows(of: folder).count == 2 })
        try eventually("it waits for its user", any: { try test.tmux().screen(of: "one").contains("API Error: 403") })
        let id = try #require(try test.rows(of: folder).first?["sessionId"]?.string)
        try test.startInteractive(
            ["--resume", id, "go on with your work"], session: "two", in: folder, ["ANTHROPIC_API_KEY": test.otherKey])
        try eventually("two turns", any: { try test.rows(of: folder).count >= 7 })
        let rows = try test.rows(of: folder)
        for (row, old) in zip(rows, try recorded("quota-403-interactive-then-resumed")) {
            #expect(form(row) == form(old))
            #expect(row["type"] == old["type"] && row["isApiErrorMessage"] == old["isApiErrorMessage"])
            #expect(row["sessionId"]?.string == id)
        }
        let answered = try test.requests.filter { $0["result"]?.string == "ok" }
        #expect(answered.first?["turn"]?.integer == 1)
        #expect(answered.dropFirst().first?["turn"]?.integer == 2)
        #expect(answered.allSatisfy { $0["key"]?.string == keyIdentifier(test.otherKey) })
        let log = try #require(try Disk.text(test.town.home + "/requests.jsonl"))
        #expect(!log.contains(test.key.suffix(20)) && !log.contains(test.otherKey.suffix(20)))
    }

    @Test func enterInTheTrustQuestionEndsTheClient() throws {
        let test = try TestTown()
        try test.install()
        try test.prepareClaude()
        let folder = test.town.root + "/deacon"
        try test.startInteractive(["hi"], session: "one", in: folder)
        try eventually("the question", any: { try test.tmux().screen(of: "one").contains("one you trust?") })
        try test.tmux().run("send-keys", "-t", "=one:", "Enter")
        try eventually("its end", any: { try test.tmux().pane(of: "one")?.isDead == true })
        #expect(try test.requests.isEmpty)
        try test.startInteractive(["hi"], session: "two", in: folder)
        try eventually("the question", any: { try test.tmux().screen(of: "two").contains("one you trust?") })
        try test.tmux().run("send-keys", "-t", "=two:", "1", "Enter")
        try eventually("it works", any: { try !test.requests.isEmpty })
        #expect(try test.claudeState["projects"]?[folder]?["hasTrustDialogAccepted"]?.bool == true)
    }

    @Test func aKeyThatWasNeverApprovedIsAskedAbout() throws {
        let test = try TestTown()
        try test.install()
        let folder = test.town.root + "/mayor"
        try test.prepareClaude(trusting: [folder])
        try test.startInteractive(["hi"], session: "one", in: folder, ["ANTHROPIC_API_KEY": MiniatureTown.newKey()])
        try eventually("the question", any: { try test.tmux().screen(of: "one").contains("use this API key?") })
        #expect(try test.requests.isEmpty)
        // What is preselected declines it, and a declined key is ignored.
        try test.tmux().run("send-keys", "-t", "=one:", "Enter")
        try eventually("not logged in", any: { try test.tmux().screen(of: "one").contains("Not logged in") })
        #expect(try test.requests.isEmpty)
    }

    @Test func withoutBypassItStopsAtItsFirstToolCall() throws {
        let test = try TestTown()
        try test.install()
        let folder = test.town.root + "/mayor"
        try test.prepareClaude(trusting: [folder], bypass: false)
        try test.startInteractive(["hi"], session: "one", in: folder)
        try eventually("the question", any: { try test.tmux().screen(of: "one").contains("Do you want to proceed?") })
        #expect(try test.rows(of: folder).count == 1)
        try test.tmux().run("send-keys", "-t", "=one:", "Enter")
        try eventually(
            "the turn's end", any: { try test.rows(of: folder).contains { $0["type"]?.string == "assistant" } })
    }

    @Test func aRunningClientSaysWhatItDoesAndTidiesUp() throws {
        let test = try TestTown()
        try test.install()
        let folder = test.town.root + "/mayor"
        try test.prepareClaude(trusting: [folder])
        try test.startInteractive(["hi"], session: "one", in: folder)
        try eventually("a turn", any: { try test.rows(of: folder).count >= 3 })
        let pid = try #require(try test.tmux().pane(of: "one")?.pid)
        let path = "\(test.town.configDirectory)/sessions/\(pid).json"
        let session = try #require(try Disk.json(path))
        #expect(session["pid"]?.integer == Int(pid) && session["cwd"]?.string == folder)
        #expect(["busy", "idle"].contains(session["status"]?.string))
        #expect(session["sessionId"] == (try test.rows(of: folder).first?["sessionId"]))
        #expect(Program.end(pid, 15, within: .seconds(20)))
        #expect(!Disk.exists(path))
        #expect(try test.claudeState["ofSomebodyElse"] == .number("12345678901234567890"))
        #expect(try test.claudeState["numStartups"]?.integer == 1)
    }

    @Test func onlyTheFirstPositionalIsThePrompt() throws {
        let test = try TestTown()
        try test.prepareClaude()
        try test.run("claude", ["-p", "first", "[GAS TOWN] mayor <- human • now • start"])
        #expect(try test.rows(of: test.town.directory).first?["message"]?["content"] == "first")
        let options = try Claude.parse(["--resume", "x", "--settings", "{}", "a", "--model", "m", "b"])
        #expect(options.prompt == "a" && options.resumes == "x" && options.model == "m")
    }

    @Test func anUnknownConversationIsExit1() throws {
        let test = try TestTown()
        try test.prepareClaude()
        let result = try test.run("claude", ["--resume", "8b0f7a34-5a4e-4c5e-9a39-3a8e5a4e1c11", "-p", "hi"])
        #expect(result.status == .exited(1))
        #expect(shownText(result.errors).contains("No conversation found"))
        #expect(try test.requests.isEmpty)
    }

    @Test(.enabled(if: CurrentProcess.userID == 0), arguments: [true, false])
    func rootIsRefusedBypassOutsideOfASandbox(byFlag: Bool) throws {
        let test = try TestTown()
        try test.prepareClaude(bypass: !byFlag)
        let arguments = ["-p", "hi"] + (byFlag ? ["--dangerously-skip-permissions"] : [])
        #expect(try test.run("claude", arguments, ["IS_SANDBOX": ""]).status == .exited(1))
        #expect(try test.run("claude", arguments).status == .exited(0))
    }

    @Test func toolsRunBehindThePrefixWithTheClientsOwnEnvironment() throws {
        let test = try TestTown()
        try test.prepareClaude()
        let out = test.town.directory + "/out"
        try Disk.replace(
            test.town.directory + "/prefix",
            Array("#!/bin/sh\necho \"$#:$1\" > \(out)\necho \"$ANTHROPIC_API_KEY\" >> \(out)\n".utf8), mode: 0o700)
        try Disk.replace(test.town.home + "/tool", Array("echo it's \"me\"\n".utf8))
        try test.run("claude", ["-p", "hi"], ["CLAUDE_CODE_SHELL_PREFIX": test.town.directory + "/prefix"])
        #expect(try Disk.text(out) == "1:echo it's \"me\"\n\(test.key)\n")
    }

    @Test func aProjectRedirectsTheEndpointUnlessTheCommandLinePinsIt() throws {
        let test = try TestTown()
        try test.prepareClaude()
        try Disk.makeDirectories(test.town.directory + "/.claude")
        try Disk.replace(
            test.town.directory + "/.claude/settings.json",
            ["env": ["ANTHROPIC_BASE_URL": "http://elsewhere"]] as JSONObject)
        let changes = ["ANTHROPIC_BASE_URL": "http://ours"]
        try test.run("claude", ["-p", "hi"], changes)
        try test.run(
            "claude", ["-p", "hi", "--settings", "{\"env\":{\"ANTHROPIC_BASE_URL\":\"http://pinned\"}}"], changes)
        #expect(try test.requests.map { $0["base_url"]?.string } == ["http://elsewhere", "http://pinned"])
    }

    @Test func theOldBypassAnswerIsMovedIntoTheSettings() throws {
        let test = try TestTown()
        try Disk.replace(
            test.town.configDirectory + "/.claude.json",
            ["bypassPermissionsModeAccepted": true, "other": 1] as JSONObject)
        try test.run("claude", ["-p", "hi"])
        #expect(try test.claudeState == ["other": 1])
        let settings = try Disk.json(test.town.configDirectory + "/settings.json")
        #expect(settings?["skipDangerousModePermissionPrompt"]?.bool == true)
    }

    @Test func aSlugReplacesAllButLettersAndDigits() {
        #expect(Transcript.slug(of: "/workspace/gt/my.rig_2/ü") == "-workspace-gt-my-rig-2--")
    }
}
