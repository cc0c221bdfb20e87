// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import Fixtures
import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import Doctor

/// A town that nothing is wrong with, in a folder of its own, with stand-ins for the programs that it needs. Nothing
/// runs in it.
final class Patient {
    private let temporary: TemporaryFolder
    var directory: String { temporary.path.string }
    var root: String { directory + "/town" }
    var home: String { directory + "/home" }
    var bin: String { directory + "/bin" }
    var accounts: String { directory + "/accounts" }
    var client: String { directory + "/claude" }
    var state: String { directory + "/state" }
    var system: String { directory + "/system" }
    /// More variables of whoever asks.
    var variables: [String: String] = [:]
    /// Changes what was configured.
    var configure: (inout Configuration) -> Void = { _ in }

    static let key = "sk-kimi-" + String(repeating: "Ab3dEf6hIj9l", count: 4)

    init() throws {
        temporary = try TemporaryFolder("gasclawd-doctor")
        for (name, says) in [
            ("gt", "gt version 1.0.1"), ("bd", "bd version 1.0.3 (dev)"), ("dolt", "dolt version 1.59.10"),
            ("tmux", "tmux 3.3a"), ("claude", "2.1.330 (Claude Code)"), ("ps", ""), ("ss", ""),
        ] { try program(name, "echo '\(says)'") }
        try program("git", "case $1 in config) echo somebody;; *) echo 'git version 2.39.5';; esac")
        try write("town/mayor/town.json", #"{"type":"town","version":2,"name":"t"}"#)
        try write("town/mayor/rigs.json", #"{"version":1,"rigs":{"project":{}}}"#)
        try folder("town/project")
        try write("town/mayor/daemon.json", #"{"heartbeat":{"interval":"3m"}}"#)
        let launcher = "\(state)/bin/claude"
        try write(
            "town/settings/config.json",
            #"{"default_agent":"kimi-claude","agents":{"kimi-claude":{"command":"\#(launcher)","args":[]}}}"#)
        // A port that nobody listens on: ports below 1024 are given to nobody by chance.
        try write("town/.dolt-data/config.yaml", "listener:\n  port: 1\n")
        try folder("run")
        try write("program/gasclawd", "", mode: 0o755)
        for name in ["claude", "agent-shell"] {
            try folder("state/bin")
            try link("state/bin/\(name)", to: directory + "/program/gasclawd")
        }
        try write(
            "state/launcher.json",
            #"{"socket":"\#(directory)/run/control.sock","state":"\#(state)","program":null}"#)
        try write(
            "claude/.claude.json",
            #"""
            {"hasCompletedOnboarding":true,"resumeReturnDismissed":true,
             "customApiKeyResponses":{"approved":["\#(Self.key.suffix(20))"],"rejected":[]}}
            """#)
        try write(
            "claude/settings.json",
            #"""
            {"skipDangerousModePermissionPrompt":true,
             "permissions":{"defaultMode":"bypassPermissions","disableAutoMode":"disable"}}
            """#)
        try write("accounts/1/config.toml", "[providers.kimi]\napi_key = \"\(Self.key)\"\n")
        for (name, value) in [
            ("max_user_watches", "524288"), ("max_user_instances", "4096"), ("max_queued_events", "16384"),
        ] {
            try write("system/proc/sys/fs/inotify/\(name)", value + "\n")
        }
        try folder("home")
    }

    // MARK: - Changes

    func write(_ name: String, _ text: String, mode: UInt32 = 0o600) throws {
        let path = FilePath("\(directory)/\(name)")
        try Syscalls.makeDirectories(path.removingLastComponent())
        try AtomicFile.replace(path, with: Array(text.utf8), mode: mode, durable: false)
    }

    func folder(_ name: String) throws { try Syscalls.makeDirectories(FilePath("\(directory)/\(name)")) }

    func link(_ name: String, to target: String) throws {
        try Syscalls.link(FilePath("\(directory)/\(name)"), to: FilePath(target))
    }

    func remove(_ name: String) throws { try Syscalls.unlink(FilePath("\(directory)/\(name)")) }

    func program(_ name: String, _ script: String) throws {
        try write("bin/\(name)", "#!/bin/sh\n\(script)\n", mode: 0o755)
    }

    // MARK: - The diagnosis

    func examination(isProbing: Bool = false) throws -> Examination {
        var all = ["PATH": bin, "HOME": home, "XDG_RUNTIME_DIR": directory + "/run"]
        all.merge(variables) { _, new in new }
        let own = ConfigurationEnvironment(variables: all, home: home)
        let text = """
            [town]
            root = "\(root)"
            path = []
            [accounts]
            directory = "\(accounts)"
            [agent]
            config_dir = "\(client)"
            sandboxed = "yes"
            [paths]
            state = "\(state)"
            runtime = "\(directory)/run"
            """
        var configuration = try Configuration.load(Array(text.utf8), path: "gasclawd.toml", environment: own)
        configuration.services.managed = []
        configure(&configuration)
        SignalReceiver.ignoreBrokenPipes()
        return try Examination(
            configuration, path: nil, own: own,
            socket: FilePath(directory + "/run/control.sock"), isProbing: isProbing, system: FilePath(system))
    }

    func diagnose(isProbing: Bool = false) throws -> Diagnosis {
        Doctor.diagnose(try examination(isProbing: isProbing))
    }

    /// Every file below the folder with its content, to see that nothing changes.
    func contents() throws -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        func walk(_ folder: FilePath) throws {
            let opened = try Syscalls.open(folder, flags: Syscalls.directory)
            for name in try Syscalls.names(inDirectory: opened.raw) {
                let entry = folder.entry(name)
                switch try Syscalls.status(of: entry, followingLinks: false).kind {
                case .directory: try walk(entry)
                case .regular: found[entry.string] = try RegularFile.read(entry, limit: 1 << 20).bytes
                default: found[entry.string] = []
                }
            }
        }
        try walk(FilePath(directory))
        return found
    }
}

/// One thing wrong with a patient, and the finding that tells it.
struct Ailment {
    let id: String
    let verdict: Check.Verdict
    let words: String
    let change: (Patient) throws -> Void

    init(_ id: String, _ verdict: Check.Verdict, _ words: String, _ change: @escaping (Patient) throws -> Void) {
        self.id = id
        self.verdict = verdict
        self.words = words
        self.change = change
    }

    func test() throws {
        let patient = try Patient()
        // What it was changed to may hold the patient, which then would never be removed.
        defer { patient.configure = { _ in } }
        try change(patient)
        let diagnosis = try patient.diagnose()
        let check = try #require(diagnosis.checks.first { $0.id == id }, "\(id) was not looked at")
        #expect(check.verdict == verdict, "\(id): \(check.evidence)")
        #expect(check.evidence.contains(words), "\(id): \(check.evidence)")
        #expect(check.fix?.isEmpty == false, "\(id)")
        #expect(!diagnosis.text.contains(Patient.key.suffix(20)))
        #expect(!diagnosis.json.line.contains(Patient.key.dropFirst(8).prefix(8)))
    }
}
