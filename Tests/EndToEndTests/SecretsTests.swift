// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// Contract F: where a key may be, and that it is nowhere else.
@Suite(.serialized) struct SecretsTests {
    @Test func afterABusyRunKeysAreOnlyWhereTheyMayBe() throws {
        try withTown(sections: "[log]\nlevel = \"trace\"") { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            let agents = [try town.startCrew("ada"), try town.startCrew("grace")]
            try town.demand("gt", "mayor", "start", "--agent", "kimi-claude", directory: town.root)
            var canaries = town.keys
            // Rotations, failures whose rows name the key itself, edits, refused files, a crash, a start without a daemon.
            try town.gasclawd("keys", "rotate")
            for _ in 1...3 { try events.next("agent.reload.finished") }
            let row = try town.request("of ada") { $0.directory == agents[0].directory && $0.result == "ok" }
            let said = town.keys.map(\.text).joined(separator: " and ")
            try town.appendFailure(
                of: row, status: 403,
                text:
                    "You've reached your 5-hour usage limit with \(said). Your quota will reset \(town.keys[0].randomPart)"
            )
            try events.next("key.cooled")
            for _ in 1...3 { try events.next("agent.reload.finished") }
            let new = CanaryKey()
            canaries.append(new)
            try town.write(new, to: "2")
            try events.next("key.added") { $0["id"]?.string == new.id }
            // Not TOML, with a key where the parser stops.
            let torn = CanaryKey()
            canaries.append(torn)
            try Disk.replace(
                town.accountFile("3"),
                Array("[providers.kimi]\napi_key = \"\(torn.text)\n\(torn.text) = = \(torn.text)\n".utf8))
            try events.next("keys.rejected")
            let good = try #require(try Disk.read(town.configuration))
            try Disk.replace(
                town.configuration, good + Array("[keys]\ncooldown = \"\(new.text)\"\n\(new.text) = 1\n".utf8))
            try events.next("config.rejected")
            let outputs = try [
                ["status", "--json"], ["status"], ["events", "--json"], ["events"], ["keys", "list"], ["check"],
            ].map {
                let result = try Program.run(
                    [MiniatureTown.gasclawd] + $0 + ["--config", town.configuration], environment: town.environment)
                return text(result.output + result.errors)
            }
            try Disk.replace(town.configuration, good)
            try town.endDaemon(SIGKILL)
            _ = try town.startCrew("hedy")
            try town.startDaemon()
            try eventually("all agents to be there and at rest") {
                let agents = try town.status()?["agents"]?.array ?? []
                return agents.count == 4 && agents.allSatisfy { $0["pending_reload"]?.isNull == true }
            }
            var control = Findings(canaries)
            control.look("what has a key", "error=" + torn.text.suffix(9))
            #expect(control.all.count == 1)
            var findings = Findings(canaries)
            for (index, output) in outputs.enumerated() { findings.look("output \(index)", output) }
            findings.look("tmux", try town.tmux("show-environment", "-g"))
            let panes = try town.tmux(
                "list-panes", "-a", "-F", "#{session_name} #{pane_start_command} #{pane_current_command} #{pane_title}")
            findings.look("panes", panes)
            for session in panes.split(separator: "\n").compactMap({ $0.split(separator: " ").first }) {
                findings.look("session \(session)", try town.tmux("show-environment", "-t", String(session)))
                findings.look(
                    "screen of \(session)", try town.tmux("capture-pane", "-p", "-S", "-", "-t", String(session)))
            }
            let processes = MiniatureTown.processes(of: town.directory)
            #expect(processes.count > 5)
            for pid in processes {
                findings.look("argv of \(pid)", text(try Disk.read("/proc/\(pid)/cmdline") ?? []))
                findings.look("environment of \(pid)", try environmentAtRest(of: pid))
            }
            #expect(findings.all.isEmpty, "\(findings.all.joined(separator: "\n"))")
            try town.lookThroughFiles(&findings, except: town.transcriptFile(of: row))
            #expect(findings.all.isEmpty, "\(findings.all.joined(separator: "\n"))")
        }
    }

