// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// Whatever happens to the state directory: no cooldown is lost, no disabled key is back, and the daemon starts.
@Suite(.serialized) struct StateFileTests {
    private func states(_ town: MiniatureTown) throws -> [String: String] {
        var states: [String: String] = [:]
        for item in try town.status()?["keys"]?["items"]?.array ?? [] {
            states[item["id"]?.string ?? ""] = item["state"]?.string
        }
        return states
    }

    @Test func whatWasAnsweredSurvivesAKillInTheSameInstant() throws {
        try withTown { town in
            let key = town.keys[1].id
            for round in 0..<8 {
                try town.startDaemon(isReady: false)
                let command = round % 2 == 0 ? "disable" : "enable"
                try eventually("the daemon to answer") {
                    try town.gasclawd("keys", command, key).status.isSuccess
                }
                try town.endDaemon(SIGKILL)
                let saved = try JSONValue(parsing: try Disk.read(town.state + "/keys.json") ?? [])
                #expect((saved["keys"]?[key]?["disabled"]?.object != nil) == (command == "disable"), "round \(round)")
            }
        }
    }

    @Test func aKillAmongManyChangesLeavesAWholeFile() throws {
        try withTown { town in
            try town.startDaemon()
            try town.gasclawd("keys", "disable", town.keys[0].id)
            for round in 0..<5 {
                // Changes without end, and the kill whenever it comes.
                let changes = try town.start(
                    [
                        "/bin/sh", "-c",
                        "while :; do for k in \(town.keys[1].id) \(town.keys[2].id); do for c in disable enable; do "
                            + "\(MiniatureTown.gasclawd) keys $c $k --config \(town.configuration); done; done; done",
                    ], output: town.directory + "/changes.\(round)")
                let start = try Disk.read(town.state + "/keys.json")
                try eventually("changes") { try Disk.read(town.state + "/keys.json") != start }
                try town.endDaemon(SIGKILL)
                kill(changes, SIGKILL)
                _ = try waitForEnd(of: changes)
                _ = try JSONValue(parsing: try Disk.read(town.state + "/keys.json") ?? [])
                try town.startDaemon()
                #expect(try states(town)[town.keys[0].id] == "disabled")
            }
            #expect(Disk.names(town.state).allSatisfy { !$0.contains("corrupt") })
        }
    }

    @Test(arguments: [
        "", "{", "null", "[1,2]", "\u{0}\u{1}\u{2}", #"{"keys":7,"leases":"x","resumes":{},"deferred":3,"active":[]}"#,
        #"{"version":99,"keys":{"x":{},"0123456789ab":{"cooldown":"soon","disabled":[],"evidence":{"a":1}}},"leases":[1,{}]}"#,
        #"{"last_used":{},"rate_limited":{}}"#,
    ])
    func foreignContentIsNoReasonNotToStart(_ content: String) throws {
        try withTown(keys: 1) { town in
            try Disk.makeDirectories(town.state, mode: 0o700)
            try Disk.replace(town.state + "/keys.json", Array(content.utf8))
            try town.startDaemon()
            #expect(try states(town) == [town.keys[0].id: "active"])
            try town.gasclawd("keys", "disable", town.keys[0].id)
            try town.endDaemon(SIGKILL)
            try town.startDaemon()
            #expect(try states(town) == [town.keys[0].id: "disabled"])
        }
    }

    @Test func whatAgentsStartByIsMadeAgainWhenTheDirectoryWasEmptied() throws {
        try withTown(keys: 2) { town in
            try town.startDaemon()
            try town.demand("find", town.state, "-mindepth", "1", "-delete")
            #expect(!Disk.exists(town.state + "/bin/claude"))
            try town.gasclawd("keys", "rotate")
            for name in ["keys.json", "launch.json", "bin/claude", "bin/agent-shell", "launcher.json"] {
                #expect(Disk.exists("\(town.state)/\(name)"), "\(name)")
            }
            // A note of a launcher that found nobody makes its own folder.
            let file = town.state + "/launch.json"
            #expect(try Syscalls.status(of: FilePath(file)).mode & 0o777 == 0o600)
        }
    }

