// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing
import Timekeeping

@testable import townsim

/// dolt, the gt daemon and the mayor under a real daemon.
@Suite(.serialized) struct ServiceTests {
    static let all = "[services]\nmanage = [\"dolt\", \"daemon\", \"mayor\"]"

    @Test func theyComeUpInOrderAndAreShown() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.demand("gt", "dolt", "stop", directory: town.root)
            try town.startDaemon()
            let events = try town.events()
            try events.next("daemon.ready")
            let names = try events.seen("service.up").compactMap { $0["name"]?.string }
            #expect(names == ["dolt", "daemon", "mayor"])
            #expect(try events.seen("service.starting").compactMap { $0["name"]?.string } == names)
            let status = try #require(try town.status())
            #expect(status["detail"]?.string?.contains("· dolt, daemon, mayor up ·") == true)
            for service in status["services"]?.array ?? [] {
                #expect(service["wanted"]?.string == "up" && service["state"]?.string == "up")
                #expect(service["restarts"]?.integer == 0 && service["next_retry_at"]?.isNull == true)
                #expect(Program.isAlive(Int32(service["pid"]?.integer ?? 0)))
            }
            #expect(status["services"]?.array?.count == 3)
            let list = try JSONValue(parsing: town.gasclawd("services", "list", "--json").output)
            #expect(list.array?.compactMap { $0["name"]?.string } == names)
            let page = try town.get("/metrics")
            #expect(page.contains("gasclawd_service_up{name=\"dolt\"} 1"))
            #expect(page.contains("gasclawd_service_restarts_total{name=\"mayor\"} 0"))
            // What they print is in the log, under names of their own.
            #expect(try town.wholeLog().contains("gasclawd-dolt: "))
        }
    }

    @Test(arguments: ["dolt", "daemon", "mayor"]) func theEndOfOneIsMendedAndTouchesNoOther(name: String) throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.startDaemon()
            let before = try town.servicePIDs()
            let events = try town.events()
            let pid = try #require(before[name])
            kill(pid, SIGKILL)
            let exited = try events.next("service.exited") { $0["name"]?.string == name }
            #expect(exited["pid"]?.integer == Int(pid))
            try events.next("service.up") {
                $0["name"]?.string == name && ![Int(pid), nil].contains($0["pid"]?.integer)
            }
            for (other, old) in before where other != name { #expect(try town.servicePIDs()[other] == old) }
            #expect(try town.service(name)?["restarts"]?.integer == 1)
            try eventually("no zombie to be left") { try town.zombies().isEmpty }
        }
    }

    @Test func afterAKillOfTheTmuxServerAllAgentsComeBackWithTheirConversations() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let before = try town.request("of ada") { $0.directory == ada.directory }
            let mayor = try town.request("of the mayor") { $0.directory == town.root + "/mayor" }
            let events = try town.events()
            let server = try #require(
                Int32(try town.tmux("display-message", "-p", "#{pid}").filter(\.isNumber)))
            let count = try town.requests().count
            kill(server, SIGKILL)
            let finished = try events.next("agent.reload.finished") { $0["session"]?.string == ada.session }
            #expect(finished["reason"] == "recovered" && finished["resumed"] == true)
            try town.request("of the same conversation", after: count) {
                $0.directory == ada.directory && $0.conversation == before.conversation
            }
            try town.request("of the mayor's conversation", after: count) {
                $0.directory == mayor.directory && $0.conversation == mayor.conversation
            }
        }
    }

    @Test func afterAKillOfTheTmuxServerAndOfGasclawdAgentsComeBackButForThoseThatWereEnded() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let grace = try town.startCrew("grace")
            let before = try town.request("of ada") { $0.directory == ada.directory && $0.result == "ok" }
            let mayor = try town.request("of the mayor") { $0.directory == town.root + "/mayor" && $0.result == "ok" }
            let server = try #require(
                Int32(try town.tmux("display-message", "-p", "#{pid}").filter(\.isNumber)))
            try town.endDaemon(SIGKILL)
            try town.demand("gt", "crew", "stop", "project/grace", directory: town.root)
            kill(server, SIGKILL)
            try eventually("the server's end") { !Program.isAlive(server) }
            let count = try town.requests().count
            try town.startDaemon()
            let events = try town.events()
            let finished = try events.next("agent.reload.finished") { $0["session"]?.string == ada.session }
            #expect(finished["reason"] == "recovered" && finished["resumed"] == true)
            try town.request("of the same conversation", after: count) {
                $0.directory == ada.directory && $0.conversation == before.conversation
            }
            try town.request("of the mayor's conversation", after: count) {
                $0.directory == town.root + "/mayor" && $0.conversation == mayor.conversation
            }
            #expect(try town.status()?["agents"]?.array?.contains { $0["session"]?.string == grace.session } == false)
        }
    }

    @Test func afterAKillOfGasclawdAllAreTakenUpAndNothingIsStartedTwice() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.startDaemon()
            let before = try town.servicePIDs()
            #expect(before.count == 3)
            #expect(try town.endDaemon(SIGKILL) == .signalled(SIGKILL))
            for (name, pid) in before { #expect(Program.isAlive(pid), "\(name)") }
            try town.startDaemon()
            #expect(try town.servicePIDs() == before)
            let events = try town.events()
            #expect(try events.seen("service.starting").isEmpty)
            // Also the end of what is no child of this process is seen.
            let daemon = try #require(before["daemon"])
            kill(daemon, SIGKILL)
            try events.next("service.exited") { $0["pid"]?.integer == Int(daemon) }
            try events.next("service.up") { $0["name"]?.string == "daemon" && $0["pid"]?.integer != Int(daemon) }
        }
    }

    @Test func aSignalLeavesThemAlive() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.startDaemon()
            let before = try town.servicePIDs()
            #expect(try town.endDaemon() == .exited(0))
            for (name, pid) in before { #expect(Program.isAlive(pid), "\(name)") }
            try town.startDaemon()
            #expect(try town.servicePIDs() == before)
        }
    }

    @Test func aDaemonWithoutAHeartbeatIsStartedAnew() throws {
        try withTown(sections: "[services]\nmanage = [\"daemon\"]") { town in
            try town.install()
            var settings = try #require(try Disk.object(town.root + "/mayor/daemon.json"))
            settings["heartbeat"] = ["enabled": true, "interval": "1s"]
            try Disk.overwrite(town.root + "/mayor/daemon.json", settings)
            town.variables["TOWNSIM_HEARTBEAT_MS"] = "1000"
            try town.startDaemon()
            let events = try town.events()
            let up = try events.next("service.up")
            let pid = Int32(up["pid"]?.integer ?? 0)
            kill(pid, SIGSTOP)
            let backoff = try events.next("service.backoff")
            #expect(backoff["detail"]?.string?.contains("no heartbeat") == true)
            try events.next("service.up") { $0["pid"]?.integer != Int(pid) }
            #expect(!Program.isAlive(pid))
        }
    }

    @Test func aChangedFileOfTheDaemonRestartsItWhateverItsTimesSay() throws {
        try withTown(sections: "[services]\nmanage = [\"daemon\"]") { town in
            try town.install()
            let path = town.root + "/mayor/daemon.json"
            var settings = try #require(try Disk.object(path))
            func prepare(_ name: String, interval: String) throws -> String {
                settings["heartbeat"] = ["enabled": true, "interval": .string(interval)]
                let prepared = town.directory + "/" + name
                try Disk.overwrite(prepared, settings)
                try town.demand("touch", "-d", "1 day ago", prepared)
                return prepared
            }
            try town.demand("mv", try prepare("a", interval: "5m"), path)
            let (renamed, linked) = (try prepare("b", interval: "7m"), try prepare("c", interval: "9m"))
            try town.startDaemon()
            var pid = try #require(try town.servicePIDs()["daemon"])
            var pids: Set<Int?> = [nil, Int(pid)]
            func change(_ how: () throws -> Void) throws {
                try how()
                let up = try town.events().next("service.up") { !pids.contains($0["pid"]?.integer) }
                pid = Int32(up["pid"]?.integer ?? 0)
                pids.insert(Int(pid))
            }
            try change { try town.demand("mv", renamed, path) }
            // Another gasclawd knows what it was started with.
            try town.endDaemon(SIGKILL)
            try town.startDaemon()
            #expect(try town.servicePIDs()["daemon"] == pid)
            // What says the same is no change.
            try town.demand("touch", path)
            try town.demand("cp", path, path + ".copy")
            try town.demand("mv", path + ".copy", path)
            #expect(try town.gasclawd("reload").status == .exited(0))
            #expect(try town.servicePIDs()["daemon"] == pid)
            try change { try town.demand("ln", "-sfn", linked, path) }
            // What is only added soon after its start it may have added itself; later it is somebody else's.
            let since = try #require(try town.service("daemon")?["since"]?.string.flatMap { Timestamp(rfc3339: $0) })
            try eventually("its start to be over") { Timestamp.now > since + .seconds(6) }
            settings = try #require(try Disk.object(path))
            settings["env"] = ["SOMETHING": "new"]
            try change { try Disk.overwrite(linked, settings) }
        }
    }

    @Test func clientsThatWriteMakeFewLooksForAMayorThatIsDown() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            let calls = town.directory + "/tmux-calls"
            try Disk.replace(
                town.bin + "/tmux",
                Array(
                    "#!/bin/sh\necho \"$PPID $*\" >>\(calls)\nPATH=/usr/local/bin:/usr/bin:/bin exec tmux \"$@\"\n".utf8
                ),
                mode: 0o755)
            try town.startDaemon()
            _ = try town.startCrew("ada")
            let daemon = try town.daemonPID
            func looks() throws -> Int {
                try (Disk.text(calls) ?? "").split(separator: "\n").count {
                    $0.hasPrefix("\(daemon) ") && $0.contains("list-panes") && $0.contains("hq-mayor")
                }
            }
            /// The looks that are made while clients write for so long.
            func looksWhileWriting(for time: Duration) throws -> (looks: Int, seconds: Int) {
                let (before, start) = (try looks(), ContinuousClock.now)
                var count = 0
                while ContinuousClock.now - start < time {
                    count += 1
                    try Disk.overwrite(town.configDirectory + "/sessions/999999.json", Array("{\"n\":\(count)}".utf8))
                    usleep(5000)
                }
                _ = try town.status()
                return (try looks() - before, Int((ContinuousClock.now - start).components.seconds))
            }
            try Disk.overwrite(town.root + "/ESTOP", Array("x".utf8))
            #expect(try town.gasclawd("services", "stop", "mayor").status == .exited(0))
            // It is wanted, and held back.
            #expect(try town.gasclawd("services", "start", "mayor").status == .exited(1))
            #expect(try town.service("mayor")?["wanted"] == "up")
            // Three more are made after its end, whoever writes.
            let wanted = try looksWhileWriting(for: .seconds(3))
            #expect(wanted.looks >= 1 && wanted.looks <= wanted.seconds + 2 + 3, "\(wanted)")
            #expect(try town.gasclawd("services", "stop", "mayor").status == .exited(0))
            let unwanted = try looksWhileWriting(for: .seconds(6))
            #expect(unwanted.looks <= 1 + 3, "\(unwanted)")
            // It may be that somebody has started it by hand.
            let before = try looks()
            try Disk.overwrite(
                town.configDirectory + "/sessions/999998.json",
                Array("{\"pid\":999998,\"cwd\":\"\(town.root)/mayor\"}".utf8))
            try eventually("a look") { try looks() > before }
        }
    }

    @Test func byHandTheyAreStoppedStartedAndRestarted() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.startDaemon()
            let before = try town.servicePIDs()
            #expect(try town.gasclawd("services", "stop", "daemon").status == .exited(0))
            #expect(!Program.isAlive(before["daemon"] ?? 0))
            #expect(try town.service("daemon")?["wanted"]?.string == "down")
            #expect(try town.service("daemon")?["state"]?.string == "down")
            // It stays down, also for another gasclawd.
            try town.endDaemon()
            try town.startDaemon()
            #expect(try town.service("daemon")?["state"]?.string == "down")
            #expect(try town.status()?["state"]?.string == "ready")
            #expect(try town.gasclawd("services", "start", "daemon").status == .exited(0))
            #expect(try town.service("daemon")?["state"]?.string == "up")
            #expect(try town.gasclawd("services", "restart", "dolt").status == .exited(0))
            let after = try town.servicePIDs()
            #expect(after["dolt"] != before["dolt"] && after["mayor"] == before["mayor"])
            let unknown = try town.gasclawd("services", "restart", "postgres")
            #expect(unknown.status == .exited(1))
            #expect(text(unknown.errors).contains("there is no service postgres"))
            #expect(try town.post("/v1/services/postgres/start").hasPrefix("HTTP/1.1 404"))
        }
    }

    @Test func underTheEmergencyStopTheMayorIsNotEndedForARestart() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.startDaemon()
            let pid = try #require(try town.servicePIDs()["mayor"])
            try Disk.overwrite(town.root + "/ESTOP", Array("x".utf8))
            try eventually("the stop to be known") { try town.status()?["town"]?["estop"] == true }
            let restart = try town.gasclawd("services", "restart", "mayor")
            #expect(restart.status == .exited(1))
            #expect(text(restart.errors).contains("the emergency stop is on (gt thaw)"), "\(text(restart.errors))")
            #expect(Program.isAlive(pid))
            #expect(try town.service("mayor")?["state"]?.string == "up")
            #expect(try town.gasclawd("services", "stop", "mayor").status == .exited(0))
            #expect(try town.gasclawd("services", "restart", "mayor").status == .exited(1))
            #expect(try town.service("mayor")?["detail"]?.string == "the emergency stop is on (gt thaw)")
        }
    }

    @Test func aTownThatIsTakenDownIsLeftAlone() throws {
        try withTown(sections: "[services]\nmanage = [\"dolt\"]") { town in
            try town.install()
            try town.startDaemon()
            try Disk.overwrite(town.root + "/daemon/shutting-down", Array("x".utf8))
            try eventually("the switch to be seen") {
                // As gt down ends it.
                try town.demand("gt", "dolt", "stop", directory: town.root)
                return try town.service("dolt")?["detail"]?.string?.contains("taken down") == true
            }
            #expect(try town.service("dolt")?["pid"]?.isNull == true)
            Disk.remove(town.root + "/daemon/shutting-down")
            try eventually("dolt to be up") { try town.service("dolt")?["state"]?.string == "up" }
        }
    }
}

extension MiniatureTown {
    func service(_ name: String) throws -> JSONValue? {
        try status()?["services"]?.array?.first { $0["name"]?.string == name }
    }

    /// The processes of what is up.
    func servicePIDs() throws -> [String: Int32] {
        var pids: [String: Int32] = [:]
        for service in try status()?["services"]?.array ?? [] where service["state"]?.string == "up" {
            if let name = service["name"]?.string, let pid = service["pid"]?.integer { pids[name] = Int32(pid) }
        }
        return pids
    }

    /// The daemon's children that have ended and that nobody has taken.
    func zombies() throws -> [Int32] {
        let daemon = try daemonPID
        return ProcessTable.all().filter { pid in
            ProcessTable.status(of: pid).map { $0.parent == daemon && !$0.isAlive } ?? false
        }
    }

    func wholeLog() throws -> String { try Disk.text(log) ?? "" }

    func get(_ target: String) throws -> String {
        try demand("curl", "-sS", "--unix-socket", socket, "http://gasclawd\(target)")
    }

    func post(_ target: String) throws -> String {
        try demand("curl", "-sSi", "-X", "POST", "--unix-socket", socket, "http://gasclawd\(target)")
    }
}
