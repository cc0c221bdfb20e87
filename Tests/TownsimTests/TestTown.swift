// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// A miniature town in a temporary folder, with the real program behind its links and a real tmux server of its own.
final class TestTown {
    let town: MiniatureTown
    let key: String
    let otherKey: String

    init() throws {
        town = MiniatureTown(at: try TemporaryFolder.make("townsim-test").string)
        let program = try CurrentProcess.executable().removingLastComponent().appending("townsim").string
        let result = try Program.run([program, "town", town.directory])
        #expect(result.status.isSuccess)
        key = try Self.key(in: town.accountFile("1"))
        otherKey = try Self.key(in: town.accountFile("2"))
    }

    deinit {
        do {
            if Disk.exists(town.root + "/mayor/town.json") {
                try tmux().killServer()
                _ = try gt("dolt", "stop")
            }
        } catch { Issue.record(error) }
        Disk.removeTree(town.directory)
    }

    private static func key(in path: String) throws -> String {
        let text = try #require(try Disk.text(path))
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("api_key") })
        return String(line.split(separator: "\"")[1])
    }

    // MARK: - Running

    /// The whole environment of what is started here; it holds nothing of ours.
    func environment(_ changes: [String: String] = [:]) -> [String] {
        let base = [
            "PATH": "\(town.bin):/usr/local/bin:/usr/bin:/bin", "HOME": town.directory, "SHELL": "/bin/sh",
            "LANG": "C.UTF-8", "TERM": "xterm", "TOWNSIM_HOME": town.home, "TOWNSIM_TURN_MS": "40",
            "TOWNSIM_RETRY_MS": "1", "CLAUDE_CODE_MAX_RETRIES": "2", "CLAUDE_CONFIG_DIR": town.configDirectory,
            "IS_SANDBOX": "1", "ANTHROPIC_API_KEY": key,
        ]
        return base.merging(changes) { _, new in new }.filter { !$0.value.isEmpty }.map { "\($0.key)=\($0.value)" }
    }

    @discardableResult
    func run(
        _ tool: String, _ arguments: [String], in directory: String? = nil, _ changes: [String: String] = [:]
    ) throws -> CommandResult {
        try Program.run(
            ["\(town.bin)/\(tool)"] + arguments, environment: environment(changes),
            directory: directory ?? town.directory, timeout: .seconds(60))
    }

    @discardableResult
    func gt(_ arguments: String..., changes: [String: String] = [:]) throws -> CommandResult {
        try run("gt", arguments, in: town.root, changes)
    }

    func install() throws {
        let port = "\(Dolt.freePort())"
        let result = try run("gt", ["install", town.root, "--dolt-port", port])
        try #require(result.status.isSuccess, "\(shownText(result.errors))")
    }

    func tmux() throws -> Tmux { try Tmux(GtTown(root: town.root)) }

    func fault(_ name: String, on key: String) throws {
        try Disk.replace("\(town.home)/faults/\(keyIdentifier(key))", Array(name.utf8))
    }

    // MARK: - Claude's files

    /// What a client that was set up for unattended work finds.
    func prepareClaude(trusting directories: [String] = [], bypass: Bool = true) throws {
        var projects = JSONObject()
        for directory in directories { projects[directory] = ["hasTrustDialogAccepted": true] }
        let approved = JSONValue.array([key, otherKey].map { .string(String($0.suffix(20))) })
        try Disk.replace(
            town.configDirectory + "/.claude.json",
            [
                "hasCompletedOnboarding": true, "ofSomebodyElse": .number("12345678901234567890"),
                "customApiKeyResponses": ["approved": approved, "rejected": []], "projects": .object(projects),
            ] as JSONObject)
        var settings: JSONObject = ["skipDangerousModePermissionPrompt": true]
        if bypass {
            settings["permissions"] = ["defaultMode": "bypassPermissions", "disableAutoMode": "disable"]
        }
        try Disk.replace(town.configDirectory + "/settings.json", settings)
    }

    var claudeState: JSONValue {
        get throws { try #require(try Disk.json(town.configDirectory + "/.claude.json")) }
    }

    /// The rows of all conversations of a folder.
    func rows(of directory: String) throws -> [JSONValue] {
        let folder = "\(town.configDirectory)/projects/\(Transcript.slug(of: directory))"
        return try Disk.names(folder).flatMap { try jsonLines("\(folder)/\($0)") }
    }

    var requests: [JSONValue] {
        get throws { try jsonLines(town.home + "/requests.jsonl") }
    }

    /// An interactive client in a session of the town's tmux server.
    func startInteractive(
        _ arguments: [String], session: String, in directory: String, _ changes: [String: String] = [:]
    ) throws {
        let assignments = environment(changes).map(shellQuoted).joined(separator: " ")
        let words = (["\(town.bin)/claude"] + arguments).map(shellQuoted).joined(separator: " ")
        try tmux().demand([
            "new-session", "-d", "-s", session, "-x", "200", "-c", directory, "exec env -i \(assignments) \(words)",
            ";", "set-option", "-w", "remain-on-exit", "on",
        ])
    }
}

func jsonLines(_ path: String) throws -> [JSONValue] {
    (try Disk.read(path) ?? []).split(separator: 10).compactMap { line in
        // The last line may still be in the making.
        do { return try JSONValue(parsing: line) } catch { return nil }
    }
}

/// Waits until it holds; a minute is far more than any of this takes.
func eventually(_ what: Comment, _ condition: () throws(Failure) -> Bool) throws {
    #expect(try Waiting.until(.seconds(60), condition), what)
}

func eventually(_ what: Comment, any condition: () throws -> Bool) throws {
    #expect(try Waiting.until(.seconds(60), condition), what)
}
