// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// gasclawd.toml is edited while the daemon runs.
@Suite(.serialized) struct ConfigurationReloadTests {
    @Test func aBadFileIsRefusedWithItsPlaceAndTheLastGoodOneStays() throws {
        try withTown(sections: "[keys]\ncooldown = \"7m\"") { town in
            try town.startDaemon()
            let events = try town.events()
            func expectSuccessful(_ value: Int) throws {
                let lines = try town.ask("GET", "/metrics").body.split(separator: "\n")
                #expect(lines.contains("gasclawd_config_last_reload_successful \(value)"))
            }
            try expectSuccessful(1)
            let before = try #require(try town.status()?["generation"]?.integer)
            let bad = try #require(try Disk.text(town.configuration)).split(
                separator: "\n", omittingEmptySubsequences: false
            )
            .map(String.init)
            let line = try #require(bad.firstIndex(of: "cooldown = \"7m\""))
            var lines = bad
            lines[line] = "cooldown = \"often\""
            lines.append("colour = 1")
            try Disk.replace(town.configuration, Array(lines.joined(separator: "\n").utf8))
            let rejected = try events.next("config.rejected")
            let errors = (rejected["errors"]?.array ?? []).compactMap(\.string)
            #expect(errors.contains { $0.hasPrefix("\(town.configuration):\(line + 1):") }, "\(errors)")
            #expect(errors.count == 2, "all at once: \(errors)")
            #expect(errors.allSatisfy { $0.wholeMatch(of: /.+:\d+:\d+: .+/) != nil }, "\(errors)")
            try events.next("daemon.degraded")
            let status = try #require(try town.status())
            #expect(status["state"]?.string == "degraded")
            #expect(status["config"]?["ok"]?.bool == false)
            try expectSuccessful(0)
            #expect(status["generation"]?.integer == before)
            #expect(text(try town.gasclawd("check").errors).contains("\(town.configuration):\(line + 1):"))
            #expect(try town.gasclawd("check").status == .exited(78))
            #expect(try town.gasclawd("run").status == .exited(78))
            // The first error of contract H: commands other than run and check use its [paths] all the same.
            #expect(try town.gasclawd("status").status == .exited(0))
            // Mended, and different from before.
            try town.configure(sections: "[keys]\ncooldown = \"8m\"")
            let applied = try events.next("config.applied")
            #expect(applied["generation"]?.integer == before + 1)
            try expectSuccessful(1)
            try events.next("daemon.ready")
        }
    }

    @Test func anEmptyAVanishedAndAnUnreadableFileAreRefused() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            let good = try #require(try Disk.read(town.configuration))
            try Disk.replace(town.configuration, [UInt8]())
            try events.next("config.rejected")
            Disk.remove(town.configuration)
            try events.next("config.rejected")
            try Disk.makeDirectories(town.configuration)
            try events.next("config.rejected")
            rmdir(town.configuration)
            // A FIFO must not hold the daemon.
            #expect(mkfifo(town.configuration, 0o600) == 0)
            _ = try Program.run(
                [MiniatureTown.gasclawd, "status", "--socket", town.socket], environment: town.environment)
            Disk.remove(town.configuration)
            try Disk.replace(town.configuration, good)
            try eventually("the old file to be in force") { try town.status()?["config"]?["ok"]?.bool == true }
            #expect(try town.status()?["state"]?.string == "ready")
        }
    }

    @Test func aHangUpReadsItAgainAndTheSameBytesAreNoChange() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            let before = try #require(try town.status()?["generation"]?.integer)
            kill(try town.daemonPID, SIGHUP)
            // What comes behind it shows that nothing came of it.
            try town.configure(sections: "[keys]\ncooldown = \"9m\"")
            kill(try town.daemonPID, SIGHUP)
            let applied = try events.next("config.applied")
            #expect(applied["generation"]?.integer == before + 1)
            #expect(try events.seen("config.rejected").isEmpty)
        }
    }

    @Test func changedVariablesReachTheAgentsOneAfterTheOther() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let grace = try town.startCrew("grace")
            let events = try town.events()
            let old = try [ada, grace].map { agent in
                try town.request("of an agent") { $0.directory == agent.directory }
            }
            try town.configure(agent: #"env = { ANTHROPIC_MODEL = "kimi-for-coding" }"#)
            try events.next("config.applied")
            for _ in 1...2 {
                let started = try events.next("agent.reload.started")
                #expect(started["reason"]?.string == "config")
                #expect(try events.next("agent.reload.finished")["session"] == started["session"])
            }
            for (agent, before) in zip([ada, grace], old) {
                let pid = try town.pid(of: agent)
                let environment = (ProcessTable.environment(of: pid) ?? []).map { text($0) }
                #expect(environment.contains("ANTHROPIC_MODEL=kimi-for-coding"))
                try town.request("of the same conversation") { $0.pid == pid && $0.conversation == before.conversation }
            }
            // Something that agents are not started with moves nobody.
            try town.configure(
                agent: #"env = { ANTHROPIC_MODEL = "kimi-for-coding" }"#, sections: "[keys]\ncooldown = \"9m\"")
            try events.next("config.applied")
            try town.write(CanaryKey(), to: "9")
            try events.next("key.added") { $0["account"]?.string == "9" }
            #expect(try events.seen("agent.reload.started").count == 2)
        }
    }

    @Test func variablesThatCouldHoldAKeyAreRefused() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            try town.configure(agent: #"env = { MY_API_KEY = "x", SOME_TOKEN = "y" }"#)
            let rejected = try events.next("config.rejected")
            #expect(rejected["errors"]?.array?.count == 2)
        }
    }

    @Test func anotherAccountsDirectoryTakesTheOldKeysOutAndTheNewOnesIn() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            let other = town.directory + "/other"
            let key = CanaryKey()
            try Disk.makeDirectories(other + "/a", mode: 0o700)
            try Disk.replace(other + "/a/config.toml", Array(key.file.utf8))
            let old = try #require(try Disk.text(town.configuration))
            let parts = old.split(separator: "\"\(town.accounts)\"", maxSplits: 1)
            try Disk.replace(town.configuration, Array(parts.joined(separator: "\"\(other)\"").utf8))
            try events.next("key.added") { $0["id"]?.string == key.id }
            for _ in 1...3 { try events.next("key.removed") }
            #expect(try town.status()?["keys"]?["total"]?.integer == 1)
            #expect(try town.status()?["keys"]?["active"]?.string == key.id)
        }
    }
}
