// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// A conversation's file, written row by row in the form of `shared/transcripts`.
final class Transcript {
    let path: String
    let sessionID: String
    private let cwd: String
    private let isInteractive: Bool
    private let permissionMode: String
    private let gitBranch: String
    private var lastUUID: JSONValue = .null
    private(set) var prompts = 0
    /// Answers so far, over all processes that took the conversation up.
    private(set) var turns = 0

    /// The version of the client that the recorded rows come from.
    static let version = "2.1.330"

    /// The folder of a project's conversations: the absolute path with every character that is not a letter or digit
    /// replaced by `-` (transcripts/README.md, "Seen").
    static func slug(of directory: String) -> String {
        // JavaScript replaces UTF-16 units, so a character beyond the basic plane becomes two dashes.
        let units = directory.utf16.map { unit -> UInt16 in
            (48...57).contains(unit) || (65...90).contains(unit) || (97...122).contains(unit) ? unit : 45
        }
        return String(decoding: units, as: UTF16.self)
    }

    static func path(configDirectory: String, cwd: String, sessionID: String) -> String {
        "\(configDirectory)/projects/\(slug(of: cwd))/\(sessionID).jsonl"
    }

    /// Opens a conversation; one that is there already goes on where it stopped: same id, same file
    /// (transcripts/README.md, "Seen").
    init(
        path: String, sessionID: String, cwd: String, isInteractive: Bool, permissionMode: String
    ) throws(Failure) {
        self.path = path
        self.sessionID = sessionID
        self.cwd = cwd
        self.isInteractive = isInteractive
        self.permissionMode = permissionMode
        gitBranch = Self.branch(of: cwd)
        try Disk.makeDirectories(directoryName(path), mode: 0o700)
        for line in (try Disk.read(path) ?? []).split(separator: 10) {
            let row: JSONValue
            // A torn last line is what a killed client leaves behind.
            do throws(JSONError) { row = try JSONValue(parsing: line) } catch { continue }
            if row["uuid"]?.string != nil { lastUUID = row["uuid"] ?? .null }
            if row["type"]?.string == "user" { prompts += 1 }
            if row["type"]?.string == "assistant", row["isApiErrorMessage"]?.bool != true { turns += 1 }
        }
    }

    /// The user's words (transcripts/ok.jsonl row 1; interactive: quota-403-interactive-then-resumed.jsonl row 1).
    func appendUser(_ prompt: String) throws(Failure) {
        prompts += 1
        var row = head()
        row["promptId"] = .string(newUUID())
        row["type"] = "user"
        row["message"] = ["role": "user", "content": .string(prompt)]
        row["uuid"] = nextUUID()
        row["timestamp"] = now
        row["permissionMode"] = .string(permissionMode)
        if isInteractive { row["origin"] = ["kind": "human"] }
        row["promptSource"] = isInteractive ? "typed" : "sdk"
        row["turnOrigin"] = isInteractive ? "human" : "sdk"
        row["turnPosition"] = [
            "promptIndex": JSONValue(isInteractive ? prompts : prompts - 1), "turnIndex": JSONValue(prompts),
        ]
        try append(row)
    }

    /// An answer (transcripts/ok.jsonl row 2).
    func appendAnswer(_ text: String, model: String) throws(Failure) {
        turns += 1
        var row = head()
        row["message"] = [
            "id": .string("msg_\(turns)"), "type": "message", "role": "assistant",
            "content": [["type": "text", "text": .string(text)]], "model": .string(model), "stop_reason": "end_turn",
            "stop_sequence": nil,
            "usage": [
                "input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 4,
                "output_tokens_details": ["thinking_tokens": 0], "server_tool_use": Self.noServerTools,
                "service_tier": "standard", "cache_creation": Self.noCacheCreation, "inference_geo": "",
                "iterations": [], "speed": "standard", "fallback_credit": nil,
            ],
            "stop_details": nil,
        ]
        if isInteractive { row["serverClassifierRequest"] = .string(newUUID()) }
        row["apiBlockIndex"] = 0
        row["requestRef"] = .string(newUUID())
        row["requestedModel"] = .string(model)
        row["promptCacheRequested"] = "5m"
        row["type"] = "assistant"
        row["uuid"] = nextUUID()
        row["timestamp"] = now
        row["effort"] = "medium"
        row["perTurnEffort"] = "medium"
        row["madeBy"] = "model"
        if isInteractive { row["session_id"] = .string(sessionID) }
        try append(row)
    }

