// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// The commands, with a daemon and without one.
@Suite(.serialized) struct CommandTests {
    @Test func withoutADaemonTheCommandsSaySoOrUseTheFiles() throws {
        try withTown { town in
            for command in [["status"], ["events"], ["events", "--follow"], ["keys", "rotate"]] {
                let result = try Program.run(
                    [MiniatureTown.gasclawd] + command + ["--config", town.configuration], environment: town.environment
                )
                #expect(result.status == .exited(69), "\(command)")
                #expect(text(result.errors).hasPrefix("gasclawd: "), "\(command)")
                #expect(result.output.isEmpty, "\(command)")
            }
            let list = try town.gasclawd("keys", "list", "--json")
            #expect(list.status == .exited(0))
            let keys = try JSONValue(parsing: list.output)
            #expect(Set((keys["items"]?.array ?? []).compactMap { $0["id"]?.string }) == Set(town.keys.map(\.id)))
            #expect(try town.gasclawd("check").status == .exited(0))
            #expect(try town.gasclawd("version").status == .exited(0))
        }
    }

    @Test func whatIsNotUnderstoodIsAUsageErrorAndABadConfigurationIsRefused() throws {
        try withTown { town in
            for arguments in [
                ["statsu"], ["status", "--colour"], ["events", "--since", "-1"], ["events", "--since", "x"],
                ["events", "--type", "a b"], ["keys", "list", "--nothing"], ["--nothing"],
            ] {
                let result = try Program.run([MiniatureTown.gasclawd] + arguments, environment: town.environment)
                #expect(result.status == .exited(64), "\(arguments): \(result.status)")
                #expect(result.output.isEmpty)
            }
            // What, why, and what to do.
            for (arguments, expected) in [
                (["statsu"], "usage: there is no command 'statsu' (gasclawd --help"),
                (["keys", "lst"], "keys: there is no command 'lst' (gasclawd keys --help"),
                (
                    ["keys", "explain"],
                    "keys explain: missing expected argument '<text>' (gasclawd keys explain --help"
                ),
                (
                    ["events", "--since", "x"],
                    "events: the value 'x' is invalid for '--since <seq>' (gasclawd events --help"
                ),
                (["agents", "reload"], "agents reload: it takes sessions, or --all (gasclawd agents reload --help"),
                (["run", CanaryKey().text], "run: unexpected argument '[key]' (gasclawd run --help"),
            ] {
                let result = try Program.run([MiniatureTown.gasclawd] + arguments, environment: town.environment)
                #expect(text(result.errors) == "gasclawd: \(expected) shows what there is)\n")
            }
            let elsewhere = try town.gasclawd("run", "--socket", town.directory + "/other.sock")
            #expect(elsewhere.status == .exited(64))
            #expect(text(elsewhere.errors).contains("listens on \(town.runtime)/control.sock (paths.runtime"))
            let missing = try Program.run(
                [MiniatureTown.gasclawd, "run", "--config", town.directory + "/none.toml"],
                environment: town.environment)
            #expect(missing.status == .exited(78))
            let help = try Program.run([MiniatureTown.gasclawd, "--help"], environment: town.environment)
            #expect(help.status == .exited(0))
            try Disk.replace(town.configuration, Array("[town\n".utf8))
            let broken = try town.gasclawd("run")
            #expect(broken.status == .exited(78))
            #expect(text(broken.errors).contains("\(town.configuration):1:"))
        }
    }

    @Test func aFileThatIsNoTOMLAnyMoreStillLeadsToItsDaemonAndToNoOther() throws {
        try withTown { town in
            town.variables["GASCLAWD_PATHS_RUNTIME"] = town.runtime
            try town.startDaemon()
            let good = try #require(try Disk.read(town.configuration))
            try Disk.replace(town.configuration, Array("[town\n".utf8))
            #expect(try town.gasclawd("status").status == .exited(0))
            #expect(try town.gasclawd("reload").status == .exited(78))
            Disk.remove(town.configuration)
            #expect(try town.gasclawd("status").status == .exited(0))
            // Another file is another daemon's.
            let other = town.directory + "/other.toml"
            try Disk.replace(other, Array("[town\n".utf8))
            let result = try Program.run(
                [MiniatureTown.gasclawd, "stop", "--config", other], environment: town.environment)
            #expect(result.status == .exited(78))
            #expect(text(result.errors).hasPrefix("\(other):1:"))
            try Disk.replace(town.configuration, good)
            #expect(try town.gasclawd("status").status == .exited(0))
        }
    }

