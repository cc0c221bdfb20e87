// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// What commands say of a daemon that ends while they listen, or that is not where its file says.
@Suite(.serialized) struct AbsentDaemonTests {
    @Test(arguments: [SIGKILL, SIGTERM]) func whoFollowsIsToldThatTheDaemonHasEnded(_ signal: Int32) throws {
        try withTown { town in
            try town.startDaemon()
            var followers: [(command: String, pid: Int32, output: String)] = []
            for (number, command) in [["events", "--follow"], ["status", "--watch"]].enumerated() {
                let output = "\(town.directory)/follower.\(number)"
                let pid = try town.start(
                    [MiniatureTown.gasclawd] + command + ["--config", town.configuration], output: output)
                followers.append((command[0], pid, output))
            }
            for follower in followers {
                try eventually("\(follower.command) to have begun") {
                    try Disk.text(follower.output)?.isEmpty == false
                }
            }
            try town.endDaemon(signal)
            for follower in followers {
                #expect(try waitForEnd(of: follower.pid) == .exited(69), "\(follower.command)")
                #expect(
                    try Disk.text(follower.output + ".err")
                        == "gasclawd: \(follower.command): the daemon has ended (start it with gasclawd run)\n")
            }
        }
    }

    // One line each: who writes more learns of it by the next.
    @Test(arguments: ["events --follow --type daemon.ready", "status --watch --json"])
    func whoFollowsForNobodyEnds(_ command: String) throws {
        try withTown { town in
            try town.startDaemon()
            // One line, and the reader has gone. Nothing happens after it.
            let pipe = "\(MiniatureTown.gasclawd) \(command) --config \(town.configuration) | head -n 1"
            let output = "\(town.directory)/head"
            let pid = try town.start(["bash", "-c", pipe], output: output)
            #expect(try waitForEnd(of: pid) == .exited(0))
            #expect(try Disk.text(output)?.split(separator: "\n").count == 1)
            #expect(try Disk.text(output + ".err") == "")
        }
    }

    @Test func aDaemonWhoseFileNamesOtherFoldersByNowIsFound() throws {
        try withTown { town in
            try town.startDaemon()
            let good = try #require(try Disk.text(town.configuration))
            let moved = good.replacing("runtime = \"\(town.runtime)\"", with: "runtime = \"\(town.directory)/other\"")
            #expect(moved != good)
            for content in [moved, ""] {
                try Disk.replace(town.configuration, Array(content.utf8))
                let reload = try town.gasclawd("reload")
                #expect(reload.status == .exited(78), "\(reload.status): \(text(reload.errors))")
                let status = try #require(try town.status())
                #expect(status["config"]?["ok"]?.bool == false)
                #expect(status["config"]?["path"]?.string == town.configuration)
            }
            try Disk.replace(town.configuration, Array(good.utf8))
            #expect(try town.gasclawd("reload").status == .exited(0))
            // Where a socket is named, that one is meant.
            let elsewhere = try town.gasclawd("status", "--socket", town.directory + "/none.sock")
            #expect(elsewhere.status == .exited(69))
            // Another file's daemon is another daemon.
            try town.endDaemon()
            #expect(try town.gasclawd("status").status == .exited(69))
        }
    }

    @Test func ofAKilledProcessNoMoreThanTheLastEventsAreTold() throws {
        try withTown { town in
            try town.startDaemon()
            // Each is one event at least.
            for _ in 1...120 { #expect(try town.ask("POST", "/v1/keys/rotate").status == 200) }
            try town.endDaemon(SIGKILL)
            let before = try #require(try Disk.text(town.log)).split(separator: "\n").count
            try town.startDaemon()
            let lines = try #require(try Disk.text(town.log)).split(separator: "\n").dropFirst(before)
            let told = lines.filter { $0.contains("before: ") }
            #expect(told.count == 100, "\(told.count)")
            #expect(lines.contains { $0.contains("left_out=") })
        }
    }

    @Test func whatIsNoKeysIDIsAUsageErrorOfEachCommand() throws {
        try withTown { town in
            try town.startDaemon()
            for command in ["clear", "disable", "enable", "remove"] {
                let result = try town.gasclawd("keys", command, "nope")
                #expect(result.status == .exited(64), "\(command)")
                #expect(
                    text(result.errors)
                        == "gasclawd: keys \(command): that is no key's id: 12 hexadecimal digits (gasclawd keys list shows the ids)\n"
                )
                #expect(try town.gasclawd("keys", command, "0123456789ab").status == .exited(1), "\(command)")
            }
            #expect(text(try town.gasclawd("keys", "clear").output).hasPrefix("nothing to do"))
        }
    }
}
