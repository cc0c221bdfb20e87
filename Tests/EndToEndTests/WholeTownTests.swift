// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import Testing

@testable import townsim

/// From an empty folder to a town that lives, through all that can happen to it, to its end.
@Suite(.serialized) struct WholeTownTests {
    /// The kills come by chance, and this gives the same ones again.
    private static let seed: UInt64 =
        Environment.value("GASCLAWD_TEST_SEED").flatMap { UInt64($0) } ?? .random(in: 1...999_999)

    private let given = (0..<4).map { _ in CanaryKey() }

    /// The variables of a start: keys come by no file.
    private var start: [String: String] {
        [
            "GASCLAWD_TOWN_BOOTSTRAP": "true",
            "GASTOWN_KIMI_KEYS": given.map(\.text).joined(separator: ":"),
        ]
    }

    /// Agents by session that hold a key, with what they hold.
    private func agents(_ town: MiniatureTown) throws -> [String: JSONValue] {
        var found: [String: JSONValue] = [:]
        for agent in try town.status()?["agents"]?.array ?? [] where agent["running"]?.bool == true {
            if let session = agent["session"]?.string { found[session] = agent }
        }
        return found
    }

    private func pids(_ town: MiniatureTown) throws -> [String: Int] {
        try agents(town).compactMapValues { $0["pid"]?.integer }
    }

    /// All services are up and all agents are there, none on its way anywhere.
    private func settle(_ what: String, _ sessions: Set<String>, in town: MiniatureTown) throws {
        let isWell = try Waiting.until(.seconds(120)) { () throws in
            let agents = try agents(town)
            return try town.servicePIDs().count == 3 && Set(agents.keys) == sessions
                && agents.values.allSatisfy { $0["pending_reload"]?.isNull == true }
        }
        guard !isWell else { return }
        throw TownError("\(what): the town is not well: \(try town.status()?.line ?? "no answer")")
    }

    /// What lives and belongs to the town, by its name.
    private func processes(_ town: MiniatureTown) throws -> [(name: String, pid: Int32)] {
        let services = try town.servicePIDs().filter { $0.key != "mayor" }.map { ($0.key, $0.value) }
        return services + (try pids(town)).map { ($0.key, Int32($0.value)) }
    }

