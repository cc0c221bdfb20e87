// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// Who else has what a service needs, and whose the town is.
extension ServiceTests {
    @Test func aPortThatSomebodyElseHasIsNamedAndNotFoughtOver() throws {
        try withTown(sections: "[services]\nmanage = [\"dolt\"]") { town in
            try town.install()
            try town.demand("gt", "dolt", "stop", directory: town.root)
            let port = try #require(Dolt.port(inConfig: try Disk.text(town.root + "/.dolt-data/config.yaml") ?? ""))
            let other = try town.start(
                [town.bin + "/dolt", "sql-server", "--port", "\(port)"], name: "dolt", output: town.directory + "/other"
            )
            try eventually("the port to be taken") { Dolt.accepts(port) }
            try town.startDaemon(isReady: false)
            try eventually("the holder to be named") {
                try town.service("dolt")?["detail"]?.string?.contains("port \(port) is held by pid \(other)") == true
            }
            #expect(Program.isAlive(other))
            #expect(try town.service("dolt")?["state"]?.string == "parked")
            let events = try town.events()
            // By hand it is the same.
            let restart = try town.gasclawd("services", "restart", "dolt")
            #expect(restart.status == .exited(1))
            #expect(text(restart.errors).contains("held by pid \(other)"))
            // It ends, and dolt is tried at once; never in between.
            let count = try events.seen("service.starting").count
            _ = Program.end(other, SIGKILL, within: .seconds(5))
            waitpid(other, nil, 0)
            try events.next("service.up")
            #expect(try events.seen("service.starting").count == count + 1)
            #expect(try events.seen("service.backoff").isEmpty)
        }
    }

