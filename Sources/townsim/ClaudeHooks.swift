// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import SystemPackage

/// A hook in the exec form: a program with its arguments, without a shell and without the shell prefix, and with the
/// client's own environment (contract.md F; kimi-claude.md B.4).
struct ClaudeHook {
    let matcher: String
    let command: String
    let arguments: [String]

    /// The StopFailure hooks of a settings file.
    static func failures(in settings: JSONObject) -> [ClaudeHook] {
        (settings["hooks"]?["StopFailure"]?.array ?? []).flatMap { group -> [ClaudeHook] in
            let matcher = group["matcher"]?.string ?? ""
            return (group["hooks"]?.array ?? []).compactMap { hook in
                guard hook["type"]?.string == "command", let command = hook["command"]?.string,
                    let arguments = hook["args"]?.array
                else { return nil }
                return ClaudeHook(matcher: matcher, command: command, arguments: arguments.compactMap(\.string))
            }
        }
    }

    /// The matcher is a list of exact names (kimi-claude.md B.4: "exact names joined by `|`").
    func matches(_ error: String) -> Bool {
        matcher.isEmpty || matcher == "*" || matcher.split(separator: "|").contains { $0 == error }
    }
}

/// A failure as the client tells its hooks (kimi-claude.md B.4).
struct ClaudeHookInput {
    let sessionID: String
    let transcript: String
    let cwd: String
    let error: String
    let details: String
    let message: String

    var json: JSONValue {
        [
            "session_id": .string(sessionID), "transcript_path": .string(transcript), "cwd": .string(cwd),
            "hook_event_name": "StopFailure", "error": .string(error), "error_details": .string(details),
            "last_assistant_message": .string(message),
        ]
    }

    /// Runs the hooks that fit one after the other; their output counts for nothing.
    func run(
        _ hooks: [ClaudeHook], environment: [String], on loop: EventLoop, then next: @escaping () -> Void
    ) {
        guard let hook = hooks.first(where: { $0.matches(error) }) else { return next() }
        let rest = Array(hooks.drop { !$0.matches(error) }.dropFirst())
        do throws(SystemError) {
            try Command.run(
                [hook.command] + hook.arguments, input: json.encoded(), environment: environment,
                directory: FilePath(cwd), timeout: .seconds(60), on: loop
            ) { _ in run(rest, environment: environment, on: loop, then: next) }
        } catch {
            Terminal.say("  ⎿ StopFailure hook: \(error)")
            run(rest, environment: environment, on: loop, then: next)
        }
    }
}