    @Test func aFolderOrAFIFOInItsPlaceIsSetAside() throws {
        try withTown(keys: 1) { town in
            for kind in ["mkdir", "mkfifo"] {
                try Disk.makeDirectories(town.state, mode: 0o700)
                Disk.remove(town.state + "/keys.json")
                try town.demand(kind, town.state + "/keys.json")
                try town.startDaemon()
                try town.gasclawd("keys", "disable", town.keys[0].id)
                try town.endDaemon()
                try town.startDaemon()
                #expect(try states(town) == [town.keys[0].id: "disabled"])
                try town.gasclawd("keys", "enable", town.keys[0].id)
                try town.endDaemon()
                try town.demand("rm", "-rf", town.state + "/keys.json.corrupt")
            }
        }
    }

    @Test(.enabled(if: getuid() == 0, "only root can become somebody else"))
    func aStateDirectoryThatCannotBeWrittenIsDegradedAndStillRead() throws {
        try withTown(keys: 2) { town in
            try town.becomeNobodys()
            try town.startDaemon()
            let result = try town.gasclawd("keys", "disable", town.keys[0].id)
            #expect(result.status.isSuccess)
            try town.endDaemon()
            chmod(town.state, 0o555)
            chown(town.state, 0, 0)
            defer { chown(town.state, 65534, 65534) }
            try town.startDaemon()
            #expect(try states(town) == [town.keys[0].id: "disabled", town.keys[1].id: "active"])
            let status = try #require(try town.status())
            #expect(status["state"] == "degraded")
            // It can be written again: nobody has to do anything.
            chown(town.state, 65534, 65534)
            chmod(town.state, 0o700)
            try eventually("the state to be written again") { try town.status()?["state"] == "ready" }
        }
    }

    /// Puts the state directory onto a small disk of its own, in a mount namespace.
    ///
    /// - Returns: Does something to the disk: `fill`, `free`, `unlock`.
    private func putOnSmallDisk(_ town: MiniatureTown, isReadOnly: Bool = false) throws -> (String) throws -> Void {
        let script = town.directory + "/small-disk"
        try Disk.makeDirectories(town.state, mode: 0o700)
        try Disk.replace(
            script,
            Array(
                """
                mount -t tmpfs -o size=300k,mode=0700 tmpfs \(town.state) || exit 77
                \(isReadOnly ? "mount -o remount,ro \(town.state) || exit 77" : "")
                (
                    exec <>\(town.directory)/orders
                    while read -r order; do
                        case $order in
                        fill) dd if=/dev/zero of=\(town.state)/filler bs=1k count=2000 2>/dev/null ;;
                        free) rm \(town.state)/filler ;;
                        unlock) mount -o remount,rw \(town.state) ;;
                        esac
                        : >\(town.directory)/$order.done
                    done
                ) &
                exec "$@"

                """.utf8))
        try town.demand("mkfifo", town.directory + "/orders")
        guard
            try Program.run(["/usr/bin/env", "unshare", "-m", "true"], environment: town.environment).status.isSuccess
        else { try Test.cancel("no namespace may be made here") }
        town.wrapper = ["/usr/bin/env", "unshare", "-m", "/bin/sh", script]
        return { word in
            try Disk.append(town.directory + "/orders", word + "\n")
            try eventually(word) { Disk.exists("\(town.directory)/\(word).done") }
            Disk.remove("\(town.directory)/\(word).done")
        }
    }

