// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// Tools that do what they must not, and places that are not as one thinks of them.
@Suite(.serialized) struct BadToolTests {
    /// Puts a script before gt; it gets the real one as `$gt`.
    private func precede(_ town: MiniatureTown, _ script: String) throws {
        try Disk.makeDirectories(town.directory + "/real")
        try Disk.link(town.directory + "/real/gt", to: MiniatureTown.products + "/townsim")
        Disk.remove(town.bin + "/gt")
        try Disk.replace(
            town.bin + "/gt", Array("#!/bin/sh\ngt=\(town.directory)/real/gt\n\(script)\nexec $gt \"$@\"\n".utf8),
            mode: 0o755)
    }

    /// What gt answers when it is asked for its agents, and what is said of it.
    private static let answers = [
        ("echo 'No agent sessions running.'; exit 0", "is not understood"),
        (#"echo '{"agents":{"hq-mayor":true}}'; exit 0"#, "is not understood"),
        (#"printf '{"agents":[{"session":"hq-ma'; exit 0"#, "is not understood"),
        ("head -c 3000000 /dev/urandom; exit 0", "is not understood"),
        ("echo 'Error: dolt: broken pipe' >&2; exit 1", "exit 1: Error: dolt: broken pipe"),
        // It fills its pipe for ever, and ignores who ends it; so do its children.
        (
            "trap '' TERM; (trap '' TERM; setsid sh -c \"trap '' TERM; sleep 600\") & yes; sleep 600",
            "no answer in its time"
        ),
    ]

    @Test(arguments: answers.indices) func anAnswerThatIsNoneChangesNothingAndDelaysNobody(index: Int) throws {
        let (script, says) = Self.answers[index]
        try withTown(sections: ServiceTests.all) { town in
            try town.install()
            let asked = town.directory + "/asked"
            try precede(town, "if [ \"$1\" = status ]; then touch \(asked); \(script); fi")
            try town.startDaemon()
            let before = try town.servicePIDs()
            try eventually("the question") { Disk.exists(asked) }
            // While it hangs all goes on.
            let events = try town.events()
            let key = CanaryKey()
            try town.write(key, to: "9")
            try events.next("key.added") { $0["id"]?.string == key.id }
            #expect(try town.gasclawd("status").status == .exited(0))
            try eventually("what is said of it") {
                try town.wholeLog().split(separator: "\n").contains {
                    $0.contains("gt status --json --fast") && $0.contains(says)
                }
            }
            #expect(try town.servicePIDs() == before)
            #expect(try town.status()?["state"]?.string == "ready")
            try eventually("nothing of it to be left") {
                !MiniatureTown.processes(of: town.directory).filter(Program.isAlive).contains { pid in
                    (ProcessTable.arguments(of: pid) ?? []).contains { ["yes", "sleep"].contains($0) }
                }
            }
        }
    }

    @Test func aServerThatAnswersNoQueryIsTriedAgainAndKeysAreLookedAfter() throws {
        try withTown(sections: "[services]\nmanage = [\"dolt\"]") { town in
            try town.install()
            try town.demand("gt", "dolt", "stop", directory: town.root)
            // The server starts, and whoever asks it gets no answer.
            let dolt = town.bin + "/dolt"
            try Disk.makeDirectories(town.directory + "/real")
            try Disk.link(town.directory + "/real/dolt", to: MiniatureTown.products + "/townsim")
            Disk.remove(dolt)
            let script = """
                #!/bin/sh
                for word in "$@"; do [ "$word" = sql ] && { echo x >>\(town.directory)/asked; sleep 600; }; done
                exec \(town.directory)/real/dolt "$@"

                """
            try Disk.replace(dolt, Array(script.utf8), mode: 0o755)
            try town.startDaemon(isReady: false)
            try eventually("the question") { Disk.exists(town.directory + "/asked") }
            let events = try town.events()
            let key = CanaryKey()
            try town.write(key, to: "9")
            try events.next("key.added") { $0["id"]?.string == key.id }
            let backoff = try events.next("service.backoff")
            #expect(backoff["detail"]?.string?.contains("no answer in its time") == true, "\(backoff.line)")
            Disk.remove(dolt)
            try Disk.link(dolt, to: MiniatureTown.products + "/townsim")
            try events.next("service.up")
        }
    }

    @Test(arguments: ["My Town", "Gastown-Größe-村", "it's \"quoted\""])
    func aTownMayBeCalledAsItLikes(name: String) throws {
        try withTown(sections: "[services]\ndolt_port = \(Dolt.freePort())") { town in
            town.name = name
            let repository = town.directory + "/Mein Repository ✓.git"
            try town.demand("git", "init", "-q", "--bare", repository)
            town.variables["GASCLAWD_TOWN_ROOT"] = town.root
            let rig = "[{ name = \"project\", url = \"\(repository)\" }]"
            var lines: [String] = []
            for line in (try Disk.text(town.configuration) ?? "").split(separator: "\n") {
                lines.append(String(line))
                if line.hasPrefix("root = ") { lines.append("rigs = \(rig)") }
            }
            try Disk.replace(town.configuration, Array(lines.joined(separator: "\n").utf8))
            try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "true"])
            let events = try town.events()
            try events.next("daemon.ready")
            #expect(try town.status()?["town"]?["root"]?.string == town.root)
            #expect(try events.seen("bootstrap.step").allSatisfy { $0["result"]?.string != "failed" })
            #expect(try town.servicePIDs().count == 3)
            let ada = try town.startCrew("ada")
            let row = try town.request("of ada") { $0.directory == ada.directory && $0.result == "ok" }
            let active = try #require(try town.status()?["keys"]?["active"]?.string)
            try town.fail(try #require(town.keys.first { $0.id == active }), with: "quota-5h-403")
            try town.request("of the same conversation") {
                $0.conversation == row.conversation && $0.key != active && $0.result == "ok"
            }
            #expect(try town.gasclawd("stop").status == .exited(0))
            #expect(MiniatureTown.processes(of: town.directory).filter(Program.isAlive).isEmpty)
            town.forgetDaemon()
        }
    }

    @Test(.enabled(if: getuid() == 0, "only root can mount"), arguments: [true, false])
    func aTownOnADiskThatTakesNothingIsToldAndTakenUpLater(isFull: Bool) throws {
        try withTown(sections: "[services]\ndolt_port = \(Dolt.freePort())") { town in
            try town.demand("git", "init", "-q", "--bare", town.directory + "/repo.git")
            town.variables["GT_RIG_URL"] = town.directory + "/repo.git"
            try Disk.makeDirectories(town.root)
            let options = isFull ? "size=16m" : "ro"
            let mount = try Program.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", town.root], environment: town.environment)
            guard mount.status.isSuccess else { return }  // A container without the right to mount.
            defer { _ = umount2(town.root, Int32(MNT_DETACH)) }
            let ballast = town.root + "/ballast"
            if isFull { try fill(ballast) }
            try town.startDaemon(["GASCLAWD_TOWN_BOOTSTRAP": "true"])
            let detail = try town.status()?["detail"]?.string ?? ""
            #expect(detail.contains("the bootstrap failed at install: gt install"), "\(detail)")
            #expect(
                detail.lowercased().contains(isFull ? "no space left" : "read-only file system"),
                "gt's own words: \(detail)")
            #expect(try town.status()?["town"]?["bootstrap"]?["next_retry_at"]?.string != nil)
            let result = try town.gasclawd("keys", "rotate")
            #expect(result.status == .exited(0), "\(text(result.errors))")
            if isFull {
                Disk.remove(ballast)
            } else {
                try town.demand("mount", "-o", "remount,rw", town.root)
            }
            try town.gasclawd("reload")
            try eventually("the town to be up") { try town.servicePIDs().count == 3 }
            #expect(try town.gasclawd("stop").status == .exited(0))
            town.forgetDaemon()
        }
    }
}
