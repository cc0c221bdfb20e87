// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage

/// A miniature Claude Code: its command line and what it asks before it works.
enum Claude {
    /// What the command line says.
    struct Options {
        var isHeadless = false
        var prompt: String?
        var resumes: String?
        var continues = false
        var sessionID: String?
        var settings: JSONObject?
        var skipsPermissions = false
        var model: String?
    }

    static func run(_ arguments: [String]) throws(Failure) -> Int32 {
        if arguments.contains("--version") || arguments.contains("-v") {
            Terminal.say("\(Transcript.version) (Claude Code)")
            return 0
        }
        if arguments.contains("--help") || arguments.contains("-h") {
            Terminal.say("Usage: claude [options] [command] [prompt]")
            return 0
        }
        if let first = arguments.first, ["mcp", "doctor", "update", "plugin", "config"].contains(first) {
            Terminal.say("claude \(first): nothing to do")
            return 0
        }
        let options = try parse(arguments)
        // The client names a folder by its path without links.
        let cwd = Disk.realPath(Environment.currentDirectory)
        let files = ClaudeFiles()
        let sessionID = try conversation(options, files, cwd)
        return try ClaudeClient(options, files: files, cwd: cwd, sessionID: sessionID).run()
    }

    private static let valued: Set<String> = [
        "--settings", "--model", "--session-id", "--append-system-prompt", "--system-prompt", "--output-format",
        "--input-format", "--permission-mode", "--mcp-config", "--allowedTools", "--disallowedTools", "--max-turns",
        "--add-dir", "--fallback-model", "--agents", "--debug-file",
    ]

    /// Reads the command line. Only the first positional argument is the prompt, the rest is dropped without a word
    /// (design.md section 6, "seen").
    static func parse(_ arguments: [String]) throws(Failure) -> Options {
        var options = Options()
        var rest = arguments[...]
        while let word = rest.popFirst() {
            var value: String?
            var name = word
            if word.hasPrefix("--"), let equals = word.firstIndex(of: "=") {
                name = String(word[..<equals])
                value = String(word[word.index(after: equals)...])
            } else if valued.contains(word) {
                guard let next = rest.popFirst() else { throw Failure("error: option '\(word)' argument missing") }
                value = next
            }
            switch name {
            case "-p", "--print": options.isHeadless = true
            case "-r", "--resume":
                if value == nil, let next = rest.first, !next.hasPrefix("-") {
                    value = next
                    rest.removeFirst()
                }
                options.resumes = value
            case "-c", "--continue": options.continues = true
            case "--session-id": options.sessionID = value
            case "--settings": options.settings = try settings(value ?? "")
            case "--model": options.model = value
            case "--dangerously-skip-permissions": options.skipsPermissions = true
            case "--permission-mode":
                options.skipsPermissions = options.skipsPermissions || value == "bypassPermissions"
            case "--": break
            default:
                if name.hasPrefix("-"), name.count > 1 { break }
                if options.prompt == nil { options.prompt = word }
            }
        }
        return options
    }

    /// `--settings` takes a file or the JSON itself.
    private static func settings(_ text: String) throws(Failure) -> JSONObject {
        let source: String
        if text.hasPrefix("{") {
            source = text
        } else {
            guard let read = try Disk.text(text) else { throw Failure("Error: Settings file not found: \(text)") }
            source = read
        }
        var object: JSONObject?
        do throws(JSONError) { object = try JSONValue(parsing: source).object } catch {}
        guard let object else { throw Failure("Error: Invalid JSON provided to --settings") }
        return object
    }

