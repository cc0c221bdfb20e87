// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import Testing
import Timekeeping

@testable import townsim

/// A key runs out, and agents go on with another.
@Suite(.serialized) struct RotationTests {
    @Test func aQuotaRowMovesTheAgentsOfTheKeyWithTheirConversations() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            let first = try events.next("key.activated")["id"]?.string
            let exhausted = try #require(town.keys.first { $0.id == first })
            let ada = try town.startCrew("ada")
            let grace = try town.startCrew("grace")
            // Somebody else moves to another key first: the third agent starts with it and must not be touched.
            try town.gasclawd("keys", "rotate")
            let second = try events.next("key.activated")["id"]?.string
            try events.next("agent.reload.finished")
            try events.next("agent.reload.finished")
            try town.gasclawd("keys", "rotate")
            try events.next("key.activated")
            for _ in 1...2 { try events.next("agent.reload.finished") }
            let third = try #require(try town.status()?["keys"]?["active"]?.string)
            #expect(Set([first, second, third]).count == 3)
            let holder = try #require(town.keys.first { $0.id == third })
            let before = try [ada, grace].map { agent in
                try town.request("with the third key") { $0.directory == agent.directory && $0.key == third }
            }
            try town.fail(holder, with: "quota-5h-403")
            let sighting = try events.next("sighting") { $0["acted"]?.bool == true }
            #expect(sighting["id"]?.string == third)
            #expect(sighting["cause"]?.string == "quota")
            #expect(sighting["by"]?.string == "transcript")
            #expect(sighting["why"]?.string == "acted")
            let cooled = try events.next("key.cooled")
            #expect(cooled["id"]?.string == third)
            #expect(cooled["cause"]?.string == "quota")
            #expect(cooled["until"]?.string != nil)
            let next = try #require(try events.next("key.activated")["id"]?.string)
            #expect(next == exhausted.id, "the one used longest ago")
            for _ in 1...2 {
                let started = try events.next("agent.reload.started")
                #expect(started["reason"]?.string == "key")
                #expect(started["resumed"]?.bool == true)
                let finished = try events.next("agent.reload.finished")
                #expect(finished["session"] == started["session"], "one at a time")
            }
            for old in before {
                let new = try town.request("of the same conversation with the next key") {
                    $0.conversation == old.conversation && $0.key == next && $0.turn > old.turn && $0.result == "ok"
                }
                #expect(new.directory == old.directory)
                #expect(new.pid != old.pid)
            }
            #expect(try town.status()?["state"]?.string == "ready")
        }
    }

    @Test func onlyTheAgentsOfTheKeyAreStartedAnew() throws {
        try withTown(keys: 2) { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            let ada = try town.startCrew("ada")
            // A key of its own that is taken out of the pool's choice by hand: ada keeps the first, grace gets the second.
            let first = try #require(try town.status()?["keys"]?["active"]?.string)
            let row = try town.request("of ada") { $0.directory == ada.directory && $0.result == "ok" }
            try town.appendFailure(
                of: row, status: 429,
                text: "API Error: Request rejected (429) · too many requests, try again after 600 seconds")
            try events.next("agent.reload.finished")
            let grace = try town.startCrew("grace")
            let second = try #require(try town.status()?["keys"]?["active"]?.string)
            #expect(second != first)
            let pids = try [ada, grace].map { try town.pid(of: $0) }
            // The file of the key that nobody holds changes: nobody is concerned.
            let account = try #require(town.keys.firstIndex { $0.id == first })
            let new = CanaryKey()
            try town.write(new, to: "\(account + 1)")
            try events.next("key.removed") { $0["id"]?.string == first }
            // Now the key that both hold goes.
            #expect(try [ada, grace].map { try town.pid(of: $0) } == pids)
            let other = try #require(town.keys.firstIndex { $0.id == second })
            try town.write(CanaryKey(), to: "\(other + 1)")
            try events.next("agent.reload.finished")
            try events.next("agent.reload.finished")
            #expect(try town.status()?["keys"]?["active"]?.string == new.id)
        }
    }

    @Test func aThrottledKeyRestartsOnlyTheSessionThatFailed() throws {
        try withTown(keys: 2) { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            let ada = try town.startCrew("ada")
            let grace = try town.startCrew("grace")
            let pid = try town.pid(of: grace)
            let row = try town.request("of ada") { $0.directory == ada.directory && $0.result == "ok" }
            try town.appendFailure(of: row, status: 429, text: "API Error: Request rejected (429) · too many requests")
            let finished = try events.next("agent.reload.finished")
            #expect(finished["session"]?.string == ada.session)
            // Something later comes, and grace still runs as before.
            try town.write(CanaryKey(), to: "3")
            try events.next("key.added") { $0["account"]?.string == "3" }
            #expect(try town.pid(of: grace) == pid)
            #expect(try events.seen("agent.reload.started").count == 1)
            let agents = try #require(try town.status()?["agents"]?.array)
            #expect(agents.count == 2)
            #expect(Set(agents.map { $0["key"]?.string }).count == 2)
        }
    }

    @Test func whileAllKeysCoolNobodyIsRestartedAndThenAllGoOn() throws {
        try withTown(keys: 1, sections: "[keys]\ncooldown = \"2s\"") { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            let ada = try town.startCrew("ada")
            try town.fail(town.keys[0], with: "throttled-429")
            try events.next("keys.exhausted")
            town.mend(town.keys[0])
            #expect(try events.seen("agent.reload.started").isEmpty)
            try events.next("key.recovered")
            let started = try events.next("agent.reload.started")
            #expect(started["reason"]?.string == "recovered")
            #expect(started["session"]?.string == ada.session)
            try events.next("agent.reload.finished")
            let seen = try events.seen("sighting")
            #expect(seen.count { $0["acted"]?.bool == true } == 1)
            let last = try #require(try town.requests().last { $0.result != "ok" })
            try town.request("after the cooldown") {
                $0.conversation == last.conversation && $0.result == "ok" && $0.pid != last.pid
            }
        }
    }

    @Test func aRowThatSaysWhenToTryAgainIsObeyed() throws {
        try withTown(keys: 1) { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            let ada = try town.startCrew("ada")
            let row = try town.request("of ada") { $0.directory == ada.directory && $0.result == "ok" }
            try town.appendFailure(
                of: row, status: 429,
                text: "API Error: Request rejected (429) · Rate limit reached, try again after 2 seconds")
            let cooled = try events.next("key.cooled")
            #expect(cooled["cause"]?.string == "throttled")
            try events.next("key.recovered")
            let finished = try events.next("agent.reload.finished")
            #expect(finished["reason"]?.string == "recovered")
            #expect(finished["resumed"]?.bool == true)
        }
    }

    @Test func duringAnEmergencyStopNobodyIsRestarted() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let pid = try town.pid(of: ada)
            let events = try town.events()
            try Disk.replace(town.root + "/ESTOP", [UInt8]())
            try events.next("town.estop")
            try town.gasclawd("keys", "rotate")
            try town.write(CanaryKey(), to: "9")
            try events.next("key.added") { $0["account"]?.string == "9" }
            #expect(try events.seen("agent.reload.started").isEmpty)
            #expect(try town.status()?["town"]?["estop"]?.bool == true)
            #expect(try town.pid(of: ada) == pid)
            Disk.remove(town.root + "/ESTOP")
            try events.next("town.thaw")
            try events.next("agent.reload.finished")
        }
    }

    @Test func rowsThatLieMoveNobody() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            let ada = try town.startCrew("ada")
            let grace = try town.startCrew("grace")
            let adas = try town.request("of ada") { $0.directory == ada.directory && $0.result == "ok" }
            let graces = try town.request("of grace") { $0.directory == grace.directory && $0.result == "ok" }
            let text =
                "You've reached your 5-hour usage limit. Your quota will reset when the current 5-hour window ends."
            // In ada's file a row that says it is of grace's conversation.
            try town.appendFailure(of: adas, status: 403, text: text, saying: graces.conversation)
            #expect(try events.next("sighting")["why"]?.string == "nobody")
            // A file of grace's name in ada's folder.
            try town.appendFailure(
                of: adas, status: 403, text: text, saying: graces.conversation, file: graces.conversation)
            #expect(try events.next("sighting")["why"]?.string == "nobody")
            // A row from before the agent's start.
            try town.appendFailure(of: adas, status: 403, text: text, time: "2020-01-01T00:00:00.000Z")
            #expect(try events.next("sighting")["why"]?.string == "old")
            // Not the key's fault.
            try town.appendFailure(of: adas, status: 529, text: "API Error: Repeated 529 Overloaded errors")
            #expect(try events.next("sighting")["why"]?.string == "not-the-key")
            // What an agent says about an error is no error, and neither is a row of another type.
            try town.appendLine(
                of: adas,
                #"{"type":"assistant","isApiErrorMessage":false,"message":{"content":[{"type":"text","text":"API Error: 429"}]}}"#
            )
            try town.appendLine(
                of: adas, #"{"type":"user","isApiErrorMessage":true,"apiErrorStatus":401,"message":{"content":"401"}}"#)
            try town.appendLine(of: adas, "\u{0}\u{1}no json at all \u{1B}[31m{{{{")
            // A real one is still seen, once, behind a line of a megabyte that is passed over.
            try town.appendLine(of: adas, String(repeating: "x", count: 1 << 20))
            let uuid = newUUID()
            try town.appendFailure(of: adas, status: 403, text: text, uuid: uuid)
            try town.appendFailure(of: adas, status: 403, text: text, uuid: uuid)
            #expect(try events.next("sighting")["why"]?.string == "acted")
            #expect(try events.next("sighting")["why"]?.string == "seen")
            try events.next("agent.reload.finished")
            #expect(try events.seen("key.cooled").count == 1)
            #expect(try events.seen("sighting").count == 6)
        }
    }
}

