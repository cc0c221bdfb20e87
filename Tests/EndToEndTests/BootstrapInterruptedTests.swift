// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// What becomes of a bootstrap that is interrupted, and of two at once.
extension BootstrapTests {
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
            let steps = try events.seen("bootstrap.step")
            #expect(steps.allSatisfy { $0["result"]?.string == "skipped" }, "\(steps.map(\.line))")
            #expect(try events.seen("agent.reload.started").isEmpty)
            #expect(try town.servicePIDs().count == 3)
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
}
