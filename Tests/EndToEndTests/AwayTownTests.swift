// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import Testing

@testable import townsim

/// The town's folder is away for a moment: its volume is not mounted, or it has another name.
@Suite(.serialized) struct AwayTownTests {
    private func move(_ town: MiniatureTown, isAway: Bool) throws {
        let away = town.root + ".away"
        guard rename(isAway ? town.root : away, isAway ? away : town.root) == 0 else { throw TownError("rename") }
    }

    private func detail(_ town: MiniatureTown) throws -> String { try town.status()?["detail"]?.string ?? "" }

    @Test func nothingIsEndedStartedOrMadeUntilItIsBack() throws {
        try withTown(sections: ServiceTests.all) { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let pids = try town.servicePIDs()
            let pid = try town.pid(of: ada)
            #expect(pids.count == 3)
            var events = try town.events()
            try events.next("daemon.ready")
            try move(town, isAway: true)
            try eventually("the absence to be said") { try detail(town).contains("was a town and is not there") }
            #expect(try town.status()?["state"]?.string == "degraded")
            let shown = text(try town.gasclawd("status").output)
            #expect(shown.contains("town \(town.root) (away)\n"), "\(shown)")
            let reload = try town.gasclawd("reload", "--wait", "--timeout", "30s", "--json")
            #expect(reload.status == .exited(0), "\(text(reload.errors))")
            #expect(try JSONValue(parsing: reload.output)["agents_to_reload"] == [])
            let restart = try town.gasclawd("services", "restart", "daemon")
            #expect(restart.status == .exited(1))
            #expect(text(restart.errors).contains("is not there"), "\(text(restart.errors))")
            // Another life of ours knows it too.
            try town.endDaemon(SIGKILL)
            try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "true"])
            events = try town.events()
            let step = try events.next("bootstrap.step") { $0["step"] == "install" }
            #expect(step["result"] == "failed")
            #expect(step["detail"]?.string?.contains("gasclawd bootstrap makes a new one") == true)
            #expect(!Disk.exists(town.root + "/mayor"))
            // Our own life goes on.
            #expect(try town.servicePIDs() == pids)
            try town.write(CanaryKey(), to: "9")
            try events.next("key.added") { $0["account"]?.string == "9" }
            try move(town, isAway: false)
            try events.next("daemon.ready")
            try eventually("all to be up") { try town.servicePIDs().count == 3 }
            #expect(try town.servicePIDs() == pids)
            #expect(try town.pid(of: ada) == pid)
            for type in ["agent.reload.started", "service.exited", "service.starting", "config.applied"] {
                #expect(
                    try events.seen(type).filter { $0["path"]?.string?.hasSuffix(".toml") != true } == [], "\(type)")
            }
            // What it says counts again.
            try town.edit("settings/config.json") {
                town.define("kimi-claude", environment: ["CARE": "more"], in: &$0)
                $0["crew_agents"] = ["ada": "kimi-claude"]
            }
            try events.next("agent.reload.finished") { $0["session"]?.string == ada.session }
        }
    }

    @Test func whatChangedMeanwhileCountsWhenItIsBack() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let pid = try town.pid(of: ada)
            let events = try town.events()
            try Disk.overwrite(town.root + "/ESTOP", Array("x".utf8))
            try events.next("town.estop")
            try move(town, isAway: true)
            try eventually("the absence to be said") { try detail(town).contains("is not there") }
            #expect(try town.status()?["town"]?["estop"] == true, "the last that was known")
            var settings = try #require(try Disk.object(town.root + ".away/settings/config.json"))
            town.define("kimi-claude", environment: ["CARE": "more"], in: &settings)
            try Disk.overwrite(town.root + ".away/settings/config.json", settings)
            Disk.remove(town.root + ".away/ESTOP")
            #expect(try town.pid(of: ada) == pid)
            #expect(try events.seen("agent.reload.started").isEmpty)
            try move(town, isAway: false)
            try events.next("town.thaw")
            try events.next("agent.reload.finished") { $0["session"]?.string == ada.session }
            #expect(try town.variable("CARE", of: ada) == "more")
        }
    }

    @Test func byHandANewOneIsMadeAndADoltThatLivedBeforeIsNotEnded() throws {
        try withTown { town in
            try town.demand("git", "init", "-q", "--bare", town.directory + "/repo.git")
            town.variables["GT_RIG_URL"] = town.directory + "/repo.git"
            try town.install()
            try town.startDaemon()
            try town.endDaemon()
            let dolt = try #require(
                MiniatureTown.processes(of: town.directory).first { pid in
                    ProcessTable.arguments(of: pid)?.contains("sql-server") == true
                })
            try move(town, isAway: true)
            let real = MiniatureTown.products + "/townsim"
            Disk.remove("\(town.bin)/gt")
            try Disk.replace(
                "\(town.bin)/gt", Array("#!/bin/sh\necho 'the port is taken' >&2\nexit 1\n".utf8), mode: 0o755)
            let failed = try town.gasclawd("bootstrap")
            #expect(failed.status == .exited(1))
            #expect(text(failed.errors).contains("the port is taken"), "\(text(failed.errors))")
            #expect(Program.isAlive(dolt))
            Disk.remove("\(town.bin)/gt")
            try Disk.link("\(town.bin)/gt", to: real)
            // With an end of the old one there is room for another.
            #expect(Program.end(dolt, SIGTERM, within: .seconds(20)))
            let made = try town.gasclawd("bootstrap")
            #expect(made.status == .exited(0), "\(text(made.errors))")
            #expect(Disk.exists(town.root + "/mayor/town.json"))
        }
    }
}