    @Test func itIsBroughtUpAndKeptUpThroughEverythingUntilItIsStopped() throws {
        let seed = Self.seed
        Terminal.complain("the kills of this run: GASCLAWD_TEST_SEED=\(seed)")
        try withTown(keys: 0, sections: "[services]\ndolt_port = \(Dolt.freePort())") { town in
            try town.demand("git", "init", "-q", "--bare", town.directory + "/repo.git")
            town.variables["GT_RIG_URL"] = town.directory + "/repo.git"
            try town.startDaemon(start)
            try town.events().next("daemon.ready")
            #expect(try town.servicePIDs().count == 3)
            let ada = Agent(session: "re-crew-ada", directory: "\(town.root)/repo/crew/ada")
            for arguments in [
                ["deacon", "start"], ["witness", "start", "repo"], ["refinery", "start", "repo"],
                ["crew", "start", "repo/ada"], ["sling", "gt-1", "repo"],
            ] {
                let result = try Program.run(
                    [town.bin + "/gt"] + arguments, environment: town.environment, directory: town.root)
                #expect(result.status.isSuccess, "\(arguments) \(text(result.errors))")
            }
            var sessions: Set<String> = []
            try eventually("all roles to work") {
                let agents = try agents(town)
                sessions = Set(agents.keys)
                return Set(agents.values.compactMap { $0["role"]?.string })
                    == ["mayor", "deacon", "witness", "refinery", "crew", "polecat"]
            }
            #expect(sessions.contains(ada.session), "\(sessions)")
            try town.request("of ada") { $0.directory == ada.directory && $0.result == "ok" }

            try killEach(town, sessions)
            try killAtRandom(town, sessions, seed)
            try stopAndThaw(town, sessions)
            try exhaustKeys(town)
            try loseDolt(town, sessions)

            let pid = try town.daemonPID
            let stop = try town.gasclawd("stop")
            #expect(stop.status == .exited(0), "\(text(stop.errors))")
            #expect(try waitForEnd(of: pid) == .exited(0))
            town.forgetDaemon()
            let left = MiniatureTown.processes(of: town.directory).filter(Program.isAlive)
            #expect(left.isEmpty, "\(left.map { ProcessTable.arguments(of: $0) ?? [] })")
            #expect(!Disk.exists(try town.tmuxSocket))
            let all = try Disk.text(town.log) ?? ""
            for key in given { #expect(!all.contains(key.randomPart.prefix(8))) }
        }
    }

    /// Each process of the town, one after the other, and gasclawd itself.
    private func killEach(_ town: MiniatureTown, _ sessions: Set<String>) throws {
        for name in ["dolt", "daemon"] {
            let others = try pids(town)
            kill(try #require(try town.servicePIDs()[name]), SIGKILL)
            try eventually("\(name) to be down") { try town.servicePIDs().count < 3 }
            try settle("after the end of \(name)", sessions, in: town)
            #expect(try pids(town) == others, "the end of \(name) touches no agent")
        }
        for session in sessions.sorted() {
            let before = try pids(town)
            let pid = try #require(before[session])
            kill(Int32(pid), SIGKILL)
            try eventually("\(session) to be another") { ![pid, nil].contains(try pids(town)[session]) }
            try settle("after the end of \(session)", sessions, in: town)
            for (other, pid) in try pids(town) where other != session { #expect(pid == before[other], "\(other)") }
        }
        let before = try pids(town)
        let services = try town.servicePIDs()
        try town.endDaemon(SIGKILL)
        try town.startDaemon(start)
        try settle("after the end of gasclawd", sessions, in: town)
        #expect(try pids(town) == before)
        #expect(try town.servicePIDs() == services)
    }

    private func killAtRandom(_ town: MiniatureTown, _ sessions: Set<String>, _ seed: UInt64) throws {
        var random = Numbers(seed: seed)
        var killed: [String] = []
        for _ in 1...10 {
            guard let victim = try processes(town).sorted(by: { $0.pid < $1.pid }).randomElement(using: &random) else {
                continue
            }
            killed.append("\(victim.name) \(victim.pid)")
            kill(victim.pid, SIGKILL)
            // Some fall while others are still on their way back.
            try eventually("the end of \(victim)") { !Program.isAlive(victim.pid) }
        }
        do {
            try settle("after ten kills", sessions, in: town)
        } catch {
            throw TownError("GASCLAWD_TEST_SEED=\(seed): \(killed): \(error)")
        }
    }

    private func stopAndThaw(_ town: MiniatureTown, _ sessions: Set<String>) throws {
        let events = try town.events()
        try town.demand("gt", "estop", "-r", "a look", directory: town.root)
        try events.next("town.estop") { $0["reason"]?.string == "a look" }
        let before = try pids(town)
        let victim = try #require(before["re-crew-ada"])
        kill(Int32(victim), SIGKILL)
        try events.next("agent.exited") { $0["pid"]?.integer == victim }
        try town.gasclawd("keys", "rotate")
        try events.next("key.activated")
        #expect(try town.status()?["town"]?["estop"]?.bool == true)
        #expect(try events.seen("agent.reload.started").filter { $0["seq"]?.integer ?? 0 > lastSeq(events) }.isEmpty)
        for (session, pid) in before where session != "re-crew-ada" && session != "hq-mayor" {
            #expect(try pids(town)[session] == pid, "\(session)")
        }
        try town.demand("gt", "thaw", directory: town.root)
        try events.next("town.thaw")
        try settle("after the thaw", sessions, in: town)
    }

    private func lastSeq(_ events: EventStream) -> Int {
        events.all.last { $0["type"]?.string == "town.estop" }?["seq"]?.integer ?? 0
    }

    /// In each role one meets a key that has run out, and goes on with another in its conversation.
    private func exhaustKeys(_ town: MiniatureTown) throws {
        for (session, agent) in try agents(town).sorted(by: { $0.key < $1.key }) {
            let id = try #require(try agents(town)[session]?["key"]?.string)
            let pid = try #require(try pids(town)[session])
            let row = try town.request("of \(session)") { $0.pid == Int32(pid) }
            let count = try town.requests().count
            try town.appendFailure(
                of: row, status: 403,
                text:
                    "API Error: 403 You've reached your 5-hour usage limit. Your quota will reset when the window ends."
            )
            try town.request("of \(agent["role"]?.string ?? session) in its conversation", after: count) {
                $0.conversation == row.conversation && $0.key != id && $0.result == "ok" && $0.pid != row.pid
            }
            try eventually("nobody to be on the way") {
                try agents(town).values.allSatisfy { $0["pending_reload"]?.isNull == true }
            }
            // Its window is over: the keys are enough for all roles.
            try town.gasclawd("keys", "clear", id)
        }
    }

    private func loseDolt(_ town: MiniatureTown, _ sessions: Set<String>) throws {
        let events = try town.events()
        try events.read()
        let before = try pids(town)
        // gt cannot start it for a while.
        let dolt = town.bin + "/dolt"
        #expect(rename(dolt, dolt + ".away") == 0)
        try Disk.replace(dolt, Array("#!/bin/sh\nexit 1\n".utf8), mode: 0o755)
        kill(try #require(try town.servicePIDs()["dolt"]), SIGKILL)
        try events.next("service.exited") { $0["name"]?.string == "dolt" }
        for _ in 1...2 { try events.next("service.backoff") { $0["name"]?.string == "dolt" } }
        #expect(try pids(town) == before)
        #expect(try town.servicePIDs().keys.sorted() == ["daemon", "mayor"])
        #expect(rename(dolt + ".away", dolt) == 0)
        try town.gasclawd("services", "restart", "dolt")
        try settle("after dolt is back", sessions, in: town)
        #expect(try pids(town) == before, "an outage of dolt touches no agent")
    }
}

/// The same numbers for the same seed.
private struct Numbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 32) ^ (state << 32)
    }
}
