// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import LinuxSys
import SystemPackage

/// Each question that Claude Code asks a person and that stops an agent whom nobody attends.
enum DialogChecks {
    private static let fix = "gasclawd run answers it (it merges its answers into the file at each start and change)"

    static func run(_ x: Examination) -> [Check] {
        let directory = x.configuration.agent.configDirectory
        let (id, title) = ("dialogs.files", "Claude Code's files")
        let state: JSONValue
        let settings: JSONValue
        switch (x.json(directory.appending(".claude.json")), x.json(directory.appending("settings.json"))) {
        case (.absent, _):
            return [
                .failed(
                    id, title, "\(directory.shown)/.claude.json is not there: agents would be asked at their start",
                    fix: "gasclawd bootstrap, or gasclawd run")
            ]
        case (.unusable(let why), _):
            return [
                .failed(
                    id, title, "\(directory.shown)/.claude.json: \(why)",
                    fix: "restore it from \(directory.shown)/backups, or remove it")
            ]
        case (_, .unusable(let why)):
            return [.failed(id, title, "\(directory.shown)/settings.json: \(why)", fix: "mend or remove it")]
        case (.json(let value), let other):
            state = value
            settings = other.json ?? [:]
        }
        return [
            modes(id, title, directory, x), onboarding(state), approval(state, x), trust(state, x), bypass(settings, x),
            resumption(state),
        ]
    }

    private static func modes(_ id: String, _ title: String, _ directory: FilePath, _ x: Examination) -> Check {
        for name in [".claude.json", "settings.json", ".credentials.json"] {
            let path = directory.appending(name)
            guard let status = x.stat(path) else { continue }
            guard status.owner == CurrentProcess.userID || CurrentProcess.userID == 0 else {
                return .failed(
                    id, title, "\(path.shown) belongs to user \(status.owner)",
                    fix: "chown \(CurrentProcess.userID) \(path.shown)")
            }
            // The last characters of approved keys are in the first one.
            guard status.mode & 0o077 == 0 || name == "settings.json" else {
                return .warning(id, title, "others can read \(path.shown)", fix: "chmod 600 \(path.shown)")
            }
        }
        return .ok(id, title, directory.shown)
    }

    private static func onboarding(_ state: JSONValue) -> Check {
        let (id, title) = ("dialogs.onboarding", "question: onboarding")
        return state["hasCompletedOnboarding"]?.bool == true
            ? .ok(id, title, "answered")
            : .failed(id, title, "every agent would stop at the welcome", fix: fix)
    }

    /// Claude Code remembers a key by its last 20 characters; they are compared and never shown.
    private static func approval(_ state: JSONValue, _ x: Examination) -> Check {
        let (id, title) = ("dialogs.key-approval", "question: use this API key?")
        func list(_ name: String) -> Set<String> {
            Set((state["customApiKeyResponses"]?[name]?.array ?? []).compactMap(\.string))
        }
        let (approved, rejected) = (list("approved"), list("rejected"))
        let keys = KeyChecks.accounts(x).flatMap(\.keys)
        let open = keys.filter { !approved.contains($0.key.revealApproval()) }
        let refused = keys.filter { rejected.contains($0.key.revealApproval()) }
        guard refused.isEmpty else {
            return .failed(
                id, title, "refused for \(refused.map(\.key.id.text).joined(separator: ", ")): it is silently not used",
                fix: fix)
        }
        guard open.isEmpty else {
            return .failed(id, title, "open for \(open.map(\.key.id.text).joined(separator: ", "))", fix: fix)
        }
        return .ok(id, title, keys.isEmpty ? "there is no key" : "answered for each key")
    }

    /// A trusted parent does not cover a nested repository, and Enter in that question means "exit".
    private static func trust(_ state: JSONValue, _ x: Examination) -> Check {
        let (id, title) = ("dialogs.trust", "question: do you trust this folder?")
        var folders = Set<String>()
        for pane in x.tmux?.panes ?? [] where !pane.isDead {
            guard let process = x.process(pane.pid), process.name == "claude" else { continue }
            folders.insert(pane.directory)
        }
        let projects = state["projects"]?.object
        let open = folders.sorted().filter { projects?[$0]?["hasTrustDialogAccepted"]?.bool != true }
        guard open.isEmpty else {
            return .failed(
                id, title, "open for \(open.joined(separator: ", "))",
                fix: "start the agent anew through gasclawd (gt mayor restart, gt crew restart NAME, …)")
        }
        return .ok(id, title, "answered where agents run; the launcher answers it before each start")
    }

    private static func bypass(_ settings: JSONValue, _ x: Examination) -> Check {
        let (id, title) = ("dialogs.permissions", "question: may this tool be used?")
        guard x.configuration.agent.bypassesPermissions else {
            return .skipped(id, title, "agent.permissions is \"ask\": somebody has to answer")
        }
        var missing: [String] = []
        if settings["skipDangerousModePermissionPrompt"]?.bool != true {
            missing.append("skipDangerousModePermissionPrompt")
        }
        if settings["permissions"]?["defaultMode"]?.string != "bypassPermissions" {
            missing.append("permissions.defaultMode")
        }
        if settings["permissions"]?["disableAutoMode"]?.string != "disable" {
            missing.append("permissions.disableAutoMode")
        }
        guard missing.isEmpty else {
            return .failed(
                id, title,
                "settings.json lacks \(missing.joined(separator: ", ")): an agent stops at its first tool call",
                fix: fix)
        }
        return .ok(id, title, "answered")
    }

    private static func resumption(_ state: JSONValue) -> Check {
        let (id, title) = ("dialogs.resume", "question: welcome back")
        return state["resumeReturnDismissed"]?.bool == true
            ? .ok(id, title, "answered")
            : .warning(id, title, "a resumed agent could be asked", fix: fix)
    }
}
