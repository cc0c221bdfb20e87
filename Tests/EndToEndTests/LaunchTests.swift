// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// How the launcher becomes the agent, and what the agent has then.
@Suite(.serialized) struct LaunchTests {
    @Test func theAgentIsTheProcessThatGtStartedWithEverythingItNeeds() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let events = try town.events()
            let leased = try events.next("agent.leased")
            let pid = try town.pid(of: ada)
            #expect(leased["pid"]?.integer == Int(pid), "the pid stays")
            #expect(leased["role"]?.string == "crew")
            #expect(text(try #require(ProcessTable.status(of: pid)?.name)) == "claude", "gt knows agents by this name")
            let environment = variables(of: pid)
            let key = try #require(town.keys.first { $0.id == leased["id"]?.string })
            #expect(environment["ANTHROPIC_API_KEY"] == key.text)
            #expect(environment["ANTHROPIC_BASE_URL"] == "https://api.kimi.com/coding/")
            #expect(environment["CLAUDE_CONFIG_DIR"] == town.configDirectory)
            #expect(environment["DISABLE_COST_WARNINGS"] == "true")
            #expect(environment["IS_SANDBOX"] == "1")
            #expect(environment["ANTHROPIC_AUTH_TOKEN"] == nil)
            #expect(environment["CLAUDE_CODE_SHELL_PREFIX"]?.hasSuffix("/agent-shell") == true)
            // --settings is pinned, and holds no key.
            let words = (try Disk.read("/proc/\(pid)/cmdline") ?? []).split(separator: 0).map { text($0) }
            let place = try #require(words.firstIndex(of: "--settings"))
            let settings = try #require(try Disk.text(words[place + 1]))
            #expect(
                try JSONValue(parsing: settings)["env"]?["ANTHROPIC_BASE_URL"]?.string == "https://api.kimi.com/coding/"
            )
            #expect(try JSONValue(parsing: settings)["hooks"]?["SessionStart"] != nil, "gt's own are still in it")
            #expect(words.count { $0.hasPrefix("--settings") } == 1)
            #expect(try Syscalls.status(of: FilePath(words[place + 1])).mode & 0o777 == 0o600)
        }
    }

    @Test func aToolOfAnAgentSeesNoKey() throws {
        try withTown { town in
            try town.install()
            let seen = town.directory + "/tool-environment"
            try Disk.replace(
                town.directory + "/home/tool", Array("env > \(seen).part && mv \(seen).part \(seen)\n".utf8))
            try town.startDaemon()
            _ = try town.startCrew("ada")
            try eventually("a tool call") { Disk.exists(seen) }
            let environment = try #require(try Disk.text(seen))
            #expect(environment.contains("CLAUDECODE=1"))
            #expect(!environment.contains("ANTHROPIC_"))
            #expect(!environment.contains("CLAUDE_CODE_SHELL_PREFIX"))
            for key in town.keys { #expect(!environment.contains(key.randomPart.prefix(8))) }
        }
    }

    @Test func anAgentThatAnAgentStartsHasAKeyAndTmuxHasNone() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            try Disk.replace(
                town.directory + "/home/tool",
                Array(
                    "cd \(town.root) && \(town.bin)/gt sling gt-1 project --agent kimi-claude >/dev/null 2>&1; true\n"
                        .utf8))
            _ = try town.startCrew("ada")
            let polecat = try events.next("agent.leased") { $0["role"]?.string == "polecat" }
            Disk.remove(town.directory + "/home/tool")
            let session = try #require(polecat["session"]?.string)
            let command = try town.tmux("display-message", "-p", "-t", session, "#{pane_start_command}")
            let shown = try town.tmux("show-environment", "-t", session) + town.tmux("show-environment", "-g") + command
            for key in town.keys { #expect(!shown.contains(key.randomPart.prefix(8))) }
        }
    }

    @Test(arguments: [#"{"env":{"ANTHROPIC_BASE_URL":"https://elsewhere.example"}}"#, #"{"apiKeyHelper":"/bin/cat"}"#])
    func aProjectThatCouldTakeTheKeyElsewhereStartsNoAgent(settings: String) throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            let project = town.directory + "/project"
            try Disk.makeDirectories(project + "/.claude")
            try Disk.replace(project + "/.claude/settings.local.json", Array(settings.utf8))
            // With the daemon and without it.
            for isRunning in [true, false] {
                if !isRunning { try town.endDaemon() }
                let result = try Program.run(
                    [town.launcher, "-p", "hello"], environment: town.environment, directory: project)
                #expect(result.status == .exited(78))
                #expect(text(result.errors).contains("settings.local.json"))
                if isRunning {
                    let event = try events.next("agent.unsafe_settings")
                    #expect(event["pid"]?.integer != nil)
                }
            }
            #expect(try town.requests().isEmpty)
        }
    }

    @Test func callsThatAreNoAgentPassThrough() throws {
        try withTown { town in
            try town.startDaemon()
            for _ in 1...2 {
                let version = try Program.run([town.launcher, "--version"], environment: town.environment)
                #expect(version.status == .exited(0))
                #expect(text(version.output).contains("(Claude Code)"))
                #expect(version.errors.isEmpty)
                #expect(
                    try Program.run([town.launcher, "mcp", "list"], environment: town.environment).status == .exited(0))
                // The second time with no daemon.
                if town.isDaemonAlive { try town.endDaemon() }
            }
        }
    }

    @Test func aSingleRequestGetsAKeyFromTheDaemonAndFromItsFile() throws {
        try withTown { town in
            try town.startDaemon()
            let active = try town.status()?["keys"]?["active"]?.string
            for _ in 1...2 {
                let result = try Program.run(
                    [town.launcher, "-p", "hello"], environment: town.environment, directory: town.directory)
                #expect(result.status == .exited(0), "\(text(result.errors))")
                if town.isDaemonAlive { try town.endDaemon() }
            }
            #expect(try town.requests().map(\.key) == [active, active])
            // What others could read or have written is not taken.
            #expect(chmod(town.state + "/launch.json", 0o644) == 0)
            let open = try Program.run(
                [town.launcher, "-p", "hello"], environment: town.environment, directory: town.directory)
            #expect(open.status == .exited(78))
            #expect(text(open.errors).contains("launch.json"))
        }
    }

    @Test func aLauncherWaitsForTheFirstKey() throws {
        try withTown(keys: 0) { town in
            try town.startDaemon()
            let output = town.directory + "/waiting"
            let pid = try town.start([town.launcher, "-p", "hello"], name: town.launcher, output: output)
            try eventually("the message on the pane") {
                (try Disk.text(output + ".err") ?? "").contains("waiting for a key")
            }
            let key = CanaryKey()
            try town.write(key, to: "1")
            #expect(try waitForEnd(of: pid) == .exited(0))
            #expect(try town.requests().map(\.key) == [key.id])
        }
    }

    @Test func whatIsMissingIsNamed() throws {
        try withTown { town in
            try town.install()
            // No claude: the link is there, the program behind it is not.
            Disk.remove(town.bin + "/claude")
            try town.startDaemon()
            try eventually("the log to name claude") { try town.logTail().contains("claude") }
            let result = try Program.run([town.launcher, "-p", "hello"], environment: town.environment)
            #expect(result.status == .exited(78))
            #expect(text(result.errors).contains("\(town.bin)/claude cannot be run"))
            try town.endDaemon()
            // No gt: agents are not registered, keys are watched all the same.
            Disk.remove(town.root + "/settings/config.json")
            Disk.remove(town.bin + "/gt")
            town.variables["PATH"] = "/usr/bin:/bin"
            try town.startDaemon(isReady: false)
            try eventually("the daemon to say that gt is missing") {
                let status = try town.status()
                return status?["state"]?.string == "degraded"
                    && status?["detail"]?.string?.contains("gt is not found") == true
            }
            let events = try town.events()
            try town.write(CanaryKey(), to: "1")
            try events.next("key.removed")
            // A town that was there is missed.
            try town.endDaemon()
            Disk.removeTree(town.root)
            try town.startDaemon()
            let missed = try #require(try town.status())
            #expect(missed["state"]?.string == "degraded")
            #expect(missed["detail"]?.string?.contains("was a town and is not there") == true)
            // Where none has been it is no condition.
            try town.endDaemon()
            Disk.remove(town.state + "/towns.json")
            try town.startDaemon()
            let status = try #require(try town.status())
            #expect(status["state"]?.string == "ready")
            #expect(status["town"]?["installed"]?.bool == false)
        }
    }

    @Test func withoutTmuxAReloadFailsWithItsReason() throws {
        try withTown { town in
            try town.install()
            // A PATH of links to all but tmux: the daemon must not find it, the town must.
            let tools = town.directory + "/tools"
            try Disk.makeDirectories(tools)
            for tool in ["git", "sh", "env", "sleep", "true"] {
                try Disk.link("\(tools)/\(tool)", to: "/usr/bin/\(tool)")
            }
            try town.startDaemon(["PATH": tools])
            try eventually("the log to name tmux") { try town.logTail().contains("tmux") }
            let ada = try town.startCrew("ada")
            let pid = try town.pid(of: ada)
            let events = try town.events()
            try town.gasclawd("keys", "rotate")
            let failed = try events.next("agent.reload.failed")
            #expect(failed["detail"]?.string?.contains("tmux") == true)
            #expect(try town.pid(of: ada) == pid, "it was not touched")
        }
    }

    private func variables(of pid: Int32) -> [String: String] {
        var all: [String: String] = [:]
        for entry in ProcessTable.environment(of: pid) ?? [] {
            let parts = text(entry).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { all[String(parts[0])] = String(parts[1]) }
        }
        return all
    }
}
