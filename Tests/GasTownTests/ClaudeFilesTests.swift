// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing

@testable import GasTown

@Suite struct ClaudeFilesTests {
    private let approvals = ["aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb"]

    private func state(_ old: String?, approvals: [String]? = nil, trusted: [String] = ["/w"]) throws -> JSONValue? {
        try ClaudeFiles.state(old.map(bytes), approvals: approvals ?? self.approvals, trusted: trusted)
            .map { try JSONValue(parsing: $0) }
    }

    @Test func aMissingFileIsMadeWithAllThatIsNeeded() throws {
        let value = try #require(try state(nil))
        #expect(value["hasCompletedOnboarding"] == true)
        #expect(value["resumeReturnDismissed"] == true)
        #expect(value["customApiKeyResponses"]?["approved"] == .array(approvals.map(JSONValue.string)))
        #expect(value["projects"]?["/w"]?["hasTrustDialogAccepted"] == true)
        #expect(try state("") == value)
        #expect(try state("{}") == value)
    }

    @Test func whatIsThereStaysInItsOrder() throws {
        let old = #"""
            {"zeta":12345678901234567890,"projects":{"/other":{"hasTrustDialogAccepted":false,"cost":0.10},"/w":{"tools":[]}},
             "customApiKeyResponses":{"more":1,"rejected":["x","aaaaaaaaaaaaaaaaaaaa"],"approved":["cccccccccccccccccccc"]},
             "alpha":null,"hasCompletedOnboarding":false}
            """#
        let value = try #require(try state(old))
        #expect(
            value.object?.names == [
                "zeta", "projects", "customApiKeyResponses", "alpha", "hasCompletedOnboarding", "resumeReturnDismissed",
            ])
        #expect(value["zeta"] == .number("12345678901234567890"))
        #expect(value["projects"]?["/other"]?["cost"] == .number("0.10"))
        #expect(value["projects"]?["/other"]?["hasTrustDialogAccepted"] == false, "not our folder")
        #expect(value["projects"]?["/w"] == ["tools": [], "hasTrustDialogAccepted": true])
        #expect(value["customApiKeyResponses"]?["more"] == 1)
        #expect(value["customApiKeyResponses"]?["rejected"] == ["x"], "a key of the pool is not rejected")
        #expect(
            value["customApiKeyResponses"]?["approved"]
                == .array((["cccccccccccccccccccc"] + approvals).map(JSONValue.string)))
    }

    @Test func aSecondTimeThereIsNothingToDo() throws {
        for old in [nil, "{}", #"{"a":1,"projects":{"/x":{}}}"#] as [String?] {
            let once = try #require(
                try ClaudeFiles.state(old.map(bytes), approvals: approvals, trusted: ["/w", "/x y/ü"]))
            #expect(try ClaudeFiles.state(once, approvals: approvals, trusted: ["/x y/ü", "/w"]) == nil)
            let settings = try #require(try ClaudeFiles.settings(old.map(bytes), bypassesPermissions: true))
            #expect(try ClaudeFiles.settings(settings, bypassesPermissions: true) == nil)
        }
    }

    @Test func anApprovalThatGotLostIsPutBack() throws {
        let once = try #require(try ClaudeFiles.state(nil, approvals: approvals, trusted: []))
        let text = String(decoding: once, as: UTF8.self).replacing("\"aaaaaaaaaaaaaaaaaaaa\",", with: "")
        #expect(try state(text, trusted: [])?["customApiKeyResponses"]?["approved"]?.array?.count == 2)
    }

    @Test func fieldsOfAnotherKindAreReplaced() throws {
        let value = try #require(
            try state(#"{"customApiKeyResponses":7,"projects":[1],"hasCompletedOnboarding":"x"}"#))
        #expect(value["projects"]?["/w"]?["hasTrustDialogAccepted"] == true)
        #expect(value["customApiKeyResponses"]?["approved"]?.array?.count == 2)
    }

    @Test(arguments: ["[]", "7", "{", "\"x\"", "{}{}", "null"])
    func aFileThatIsNoObjectIsNeverOverwritten(_ old: String) {
        #expect(throws: JSONError.self) { try state(old) }
        #expect(throws: JSONError.self) { try ClaudeFiles.settings(bytes(old), bypassesPermissions: true) }
    }

    @Test func anUnattendedAgentStopsAtNoQuestion() throws {
        let old = #"{"model":"x","permissions":{"allow":["Bash"],"defaultMode":"plan"},"hooks":{}}"#
        let new = try #require(try ClaudeFiles.settings(bytes(old), bypassesPermissions: true))
        let value = try JSONValue(parsing: new)
        #expect(value.object?.names == ["model", "permissions", "hooks", "skipDangerousModePermissionPrompt"])
        #expect(value["skipDangerousModePermissionPrompt"] == true)
        #expect(
            value["permissions"]
                == ["allow": ["Bash"], "defaultMode": "bypassPermissions", "disableAutoMode": "disable"])
    }

    @Test func withPermissionsToAskNothingIsChanged() throws {
        #expect(
            try ClaudeFiles.settings(bytes(#"{"permissions":{"defaultMode":"plan"}}"#), bypassesPermissions: false)
                == nil)
    }
}

@Suite struct ClaudeSettingsTests {
    @Test(arguments: [
        (#"{"env":{"ANTHROPIC_BASE_URL":"https://evil"}}"#, ["env.ANTHROPIC_BASE_URL"]),
        (
            #"{"env":{"ANTHROPIC_API_KEY":"x","ANTHROPIC_AUTH_TOKEN":"y"}}"#,
            ["env.ANTHROPIC_API_KEY", "env.ANTHROPIC_AUTH_TOKEN"]
        ),
        (#"{"env":{"ANTHROPIC_CUSTOM_HEADERS":"x"}}"#, ["env.ANTHROPIC_CUSTOM_HEADERS"]),
        (#"{"env":{"CLAUDE_CODE_SHELL_PREFIX":"x"}}"#, ["env.CLAUDE_CODE_SHELL_PREFIX"]),
        (#"{"env":{"CLAUDE_CONFIG_DIR":"x"}}"#, ["env.CLAUDE_CONFIG_DIR"]),
        (#"{"apiKeyHelper":"/bin/x"}"#, ["apiKeyHelper"]),
        (#"{"apiKeyHelper":7,"env":{"ANTHROPIC_BASE_URL":7}}"#, ["env.ANTHROPIC_BASE_URL", "apiKeyHelper"]),
        (#"{"env":{"A":1,"A":2,"ANTHROPIC_BASE_URL":null}}"#, []), (#"{"apiKeyHelper":null}"#, []),
        (#"{"env":[],"permissions":{}}"#, []), ("[]", []), ("7", []), ("{}", []),
        (#"{"note":"ANTHROPIC_BASE_URL","other":{"apiKeyHelper":"x"}}"#, []),
    ])
    func whatCouldTakeTheKeyElsewhereIsNamed(_ text: String, _ names: [String]) throws {
        #expect(ClaudeSettings.unsafeNames(in: try JSONValue(parsing: text)) == names)
    }

    @Test func theEndpointIsPinnedAndTheRestOfTheCallersSettingsKept() throws {
        let base = try JSONValue(
            parsing: #"{"hooks":{"x":[]},"env":{"A":"1","ANTHROPIC_BASE_URL":"https://evil"},"z":1.0}"#)
        let pinned = ClaudeSettings.pinned(base: base, baseURL: "https://good/")
        #expect(pinned.line == #"{"hooks":{"x":[]},"env":{"A":"1","ANTHROPIC_BASE_URL":"https://good/"},"z":1.0}"#)
        #expect(ClaudeSettings.pinned(base: nil, baseURL: "b").line == #"{"env":{"ANTHROPIC_BASE_URL":"b"}}"#)
        #expect(ClaudeSettings.pinned(base: [], baseURL: "b").line == #"{"env":{"ANTHROPIC_BASE_URL":"b"}}"#)
    }
}

@Suite struct TownSettingsTests {
    private let command = "/usr/lib/gasclawd/bin/claude --verbose"
    private let set = ["config", "agent", "set", "kimi-claude", "/usr/lib/gasclawd/bin/claude --verbose"]
    private let choose = ["config", "default-agent", "kimi-claude"]

    private func registration(_ text: String?) throws -> [[String]] {
        try TownSettings(text.map(bytes)).registration(name: "kimi-claude", command: command)
    }

    @Test func aNewTownIsToldTheAgentAndThatItIsTheDefault() throws {
        #expect(try registration(nil) == [set, choose])
        #expect(try registration("") == [set, choose])
        #expect(try registration(#"{"type":"town-settings","agents":{}}"#) == [set, choose])
    }

    @Test func onlyWhatIsMissingIsTold() throws {
        let agent = #""kimi-claude":{"command":"/usr/lib/gasclawd/bin/claude","args":["--verbose"],"env":{}}"#
        #expect(try registration(#"{"agents":{\#(agent)},"default_agent":"claude"}"#) == [choose])
        #expect(try registration(#"{"agents":{\#(agent)},"default_agent":"kimi-claude"}"#) == [])
        #expect(
            try registration(
                #"{"agents":{"kimi-claude":{"command":"claude","args":[]}},"default_agent":"kimi-claude"}"#)
                == [set])
        // What somebody added to it stays: gt would replace the whole entry.
        let added =
            #""kimi-claude":{"command":"/usr/lib/gasclawd/bin/claude","args":["--verbose","--model","x"],"env":{"A":"1"}}"#
        #expect(try registration(#"{"agents":{\#(added)},"default_agent":"kimi-claude"}"#) == [])
    }

    @Test func fieldsOfAnotherKindAreTakenForAbsent() throws {
        #expect(try registration(#"{"agents":7,"default_agent":[]}"#) == [set, choose])
        #expect(try registration(#"{"agents":{"kimi-claude":"x"}}"#) == [set, choose])
    }

    @Test func aFileThatIsNoJSONIsAnError() {
        #expect(throws: JSONError.self) { try registration("{") }
    }
}
