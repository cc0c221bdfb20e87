// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// What Claude Code gives its StopFailure hook on standard input, and what is posted to `/v1/sightings`: the same
/// members, so that the one can be sent as the other (code.claude.com/docs/en/hooks).
///
/// All members are optional: the format is the client's.
public struct HookReport: Sendable, Equatable {
    public var conversation: String?
    public var directory: String?
    /// The client's name for the error, as `rate_limit`.
    public var error: String?
    /// As `429 Too Many Requests`.
    public var details: String?
    /// What the client shows.
    public var message: String?

    /// The longest text kept of a member, in bytes.
    private static let textMax = 4096

    /// - Throws: If it is no report of a failure.
    public init(_ json: JSONValue) throws(ControlError) {
        func text(_ name: String) -> String? {
            json[name]?.string.map { String(decoding: $0.utf8.prefix(Self.textMax), as: UTF8.self) }
        }
        guard json.object != nil else {
            throw ControlError(code: "bad_request", message: "the body is no JSON object")
        }
        if let event = json["hook_event_name"]?.string, event != "StopFailure" {
            throw ControlError(code: "bad_request", message: "hook_event_name is not StopFailure")
        }
        conversation = text("session_id")
        directory = text("cwd")
        error = text("error")
        details = text("error_details")
        message = text("last_assistant_message")
        guard error != nil || details != nil || message != nil else {
            throw ControlError(
                code: "bad_request", message: "none of error, error_details and last_assistant_message is there")
        }
    }

    public var json: JSONValue {
        [
            "hook_event_name": "StopFailure", "session_id": .optional(conversation), "cwd": .optional(directory),
            "error": .optional(error), "error_details": .optional(details),
            "last_assistant_message": .optional(message),
        ]
    }

    /// The words that decide, the client's own first.
    public var text: String { [message, details].compactMap(\.self).joined(separator: " ") }

    /// The HTTP status: in front of the details, or behind the client's "API Error: ".
    public var status: Int? {
        if let details, let status = Self.status(details[...]) { return status }
        for lead in ["API Error: ", "rejected (", "API Error ("] {
            if let start = message?.firstRange(of: lead)?.upperBound, let message,
                let status = Self.status(message[start...])
            {
                return status
            }
        }
        // A quota 403 is reported as a failed authentication too: only its words tell.
        return error == "authentication_failed" ? 403 : nil
    }

    private static func status(_ text: Substring) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard digits.count == 3, let value = Int(digits), (400..<600).contains(value) else { return nil }
        return value
    }
}
