// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// From an empty folder to a town with its services.
@Suite(.serialized) struct BootstrapTests {
    /// All that has a name of its own in a folder, with what is in it, but for what living services write.
    func snapshot(_ folder: String) throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        let others = [".git", "logs", "daemon.log", "dolt.log", "agent-settings", "launches"]
        for name in Disk.names(folder) where !others.contains(name) {
            let path = "\(folder)/\(name)"
            if Disk.isDirectory(path) {
                files.merge(try snapshot(path)) { first, _ in first }
            } else if name != "state.json", !name.hasSuffix(".lock") {
                files[path] = try Disk.read(path)
            }
        }
        return files
    }

    func withEmptyFolder(_ body: (MiniatureTown) throws -> Void) throws {
        try withTown(sections: "[services]\ndolt_port = \(Dolt.freePort())") { town in
            try town.demand("git", "init", "-q", "--bare", town.directory + "/repo.git")
            town.variables["GT_RIG_URL"] = town.directory + "/repo.git"
            try body(town)
        }
    }

    func steps(_ result: CommandResult) throws -> [JSONValue] {
        try #require(try JSONValue(parsing: result.output)["steps"]?.array)
    }

    /// Puts a script in the place of a program of the town.
    func replace(_ program: String, _ script: String, in town: MiniatureTown) throws {
        Disk.remove("\(town.bin)/\(program)")
        try Disk.replace("\(town.bin)/\(program)", Array("#!/bin/sh\n\(script)\n".utf8), mode: 0o755)
    }

    /// The real one, under another name.
    func keep(_ program: String, in town: MiniatureTown) throws {
        try Disk.makeDirectories(town.directory + "/real")
        try Disk.link("\(town.directory)/real/\(program)", to: MiniatureTown.products + "/townsim")
    }

    @Test func aSecondRunChangesNothing() throws {
        try withEmptyFolder { town in
            let first = try town.gasclawd("bootstrap", "--json")
            #expect(first.status == .exited(0), "\(text(first.errors))")
            let steps = try steps(first)
            #expect(
                steps.compactMap { $0["step"]?.string } == [
                    "accounts", "claude", "install", "dolt", "rig", "register", "daemon", "mayor",
                ])
            #expect(
                steps.dropFirst(2).compactMap { $0["result"]?.string } == [
                    // gt install leaves dolt running.
                    "done", "skipped", "done", "done", "done", "done",
                ] || steps.dropFirst(2).allSatisfy { $0["result"]?.string == "done" })
            #expect(steps.allSatisfy { $0["seconds"]?.double != nil })
            let ours = ["services.json", "launch.json", "bin/launcher.json"].map { town.state + "/" + $0 }
            func files() throws -> [String: [UInt8]] {
                try ours.reduce(into: snapshot(town.root)) { $0[$1] = try Disk.read($1) }
            }
            let before = try files()
            // No call of gt may be needed any more.
            try replace("gt", "echo \"$*\" >>\(town.directory)/gt-calls; exit 1", in: town)
            let second = try town.gasclawd("bootstrap", "--json")
            #expect(second.status == .exited(0), "\(text(second.errors))")
            #expect(try self.steps(second).allSatisfy { $0["result"]?.string == "skipped" }, "\(text(second.output))")
            #expect(!Disk.exists(town.directory + "/gt-calls"))
            let after = try files()
            for path in Set(before.keys).union(after.keys) { #expect((before[path] == after[path]) == true, "\(path)") }
        }
    }

    @Test func whatItStartedIsTakenUpByTheDaemon() throws {
        try withEmptyFolder { town in
            #expect(try town.gasclawd("bootstrap").status == .exited(0))
            let pid = try Disk.object(town.root + "/daemon/state.json")?["pid"]?.integer
            try town.startDaemon()
            try eventually("all services") { try town.servicePIDs().count == 3 }
            #expect(try town.service("daemon")?["pid"]?.integer == pid)
            #expect(try town.service("daemon")?["detail"]?.string == "")
            #expect(try town.gasclawd("stop").status == .exited(0))
            town.forgetDaemon()
        }
    }

    @Test func runDoesItAndIsReadyThen() throws {
        try withEmptyFolder { town in
            try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "true"])
            let events = try town.events()
            try events.next("daemon.ready")
            #expect(try events.seen("bootstrap.step").compactMap { $0["step"]?.string }.last == "mayor")
            #expect(try events.seen("bootstrap.step").allSatisfy { $0["result"]?.string != "failed" })
            #expect(try town.status()?["town"]?["installed"]?.bool == true)
            try eventually("all services") { try town.servicePIDs().count == 3 }
        }
    }

    @Test func aDryRunDoesNothing() throws {
        try withEmptyFolder { town in
            let before = Disk.names(town.directory)
            let result = try town.gasclawd("bootstrap", "--dry-run")
            #expect(result.status == .exited(0), "\(text(result.errors))")
            #expect(text(result.output).contains("gt install \(town.root) --git --dolt-port"))
            #expect(text(result.output).contains("gt rig add repo file://\(town.directory)/repo.git"))
            #expect(Disk.names(town.directory) == before)
            #expect(Disk.names(town.state).isEmpty)
            let answer = try JSONValue(parsing: try town.gasclawd("bootstrap", "--dry-run", "--json").output)
            #expect(answer["ok"] == true && answer["error"]?.isNull == true)
            #expect(answer["steps"]?.array?.last?["result"] == "would")
            Disk.remove("\(town.bin)/gt")
            let without = try town.gasclawd("bootstrap", "--dry-run")
            #expect(text(without.output).contains("but gt is not found (install it"))
            town.variables["GT_RIG_URL"] = town.directory + "/nowhere.git"
            let missing = text(try town.gasclawd("bootstrap", "--dry-run").output)
            #expect(missing.contains("but \(town.directory)/nowhere.git is not there (set town.rigs"), "\(missing)")
        }
    }

    @Test func aFailureEndsWhatWasStartedAndSaysWhatToDo() throws {
        try withEmptyFolder { town in
            town.variables["GT_RIG_URL"] = town.directory + "/nowhere.git"
            let result = try town.gasclawd("bootstrap")
            #expect(result.status == .exited(1))
            #expect(text(result.errors).contains("the bootstrap failed at rig: nowhere: "), "\(text(result.errors))")
            #expect(text(result.errors).contains("GT_RIG_URL"))
            #expect(MiniatureTown.processes(of: town.directory).filter(Program.isAlive).isEmpty, "dolt is ended again")
            // Mended, it goes on where it was.
            town.variables["GT_RIG_URL"] = town.directory + "/repo.git"
            let again = try town.gasclawd("bootstrap", "--json")
            #expect(again.status == .exited(0), "\(text(again.errors))")
            #expect(try steps(again).first { $0["step"]?.string == "install" }?["result"]?.string == "skipped")
        }
    }

    @Test func aToolThatLiesIsNotBelieved() throws {
        try withEmptyFolder { town in
            try replace("gt", "exit 0", in: town)
            let result = try town.gasclawd("bootstrap")
            #expect(result.status == .exited(1))
            #expect(text(result.errors).contains("gt says that it has made the town"), "\(text(result.errors))")
        }
    }

    @Test func theToolsOwnWordsAreShownWithoutKeys() throws {
        try withEmptyFolder { town in
            let key = try #require(town.keys.first)
            try replace("gt", "echo 'no identity: \(key.text)' >&2; exit 3", in: town)
            let result = try town.gasclawd("bootstrap", "--json")
            #expect(result.status == .exited(1))
            let all = text(result.errors) + text(result.output)
            #expect(all.contains("exit 3: no identity: [key]"), "\(all)")
            #expect(!all.contains(key.randomPart.prefix(8)))
        }
    }

    @Test func withoutGtKeysAreStillLookedAfter() throws {
        try withEmptyFolder { town in
            Disk.remove(town.bin + "/gt")
            try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "true", "PATH": "/usr/bin:/bin"])
            let status = try town.status()
            #expect(status?["state"]?.string == "degraded")
            #expect(status?["detail"]?.string?.contains("gt is not found") == true)
            #expect(status?["services"]?.array?.allSatisfy { $0["state"]?.string == "absent" } == true)
            let events = try town.events()
            let key = CanaryKey()
            try town.write(key, to: "9")
            try events.next("key.added") { $0["id"]?.string == key.id }
            // It appears, and nobody has to say so.
            try Disk.link(town.bin + "/gt", to: MiniatureTown.products + "/townsim")
            try eventually("the town to be up") { try town.servicePIDs().count == 3 }
            try eventually("no trouble") { try town.status()?["state"]?.string == "ready" }
            #expect(try town.status()?["town"]?["bootstrap"]?["next_retry_at"]?.isNull == true)
        }
    }

    @Test func aRigThatCannotBeAddedHoldsNobodyUpAndIsAddedWhenItCanBe() throws {
        try withEmptyFolder { town in
            let later = town.directory + "/later.git"
            town.variables["GT_RIG_URL"] = later
            try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "true"])
            try eventually("all services") { try town.servicePIDs().count == 3 }
            #expect(try Disk.object(town.root + "/settings/config.json")?["default_agent"]?.string == "kimi-claude")
            let events = try town.events()
            let results = try events.seen("bootstrap.step").filter { $0["result"]?.string == "failed" }
            #expect(results.compactMap { $0["step"]?.string } == ["rig"])
            let status = try #require(try town.status())
            #expect(status["state"]?.string == "degraded")
            #expect(
                status["detail"]?.string?.contains("failed at rig: later: \(later) is not there (set town.rigs") == true
            )
            #expect(status["town"]?["bootstrap"]?["error"]?.string == status["detail"]?.string)
            #expect(status["town"]?["bootstrap"]?["next_retry_at"]?.string != nil)
            let before = try town.servicePIDs()
            try town.demand("git", "init", "-q", "--bare", later)
            try events.next("bootstrap.step") { $0["step"]?.string == "rig" && $0["result"]?.string == "done" }
            try eventually("no trouble") { try town.status()?["state"]?.string == "ready" }
            #expect(try Disk.object(town.root + "/mayor/rigs.json")?["rigs"]?["later"] != nil)
            #expect(try town.servicePIDs()["mayor"] == before["mayor"])
        }
    }

    @Test func aPortThatIsTakenHoldsTheInstallationUntilItIsFree() throws {
        try withEmptyFolder { town in
            let text = try Disk.text(town.configuration) ?? ""
            let port = try #require(text.firstMatch(of: /dolt_port = ([0-9]+)/).flatMap { UInt16($0.1) })
            let other = try town.start(
                [town.bin + "/dolt", "sql-server", "--port", "\(port)"], name: "dolt", output: town.directory + "/other"
            )
            try eventually("the port to be taken") { Dolt.accepts(port) }
            try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "true"])
            #expect(
                try town.status()?["detail"]?.string?.contains(
                    "failed at install: port \(port) is held by pid \(other)")
                    == true)
            _ = Program.end(other, SIGKILL, within: .seconds(5))
            waitpid(other, nil, 0)
            try eventually("the town to be up") { try town.servicePIDs().count == 3 }
        }
    }

    @Test func brokenSettingsAreNotOverwritten() throws {
        try withEmptyFolder { town in
            #expect(try town.gasclawd("bootstrap").status == .exited(0))
            try Disk.overwrite(town.root + "/settings/config.json", Array("{".utf8))
            let result = try town.gasclawd("bootstrap")
            #expect(result.status == .exited(1))
            #expect(text(result.errors).contains("failed at register"))
            #expect(try Disk.text(town.root + "/settings/config.json") == "{")
        }
    }
}
