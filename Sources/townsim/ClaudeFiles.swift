// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// The files of a Claude Code configuration directory (kimi-claude.md C.4).
struct ClaudeFiles {
    /// `$CLAUDE_CONFIG_DIR`, else `~/.claude`.
    let directory: String
    /// `.claude.json`: in the configuration directory where one is given, else in the home directory.
    let state: String

    init() {
        if let configured = Environment.value("CLAUDE_CONFIG_DIR") {
            directory = Environment.absolute(configured)
            state = directory + "/.claude.json"
        } else {
            directory = Environment.home + "/.claude"
            state = Environment.home + "/.claude.json"
        }
    }

    var settings: String { directory + "/settings.json" }

    func loadState() throws(Failure) -> JSONObject { try readable(state) ?? [:] }

    /// Rewrites `.claude.json`: the client does so often, by temporary file and rename, and keeps keys that it does
    /// not know (transcripts/README.md, "Seen"). What others wrote between its reading and its renaming is lost.
    func changeState(_ change: (inout JSONObject) -> Void) throws(Failure) {
        var object = try loadState()
        change(&object)
        try Disk.makeDirectories(directoryName(state), mode: 0o700)
        try Disk.replace(state, object)
    }

    func changeProject(_ cwd: String, _ change: (inout JSONObject) -> Void) throws(Failure) {
        try changeState { state in
            var projects = state["projects"]?.object ?? [:]
            var project = projects[cwd]?.object ?? [:]
            change(&project)
            projects[cwd] = .object(project)
            state["projects"] = .object(projects)
        }
    }

    /// `bypassPermissionsModeAccepted` is moved into `settings.json` at the first start
    /// (transcripts/README.md, "Seen").
    func moveBypassAcceptance() throws(Failure) {
        guard try loadState()["bypassPermissionsModeAccepted"]?.bool == true else { return }
        var settings = try readable(settings) ?? [:]
        settings["skipDangerousModePermissionPrompt"] = true
        try Disk.makeDirectories(directory, mode: 0o700)
        try Disk.replace(self.settings, settings)
        try changeState { $0["bypassPermissionsModeAccepted"] = nil }
    }

    /// The settings that hold in a folder: user, then project, then project-local, then `--settings`; later ones win
    /// (design.md section 6, "Endpoint pinning": a project's settings redirect the base URL, `--settings` wins).
    func effectiveSettings(cwd: String, override: JSONObject?) throws(Failure) -> ClaudeSettings {
        var settings = ClaudeSettings()
        for path in [self.settings, cwd + "/.claude/settings.json", cwd + "/.claude/settings.local.json"] {
            if let layer = try readable(path) { settings.apply(layer) }
        }
        if let override { settings.apply(override) }
        return settings
    }

    /// A file that is no JSON counts as absent, as the client starts anew then.
    private func readable(_ path: String) throws(Failure) -> JSONObject? {
        guard let bytes = try Disk.read(path) else { return nil }
        do throws(JSONError) { return try JSONValue(parsing: bytes).object } catch { return nil }
    }
}

/// What the settings files come to together.
struct ClaudeSettings {
    /// Applied over the process's environment (kimi-claude.md C.1: "Settings-file `env` beats shell env").
    var environment: [String: String] = [:]
    var defaultMode: String?
    var disableAutoMode: String?
    var skipsBypassQuestion = false
    /// Those of all files together.
    var failureHooks: [ClaudeHook] = []

    mutating func apply(_ layer: JSONObject) {
        for member in layer["env"]?.object?.members ?? [] {
            if let value = member.value.string { environment[member.name] = value }
        }
        failureHooks += ClaudeHook.failures(in: layer)
        if let mode = layer["permissions"]?["defaultMode"]?.string { defaultMode = mode }
        if let mode = layer["permissions"]?["disableAutoMode"]?.string { disableAutoMode = mode }
        if let skips = layer["skipDangerousModePermissionPrompt"]?.bool { skipsBypassQuestion = skips }
    }

    /// Without both settings an unattended agent stops at its first tool call (design.md section 6).
    var asksForBypass: Bool { defaultMode == "bypassPermissions" && disableAutoMode == "disable" }
}

/// `sessions/<pid>.json`: which conversation a living client has, and whether it works (design.md section 7).
struct SessionFile {
    private let path: String
    private var object: JSONObject

    init(directory: String, sessionID: String, cwd: String) throws(Failure) {
        try Disk.makeDirectories(directory + "/sessions", mode: 0o700)
        path = "\(directory)/sessions/\(getpid()).json"
        object = [
            "pid": JSONValue(getpid()), "sessionId": .string(sessionID), "cwd": .string(cwd),
            "startedAt": JSONValue(Timestamp.now.microseconds / 1000), "version": .string(Transcript.version),
            "kind": "interactive", "entrypoint": "cli",
        ]
    }

    mutating func write(isBusy: Bool) throws(Failure) {
        object["status"] = isBusy ? "busy" : "idle"
        object["updatedAt"] = JSONValue(Timestamp.now.microseconds / 1000)
        try Disk.replace(path, JSONValue.object(object).encoded())
    }

    func remove() { Disk.remove(path) }
}