    /// Every way by which a key comes in, is used, is asked about, and fails; then nothing of it is anywhere else.
    @Test func noWayOfAKeyLeavesATrace() throws {
        try withTown(keys: 2) { town in
            try town.install()
            var canaries = town.keys
            let home = town.directory + "/home"
            _ = try town.start(
                [MiniatureTown.products + "/townsim", "provider", home], output: town.directory + "/p.out")
            try eventually("the provider's port") { Disk.exists(home + "/provider.port") }
            let port = try #require(try Disk.text(home + "/provider.port")).filter(\.isNumber)
            // No key is asked about anywhere else, whatever network there is.
            let endpoint = "http://127.0.0.1:\(port)/coding/v1"
            for account in ["1", "2"] {
                let file = try #require(try Disk.text(town.accountFile(account)))
                let lines = file.split(separator: "\n", omittingEmptySubsequences: false)
                    .map { $0.hasPrefix("base_url") ? "base_url = \"\(endpoint)\"" : String($0) }
                try Disk.replace(town.accountFile(account), Array(lines.joined(separator: "\n").utf8))
            }
            try town.configure(
                agent: "hooks = true\nbase_url = \"http://127.0.0.1:\(port)/coding/\"",
                sections: "[keys]\nprobe = \"usage\"\n[log]\nlevel = \"trace\"")
            // From a variable, a credential and a command.
            let given = [CanaryKey(), CanaryKey(), CanaryKey()]
            canaries += given
            let secrets = town.directory + "/secrets"
            try Disk.makeDirectories(secrets, mode: 0o700)
            try Disk.replace(secrets + "/kimi-keys", Array("\(given[1].text)\n".utf8))
            try Disk.replace(secrets + "/new", Array(given[2].text.utf8))
            try town.startDaemon([
                "KIMI_API_KEYS": "nonsense:\(given[0].text)", "CREDENTIALS_DIRECTORY": secrets,
            ])
            let events = try town.events()
            var outputs: [(String, CommandResult)] = []
            func command(_ arguments: String...) throws {
                let result = try Program.run(
                    [MiniatureTown.gasclawd] + arguments + ["--config", town.configuration],
                    environment: town.environment)
                outputs.append((arguments.joined(separator: " ").prefix(20).description, result))
            }
            try command("keys", "add", "--file", secrets + "/new", "--base-url", "http://127.0.0.1:\(port)/coding/")
            try events.next("key.added") { $0["id"]?.string == given[2].id }
            // Agents whose tools show their environment, and call gt as agents do; once for each of them.
            let tool = """
                env >tools.$$; mkdir \(home)/called 2>/dev/null && { gt sling b1 project --agent kimi-claude; gt handoff; }
                """
            try Disk.replace(home + "/tool", Array(tool.utf8))
            let ada = try town.startCrew("ada")
            _ = try town.startCrew("grace")
            try town.demand("gt", "mayor", "start", "--agent", "kimi-claude", directory: town.root)
            // A project that redirects the endpoint, and one whose settings quote a key.
            for (name, base) in [("evil", "http://127.0.0.1:\(port)/\(town.keys[0].text)"), ("odd", town.keys[1].text)]
            {
                let folder = "\(town.root)/project/crew/\(name)"
                try Disk.makeDirectories(folder + "/.claude")
                try Disk.replace(
                    folder + "/.claude/settings.json", Array("{\"env\":{\"ANTHROPIC_BASE_URL\":\"\(base)\"}}".utf8))
                let result = try Program.run(
                    [town.launcher, "-p", "hi"], environment: town.environment, directory: folder)
                #expect(result.status == .exited(78))
                outputs.append(("launcher in \(name)", result))
                // They quote a key themselves.
                Disk.removeTree(folder)
            }
            // A failure with hook and row, and an answer of the provider; a key that it calls wrong.
            try Disk.makeDirectories(home + "/provider")
            for key in canaries { try Disk.replace("\(home)/provider/\(key.id)", Array("401\n".utf8)) }
            let holder = try #require(canaries.first { $0.id == (try? town.status()?["keys"]?["active"]?.string) })
            try town.fail(holder, with: "invalid-401")
            try events.next("key.cooled")
            try town.gasclawd("keys", "rotate")
            let row = try town.request("of ada") { $0.directory == ada.directory }
            let hook = """
                {"session_id":"\(row.conversation)","error":"unknown","last_assistant_message":"\(given[0].text) \
                \\u001b[31m\(given[1].randomPart)"}
                """
            try Disk.replace(secrets + "/hook", Array(hook.utf8))
            let posted = try Program.run(
                [
                    "/bin/sh", "-c",
                    "exec \(MiniatureTown.gasclawd) hook stop-failure --socket \(town.socket) <\(secrets)/hook",
                ], environment: town.environment)
            outputs.append(("hook", posted))
            try events.next("sighting") { $0["by"] == "hook" && $0["cause"] == "overloaded" }
            for arguments in [
                ["keys", "explain", given[0].text], ["keys", "explain", "--json", "x \(given[1].randomPart)"],
                ["keys", "add", given[2].text], ["keys", "remove", given[2].text], ["keys", "disable", given[2].text],
                ["agents", "reload", given[2].text], [given[0].text],
            ] {
                // The second has no more of a key than what nobody can know for one.
                if arguments[1...].contains("--json") { continue }
                let result = try Program.run(
                    [MiniatureTown.gasclawd] + arguments + ["--config", town.configuration],
                    environment: town.environment)
                outputs.append((arguments.prefix(2).joined(separator: " "), result))
            }
            try command("keys", "list")
            try command("status")
            try command("events", "--json")
            try command("doctor")
            try eventually("a polecat of gt sling") { try town.tmux("list-sessions", "-F", "#S").contains("furiosa") }
            try town.endDaemon(SIGKILL)
            try town.startDaemon()
            try eventually("the agents to be at rest") {
                try town.status()?["agents"]?.array?.allSatisfy { $0["pending_reload"]?.isNull == true } == true
            }
            var findings = Findings(canaries)
            #expect(Disk.names(ada.directory).contains { $0.hasPrefix("tools.") }, "tools were at work")
            for (name, output) in outputs { findings.look(name, text(output.output + output.errors)) }
            findings.look("tmux", try town.tmux("show-environment", "-g"))
            let panes = try town.tmux("list-panes", "-a", "-F", "#{session_name} #{pane_start_command} #{pane_title}")
            findings.look("panes", panes)
            for session in panes.split(separator: "\n").compactMap({ $0.split(separator: " ").first }) {
                findings.look("session \(session)", try town.tmux("show-environment", "-t", String(session)))
                findings.look(
                    "screen of \(session)", try town.tmux("capture-pane", "-p", "-S", "-", "-t", String(session)))
            }
            for pid in MiniatureTown.processes(of: town.directory) {
                findings.look("argv of \(pid)", text(try Disk.read("/proc/\(pid)/cmdline") ?? []))
                findings.look("environment of \(pid)", try environmentAtRest(of: pid))
            }
            #expect(findings.all.isEmpty, "\(findings.all.joined(separator: "\n"))")
            Disk.removeTree(secrets)
            try town.lookThroughFiles(&findings, except: "")
            #expect(findings.all.isEmpty, "\(findings.all.joined(separator: "\n"))")
        }
    }

