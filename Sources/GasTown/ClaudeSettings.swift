// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// Settings of Claude Code that decide where requests go and with which credential.
public enum ClaudeSettings {
    /// The caller's settings with the endpoint pinned: what `--settings` says wins over a project's own file, which
    /// could otherwise send the pooled key to another host. No key is in it.
    public static func pinned(base: JSONValue?, baseURL: String) -> JSONValue {
        var object = base?.object ?? JSONObject()
        var environment = object["env"]?.object ?? JSONObject()
        environment["ANTHROPIC_BASE_URL"] = .string(baseURL)
        object["env"] = .object(environment)
        return .object(object)
    }

    /// What in a settings file could take the credential elsewhere or replace it.
    ///
    /// - Returns: The names, as `env.ANTHROPIC_BASE_URL`; empty if there is nothing.
    public static func unsafeNames(in settings: JSONValue) -> [String] {
        var found: [String] = []
        for (name, value) in settings["env"]?.object?.members ?? [] where !value.isNull {
            if name.hasPrefix("ANTHROPIC_") || name == "CLAUDE_CODE_SHELL_PREFIX" || name == "CLAUDE_CONFIG_DIR" {
                found.append("env.\(name)")
            }
        }
        if let helper = settings["apiKeyHelper"], !helper.isNull { found.append("apiKeyHelper") }
        return found
    }

    /// The project's settings files that the client reads beside `--settings`, relative to its folder.
    public static let projectFiles = [".claude/settings.json", ".claude/settings.local.json"]
    /// The largest settings file read, in bytes (contract G).
    public static let lengthMax = 1 << 20
}

/// Changes to the files that Claude Code itself rewrites during a run. Each gives the new bytes, or nil if the file
/// says already what it should. All else in the file stays, in its order.
public enum ClaudeFiles {
    /// `.claude.json`: no questions at the start for the pool's keys and the town's folders.
    ///
    /// - Parameters:
    ///   - old: The file as it is; nil: there is none.
    ///   - approvals: The last 20 characters of each key.
    ///   - trusted: Folders without the trust question. A trusted parent does not cover a nested repository.
    public static func state(
        _ old: [UInt8]?, approvals: [String], trusted: [String]
    ) throws(JSONError) -> [UInt8]? {
        let base = try object(old)
        var new = base
        new["hasCompletedOnboarding"] = true
        new["resumeReturnDismissed"] = true
        if !approvals.isEmpty {
            var responses = new["customApiKeyResponses"]?.object ?? JSONObject()
            var approved = responses["approved"]?.array ?? []
            var known = Set(approved.compactMap(\.string))
            for approval in approvals where known.insert(approval).inserted { approved.append(.string(approval)) }
            responses["approved"] = .array(approved)
            let ours = Set(approvals)
            let rejected = (responses["rejected"]?.array ?? []).filter { value in
                !(value.string.map(ours.contains) ?? false)
            }
            responses["rejected"] = .array(rejected)
            new["customApiKeyResponses"] = .object(responses)
        }
        if !trusted.isEmpty {
            var projects = new["projects"]?.object ?? JSONObject()
            for folder in trusted {
                var project = projects[folder]?.object ?? JSONObject()
                project["hasTrustDialogAccepted"] = true
                projects[folder] = .object(project)
            }
            new["projects"] = .object(projects)
        }
        return new == base && old != nil ? nil : encoded(new)
    }

    /// What is done about our hook.
    public enum HookChange: Sendable, Hashable {
        /// It stays as it is: whoever asks does not know whether it is wanted.
        case none
        /// It is there, in this form; nil: it is not there.
        case set(FailureHook?)
    }

    /// `settings.json`: an unattended agent must not stop at its first tool call.
    public static func settings(
        _ old: [UInt8]?, bypassesPermissions: Bool, hook: HookChange = .none
    ) throws(JSONError) -> [UInt8]? {
        let base = try object(old)
        var new = base
        if case .set(let wanted) = hook { new = FailureHook.applied(wanted, to: new) }
        if bypassesPermissions {
            new["skipDangerousModePermissionPrompt"] = true
            var permissions = new["permissions"]?.object ?? JSONObject()
            permissions["defaultMode"] = "bypassPermissions"
            permissions["disableAutoMode"] = "disable"
            new["permissions"] = .object(permissions)
        }
        return new == base && old != nil ? nil : encoded(new)
    }

    private static func object(_ old: [UInt8]?) throws(JSONError) -> JSONObject {
        guard let old, !old.isEmpty else { return JSONObject() }
        let value = try JSONValue(parsing: old)
        guard let object = value.object else {
            throw JSONError(message: "not an object", offset: 0, line: 1, column: 1)
        }
        return object
    }

    private static func encoded(_ object: JSONObject) -> [UInt8] { JSONValue.object(object).encoded(indented: true) }
}
