// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

@Suite struct GtTests {
    @Test func exitCodesSayAsLittleAsTheRealOnes() throws {
        let test = try TestTown()
        try test.install()
        #expect(try test.run("gt", ["install", test.town.root]).status == .exited(1))
        for service in ["daemon", "dolt", "mayor"] { #expect(try test.gt(service, "status").status == .exited(0)) }
        #expect(try test.gt("dolt", "stop").status == .exited(0))
        #expect(try test.gt("dolt", "status").status == .exited(0))
        #expect(try test.gt("dolt", "stop").status == .exited(1))
        #expect(try test.gt("daemon", "stop").status == .exited(1))
        #expect(try test.gt("mayor", "stop").status == .exited(1))
        #expect(try test.gt("rig", "add", "/project").status == .exited(1))
        #expect(try test.gt("rig", "add", "project", "/project").status == .exited(1))
        let list = try test.gt("rig", "list", "--json")
        #expect(list.status == .exited(0) && list.output == Array("No rigs configured.\n".utf8))
    }

    @Test func anAgentIsSplitAtSpacesAndReplacedAsAWhole() throws {
        let test = try TestTown()
        try test.install()
        let path = test.town.root + "/settings/config.json"
        #expect(!Disk.exists(path))
        #expect(try test.gt("config", "agent", "set", "a", "/x/claude  --y z").status.isSuccess)
        #expect(try Disk.json(path)?["agents"]?["a"] == ["command": "/x/claude", "args": ["--y", "z"]])
        #expect(try test.gt("config", "agent", "set", "a", "claude").status.isSuccess)
        #expect(try Disk.json(path)?["agents"]?["a"] == ["command": "claude", "args": []])
        #expect(try test.gt("config", "default-agent", "nobody").status == .exited(1))
        #expect(try test.gt("config", "default-agent", "a").status.isSuccess)
        // Outside of a town no variable helps: a relative file is written.
        let changes = ["GT_TOWN_ROOT": test.town.root]
        try test.run("gt", ["config", "agent", "set", "b", "claude"], in: test.town.home, changes)
        #expect(Disk.exists(test.town.home + "/settings/config.json"))
    }

    @Test func theKeyIsForwardedIntoTmuxAndTheBaseURLIsNot() throws {
        let test = try TestTown()
        try test.install()
        try test.prepareClaude(trusting: [test.town.root + "/mayor"])
        // The server's global environment is that of whoever starts it first; here it has neither.
        let server = try Program.run(
            ["tmux", "-L", try test.tmux().socket, "new-session", "-d", "-s", "first"],
            environment: test.environment(["ANTHROPIC_API_KEY": ""]))
        try #require(server.status.isSuccess)
        try test.gt("config", "agent", "set", "kimi-claude", test.town.bin + "/claude")
        let result = try test.gt(
            "mayor", "start", "--agent", "kimi-claude",
            changes: [
                "ANTHROPIC_BASE_URL": "http://ours", "DISABLE_COST_WARNINGS": "true", "HTTPS_PROXY": "http://proxy",
                "CLAUDECODE": "1",
            ])
        try #require(result.status.isSuccess, "\(shownText(result.errors))")
        #expect(try test.gt("mayor", "start").status == .exited(1))
        let pid = try #require(try test.tmux().pane(of: "hq-mayor")?.pid)
        let environment = Set(
            try #require(ProcessTable.environment(of: pid)).map { String(decoding: $0, as: UTF8.self) })
        #expect(
            environment.contains("ANTHROPIC_API_KEY=\(test.key)") && environment.contains("HTTPS_PROXY=http://proxy"))
        #expect(environment.isSuperset(of: ["GT_ROLE=mayor", "GT_SESSION=hq-mayor", "NODE_OPTIONS=", "CLAUDECODE="]))
        #expect(!environment.contains { $0.hasPrefix("ANTHROPIC_BASE_URL") || $0.hasPrefix("DISABLE_COST") })
        let command = try test.tmux().run("list-panes", "-t", "=hq-mayor:", "-F", "#{pane_start_command}").output
        #expect(String(decoding: command, as: UTF8.self).contains("ANTHROPIC_API_KEY='\(test.key)'"))
        try eventually(
            "the beacon as prompt",
            any: {
                try test.rows(of: test.town.root + "/mayor").first?["message"]?["content"]?.string?.hasPrefix(
                    "[GAS TOWN] mayor <- ") ?? false
            })
    }

    @Test func aDeadMayorIsRespawnedByItsHook() throws {
        let test = try TestTown()
        try test.install()
        try test.prepareClaude(trusting: [test.town.root + "/mayor"])
        try test.gt("config", "agent", "set", "kimi-claude", test.town.bin + "/claude")
        try test.gt("mayor", "start", "--agent", "kimi-claude")
        for _ in 0..<2 {
            let pid = try #require(try test.tmux().pane(of: "hq-mayor")?.pid)
            #expect(Program.end(pid, 15, within: .seconds(20)))
            try eventually(
                "another process in the pane",
                any: {
                    // tmux 3.3a can miss the end of a child (seen, also with a plain `sleep`)
                    // and reaps it only with the next one; this job is that next one.
                    try test.tmux().run("run-shell", "-b", "true")
                    let pane = try test.tmux().pane(of: "hq-mayor")
                    return pane?.isDead == false && pane?.pid != pid
                })
        }
    }

    @Test func theDaemonRevivesTheMayorAtItsHeartbeat() throws {
        let test = try TestTown()
        try test.install()
        try test.prepareClaude(trusting: [test.town.root + "/mayor"])
        try test.gt("config", "agent", "set", "kimi-claude", test.town.bin + "/claude")
        try test.gt("config", "default-agent", "kimi-claude")
        #expect(try test.gt("daemon", "start", changes: ["TOWNSIM_HEARTBEAT_MS": "100"]).status.isSuccess)
        defer { #expect(throws: Never.self) { try test.gt("daemon", "stop") } }
        #expect(try test.gt("daemon", "start").status == .exited(1))
        try eventually("a mayor", any: { try test.tmux().hasSession("hq-mayor") })
        #expect(try test.gt("mayor", "stop").status.isSuccess)
        try eventually("a mayor again", any: { try test.tmux().hasSession("hq-mayor") })
        try test.gt("estop")
        try eventually(
            "it stands still",
            any: {
                try Disk.text(test.town.root + "/daemon/daemon.log")?.contains("E-STOP active") ?? false
            })
        #expect(try test.gt("mayor", "stop").status.isSuccess)
        try test.gt("thaw")
        try eventually("a third mayor", any: { try test.tmux().hasSession("hq-mayor") })
    }

    @Test func statusNamesTheSocketAndTheAgents() throws {
        let test = try TestTown()
        try test.install()
        let status = try JSONValue(parsing: try test.gt("status", "--json", "--fast").output)
        #expect(status["tmux"]?["socket"]?.string == (try test.tmux().socket))
        #expect(status["dolt"]?["running"]?.bool == true && status["daemon"]?["running"]?.bool == false)
        #expect(status["agents"]?.array?.map { $0["role"]?.string } == ["coordinator", "health-check"])
    }

    @Test func aSlungBeadPutsTheKeyIntoTheSessionsEnvironment() throws {
        let test = try TestTown()
        try test.install()
        try test.prepareClaude()
        // A rig without git, so that nothing has to be cloned.
        let changes = ["PATH": test.town.bin]
        #expect(try test.gt("rig", "add", "project", "file:///nowhere", changes: changes).status.isSuccess)
        try test.gt("config", "agent", "set", "claude", test.town.bin + "/claude")
        #expect(try test.gt("sling", "hq-1", "project").status.isSuccess)
        let shown = try test.tmux().run("show-environment", "-t", "=pr-furiosa", "ANTHROPIC_API_KEY").output
        #expect(String(decoding: shown, as: UTF8.self) == "ANTHROPIC_API_KEY=\(test.key)\n")
    }
}

@Suite struct BeadsTests {
    @Test func beadsFollowTheRealCommandLine() throws {
        let test = try TestTown()
        try test.install()
        func bd(_ arguments: String..., changes: [String: String] = [:]) throws -> CommandResult {
            try test.run("bd", arguments, in: test.town.root, changes)
        }
        let created = try JSONValue(parsing: try bd("create", "broken", "-d", "why", "-l", "a,b", "--json").output)
        let id = try #require(created["id"]?.string)
        #expect(created["labels"] == ["a", "b"])
        #expect(try bd("create", "--name", "n", "--content", "c").status == .exited(1))
        #expect(try JSONValue(parsing: try bd("search", "BROK", "--json").output).array?.count == 1)
        #expect(try bd("search").status == .exited(1))
        #expect(try bd("show", "hq-none", "--json").status == .exited(1))
        #expect(try bd("update", "hq-none", "-d", "x", "--json").status == .exited(0))
        let updated = try JSONValue(parsing: try bd("update", id, "-d", "because", "--json").output)
        #expect(updated.array?.first?["description"]?.string == "because")
        // No id closes what was touched last.
        let closed = try JSONValue(parsing: try bd("close", "--json").output)
        #expect(closed.array?.first?["id"]?.string == id)
        #expect(try JSONValue(parsing: try bd("list", "--json").output) == [])
        let wrapped = try bd("list", "--all", "--json", changes: ["BD_JSON_ENVELOPE": "1"])
        #expect(try JSONValue(parsing: wrapped.output)["data"]?.array?.count == 1)
    }

    @Test func withoutADatabaseOrItsServerBeadsFail() throws {
        let test = try TestTown()
        try test.install()
        let outside = try test.run("bd", ["list", "--json"])
        #expect(outside.status == .exited(1) && shownText(outside.errors).contains("no beads database"))
        let directed = try test.run("bd", ["list", "--json"], ["BEADS_DIR": test.town.root + "/.beads"])
        #expect(directed.status == .exited(0))
        try test.gt("dolt", "stop")
        let down = try test.run("bd", ["list", "--json"], in: test.town.root)
        #expect(down.status == .exited(1) && down.output.isEmpty)
        #expect(try JSONValue(parsing: down.errors)["error"]?.string?.contains("unreachable") == true)
    }

    @Test func aQueryWithoutAHostSaysNothingOfAServer() throws {
        let test = try TestTown()
        let port = "\(Dolt.freePort())"
        #expect(try test.run("dolt", ["sql", "-q", "SELECT 1"]).status == .exited(0))
        let query = ["--host", "127.0.0.1", "--port", port, "--user", "root", "--no-tls", "sql", "-q", "SELECT 1"]
        #expect(try test.run("dolt", query).status == .exited(1))
    }
}

@Suite struct TownTests {
    @Test func aTownSaysNothingSecretAndKeepsItsKeysPrivate() throws {
        let test = try TestTown()
        for account in ["1", "2", "3"] {
            let status = try Syscalls.status(of: FilePath(test.town.accountFile(account)))
            #expect(status.mode == 0o600)
        }
        #expect(test.key.hasPrefix("sk-kimi-") && test.key.count == 56 && test.key != test.otherKey)
        let text = try #require(try Disk.text(test.town.configuration))
        #expect(!text.contains("sk-"))
        for tool in ["gt", "dolt", "bd", "claude"] { #expect(Disk.exists("\(test.town.bin)/\(tool)")) }
    }
}
