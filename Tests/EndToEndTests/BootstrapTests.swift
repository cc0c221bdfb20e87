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
    private func snapshot(_ folder: String) throws -> [String: [UInt8]] {
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

    private func withEmptyFolder(_ body: (MiniatureTown) throws -> Void) throws {
        try withTown(sections: "[services]\ndolt_port = \(Dolt.freePort())") { town in
            try town.demand("git", "init", "-q", "--bare", town.directory + "/repo.git")
            town.variables["GT_RIG_URL"] = town.directory + "/repo.git"
            try body(town)
        }
    }

    private func steps(_ result: CommandResult) throws -> [JSONValue] {
        try #require(try JSONValue(parsing: result.output)["steps"]?.array)
    }

    /// Puts a script in the place of a program of the town.
    private func replace(_ program: String, _ script: String, in town: MiniatureTown) throws {
        Disk.remove("\(town.bin)/\(program)")
        try Disk.replace("\(town.bin)/\(program)", Array("#!/bin/sh\n\(script)\n".utf8), mode: 0o755)
    }

    /// The real one, under another name.
    private func keep(_ program: String, in town: MiniatureTown) throws {
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

    @Test func interruptedInTheMiddleItCanBeRunAgain() throws {
        try withEmptyFolder { town in
            try keep("gt", in: town)
            let mark = town.directory + "/installing"
            // It has written a part when everything is killed.
            try replace(
                "gt",
                """
                if [ "$1" = install ] && [ ! -e \(mark) ]; then
                    mkdir -p "$2/mayor"; echo '{}' >"$2/mayor/town.json"; touch \(mark); exec sleep 600
                fi
                exec \(town.directory)/real/gt "$@"
                """, in: town)
            let pid = try town.start(
                [MiniatureTown.gasclawd, "bootstrap", "--config", town.configuration],
                output: town.directory + "/bootstrap.out")
            try eventually("gt install to be going on") { Disk.exists(mark) }
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
            let again = try town.gasclawd("bootstrap", "--json")
            #expect(again.status == .exited(0), "\(text(again.errors))")
            #expect(try steps(again).first { $0["step"]?.string == "install" }?["result"]?.string == "done")
            #expect(try Disk.object(town.root + "/mayor/rigs.json")?["rigs"]?["repo"] != nil)
        }
    }

    /// A gt that goes on for a while after its work, whoever tells it to end, and notes how many of it run at a time.
    private func linger(at step: String, in town: MiniatureTown) throws -> (mark: String, twice: String) {
        try keep("gt", in: town)
        let (mark, twice) = (town.directory + "/mark", town.directory + "/twice")
        try replace(
            "gt",
            """
            [ "$1" = \(step) ] || exec \(town.directory)/real/gt "$@"
            trap '' TERM
            mkdir \(town.directory)/going || echo "$*" >>\(twice)
            \(town.directory)/real/gt "$@"; code=$?
            [ -e \(mark) ] || { touch \(mark); sleep 600; }
            rmdir \(town.directory)/going; exit $code
            """, in: town)
        return (mark, twice)
    }

    @Test(arguments: ["install", "rig"]) func whatAKilledGasclawdLeftGoingIsEndedAndDoneAgain(step: String) throws {
        try withEmptyFolder { town in
            let (mark, twice) = try linger(at: step, in: town)
            let run = ["GASCLAWD_TOWN_BOOTSTRAP": "true"]
            try town.startDaemon(run, isReady: false)
            try eventually("gt \(step) to be going on") { Disk.exists(mark) }
            if step == "rig" {
                // As if it had not come so far as to be listed.
                try town.edit("mayor/rigs.json") { $0["rigs"] = [:] }
            }
            try town.endDaemon(SIGKILL)
            #expect(rmdir(town.directory + "/going") == 0)
            try town.startDaemon(run)
            #expect(!Disk.exists(twice))
            let events = try town.events()
            try events.next("daemon.ready")
            #expect(try events.seen("bootstrap.step").allSatisfy { $0["result"]?.string != "failed" })
            try eventually("all services") { try town.servicePIDs().count == 3 }
            #expect(try Disk.object(town.root + "/mayor/rigs.json")?["rigs"]?["repo"] != nil)
            let calls = MiniatureTown.processes(of: town.directory).filter(Program.isAlive)
                .filter { ProcessTable.arguments(of: $0)?.contains(step) == true }
            #expect(calls.isEmpty)
            let doltCount = MiniatureTown.processes(of: town.directory).filter(Program.isAlive)
                .count { ProcessTable.arguments(of: $0)?.contains("sql-server") == true }
            #expect(doltCount == 1)
        }
    }

    @Test(arguments: [true, false]) func aStopInTheMiddleLeavesNothing(byCommand: Bool) throws {
        try withEmptyFolder { town in
            let (mark, _) = try linger(at: "install", in: town)
            // Also what was there already: an empty folder stays one.
            try Disk.makeDirectories(town.root)
            try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "true"], isReady: false)
            try eventually("gt install to be going on") { Disk.exists(mark) }
            if byCommand {
                let pid = try town.daemonPID
                #expect(try town.gasclawd("stop").status == .exited(0))
                #expect(try waitForEnd(of: pid) == .exited(0))
                town.forgetDaemon()
            } else {
                #expect(try town.endDaemon() == .exited(0))
            }
            #expect(MiniatureTown.processes(of: town.directory).filter(Program.isAlive).isEmpty)
            #expect(Disk.isDirectory(town.root) && Disk.names(town.root).isEmpty)
        }
    }

    @Test func aFailureInAnEmptyFolderLeavesItEmpty() throws {
        try withEmptyFolder { town in
            try Disk.makeDirectories(town.root)
            try replace("gt", "[ $1 = install ] && echo x >\"$2/half\"; echo no >&2; exit 1", in: town)
            let result = try town.gasclawd("bootstrap")
            #expect(text(result.errors).contains("failed at install: gt install"), "\(text(result.errors))")
            #expect(Disk.isDirectory(town.root) && Disk.names(town.root).isEmpty)
        }
    }

    @Test func runWaitsForABootstrapThatIsGoingOn() throws {
        try withEmptyFolder { town in
            try keep("gt", in: town)
            let (mark, go) = (town.directory + "/mark", town.directory + "/go")
            try replace(
                "gt",
                """
                echo "$1" >>\(town.directory)/gt-calls
                [ "$1" = install ] && touch \(mark) && until [ -e \(go) ]; do sleep 0.1; done
                # Not exec: the gt daemon is a child of what we started.
                \(town.directory)/real/gt "$@"
                """, in: town)
            let pid = try town.start(
                [MiniatureTown.gasclawd, "bootstrap", "--config", town.configuration],
                output: town.directory + "/bootstrap.out")
            try eventually("gt install to be going on") { Disk.exists(mark) }
            try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "true"], isReady: false)
            try eventually("run to wait") { try town.wholeLog().contains("gasclawd bootstrap runs already") }
            try Disk.replace(go, [])
            #expect(try waitForEnd(of: pid) == .exited(0))
            let events = try town.events()
            try events.next("daemon.ready")
            // The mayor may be on its way back just then: it is reloaded for what the other process has registered.
            let isSkipped = try events.seen("bootstrap.step").allSatisfy {
                $0["result"]?.string == "skipped" || $0["step"]?.string == "mayor"
            }
            #expect(isSkipped, "\(events.all.map(\.line).joined(separator: "\n"))")
            try eventually("all services") { try town.servicePIDs().count == 3 }
            let calls = (try Disk.text(town.directory + "/gt-calls") ?? "").split(separator: "\n")
            #expect(calls.count { $0 == "install" } == 1)
            let log = try town.wholeLog()
            #expect(calls.count { $0 == "daemon" } == 1, "\(calls)\n\(log)")
        }
    }

    /// What another configuration for the same town says.
    private func others(_ town: MiniatureTown) -> [String] {
        town.environment + [
            "GASCLAWD_PATHS_STATE=\(town.directory)/state2", "GASCLAWD_PATHS_RUNTIME=\(town.directory)/run2",
        ]
    }

    /// A gt whose `step`, before or after its work, lasts until somebody lets it go on.
    private func hold(_ step: String, after: Bool, in town: MiniatureTown) throws -> (mark: String, go: String) {
        try keep("gt", in: town)
        let (mark, go) = (town.directory + "/mark", town.directory + "/go")
        let wait = "{ touch \(mark); until [ -e \(go) ]; do sleep 0.1; done; }"
        try replace(
            "gt",
            """
            [ "$1" = \(step) ] || exec \(town.directory)/real/gt "$@"
            \(after ? "\(town.directory)/real/gt \"$@\"; code=$?" : "")
            \(wait)
            \(after ? "exit $code" : "exec \(town.directory)/real/gt \"$@\"")
            """, in: town)
        return (mark, go)
    }

    @Test(arguments: [true, false]) func nobodyElseTakesATownThatIsBeingMade(byRun: Bool) throws {
        try withEmptyFolder { town in
            let (mark, _) = try hold("install", after: true, in: town)
            let pid: Int32
            if byRun {
                try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "true"], isReady: false)
                pid = try town.daemonPID
            } else {
                pid = try town.start(
                    [MiniatureTown.gasclawd, "bootstrap", "--config", town.configuration],
                    output: town.directory + "/bootstrap.out")
            }
            try eventually("gt install to be done, but for its end") { Disk.exists(mark) }
            for command in ["run", "bootstrap"] {
                let second = try town.gasclawd(command, environment: others(town) + ["GASCLAWD_TOWN_BOOTSTRAP=true"])
                #expect(second.status == .exited(75), "\(command)")
                #expect(
                    text(second.errors).contains("another gasclawd looks after the town: pid \(pid) "),
                    "\(text(second.errors))")
            }
            // It removes what it has made: nobody else has it.
            kill(pid, SIGINT)
            #expect(try waitForEnd(of: pid) == .exited(byRun ? 0 : 1))
            if byRun { town.forgetDaemon() }
            #expect(!Disk.exists(town.root))
            #expect(MiniatureTown.processes(of: town.directory).filter(Program.isAlive).isEmpty)
        }
    }

    @Test func whatAnInterruptedStepLeftIsNotRemovedWhereAnotherFolderHasTheName() throws {
        try withEmptyFolder { town in
            let (mark, _) = try hold("install", after: false, in: town)
            let pid = try town.start(
                [MiniatureTown.gasclawd, "bootstrap", "--config", town.configuration],
                output: town.directory + "/bootstrap.out")
            try eventually("gt install to be going on") { Disk.exists(mark) }
            #expect(try Holders.lockHolder(FilePath(town.root)) == pid)
            try town.demand("mv", town.root, town.directory + "/moved")
            try Disk.makeDirectories(town.root)
            try Disk.replace(town.root + "/theirs", [])
            kill(pid, SIGINT)
            #expect(try waitForEnd(of: pid) == .exited(1))
            #expect(Disk.exists(town.root + "/theirs"))
            // Nor is it the next time.
            try replace("gt", "exit 1", in: town)
            #expect(try town.gasclawd("bootstrap").status == .exited(1))
            #expect(Disk.exists(town.root + "/theirs"))
        }
    }

    @Test(arguments: [true, false]) func runWaitsForABootstrapOfATownThatIsThere(bootstraps: Bool) throws {
        try withEmptyFolder { town in
            let (mark, go) = try hold("rig", after: false, in: town)
            try town.demand("gt", "install", town.root, "--git", "--dolt-port", String(Dolt.freePort()))
            let pid = try town.start(
                [MiniatureTown.gasclawd, "bootstrap", "--config", town.configuration],
                output: town.directory + "/bootstrap.out")
            try eventually("gt rig add to be going on") { Disk.exists(mark) }
            try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "\(bootstraps)"], isReady: false)
            try eventually("run to wait") { try town.wholeLog().contains("gasclawd bootstrap runs already") }
            #expect(town.isDaemonAlive)
            try Disk.replace(go, [])
            #expect(try waitForEnd(of: pid) == .exited(0))
            let events = try town.events()
            try events.next("daemon.ready")
            try eventually("all services") { try town.servicePIDs().count == 3 }
            let daemon = try town.daemonPID
            #expect(try Holders.lockHolder(FilePath(town.root)) == daemon)
        }
    }

    @Test func aBootstrapBesideADaemonHasTheTownThatItMakesAndGivesItBack() throws {
        try withEmptyFolder { town in
            let (mark, go) = try hold("install", after: true, in: town)
            try town.startDaemon(isReady: false)
            try eventually("the daemon to answer") {
                try town.status()?["state"]?.string.map { $0 != "starting" } == true
            }
            let pid = try town.start(
                [MiniatureTown.gasclawd, "bootstrap", "--config", town.configuration],
                output: town.directory + "/bootstrap.out")
            try eventually("gt install to be done, but for its end") { Disk.exists(mark) }
            #expect(try Holders.lockHolder(FilePath(town.root)) == pid)
            try Disk.replace(go, [])
            _ = try waitForEnd(of: pid)
            let daemon = try town.daemonPID
            try eventually("the daemon to have the town") { try Holders.lockHolder(FilePath(town.root)) == daemon }
            #expect(town.isDaemonAlive)
        }
    }

    @Test func aSignalEndsItWithWhatItStarted() throws {
        try withEmptyFolder { town in
            try keep("gt", in: town)
            let mark = town.directory + "/adding"
            try replace(
                "gt",
                "[ \"$1\" = rig ] && touch \(mark) && exec sleep 600\nexec \(town.directory)/real/gt \"$@\"", in: town)
            let pid = try town.start(
                [MiniatureTown.gasclawd, "bootstrap", "--config", town.configuration],
                output: town.directory + "/bootstrap.out")
            try eventually("gt rig add to be going on") { Disk.exists(mark) }
            kill(pid, SIGINT)
            #expect(try waitForEnd(of: pid) == .exited(1))
            #expect(try Disk.text(town.directory + "/bootstrap.out.err")?.contains("interrupted") == true)
            #expect(MiniatureTown.processes(of: town.directory).filter(Program.isAlive).isEmpty)
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
