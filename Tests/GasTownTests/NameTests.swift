// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import Secrets
import SystemPackage
import Testing

@testable import GasTown

@Suite struct ProjectSlugTests {
    @Test(arguments: [
        ("/workspace/gt/mayor", "-workspace-gt-mayor"), ("/a b/c.d_e", "-a-b-c-d-e"), ("/", "-"), ("/ä/ß", "----"),
        // The client counts in UTF-16: two dashes for a character beyond the basic plane.
        ("/x😀y", "-x--y"), ("/日本", "---"), ("/e\u{301}", "-e-"), ("/A1z9", "-A1z9"),
    ])
    func everyCharacterButLettersAndDigitsIsADash(_ directory: String, _ slug: String) {
        #expect(ProjectSlug(directory: directory) == .exact(slug))
        #expect(ProjectSlug(directory: directory).matches(slug))
        #expect(!ProjectSlug(directory: directory).matches(slug + "x"))
    }

    @Test func alongNameIsKnownByItsBeginning() {
        let exactly = "/" + String(repeating: "a", count: 199)
        #expect(ProjectSlug(directory: exactly) == .exact("-" + String(repeating: "a", count: 199)))
        let longer = ProjectSlug(directory: exactly + "bcd")
        let stem = "-" + String(repeating: "a", count: 199)
        #expect(longer == .prefix(stem + "-"))
        #expect(longer.matches(stem + "-1x2y3z"))
        #expect(!longer.matches(stem))
        #expect(!longer.matches(stem + "bcd"))
    }
}

@Suite struct ConversationIDTests {
    private static let text = "71625c97-55e3-4e3f-b203-be78b093110a"

    @Test func aUUIDIsTaken() {
        #expect(ConversationID(Self.text)?.text == Self.text)
        #expect(ConversationID(Self.text.uppercased()) != nil)
        #expect(ConversationID(transcript: bytes(Self.text + ".jsonl"))?.text == Self.text)
    }

    @Test(arguments: [
        "", "--dangerously-skip-permissions-------", "71625c97-55e3-4e3f-b203-be78b093110",
        "71625c97-55e3-4e3f-b203-be78b093110ab",
        "71625c97_55e3_4e3f_b203_be78b093110a", "../../../../etc/passwd/aaaaaaaaaaaaa",
        "71625c97-55e3-4e3f-b203-be78b09311 a",
        "71625c97-55e3-4e3f-b203-be78b09311\u{0}a", "g1625c97-55e3-4e3f-b203-be78b093110a",
        "７1625c97-55e3-4e3f-b203-be78b0931",
        "71625c97-55e3-4e3f-b203-be78b093110a\n", "$(reboot)-55e3-4e3f-b203-be78b093110a",
    ])
    func nothingElseIs(_ hostile: String) {
        #expect(ConversationID(hostile) == nil)
        #expect(ConversationID(transcript: bytes(hostile + ".jsonl")) == nil)
    }

    @Test(arguments: [
        "agent-71625c97-55e3-4e3f-b203-be78b093110a.jsonl", "71625c97-55e3-4e3f-b203-be78b093110a", ".jsonl",
    ])
    func otherFilesAreNoTranscripts(_ name: String) {
        #expect(ConversationID(transcript: bytes(name)) == nil)
    }

    @Test func bytesThatAreNoTextAreNone() {
        #expect(ConversationID(transcript: [UInt8](repeating: 0xFF, count: 36) + bytes(".jsonl")) == nil)
    }
}

@Suite struct SessionFileTests {
    private static let text = "71625c97-55e3-4e3f-b203-be78b093110a"

    private func read(_ text: String, name: String = "42.json") -> SessionFile? {
        SessionFile.read(bytes(text), name: bytes(name))
    }

    @Test func aClientsFileTellsItsConversationAndWhetherItWorks() throws {
        let file = try #require(read(#"{"pid":42,"sessionId":"\#(Self.text)","cwd":"/w","status":"busy","new":1}"#))
        #expect(file.pid == 42)
        #expect(file.conversation?.text == Self.text)
        #expect(file.directory == "/w")
        #expect(file.isBusy == true)
        #expect(read(#"{"status":"idle"}"#)?.isBusy == false)
        #expect(read(#"{"state":"waiting"}"#)?.isBusy == false)
        #expect(read(#"{"status":"pondering"}"#)?.isBusy == nil)
    }