    /// The id of the conversation: a new one, or the one to take up. An unknown id ends the client with exit 1
    /// (design.md section 10).
    private static func conversation(
        _ options: Options, _ files: ClaudeFiles, _ cwd: String
    ) throws(Failure) -> String {
        if let id = options.resumes {
            let path = Transcript.path(configDirectory: files.directory, cwd: cwd, sessionID: id)
            guard !id.contains("/"), Disk.exists(path) else {
                throw Failure("No conversation found with session ID: \(id)")
            }
            return id
        }
        if options.continues {
            let folder = "\(files.directory)/projects/\(Transcript.slug(of: cwd))"
            var latest: (id: String, modified: Int64)?
            for name in Disk.names(folder) where name.hasSuffix(".jsonl") {
                do throws(SystemError) {
                    let modified = try Syscalls.status(of: FilePath("\(folder)/\(name)")).modified
                    if modified > latest?.modified ?? .min { latest = (String(name.dropLast(6)), modified) }
                } catch {}
            }
            guard let latest else { throw Failure("No conversation found to continue") }
            return latest.id
        }
        return options.sessionID ?? newUUID()
    }

    /// Bypass is refused as root outside of a sandbox (kimi-claude.md C.4; gt-contract.md 10.16).
    static func refuseBypassAsRoot() throws(Failure) {
        guard getuid() == 0, Environment.value("IS_SANDBOX") != "1" else { return }
        throw Failure("--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons")
    }
}

/// The credential and the endpoint of a client, and what it does with them.
struct ClaudeAccess {
    /// The whole environment of the client, with the settings' `env` applied; tools inherit it
    /// (design.md section 6, "agent-shell": without it every tool call sees the key).
    let environment: [String: String]

    init(settings: ClaudeSettings) {
        var environment: [String: String] = [:]
        for entry in Environment.all {
            guard let equals = entry.firstIndex(of: "=") else { continue }
            environment[String(entry[..<equals])] = String(entry[entry.index(after: equals)...])
        }
        environment.merge(settings.environment) { _, new in new }
        self.environment = environment
    }

    /// ANTHROPIC_AUTH_TOKEN goes before ANTHROPIC_API_KEY (kimi-claude.md C.1).
    func credential(isKeyRejected: Bool) -> String? {
        if let token = environment["ANTHROPIC_AUTH_TOKEN"], !token.isEmpty { return token }
        if isKeyRejected { return nil }
        return environment["ANTHROPIC_API_KEY"].flatMap { $0.isEmpty ? nil : $0 }
    }

    var baseURL: String { environment["ANTHROPIC_BASE_URL"] ?? "https://api.anthropic.com" }

    func model(_ option: String?) -> String { option ?? environment["ANTHROPIC_MODEL"] ?? "claude-opus-5-5" }

    /// The default is 10, capped at 15 (kimi-claude.md B.2).
    var retriesMax: Int { min(15, environment["CLAUDE_CODE_MAX_RETRIES"].flatMap { Int($0) } ?? 10) }

    /// Exponential backoff (kimi-claude.md B.2; first two steps as in transcripts/throttled-429.jsonl).
    func retryDelay(attempt: Int) -> Duration {
        let base = Environment.milliseconds("TOWNSIM_RETRY_MS", default: 500).wholeMilliseconds
        let delay = min(32_000, base << Int64(min(attempt - 1, 10)))
        return .milliseconds(delay + Int64.random(in: 0...max(1, delay / 10)))
    }

    /// A tool call's command line: the documented prefix gets the command as its one argument.
    func toolArguments(_ command: String) -> [String] {
        let shell = environment["SHELL"].flatMap { $0.isEmpty ? nil : $0 } ?? "/bin/sh"
        guard let prefix = environment["CLAUDE_CODE_SHELL_PREFIX"], !prefix.isEmpty else {
            return [shell, "-c", command]
        }
        return [shell, "-c", "\(prefix) \(shellQuoted(command))"]
    }

    /// The client's own environment, as hooks get it.
    var ownEnvironment: [String] { environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } }

    /// The environment of a tool call: the client's own, and CLAUDECODE=1.
    var toolEnvironment: [String] {
        environment.merging(["CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli"]) { _, new in new }
            .sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }
}

/// A word that a POSIX shell reads as exactly this text.
func shellQuoted(_ text: String) -> String {
    var quoted = "'"
    for character in text {
        if character == "'" { quoted += "'\\''" } else { quoted.append(character) }
    }
    return quoted + "'"
}
