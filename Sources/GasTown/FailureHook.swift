// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// Our StopFailure hook in the client's `settings.json` (code.claude.com/docs/en/hooks): the client runs it when a turn
/// ended with an API error, with the failure on its standard input.
///
/// It is in the exec form, a program with its arguments: no shell takes part, so nothing of the failure's text can be
/// taken for a command.
public struct FailureHook: Sendable, Hashable {
    /// The absolute path of gasclawd.
    public let program: String
    /// The control socket, so that the hook need not look for it.
    public let socket: String

    public init(program: String, socket: String) {
        self.program = program
        self.socket = socket
    }

    /// The failures that say something of a key. A 402 comes as `unknown` (seen with 2.1.330).
    static let matcher = "rate_limit|overloaded|authentication_failed|billing_error|unknown"
    static let event = "StopFailure"

    var group: JSONValue {
        [
            "matcher": .string(Self.matcher),
            "hooks": [
                [
                    "type": "command", "command": .string(program),
                    "args": ["hook", "stop-failure", "--socket", .string(socket)],
                    // In seconds; it takes a few milliseconds.
                    "timeout": 5,
                ]
            ],
        ]
    }

    /// Whether a hook is ours, of whatever installation.
    static func isOurs(_ hook: JSONValue) -> Bool {
        let words = (hook["args"]?.array ?? []).compactMap(\.string)
        return words.count >= 2 && words[0] == "hook" && words[1] == "stop-failure"
            && hook["command"]?.string?.split(separator: "/").last == "gasclawd"
    }

    /// The settings with the hook as it should be, or without it; other hooks stay where they are.
    static func applied(_ hook: FailureHook?, to settings: JSONObject) -> JSONObject {
        var settings = settings
        let old = settings["hooks"]?.object
        // Something that is no table of hooks is not ours to mend.
        guard old != nil || settings["hooks"] == nil else { return settings }
        let groups = old?[event]?.array ?? []
        if let hook, groups.filter({ holdsOurs($0) }) == [hook.group] { return settings }
        guard hook != nil || groups.contains(where: holdsOurs) else { return settings }
        var kept: [JSONValue] = []
        for group in groups {
            guard holdsOurs(group), var object = group.object else {
                kept.append(group)
                continue
            }
            let others = (object["hooks"]?.array ?? []).filter { !isOurs($0) }
            guard !others.isEmpty else { continue }
            object["hooks"] = .array(others)
            kept.append(.object(object))
        }
        if let hook { kept.append(hook.group) }
        var hooks = old ?? JSONObject()
        hooks[event] = kept.isEmpty ? nil : .array(kept)
        settings["hooks"] = hooks.isEmpty ? nil : .object(hooks)
        return settings
    }

    private static func holdsOurs(_ group: JSONValue) -> Bool { (group["hooks"]?.array ?? []).contains(where: isOurs) }
}