    @Test func whatGtListsOtherwiseIsSaidAndNothingIsDone() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            Disk.remove(town.bin + "/gt")
            try Disk.makeDirectories(town.directory + "/real")
            try Disk.link(town.directory + "/real/gt", to: MiniatureTown.products + "/townsim")
            let lie =
                #"{"agents":[{"session":"hq-mayor","running":false},{"session":"hq-ghost","running":true}],"x":1}"#
            let script = """
                #!/bin/sh
                [ "$1" = status ] || exec \(town.directory)/real/gt "$@"
                echo "$*" >>\(town.directory)/asked
                echo "warning: an old binary" >&2
                echo '\(lie)'

                """
            try Disk.replace(town.bin + "/gt", Array(script.utf8), mode: 0o755)
            try town.startDaemon()
            let before = try town.servicePIDs()
            try eventually("the list to differ") {
                text(try town.gasclawd("agents", "list").output).contains("gt does not see it running")
            }
            let list = text(try town.gasclawd("agents", "list").output)
            #expect(list.contains("hq-ghost") && list.contains("gt lists it as running"), "\(list)")
            let doctor = text(try town.gasclawd("doctor").output)
            #expect(doctor.contains("hq-mayor: gt does not see it running"), "\(doctor)")
            #expect(try town.status()?["state"]?.string == "ready")
            #expect(try town.servicePIDs() == before)
            // Once by the daemon, once by the doctor.
            #expect(try Disk.text(town.directory + "/asked") == "status --json --fast\nstatus --json --fast\n")
        }
    }

    @Test func aPortThatItsHolderClosesIsTakenThoughTheHolderLives() throws {
        guard Disk.exists("/usr/bin/python3") else { return }
        try withTown(sections: "[services]\nmanage = [\"dolt\"]") { town in
            try town.install()
            try town.demand("gt", "dolt", "stop", directory: town.root)
            let port = try #require(Dolt.port(inConfig: try Disk.text(town.root + "/.dolt-data/config.yaml") ?? ""))
            let script = """
                import signal, socket
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
                s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", \(port))); s.listen()
                signal.sigwait({signal.SIGUSR1})
                s.close(); signal.pause()
                """
            let other = try town.start(
                ["/usr/bin/python3", "-c", script], output: town.directory + "/other")
            try eventually("the port to be taken") { Dolt.accepts(port) }
            try town.startDaemon()
            let events = try town.events()
            let parked = try events.next("service.parked")
            #expect(parked["detail"]?.string?.contains("held by pid \(other)") == true)
            #expect(kill(other, SIGUSR1) == 0)
            try events.next("service.up")
            #expect(Program.isAlive(other))
        }
    }

    @Test func aSecondGasclawdWithOtherFoldersIsRefusedAndSaid() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.startDaemon()
            let before = try town.servicePIDs()
            let pid = try town.daemonPID
            // The same town by another name.
            try Disk.link(town.directory + "/other-name", to: town.root)
            let other =
                town.environment + [
                    "GASCLAWD_PATHS_STATE=\(town.directory)/state2", "GASCLAWD_PATHS_RUNTIME=\(town.directory)/run2",
                    "GASCLAWD_TOWN_ROOT=\(town.directory)/other-name",
                ]
            for command in ["run", "bootstrap", "stop"] {
                let result = try town.gasclawd(command, environment: other)
                #expect(result.status == .exited(75), "\(command)")
                #expect(
                    text(result.errors).contains(
                        "\(command): another gasclawd looks after the town: pid \(pid) (gasclawd) holds"),
                    "\(text(result.errors))")
            }
            let doctor = try town.gasclawd("doctor", environment: other)
            #expect(text(doctor.output).contains("another gasclawd looks after this town: pid \(pid)"))
            #expect(!text(try town.gasclawd("doctor").output).contains("another gasclawd"))
            #expect(try town.servicePIDs() == before)
            // However it ends, the town is free then.
            try town.endDaemon(SIGKILL)
            #expect(before.values.allSatisfy { Program.isAlive(Int32($0)) })
            #expect(try Holders.lockHolder(FilePath(town.root)) == nil, "what it started has no part of it")
            let stop = try town.gasclawd("stop", environment: other)
            #expect(stop.status == .exited(0), "\(text(stop.errors))")
        }
    }

    @Test(.enabled(if: getuid() == 0)) func aLockOfAStrangerKeepsNobodyFromStartingAndStopping() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.demand("chmod", "0755", town.directory, town.root)
            let stranger = try town.start(
                [
                    "/usr/bin/env", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "flock",
                    "--no-fork", town.root, "sleep", "600",
                ], output: town.directory + "/stranger")
            try eventually("the town to be locked") { try Holders.lockHolder(FilePath(town.root)) == stranger }
            let doctor = text(try town.gasclawd("doctor").output)
            #expect(doctor.contains("a process of user 65534 keeps gasclawd from locking its town"), "\(doctor)")
            #expect(!doctor.contains("kill \(stranger)"))
            try town.startDaemon()
            #expect(try town.servicePIDs().count == 3)
            let said = "pid \(stranger) (sleep) of user 65534 holds a lock on"
            #expect(try town.wholeLog().split(separator: "\n").count { $0.contains(said) } == 1)
            // It is taken as soon as it is free.
            kill(stranger, SIGKILL)
            waitpid(stranger, nil, 0)
            let pid = try town.daemonPID
            try eventually("the lock to be ours") { try Holders.lockHolder(FilePath(town.root)) == pid }
            #expect(try town.endDaemon() == .exited(0))
            let again = try town.start(
                [
                    "/usr/bin/env", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "flock",
                    "--no-fork", town.root, "sleep", "600",
                ], output: town.directory + "/stranger")
            try eventually("the town to be locked") { try Holders.lockHolder(FilePath(town.root)) == again }
            #expect(try town.gasclawd("stop").status == .exited(0))
            #expect(
                MiniatureTown.processes(of: town.directory).filter { $0 != again && Program.isAlive($0) }.isEmpty)
        }
    }

    @Test func anotherNameOfTheSameTownIsTakenOver() throws {
        try withTown(sections: Self.all) { town in
            try town.install()
            try town.startDaemon()
            let before = try town.servicePIDs()
            try Disk.link(town.directory + "/other-name", to: town.root)
            town.name = "other-name"
            try town.configure(sections: Self.all)
            let result = try town.gasclawd("reload")
            #expect(result.status == .exited(0), "\(text(result.errors))")
            #expect(try town.servicePIDs() == before)
            let pid = try town.daemonPID
            #expect(try Holders.lockHolder(FilePath(town.root)) == pid)
        }
    }

    @Test func aDaemonOfSomebodyElseIsLookedAfterAndSaid() throws {
        try withTown(sections: "[services]\nmanage = [\"daemon\"]") { town in
            try town.install()
            try town.demand("gt", "daemon", "start", directory: town.root)
            let pid = try Disk.object(town.root + "/daemon/state.json")?["pid"]?.integer
            try town.startDaemon()
            try eventually("it to be up") { try town.service("daemon")?["state"]?.string == "up" }
            let service = try town.service("daemon")
            #expect(service?["pid"]?.integer == pid)
            #expect(service?["detail"]?.string?.contains("somebody else has started it") == true)
        }
    }
}