    /// The namespace lives on with the helper; the next daemon joins it.
    private func helper(of town: MiniatureTown) throws -> Int32 {
        let pid = try town.daemonPID
        return try #require(
            ProcessTable.all().first {
                ProcessTable.status(of: $0)?.parent == pid && ProcessTable.status(of: $0)?.isAlive == true
                    && ProcessTable.arguments(of: $0)?.first == "/bin/sh"
            })
    }

    private func tellsThatItHoldsOnlyNow(_ result: CommandResult) -> Bool {
        result.status == .exited(1) && text(result.errors).contains("holds only until gasclawd ends")
    }

    @Test(.enabled(if: getuid() == 0, "only root can mount")) func aFullDiskLosesNothingThatWasThere() throws {
        try withTown(keys: 3) { town in
            let order = try putOnSmallDisk(town)
            try town.startDaemon()
            try town.gasclawd("keys", "disable", town.keys[0].id)
            try order("fill")
            #expect(tellsThatItHoldsOnlyNow(try town.gasclawd("keys", "disable", town.keys[1].id)))
            try eventually("the trouble to be told") {
                try town.status()?["detail"]?.string?.contains("state cannot be written") == true
            }
            #expect(try states(town)[town.keys[1].id] == "disabled", "in force all the same")
            #expect(tellsThatItHoldsOnlyNow(try town.gasclawd("keys", "enable", town.keys[0].id)))
            #expect(tellsThatItHoldsOnlyNow(try town.gasclawd("keys", "rotate")))
            #expect(tellsThatItHoldsOnlyNow(try town.gasclawd("keys", "disable", town.keys[0].id)))
            try order("free")
            try eventually("the state to be written again") { try town.status()?["state"] == "ready" }
            #expect(try town.gasclawd("keys", "disable", town.keys[0].id).status.isSuccess, "it is on disk")
            let helper = try helper(of: town)
            try order("fill")
            // Told, and so it is.
            #expect(tellsThatItHoldsOnlyNow(try town.gasclawd("keys", "enable", town.keys[1].id)))
            try town.endDaemon(SIGKILL)
            town.wrapper = ["/usr/bin/env", "nsenter", "-t", "\(helper)", "-m"]
            try town.startDaemon()
            let now = try states(town)
            #expect(now[town.keys[0].id] == "disabled" && now[town.keys[1].id] == "disabled")
            try town.endDaemon()
            kill(helper, SIGKILL)
        }
    }

    @Test(.enabled(if: getuid() == 0, "only root can mount")) func aReadOnlyDiskIsToldToWhoeverAsks() throws {
        try withTown(keys: 2) { town in
            let order = try putOnSmallDisk(town, isReadOnly: true)
            try town.startDaemon()
            let helper = try helper(of: town)
            #expect(try town.status()?["state"] == "degraded")
            #expect(tellsThatItHoldsOnlyNow(try town.gasclawd("keys", "disable", town.keys[0].id)))
            #expect(try states(town)[town.keys[0].id] == "disabled")
            // Nobody has to do anything more.
            try order("unlock")
            try eventually("the state to be written") { try town.status()?["state"] == "ready" }
            try town.endDaemon(SIGKILL)
            town.wrapper = ["/usr/bin/env", "nsenter", "-t", "\(helper)", "-m"]
            try town.startDaemon()
            #expect(try states(town)[town.keys[0].id] == "disabled")
            try town.endDaemon()
            kill(helper, SIGKILL)
        }
    }

    @Test(.enabled(if: getuid() == 0, "only root can mount")) func aServiceThatIsStoppedOnAFullDiskIsToldSo() throws {
        try withTown(sections: "[services]\nmanage = [\"dolt\"]") { town in
            let order = try putOnSmallDisk(town)
            try town.install()
            try town.startDaemon()
            let helper = try helper(of: town)
            func service() throws -> JSONValue? { try town.status()?["services"]?.array?.first }
            #expect(try service()?["state"] == "up")
            try order("fill")
            #expect(tellsThatItHoldsOnlyNow(try town.gasclawd("services", "stop", "dolt")))
            #expect(try service()?["state"] == "down")
            #expect(try town.status()?["state"] == "degraded")
            try order("free")
            try eventually("the state to be written") { try town.status()?["state"] == "ready" }
            try town.endDaemon(SIGKILL)
            town.wrapper = ["/usr/bin/env", "nsenter", "-t", "\(helper)", "-m"]
            try town.startDaemon()
            #expect(try service()?["wanted"] == "down" && service()?["state"] == "down")
            try town.endDaemon()
            kill(helper, SIGKILL)
        }
    }
}