    /// A request that will be tried again (transcripts/throttled-429.jsonl rows 2 and 3): never final.
    func appendRetry(_ fault: Fault, delay: Duration, attempt: Int, attemptsMax: Int) throws(Failure) {
        var row = head()
        row["type"] = "system"
        row["subtype"] = "api_error"
        row["level"] = "error"
        row["error"] = [
            "message": .string("\(fault.status) \(fault.body)"), "status": JSONValue(fault.status),
            "formatted": .string("\(fault.status) \(fault.message)"), "connection": nil, "isNetworkDown": false,
            "rateLimits": nil, "noResponse": nil,
        ]
        row["retryInMs"] = JSONValue(delay.wholeMilliseconds)
        row["retryAttempt"] = JSONValue(attempt)
        row["maxRetries"] = JSONValue(attemptsMax)
        row["source"] = "request_retry"
        row["timestamp"] = now
        row["uuid"] = nextUUID()
        try append(row)
    }

    /// The final row of a failed turn (transcripts/quota-403.jsonl row 2, throttled-429.jsonl row 4).
    func appendFailure(_ fault: Fault) throws(Failure) {
        try appendFailure(
            text: fault.text(isInteractive: isInteractive), error: fault.error, status: JSONValue(fault.status),
            type: .string(fault.type), isRateLimit: fault.status == 429)
    }

    /// The final row of a turn without a credential (kimi-claude.md B.1: no request was made, so no status).
    func appendNotLoggedIn(_ text: String) throws(Failure) {
        try appendFailure(text: text, error: "authentication_failed", status: nil, type: nil, isRateLimit: false)
    }

    private func appendFailure(
        text: String, error: String, status: JSONValue?, type: JSONValue?, isRateLimit: Bool
    ) throws(Failure) {
        var row = head()
        row["type"] = "assistant"
        row["uuid"] = nextUUID()
        row["timestamp"] = now
        row["message"] = [
            "diagnostics": nil, "id": .string(newUUID()), "container": nil, "model": "<synthetic>",
            "role": "assistant", "stop_details": nil, "stop_reason": "stop_sequence", "stop_sequence": "",
            "type": "message",
            "usage": [
                "output_tokens_details": nil, "input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0, "server_tool_use": Self.noServerTools, "service_tier": nil,
                "cache_creation": Self.noCacheCreation, "inference_geo": nil, "iterations": nil, "speed": nil,
                "fallback_credit": nil,
            ],
            "content": [["type": "text", "text": .string(text)]], "context_management": nil,
        ]
        if isRateLimit { row["apiErrorIsTransient"] = false }
        row["error"] = .string(error)
        row["isApiErrorMessage"] = true
        row["apiErrorStatus"] = status
        row["apiErrorType"] = type
        row["perTurnEffort"] = "medium"
        row["failedResponseHadNoToolCall"] = true
        row["madeBy"] = "model"
        if isInteractive { row["session_id"] = .string(sessionID) }
        try append(row)
    }

    /// The end of a turn of the interactive client (quota-403-interactive-then-resumed.jsonl row 5).
    func appendDuration(_ duration: Duration, messages: Int) throws(Failure) {
        guard isInteractive else { return }
        var row = head()
        row["type"] = "system"
        row["subtype"] = "turn_duration"
        row["durationMs"] = JSONValue(duration.wholeMilliseconds)
        row["messageCount"] = JSONValue(messages)
        row["timestamp"] = now
        row["uuid"] = nextUUID()
        row["isMeta"] = false
        try append(row)
    }

    // MARK: - Parts

    private static let noServerTools: JSONValue = ["web_search_requests": 0, "web_fetch_requests": 0]
    private static let noCacheCreation: JSONValue = ["ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0]

    private var now: JSONValue { .string(Timestamp.now.milliseconds) }

    private func head() -> JSONObject { ["parentUuid": lastUUID, "isSidechain": false] }

    private func nextUUID() -> JSONValue {
        lastUUID = .string(newUUID())
        return lastUUID
    }

    private func append(_ row: JSONObject) throws(Failure) {
        var row = row
        row["userType"] = "external"
        row["entrypoint"] = isInteractive ? "cli" : "sdk-cli"
        row["cwd"] = .string(cwd)
        row["sessionId"] = .string(sessionID)
        row["version"] = .string(Self.version)
        row["gitBranch"] = .string(gitBranch)
        try Disk.append(path, JSONValue.object(row).line + "\n")
    }

    private static func branch(of directory: String) -> String {
        var folder = directory
        while folder != "/", folder != "." {
            var head: String?
            do throws(Failure) { head = try Disk.text(folder + "/.git/HEAD") } catch {}
            if let head, let name = head.split(separator: "/").last, head.hasPrefix("ref:") {
                return String(name.prefix { !$0.isWhitespace })
            }
            folder = directoryName(folder)
        }
        return "HEAD"
    }
}