    @Test func eventsCanBeAskedForByNumberAndByType() throws {
        try withTown { town in
            try town.startDaemon()
            func ask(_ arguments: String...) throws -> [JSONValue] {
                let result = try Program.run(
                    [MiniatureTown.gasclawd, "events", "--json", "--config", town.configuration] + arguments,
                    environment: town.environment)
                #expect(result.status == .exited(0), "\(arguments)")
                return try result.output.split(separator: 10).map { try JSONValue(parsing: $0) }
            }
            let all = try ask()
            #expect(all.map { $0["seq"]?.integer } == (1...all.count).map { $0 })
            #expect(Set(all.map { $0["boot_id"]?.string }).count == 1)
            #expect(try ask("--since", "2").map { $0["seq"]?.integer } == (3...all.count).map { $0 })
            let added = try ask("--type", "key.added")
            #expect(added.count == 3)
            #expect(added.allSatisfy { $0["reason"]?.string == "start" })
            #expect(try ask("--type", "key.added", "--type", "key.activated").count == 4)
            #expect(try ask("--since", "100000").isEmpty)
            // Whoever follows gets what comes, by type too.
            let follower = try town.start(
                [
                    MiniatureTown.gasclawd, "events", "--follow", "--json", "--type", "key.added", "--config",
                    town.configuration,
                ],
                output: town.directory + "/added")
            try eventually("the first three") {
                (try Disk.text(town.directory + "/added") ?? "").split(separator: "\n").count == 3
            }
            let key = CanaryKey()
            try town.write(key, to: "7")
            try eventually("the fourth") { (try Disk.text(town.directory + "/added") ?? "").contains(key.id) }
            try town.endDaemon()
            #expect(try waitForEnd(of: follower) == .exited(69))
        }
    }

    @Test func rotateMovesToTheNextKeyAndIsBusyWhereThereIsNone() throws {
        try withTown(keys: 2) { town in
            try town.startDaemon()
            let first = try #require(try town.status()?["keys"]?["active"]?.string)
            let rotated = try town.gasclawd("keys", "rotate", "--json")
            #expect(rotated.status == .exited(0))
            let second = try JSONValue(parsing: rotated.output)["active"]?.string
            #expect(second != first)
            #expect(
                try JSONValue(parsing: try town.gasclawd("keys", "rotate", "--json").output)["active"]?.string == first)
            // No cooldown comes with it.
            #expect(try town.status()?["keys"]?["ready"]?.integer == 2)
            let events = try town.events()
            Disk.removeTree("\(town.accounts)/2")
            try events.next("key.removed")
            let busy = try town.gasclawd("keys", "rotate")
            #expect(busy.status == .exited(75))
            #expect(
                text(busy.errors)
                    == "gasclawd: keys rotate: no other key is ready (gasclawd keys list shows when one is)\n")
            let unknown = try town.gasclawd("agents", "reload", "nobody")
            #expect(unknown.status == .exited(1))
            #expect(text(unknown.errors).hasPrefix("gasclawd: agents reload: there is no agent nobody"))
        }
    }

    @Test func statusSaysWhatIsWrongAndSinceWhen() throws {
        try withTown(keys: 0) { town in
            try town.startDaemon()
            let check = try town.gasclawd("status", "--check", "--json")
            #expect(check.status == .exited(1))
            let status = try JSONValue(parsing: check.output)
            #expect(status["state"]?.string == "degraded")
            #expect(status["detail"]?.string?.contains("no key") == true)
            // Contract C: what is absent is null and never left out.
            for name in [
                "version", "boot_id", "state", "detail", "pid", "started_at", "generation", "town", "keys",
                "services", "agents", "watch", "config",
            ] {
                #expect(status[name] != nil, "\(name)")
            }
            #expect(status["keys"]?["active"]?.isNull == true)
            #expect(status["watch"]?["polled"]?.array?.isEmpty == true)
            let events = try town.events()
            try town.write(CanaryKey(), to: "1")
            try events.next("daemon.ready")
            #expect(try town.gasclawd("status", "--check").status == .exited(0))
        }
    }

    @Test func anotherUserIsRefusedEvenIfItReachesTheSocket() throws {
        guard getuid() == 0 else { return }  // Only root can be somebody else.
        try withTown { town in
            try town.startDaemon()
            let program = try town.readableProgram()
            #expect(try Syscalls.status(of: FilePath(town.socket)).mode & 0o777 == 0o600)
            for path in [town.directory, town.runtime] { #expect(chmod(path, 0o755) == 0) }
            #expect(chmod(town.socket, 0o666) == 0)
            let result = try Program.run(
                [
                    "/usr/bin/env", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", program,
                    "status",
                    "--socket", town.socket,
                ], environment: town.environment)
            #expect(result.status == .exited(1))
            #expect(text(result.errors).contains("another user"))
            #expect(result.output.isEmpty)
        }
    }

    @Test func aClosedPipeEndsACommandQuietly() throws {
        try withTown { town in
            try town.startDaemon()
            let result = try Program.run(
                [
                    "/bin/sh", "-c",
                    "'\(MiniatureTown.gasclawd)' events --json --config '\(town.configuration)' | head -n 1",
                ],
                environment: town.environment)
            #expect(result.output.split(separator: 10).count == 1)
            #expect(result.errors.isEmpty, "\(text(result.errors))")
        }
    }
}