    /// It is known for a key only when that key is read.
    @Test func aFolderThatIsNamedLikeAPartOfAKeyIsNotShown() throws {
        try withTown(keys: 2) { town in
            try town.startDaemon()
            let events = try town.events()
            try events.next("key.activated")
            let other = CanaryKey()
            let folder = String(town.keys[1].randomPart.prefix(20))
            try town.write(other, to: folder)
            let added = try events.next("key.added") { $0["id"]?.string == other.id }
            #expect(added["account"]?.string == "[key]")
            var findings = Findings(town.keys + [other])
            for arguments in [["status"], ["status", "--json"], ["keys", "list"], ["events", "--json"]] {
                let result = try Program.run(
                    [MiniatureTown.gasclawd] + arguments + ["--config", town.configuration],
                    environment: town.environment)
                #expect(text(result.output).contains(other.id))
                findings.look(arguments.joined(separator: " "), text(result.output + result.errors))
            }
            try town.lookThroughFiles(&findings, except: "")
            #expect(findings.all.isEmpty, "\(findings.all.joined(separator: "\n"))")
        }
    }

    /// Not dumpable, its memory and its environment are root's alone (proc(5)).
    @Test(.enabled(if: getuid() == 0, "only root can become somebody else"))
    func theDaemonsMemoryIsNobodysButRoots() throws {
        try withTown(keys: 1) { town in
            try town.becomeNobodys()
            try town.startDaemon()
            let pid = try town.daemonPID
            for name in ["environ", "mem", "maps"] {
                #expect(try Syscalls.status(of: FilePath("/proc/\(pid)/\(name)")).owner == 0, "\(name)")
            }
        }
    }

