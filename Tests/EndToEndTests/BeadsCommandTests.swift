// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import Testing

@testable import townsim

/// `gasclawd beads` in the words of Gas Town's guide; no daemon runs.
@Suite(.serialized) struct BeadsCommandTests {
    @Test func beadsAreCreatedFoundShownAndClosedByName() throws {
        try withTown { town in
            try town.install()
            let name = "-task „ä“\n2"
            let created = try town.gasclawd("beads", "create", "--name", name, "--content", "--Fix\nit", "--json")
            #expect(created.status == .exited(0), "\(text(created.errors))")
            let bead = try JSONValue(parsing: created.output)
            #expect(bead["title"]?.string == name && bead["description"]?.string == "--Fix\nit")
            let id = try #require(bead["id"]?.string)
            #expect(try town.gasclawd("beads", "create", "--name", "other").status == .exited(0))
            let list = try JSONValue(parsing: try town.gasclawd("beads", "list", "--json").output)
            #expect(list.array?.count == 2)
            let found = try JSONValue(
                parsing: try town.gasclawd("beads", "search", "--query", "-task", "--json").output)
            #expect(found.array?.map { $0["id"]?.string } == [id])
            let shown = try town.gasclawd("beads", "show", id)
            #expect(text(shown.output).contains("--Fix\nit"))
            #expect(try town.gasclawd("beads", "close", "--name", name).status == .exited(0))
            #expect(try town.gasclawd("beads", "close", "--name", name).status == .exited(1))
            #expect(try JSONValue(parsing: try town.gasclawd("beads", "list", "--json").output).array?.count == 1)
        }
    }

    @Test func ofSeveralWithOneNameNoneIsClosedAndNoneIsClosedByChance() throws {
        try withTown { town in
            try town.install()
            for _ in 0..<2 { try town.gasclawd("beads", "create", "--name", "twice", "--content", "c") }
            let result = try town.gasclawd("beads", "close", "--name", "twice", "--json")
            #expect(result.status == .exited(1) && result.output.isEmpty)
            #expect(text(result.errors).contains("2 open beads have that name"))
            // bd alone would close what was touched last.
            #expect(try town.gasclawd("beads", "close", "--name", "none").status == .exited(1))
            #expect(try town.gasclawd("beads", "close", "--name", "").status == .exited(64))
            #expect(try town.gasclawd("beads", "close").status == .exited(64))
            #expect(try JSONValue(parsing: try town.gasclawd("beads", "list", "--json").output).array?.count == 2)
        }
    }

    @Test(arguments: [
        ("text", "it printed no JSON: No issues found."), ("rubbish", "it printed no JSON"),
        ("exit-0", "database is locked"), ("busy", "database is locked"),
    ])
    func whatBdGetsWrongIsAnErrorAndNoResult(_ fault: String, _ told: String) throws {
        try withTown { town in
            try town.install()
            try Disk.replace("\(town.directory)/home/faults/bd", Array(fault.utf8))
            for command in [["list"], ["create", "--name", "n", "--content", "c"], ["close", "--name", "n"]] {
                let result = try Program.run(
                    [MiniatureTown.gasclawd, "beads"] + command + ["--config", town.configuration],
                    environment: town.environment, directory: town.directory)
                #expect(result.status == .exited(1) && result.output.isEmpty, "\(command)")
                #expect(text(result.errors).hasPrefix("gasclawd: beads \(command[0]): bd: "), "\(text(result.errors))")
                #expect(text(result.errors).contains(told))
            }
        }
    }

    @Test func withoutATownItsDoltOrBdTheErrorSaysWhatIsMissing() throws {
        try withTown { town in
            let none = try town.gasclawd("beads", "list")
            #expect(none.status == .exited(1) && text(none.errors).contains("there are no beads"))
            try town.install()
            try town.demand("gt", "dolt", "stop", directory: town.root)
            let down = try town.gasclawd("beads", "list")
            #expect(down.status == .exited(1) && text(down.errors).contains("Dolt server unreachable"))
            Disk.remove(town.bin + "/bd")
            let missing = try town.gasclawd("beads", "list")
            #expect(missing.status == .exited(1) && text(missing.errors).contains("bd is not found"))
        }
    }

    @Test func aBdThatHangsIsEndedWithItsChildrenAndOneThatSaysTooMuchIsHeard() throws {
        try withTown { town in
            try town.install()
            try Disk.replace("\(town.directory)/home/faults/bd", Array("flood".utf8))
            #expect(try town.gasclawd("beads", "list").status == .exited(0))
            Disk.remove(town.bin + "/bd")
            try Disk.replace(town.bin + "/bd", Array("#!/bin/sh\nsleep 4711 & sleep 4711\n".utf8), mode: 0o755)
            let result = try town.gasclawd("beads", "create", "--name", "n", "--content", "c")
            #expect(result.status == .exited(1) && text(result.errors).contains("no answer within 30s"))
            let left = try MiniatureTown.processes(of: town.directory).filter { pid in
                let line = try Disk.text("/proc/\(pid)/cmdline") ?? ""
                return line.contains("4711")
            }
            #expect(left.isEmpty)
        }
    }

    @Test func aKeyIsNotWrittenIntoABead() throws {
        try withTown { town in
            try town.install()
            let result = try town.gasclawd("beads", "create", "--name", "n", "--content", "use \(town.keys[0].text)")
            #expect(result.status == .exited(1))
            #expect(!text(result.errors).contains(town.keys[0].randomPart.prefix(8)))
            #expect(try JSONValue(parsing: try town.gasclawd("beads", "list", "--json").output) == [])
        }
    }
}
