// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// `gasclawd doctor` on a town with everything in it.
@Suite(.serialized) struct DoctorCommandTests {
    private func checks(_ town: MiniatureTown) throws -> (status: LinuxSys.ExitStatus, [String: JSONValue]) {
        let result = try town.gasclawd("doctor", "--json")
        let value = try JSONValue(parsing: result.output)
        var found: [String: JSONValue] = [:]
        for check in value["checks"]?.array ?? [] { found[check["id"]?.string ?? ""] = check }
        #expect((value["ok"]?.bool == true) == (result.status == .exited(0)))
        return (result.status, found)
    }

    private func findings(_ town: MiniatureTown) throws -> [String] {
        try checks(town).1.values.filter { ["failed", "warning"].contains($0["verdict"]?.string) }
            .map { "\($0["id"]?.string ?? ""): \($0["evidence"]?.string ?? "")" }.sorted()
    }

    private func expect(
        _ town: MiniatureTown, _ id: String, _ verdict: String, _ words: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let (status, all) = try checks(town)
        #expect(status == .exited(1), sourceLocation: sourceLocation)
        let evidence = all[id]?["evidence"]?.string ?? "not looked at"
        #expect(all[id]?["verdict"]?.string == verdict, "\(id): \(evidence)", sourceLocation: sourceLocation)
        #expect(evidence.contains(words), "\(id): \(evidence)", sourceLocation: sourceLocation)
    }

    /// Everything runs.
    private func start(_ town: MiniatureTown) throws {
        try Disk.replace(town.directory + "/h/.gitconfig", Array("[user]\nname = n\nemail = n@e\n".utf8))
        try town.install()
        try town.startDaemon()
        // Whoever is first starts them; the other is told that they run.
        for words in [["gt", "daemon", "start"], ["gt", "mayor", "start", "--agent", "kimi-claude"]] {
            _ = try Program.run(
                ["\(town.bin)/gt"] + words.dropFirst(), environment: town.environment, directory: town.root)
        }
        var last: [String] = []
        do {
            try eventually("a town without a finding") {
                last = try findings(town)
                return last.isEmpty
            }
        } catch { throw TownError("\(error): \(last.joined(separator: "; "))") }
    }

    @Test func aGoodTownHasNoFindingAndWhatBreaksIsFound() throws {
        try withTown { town in
            try start(town)
            let text = try town.gasclawd("doctor")
            #expect(text.status == .exited(0))
            #expect(String(decoding: text.output, as: UTF8.self).contains("0 findings in"))
            let before = try Disk.read(town.root + "/settings/config.json")

            try town.tmux("set-environment", "-g", "PATH", "/usr/bin:/bin")
            try expect(town, "agents.path", "warning", "is not first")
            try town.tmux("set-environment", "-g", "PATH", "\(town.state)/bin:/usr/bin:/bin")
            try town.tmux("set-environment", "-g", "ANTHROPIC_API_KEY", town.keys[0].text)
            try expect(town, "agents.environment", "failed", "ANTHROPIC_API_KEY")
            let told = try town.gasclawd("doctor", "--json").output
            #expect(!String(decoding: told, as: UTF8.self).contains(town.keys[0].randomPart.prefix(8)))
            try town.tmux("set-environment", "-g", "-u", "ANTHROPIC_API_KEY")

            try town.demand("gt", "estop", directory: town.root)
            try expect(town, "town.switches", "warning", "ESTOP")
            try town.demand("gt", "thaw", directory: town.root)

            try town.configure(sections: "[keys\n")
            try expect(town, "config.file", "failed", ":")
            try town.configure()
            #expect(try Disk.read(town.root + "/settings/config.json") == before)
            try eventually("no finding again") { try findings(town).isEmpty }
        }
    }

    @Test func aTmuxServerThatIsStartedAnewGetsThePathAgain() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            for name in ["ada", "bob"] {
                _ = try town.startCrew(name)
                try eventually("the launcher first in the PATH of new panes") {
                    try town.tmux("show-environment", "-g", "PATH").hasPrefix("PATH=\(town.state)/bin:")
                }
                try town.tmux("kill-server")
            }
        }
    }

    @Test func itWorksWithoutADaemonAndNamesWhoHoldsThePort() throws {
        try withTown(sections: ServiceTests.all) { town in
            try town.install()
            let port = try GtTown(root: town.root).doltPort()
            try town.demand("gt", "dolt", "stop", directory: town.root)
            try expect(town, "dolt.answer", "failed", "nobody listens")
            try expect(town, "tools.git-identity", "failed", "user.name")
            try expect(town, "agents.default", "failed", "not kimi-claude")
            // A dolt of somebody else.
            try Disk.makeDirectories(town.directory + "/other")
            let pid = try town.start(
                ["\(town.bin)/dolt", "sql-server", "--port", "\(port)"], name: "dolt",
                output: town.directory + "/dolt.out", directory: town.directory + "/other")
            try eventually("the other dolt") { Dolt.accepts(port) }
            try expect(town, "dolt.port", "failed", "pid \(pid)")
        }
    }

    @Test func whatACrashLeavesIsFound() throws {
        try withTown { town in
            try town.startDaemon()
            try town.endDaemon(SIGKILL)
            try expect(town, "service.socket", "warning", "is stale")
            try expect(town, "town.installed", "failed", "there is no town")
        }
    }

    /// What cannot be seen is not missing.
    @Test(.enabled(if: getuid() == 0, "only root can become somebody else"))
    func whoeverIsNotTheTownsUserIsToldSo() throws {
        try withTown(sections: "[services]\nmanage = [\"mayor\"]") { town in
            try town.install()
            try town.demand("chmod", "a+rX", town.directory, town.root, town.configuration)
            try town.startDaemon()
            let stranger = try Program.run(
                [
                    "/usr/bin/env", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                    try town.readableProgram(), "doctor", "--config", town.configuration,
                ], environment: town.environment)
            #expect(text(stranger.output).contains("the town is uid 0's"), "\(text(stranger.output + stranger.errors))")
            #expect(!text(stranger.output).contains("kill"))
        }
    }
}
