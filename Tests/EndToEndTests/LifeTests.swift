// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// The daemon ends, in order or not, and another takes its place.
@Suite(.serialized) struct LifeTests {
    @Test func aSignalEndsItWithItsSocketAndTheAgentsLiveOn() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let pid = try town.pid(of: ada)
            let events = try town.events()
            #expect(try town.endDaemon() == .exited(0))
            #expect(!Disk.exists(town.socket))
            #expect(try town.pid(of: ada) == pid)
            #expect(Program.isAlive(pid))
            #expect(try events.seen("daemon.stopping").count == 1)
            try town.request("while nobody watches", after: town.requests().count) {
                $0.pid == pid && $0.result == "ok"
            }
            // The next one takes the agent up where it is.
            try town.startDaemon()
            let agent = try #require(try town.status()?["agents"]?.array?.first)
            #expect(agent["pid"]?.integer == Int(pid))
            #expect(agent["session"]?.string == ada.session)
            #expect(agent["unmanaged"]?.bool == false)
        }
    }

    @Test func aSecondRunNamesTheFirstAndLeavesItAlone() throws {
        try withTown { town in
            try town.startDaemon()
            let second = try town.gasclawd("run")
            #expect(second.status == .exited(75))
            #expect(text(second.errors).contains("pid \(try town.daemonPID)"))
            #expect(try town.status() != nil)
        }
    }

    @Test func aSignalDuringAReloadBringsTheAgentBackFirst() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let grace = try town.startCrew("grace")
            let events = try town.events()
            try town.gasclawd("keys", "rotate")
            try events.next("agent.reload.started")
            #expect(try town.endDaemon() == .exited(0))
            for agent in [ada, grace] {
                let pid = try town.pid(of: agent)
                #expect(try town.tmux("display-message", "-p", "-t", agent.session, "#{pane_dead}").hasPrefix("0"))
                try town.request("of \(agent.session)", after: town.requests().count) {
                    $0.pid == pid && $0.result == "ok"
                }
            }
            // What was not done yet is done by the next one.
            try town.startDaemon()
            try eventually("all agents to hold the active key") {
                let status = try town.status()
                let agents = status?["agents"]?.array ?? []
                return agents.count == 2 && agents.allSatisfy { $0["key"] == status?["keys"]?["active"] }
            }
        }
    }

    @Test func afterAKillInTheMiddleOfAReloadNothingIsLostOrDoneTwice() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let grace = try town.startCrew("grace")
            // The town's own hook, which brings the mayor back; it has to survive.
            try town.demand("gt", "mayor", "start", "--agent", "kimi-claude", directory: town.root)
            let hook = try town.tmux("show-hooks", "-w", "-t", "hq-mayor")
            #expect(hook.contains("respawn-pane"))
            let events = try town.events()
            let active = try #require(try town.status()?["keys"]?["active"]?.string)
            let key = try #require(town.keys.first { $0.id == active })
            // An agent that does not end at once keeps the reload in its middle.
            try town.fail(key, with: "quota-5h-403")
            try events.next("agent.reload.started")
            // The change comes into force first and is on disk a moment later.
            try eventually("the cooldown in the state file") {
                guard let bytes = try Disk.read(town.state + "/keys.json") else { return false }
                return try JSONValue(parsing: bytes)["keys"]?[active]?["cooldown"]?.object != nil
            }
            #expect(try town.endDaemon(SIGKILL) == .signalled(SIGKILL))
            let acted = try events.seen("sighting").count { $0["acted"]?.bool == true }
            #expect(acted == 1)
            try town.startDaemon()
            let after = try town.events()
            let cooling = try #require(
                try town.status()?["keys"]?["items"]?.array?.first { $0["id"]?.string == active })
            #expect(cooling["state"]?.string == "cooling")
            #expect(cooling["cause"]?.string == "quota")
            try eventually("all agents to hold another key") {
                let agents = try town.status()?["agents"]?.array ?? []
                return agents.count == 3
                    && agents.allSatisfy { $0["key"]?.string != active && $0["pending_reload"]?.isNull == true }
            }
            for agent in [ada, grace, Agent(session: "hq-mayor", directory: town.root + "/mayor")] {
                let pid = try town.pid(of: agent)
                try town.request("of \(agent.session)", after: town.requests().count) {
                    $0.pid == pid && $0.result == "ok"
                }
            }
            #expect(try after.seen("key.cooled").isEmpty)
            #expect(try after.seen("sighting").allSatisfy { $0["acted"]?.bool == false })
            try eventually("the hook to be back") { try town.tmux("show-hooks", "-w", "-t", "hq-mayor") == hook }
        }
    }

    @Test func afterAKillWithAHookSetAsideTheHookAndItsAgentAreBack() throws {
        try withTown(sections: "[reload]\npatience = \"0s\"") { town in
            try town.install()
            // A tool that does not end when it is asked to keeps the reload where it is for 5 s.
            let mark = town.directory + "/tool-runs"
            try Disk.replace(town.directory + "/home/tool", Array("trap '' TERM; touch \(mark); sleep 30\n".utf8))
            try town.startDaemon()
            try town.demand("gt", "mayor", "start", "--agent", "kimi-claude", directory: town.root)
            let hook = try town.tmux("show-hooks", "-w", "-t", "hq-mayor")
            #expect(hook.contains("respawn-pane"))
            try eventually("the tool to run") { Disk.exists(mark) }
            let before = try town.request("of the mayor") { _ in true }
            try Disk.replace(town.directory + "/home/tool", Array("true\n".utf8))
            try town.gasclawd("keys", "rotate")
            try eventually("the hook to be aside") {
                try !town.tmux("show-hooks", "-w", "-t", "hq-mayor").contains("respawn-pane")
            }
            #expect(try town.endDaemon(SIGKILL) == .signalled(SIGKILL))
            try town.startDaemon()
            try eventually("the hook to be back") { try town.tmux("show-hooks", "-w", "-t", "hq-mayor") == hook }
            try eventually("the mayor to hold the active key") {
                let status = try town.status()
                let agents = status?["agents"]?.array ?? []
                return agents.count == 1 && agents[0]["key"] == status?["keys"]?["active"]
            }
            try town.request("of the mayor's conversation") {
                $0.conversation == before.conversation && $0.key != before.key
            }
            #expect(try town.tmux("show-hooks", "-w", "-t", "hq-mayor") == hook)
        }
    }

    @Test func aFailureOfAnAgentThatNobodySawStartIsActedUpon() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let active = try #require(try town.status()?["keys"]?["active"]?.string)
            let key = try #require(town.keys.first { $0.id == active })
            try town.endDaemon()
            try town.fail(key, with: "quota-5h-403")
            let ada = try town.startCrew("ada")
            try town.startDaemon()
            let events = try town.events()
            let sighting = try events.next("sighting")
            #expect(sighting["session"]?.string == ada.session)
            #expect(sighting["why"]?.string == "acted")
            try events.next("agent.reload.finished")
            try town.request("with another key") {
                $0.directory == ada.directory && $0.result == "ok" && $0.key != active
            }
        }
    }

    @Test func anAgentThatStartsWithoutADaemonIsTakenUpLater() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            try town.endDaemon()
            let ada = try town.startCrew("ada")
            let pid = try town.pid(of: ada)
            #expect(Disk.names(town.state + "/launches") == ["\(pid).json"])
            try town.startDaemon()
            let events = try town.events()
            try events.next("agent.leased") { $0["session"]?.string == ada.session }
            let agent = try #require(try town.status()?["agents"]?.array?.first)
            #expect(agent["pid"]?.integer == Int(pid))
            #expect(agent["key"] == (try town.status()?["keys"]?["active"]))
            #expect(Disk.names(town.state + "/launches").isEmpty)
            // It is one like all others: its key goes, and it gets another.
            let old = try town.request("of ada") { $0.pid == pid }
            try town.gasclawd("keys", "rotate")
            #expect(try events.next("agent.reload.finished")["session"]?.string == ada.session)
            try town.request("of the same conversation") { $0.conversation == old.conversation && $0.key != old.key }
        }
    }

    @Test(arguments: [SIGTERM, SIGKILL])
    func aFailureWhileNobodyWatchesIsActedUponAtTheStart(signal: Int32) throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let active = try #require(try town.status()?["keys"]?["active"]?.string)
            let key = try #require(town.keys.first { $0.id == active })
            let row = try town.request("of ada") { $0.directory == ada.directory && $0.result == "ok" }
            try town.endDaemon(signal)
            try town.appendFailure(
                of: row, status: 403, text: "You've reached your 5-hour usage limit. \(key.randomPart) \(key.text)")
            try town.startDaemon()
            let events = try town.events()
            let sighting = try events.next("sighting")
            #expect(sighting["why"]?.string == "acted")
            #expect(sighting["id"]?.string == active)
            let said = sighting["text"]?.string ?? ""
            #expect(said.contains("usage limit") && !said.contains(key.randomPart.prefix(8)), "\(said)")
            try events.next("key.cooled")
            #expect(try events.next("agent.reload.finished")["session"]?.string == ada.session)
            try town.request("of the same conversation") { $0.conversation == row.conversation && $0.key != active }
        }
    }

    @Test func anAgentThatEndsWhileNobodyWatchesIsForgotten() throws {
        try withTown(keys: 1) { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let pid = try town.pid(of: ada)
            try town.endDaemon()
            try town.tmux("kill-session", "-t", ada.session)
            try eventually("the agent's end") { !Program.isAlive(pid) }
            try town.startDaemon()
            #expect(try town.status()?["agents"]?.array?.isEmpty == true)
        }
    }

    @Test func brokenStateIsSetAsideAndNeverFatal() throws {
        try withTown { town in
            for name in ["keys.json", "offsets.json", "reloads.json"] {
                try Disk.makeDirectories(town.state, mode: 0o700)
                try Disk.replace("\(town.state)/\(name)", Array("{\"version\":1,\"keys\":{\"x".utf8))
            }
            try town.startDaemon()
            #expect(try town.status()?["state"]?.string == "ready")
            #expect(Disk.names(town.state).filter { $0.hasSuffix(".corrupt") }.count == 3)
        }
    }

    @Test func aRuntimeDirectoryThatIsRemovedComesBackWithItsSocket() throws {
        try withTown { town in
            try town.startDaemon()
            for _ in 1...2 {
                Disk.removeTree(town.runtime)
                try eventually("the socket to be back", within: .seconds(20)) { try town.status() != nil }
            }
            Disk.remove(town.socket)
            try eventually("the socket to be back", within: .seconds(20)) { try town.status() != nil }
            let events = try town.events()
            let key = CanaryKey()
            try town.write(key, to: "9")
            try events.next("key.added") { $0["id"]?.string == key.id }
            #expect(try town.gasclawd("run").status == .exited(75), "its place is still taken")
        }
    }

    @Test func stateThatCannotBeWrittenDegradesUntilItCan() throws {
        try withTown { town in
            guard getuid() == 0 else { return }  // Only root may mount; what root may write shows nothing else.
            try Disk.makeDirectories(town.state, mode: 0o700)
            let mount = try Program.run(
                ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", town.state], environment: town.environment
            )
            guard mount.status.isSuccess else { return }  // A container without the right to mount.
            defer { _ = umount2(town.state, Int32(MNT_DETACH)) }
            try town.startDaemon()
            let events = try town.events()
            try events.next("daemon.ready")
            // Full to the last byte.
            try fill(town.state + "/ballast")
            let key = CanaryKey()
            try town.write(key, to: "9")
            try events.next("key.added") { $0["id"]?.string == key.id }
            let degraded = try events.next("daemon.degraded")
            #expect(degraded["detail"]?.string?.contains("state") == true)
            #expect(try town.gasclawd("status", "--check").status == .exited(1))
            Disk.remove(town.state + "/ballast")
            try events.next("daemon.ready")
            #expect(try Disk.text(town.state + "/keys.json")?.contains(key.id) == true)
        }
    }
}