    @Test func allButTheNameIsOptional() throws {
        let file = try #require(read("{}"))
        #expect(file == SessionFile(pid: 42, conversation: nil, directory: nil, isBusy: nil))
        #expect(read(#"{"sessionId":"../../x","cwd":7,"status":[]}"#)?.conversation == nil)
    }

    @Test(arguments: ["", "{", "[]", "7", #"{"pid":43}"#])
    func whatIsNotUnderstoodIsNothing(_ text: String) { #expect(read(text) == nil) }

    @Test(arguments: [
        "x.json", ".json", "42", "42.json.tmp", "-42.json", "0.json", "+42.json", "99999999999.json", "4 2.json",
    ])
    func onlyAProcessNumberIsAName(_ name: String) { #expect(read("{}", name: name) == nil) }
}

@Suite struct AgentIdentityTests {
    @Test(
        arguments: [
            ("mayor", nil, "hq-mayor", .mayor, nil), ("deacon", nil, "hq-deacon", .deacon, nil),
            ("deacon/boot", nil, "hq-boot", .boot, nil), ("boot", nil, "hq-boot", .boot, nil),
            ("dog", nil, "hq-dog-alpha", .dog, nil), ("deacon/dogs/alpha", nil, "hq-dog-alpha", .dog, nil),
            ("project/witness", "project", "pr-witness", .witness, "project"),
            ("project/refinery", nil, "pr-refinery", .refinery, "project"),
            ("project/crew/max", nil, "pr-crew-max", .crew, "project"),
            ("project/polecats/nux", "project", "pr-nux", .polecat, "project"),
            ("polecat", "project", "pr-nux", .polecat, "project"),
            // Names that are roles elsewhere.
            ("project/crew/dog", nil, "pr-crew-dog", .crew, "project"),
            ("dog/polecats/mayor", nil, "do-mayor", .polecat, "dog"),
            ("coordinator", nil, "x", .mayor, nil), ("health-check", nil, "x", .deacon, nil),
            // Without a role the session's name tells.
            (nil, nil, "hq-mayor", .mayor, nil), (nil, nil, "hq-overseer", .overseer, nil),
            (nil, nil, "hq-dog-1", .dog, nil), (nil, "", "pr-witness", .witness, nil),
            (nil, nil, "pr-crew-max", .crew, nil),
            (nil, nil, "pr-nux", .other, nil), (nil, nil, "pid-7", .other, nil), ("", nil, "", .other, nil),
            ("///", nil, "-", .other, nil), ("emperor", nil, "x", .other, nil), ("other", nil, "hq-mayor", .mayor, nil),
        ] as [(String?, String?, String, AgentRole, String?)])
    func anAgentIsWhatGtSaysItIs(
        _ role: String?, _ rig: String?, _ session: String, _ wanted: AgentRole, _ inRig: String?
    ) {
        let identity = AgentIdentity(role: role, rig: rig, session: session)
        #expect(identity.role == wanted)
        #expect(identity.rig == inRig)
    }

    @Test(
        arguments: [
            ("project/crew/max", "pr-crew-max", "max"), ("project/crew/a-b", "pr-crew-a-b", "a-b"),
            (nil, "pr-crew-a-b", "a-b"), ("crew", "pr-crew-max", "max"), ("project/polecats/nux", "x", "nux"),
            ("polecat", "pr-nux", "nux"), ("dog/alpha", "hq-dog-alpha", "alpha"), (nil, "hq-dog-alpha", "alpha"),
            ("mayor", "hq-mayor", nil), ("project/witness", "pr-witness", nil),
        ] as [(String?, String, String?)])
    func aWorkerHasAName(_ role: String?, _ session: String, _ name: String?) {
        #expect(AgentIdentity(role: role, rig: nil, session: session).name == name)
    }

    @Test func aNameIsNoPathAndNoOption() {
        for name in ["max", "a-b", "A_1.x", "Zoë"] { #expect(AgentIdentity.isName(name)) }
        for name in ["", "-f", "--all", ".", "..", "a/b", "a b", "a\nb", "a\0"] { #expect(!AgentIdentity.isName(name)) }
    }
}

@Suite struct TownSocketTests {
    @Test func theSocketIsNamedAfterTheTown() {
        let path = TownSocket.path(root: FilePath("/no/such/town"), userID: 1000)
        #expect(path == "/tmp/tmux-1000/town-\(SHA256.hex(bytes("/no/such/town")).prefix(6))")
    }
}
