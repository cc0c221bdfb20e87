// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import KeyPool
import Secrets
import Timekeeping

/// What an error's text is taken for: for `gasclawd keys explain`.
public enum KeyExplanation {
    /// - Parameters:
    ///   - text: What the provider said.
    ///   - status: The HTTP status, if it is known.
    public static func make(text: String, status: Int?) -> JSONValue {
        let verdict = CauseRules.classify(text: text, status: status)
        let effect = verdict.cause.effect
        let cools: String =
            switch effect.scope {
            case .nothing: "nothing: it is not the key's fault"
            case .key: "the key"
            case .account: "all keys of its account"
            }
        let restarts: String =
            switch effect.restarts {
            case .nobody: "nobody"
            case .failedSession: "the agent that failed"
            case .allLeases: "all agents on what cools"
            }
        return [
            "cause": .string(verdict.cause.rawValue), "window": .optional(verdict.window?.rawValue),
            "rule": .string(verdict.rule), "cools": .string(cools), "restarts": .string(restarts),
            "disables_when_confirmed": .bool(effect.disablesWhenConfirmed),
            "retry_after_seconds": verdict.retryAfter.map { JSONValue($0.wholeMilliseconds / 1000) } ?? .null,
            "reset_at": .optional(verdict.resetAt?.rfc3339), "text": .string(Redactor().redact(text)),
        ]
    }
}