extension MiniatureTown {
    private func transcript(of request: AgentRequest, file: String? = nil) -> String {
        Transcript.path(
            configDirectory: configDirectory, cwd: request.directory, sessionID: file ?? request.conversation)
    }

    /// Adds a line to a conversation's file, as whoever can write there could.
    func appendLine(of request: AgentRequest, _ line: String) throws {
        try Disk.append(transcript(of: request), line + "\n")
    }

    /// Adds a final error row to a conversation's file (transcripts/throttled-429.jsonl, row 4).
    func appendFailure(
        of request: AgentRequest, status: Int, text: String, saying session: String? = nil, file: String? = nil,
        time: String? = nil, uuid: String = newUUID()
    ) throws {
        let row: JSONValue = [
            "parentUuid": nil, "isSidechain": false, "type": "assistant", "uuid": .string(uuid),
            "timestamp": .string(time ?? now),
            "message": [
                "model": "<synthetic>", "role": "assistant", "content": [["type": "text", "text": .string(text)]],
            ],
            "isApiErrorMessage": true, "apiErrorStatus": JSONValue(status), "cwd": .string(request.directory),
            "sessionId": .string(session ?? request.conversation), "version": .string(Transcript.version),
        ]
        try Disk.append(transcript(of: request, file: file), row.line + "\n")
    }

    private var now: String { Timestamp.now.milliseconds }
}
