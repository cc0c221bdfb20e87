// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// An answer of the endpoint that is no success: what Kimi says, and how Claude Code puts it.
struct Fault {
    /// HTTP status.
    let status: Int
    /// The `type` of the upstream's error.
    let type: String
    /// The upstream's own words.
    let message: String
    /// Claude Code's name for it (kimi-claude.md B.3).
    let error: String

    /// Statuses that are tried again (kimi-claude.md B.2: 402 and 403 are not; transcripts/invalid-401.jsonl: 401 is).
    var isRetried: Bool { status == 401 || status == 429 || status >= 500 }

    /// The text of the final row and of the terminal (kimi-claude.md B.1; transcripts/README.md "Seen").
    func text(isInteractive: Bool) -> String {
        switch status {
        case 401, 403:
            "\(isInteractive ? "Please run /login ·" : "Failed to authenticate.") API Error: \(status) \(message)"
        case 429: "API Error: Request rejected (429) · \(message)"
        case 529: "API Error: Repeated 529 Overloaded errors. \(message)"
        default: "API Error: \(status) \(message)"
        }
    }

    /// The upstream's body as Claude Code quotes it in a retry row (transcripts/throttled-429.jsonl).
    var body: String {
        let body: JSONValue = ["error": ["type": .string(type), "message": .string(message)], "type": "error"]
        return body.line
    }

    /// The wordings of kimi-claude.md A.2 to A.5, by the name that switches them on.
    static let named: [String: Fault] = [
        // A.2, transcripts/throttled-429.jsonl
        "throttled-429": Fault(
            status: 429, type: "rate_limit_error",
            message: "We're receiving too many requests at the moment. Please wait a moment and try again.",
            error: "rate_limit"),
        // A.3, transcripts/quota-403.jsonl
        "quota-5h-403": Fault(
            status: 403, type: "permission_error",
            message:
                "You've reached your 5-hour usage limit. Your quota will reset when the current 5-hour window ends.",
            error: "authentication_failed"),
        // A.3
        "quota-weekly-403": Fault(
            status: 403, type: "permission_error",
            message:
                """
                You've reached your weekly (7-day) usage limit. Your quota will reset when the current 7-day \
                window ends. To continue now, purchase extra usage or upgrade your plan: \
                https://www.kimi.com/membership/subscription?tab=quota
                """,
            error: "authentication_failed"),
        // A.2 and A.3; what follows these words was not recorded
        "quota-monthly-403": Fault(
            status: 403, type: "permission_error",
            message: "You've reached kimi monthly usage limit for this billing cycle.", error: "authentication_failed"),
        // A.3
        "concurrency-403": Fault(
            status: 403, type: "access_terminated_error",
            message:
                """
                You've reached your concurrent request limit. Please wait for your ongoing requests to finish and \
                try again.
                """,
            error: "authentication_failed"),
        // A.2, transcripts/invalid-401.jsonl
        "invalid-401": Fault(
            status: 401, type: "authentication_error",
            message:
                "The API Key appears to be invalid or may have expired. Please verify your credentials and try again.",
            error: "authentication_failed"),
        // A.2, transcripts/membership-402.jsonl
        "membership-402": Fault(
            status: 402, type: "invalid_request_error",
            message:
                """
                We're unable to verify your membership benefits at this time. Please ensure your membership is \
                active.
                """,
            error: "unknown"),
        // A.2; the addresses were not recorded
        "terminated-403": Fault(
            status: 403, type: "access_terminated_error",
            message:
                """
                Access terminated. Review our Community \
                Guidelines(https://www.kimi.com/code/docs/en/kimi-code/community-guidelines.html) or contact \
                support.
                """,
            error: "authentication_failed"),
        // A.2
        "overloaded-529": Fault(
            status: 529, type: "engine_overloaded_error",
            message: "The engine is currently overloaded, please try again later", error: "overloaded"),
        // A.5, with ids of the real form in it: they must not be logged (kimi-claude.md 0.7)
        "billing-429": Fault(
            status: 429, type: "exceeded_current_quota_error",
            message:
                """
                Your account org-0a1b2c3d4e5f6a7b8c9d<ak-0f1e2d3c4b5a69788796> is suspended due to insufficient \
                balance, please recharge
                """,
            error: "rate_limit"),
    ]
}

/// The endpoint that every claude of a miniature town talks to: files in the private folder.
struct Endpoint {
    let home: String

    /// What the key would get now: the first word of `faults/<key id>`, which is read at each request.
    func answer(to keyIdentifier: String) throws(Failure) -> (name: String, fault: Fault?) {
        let text = try Disk.text("\(home)/faults/\(keyIdentifier)") ?? ""
        guard let word = text.split(whereSeparator: \.isWhitespace).first.map(String.init), word != "ok" else {
            return ("ok", nil)
        }
        guard let fault = Fault.named[word] else { return ("ok", nil) }
        return (word, fault)
    }

    /// Writes down one request; the key itself is never written.
    func record(_ request: JSONObject) throws(Failure) {
        try Disk.append("\(home)/requests.jsonl", JSONValue.object(request).line + "\n")
    }

    /// The command that an agent's tool call runs.
    func toolCommand() throws(Failure) -> String {
        let command = try Disk.text("\(home)/tool")?.split(separator: "\n").first.map(String.init) ?? ""
        return command.isEmpty ? "true" : command
    }
}
