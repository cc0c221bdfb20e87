// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import Testing

@testable import townsim

/// `[beads] incidents = true`: one bead for each incident.
@Suite(.serialized) struct IncidentTests {
    private func beads(_ town: MiniatureTown) throws -> [JSONValue] {
        try Disk.json(town.directory + "/home/beads.json")?["issues"]?.array ?? []
    }

    private func open(_ town: MiniatureTown) throws -> [String] {
        try beads(town).filter { $0["status"]?.string != "closed" }.compactMap { $0["title"]?.string }.sorted()
    }

    private func titles(_ key: CanaryKey) -> [String] {
        ["gasclawd: key \(key.id) is out of use", "gasclawd: no key is ready"]
    }

    private func start(_ town: MiniatureTown) throws {
        try town.configure(sections: "[beads]\nincidents = true\n")
        try town.startDaemon()
    }

    @Test func anIncidentHasOneBeadAlsoAcrossACrashAndItIsClosedWhenItEnds() throws {
        try withTown(keys: 1) { town in
            let key = town.keys[0]
            try town.install()
            try start(town)
            try town.gasclawd("keys", "disable", key.id)
            try eventually("both beads") { try open(town) == titles(key) }
            let filed = try beads(town)
            #expect(filed.allSatisfy { $0["labels"] == ["gasclawd", "incident"] })
            #expect(filed.allSatisfy { $0["created_by"]?.string == "gasclawd" })
            #expect(!filed.contains { $0.line.contains(key.randomPart.prefix(8)) })
            try eventually("the note of both") {
                (try Disk.text(town.state + "/incidents.json") ?? "").split(separator: "\"bead\":\"").count == 3
            }
            try town.endDaemon(SIGKILL)
            // What was remembered may be lost too: then they are found by their titles.
            Disk.remove(town.state + "/incidents.json")
            try town.startDaemon()
            try eventually("the note of both again") {
                (try Disk.text(town.state + "/incidents.json") ?? "").split(separator: "\"bead\":\"").count == 3
            }
            #expect(try beads(town).count == 2)
            try town.gasclawd("keys", "enable", key.id)
            try eventually("no open bead") { try open(town).isEmpty }
            #expect(try beads(town).count == 2)
            try town.gasclawd("keys", "disable", key.id)
            try eventually("two new ones") { try beads(town).count == 4 && open(town) == titles(key) }
        }
    }

    @Test func aBeadThatAnOrphanedCallStillFilesIsNotFiledAgain() throws {
        try withTown(keys: 1) { town in
            try town.install()
            Disk.remove(town.bin + "/bd")
            let script = """
                #!/bin/sh
                if [ "$1" = create ]; then echo x >> \(town.directory)/creates; sleep 3; fi
                exec \(MiniatureTown.products)/townsim bd "$@"

                """
            try Disk.replace(town.bin + "/bd", Array(script.utf8), mode: 0o755)
            try start(town)
            try town.gasclawd("keys", "disable", town.keys[0].id)
            try eventually("bd to be called") { Disk.exists(town.directory + "/creates") }
            try town.endDaemon(SIGKILL)
            try town.startDaemon()
            try eventually("both beads") { try open(town) == titles(town.keys[0]) }
            #expect(try beads(town).count == 2)
            #expect(try Disk.text(town.directory + "/creates") == "x\nx\n")
        }
    }

    /// A service that never starts, until it can.
    @Test(arguments: ["dolt", "daemon"]) func aParkedServiceIsToldOnceAndItsEndToo(name: String) throws {
        try withTown { town in
            let told = town.directory + "/told"
            let notify = town.directory + "/notify"
            try Disk.replace(notify, Array("#!/bin/sh\ncat >>\(told)\n".utf8), mode: 0o755)
            try town.install()
            try town.demand("gt", "dolt", "stop", directory: town.root)
            let broken = town.directory + "/broken"
            try Disk.replace(broken, [])
            Disk.remove(town.bin + "/gt")
            try Disk.makeDirectories(town.directory + "/real")
            try Disk.link(town.directory + "/real/gt", to: MiniatureTown.products + "/townsim")
            let word = name == "dolt" ? "dolt start" : "daemon run"
            let script = """
                #!/bin/sh
                if [ "$1 $2" = "\(word)" ] && [ -e \(broken) ]; then echo "no: \(town.keys[0].text)" >&2; exit 1; fi
                exec \(town.directory)/real/gt "$@"

                """
            try Disk.replace(town.bin + "/gt", Array(script.utf8), mode: 0o755)
            try town.configure(
                sections: """
                    [beads]
                    incidents = true
                    [[alerts]]
                    on = ["service.parked"]
                    command = ["\(notify)"]
                    [services]
                    manage = ["dolt", "daemon"]
                    """)
            try town.startDaemon()
            let events = try town.events()
            let parked = try events.next("service.parked")
            #expect(parked["name"]?.string == name)
            #expect(parked["next_retry_at"]?.string != nil)
            #expect(parked["detail"]?.string?.contains("gt \(word): exit 1: no: [key]") == true, "\(parked.line)")
            #expect(try events.seen("service.backoff").filter { $0["name"]?.string == name }.count == 4)
            func alerts() throws -> [String] {
                try (Disk.read(told) ?? []).split(separator: 10).map {
                    try JSONValue(parsing: $0)["type"]?.string ?? ""
                }
            }
            try eventually("the alert") { try alerts() == ["service.parked"] }
            // Without dolt there are no beads: what is over by then is nobody's incident any more.
            if name == "daemon" {
                try eventually("the bead") { try open(town) == ["gasclawd: service daemon is parked"] }
            }
            // Tried once more in vain, it is the same incident.
            #expect(try town.gasclawd("services", "restart", name).status == .exited(1))
            Disk.remove(broken)
            #expect(try town.gasclawd("services", "restart", name).status == .exited(0))
            try eventually("the recovery") { try alerts().last == "alert.recovered" }
            try eventually("no open bead") { try open(town).isEmpty }
            #expect(try alerts().count == 2)
            #expect(try beads(town).count <= 1)
            #expect(try !beads(town).contains { $0.line.contains(town.keys[0].randomPart.prefix(8)) })
        }
    }

    @Test func whileBdOrDoltIsDownItIsTriedAgain() throws {
        try withTown(keys: 1) { town in
            try town.install()
            try start(town)
            try town.demand("gt", "dolt", "stop", directory: town.root)
            try town.gasclawd("keys", "disable", town.keys[0].id)
            try eventually("the failure in the log") {
                try Disk.text(town.log)?.contains("Dolt server unreachable") == true
            }
            // The daemon goes on meanwhile.
            #expect(try town.gasclawd("status").status == .exited(0))
            try town.demand("gt", "dolt", "start", directory: town.root)
            try eventually("both beads") { try open(town) == titles(town.keys[0]) }
            #expect(try beads(town).count == 2)
        }
    }
}