    /// What a process has in its environment, but for the one variable of an agent that holds its key.
    ///
    /// The shell of a tool call has the agent's environment until it becomes `agent-shell`; so a process other than an
    /// agent that has the variable is given the time to end.
    private func environmentAtRest(of pid: Int32) throws -> String {
        func environment() -> [String] { (ProcessTable.environment(of: pid) ?? []).map { text($0) } }
        let isKey = { (entry: String) in entry.hasPrefix("ANTHROPIC_API_KEY=") }
        _ = Waiting.until(.seconds(5)) { isAgent(pid) || !environment().contains(where: isKey) }
        return environment().filter { !(isAgent(pid) && isKey($0)) }.joined(separator: "\n")
    }

    private func isAgent(_ pid: Int32) -> Bool { text(ProcessTable.status(of: pid)?.name ?? []) == "claude" }
}

/// Places where any 8 consecutive characters of a key's random part were found.
struct Findings {
    private var fragments: Set<[UInt8]> = []
    private(set) var all: [String] = []

    init(_ keys: [CanaryKey]) {
        for key in keys {
            let random = Array(key.randomPart.utf8)
            for start in 0...(random.count - 8) { fragments.insert(Array(random[start..<(start + 8)])) }
        }
    }

    mutating func look(_ place: String, _ content: String) { look(place, Array(content.utf8)) }

    /// - Parameter allowed: Fragments that may be there.
    mutating func look(_ place: String, _ content: [UInt8], allowed: Set<[UInt8]> = []) {
        guard content.count >= 8 else { return }
        for start in 0...(content.count - 8) {
            let fragment = Array(content[start..<(start + 8)])
            if fragments.contains(fragment) && !allowed.contains(fragment) {
                all.append("\(place), byte \(start)")
                return
            }
        }
    }
}

extension MiniatureTown {
    func transcriptFile(of request: AgentRequest) -> String {
        Transcript.path(configDirectory: configDirectory, cwd: request.directory, sessionID: request.conversation)
    }

    /// Every file of the town but those of contract F; these have to be 0600.
    ///
    /// - Parameter forged: A transcript into which the test itself wrote keys.
    fileprivate func lookThroughFiles(_ findings: inout Findings, except forged: String) throws {
        for path in files(below: directory) {
            // The agents work on: a file of theirs may have gone meanwhile.
            guard let status = Self.status(path) else { continue }
            let isKeyFile = path.hasPrefix(accounts + "/") || path == state + "/launch.json"
            if isKeyFile {
                #expect(status.mode & 0o077 == 0, "\(path)")
                continue
            }
            if path == forged { continue }
            let content = try Disk.read(path) ?? []
            if path == configDirectory + "/.claude.json" {
                #expect(status.mode & 0o077 == 0, "\(path)")
                // The last 20 characters of each key, and no more.
                let state = try JSONValue(parsing: content)
                let approved = (state["customApiKeyResponses"]?["approved"]?.array ?? []).compactMap(\.string)
                #expect(!approved.isEmpty)
                #expect(approved.allSatisfy { $0.utf8.count == 20 })
                var allowed: Set<[UInt8]> = []
                for text in approved.map({ Array($0.utf8) }) {
                    for start in 0...(text.count - 8) { allowed.insert(Array(text[start..<(start + 8)])) }
                }
                findings.look(path, content, allowed: allowed)
                continue
            }
            findings.look(path, content)
        }
    }

    private static func status(_ path: String) -> FileStatus? {
        do throws(SystemError) { return try Syscalls.status(of: FilePath(path), followingLinks: false) } catch {
            return nil
        }
    }

    private func files(below folder: String) -> [String] {
        Disk.names(folder).flatMap { name -> [String] in
            let path = "\(folder)/\(name)"
            let kind = Self.status(path)?.kind
            return kind == .directory ? files(below: path) : kind == .regular ? [path] : []
        }
    }
}
