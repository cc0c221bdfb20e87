// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import KeyPool
import Secrets
import Timekeeping

/// What an error's text is taken for, and what would follow: for `gasclawd keys explain`.
public enum KeyExplanation {
    /// - Parameters:
    ///   - text: What the provider said.
    ///   - status: The HTTP status, if it is known.
    ///   - keys: `keys` of the status.
    ///   - agents: `agents` of the status; nil where nobody knows them.
    ///   - key: The id of the key that failed; nil: the active one.
    ///   - session: The agent that failed; nil: one that holds the key.
    ///   - cooldown: `keys.cooldown`.
    ///   - now: When the provider said it.
    public static func make(
        text: String, status: Int?, keys: JSONValue = .null, agents: [JSONValue]? = nil, key: String? = nil,
        session: String? = nil, cooldown: Duration = .seconds(300), at now: Timestamp
    ) -> JSONValue {
        let verdict = CauseRules.classify(text: text, status: status, at: now)
        let effect = verdict.cause.effect
        let items = keys["items"]?.array ?? []
        let failed = key ?? keys["active"]?.string
        let account = items.first { $0["id"]?.string == failed }?["account"]?.string
        let until = effect.scope == .nothing ? nil : KeyPool.end(of: verdict, configured: cooldown, at: now)
        let confirmed = KeyPool.end(of: verdict, isConfirmed: true, configured: cooldown, at: now)
        let cooled = items.filter { item in
            switch effect.scope {
            case .nothing: false
            case .key: item["id"]?.string == failed
            case .account: item["id"]?.string == failed || (account != nil && item["account"]?.string == account)
            }
        }.compactMap { $0["id"]?.string }
        let next = next(items, cooled)
        let restarted = agents.map { agents in
            agents.filter { agent in
                // While no key is ready nobody is restarted.
                guard !items.contains(where: isReady) || next != nil, let held = agent["key"]?.string else {
                    return false
                }
                switch effect.restarts {
                case .nobody: return false
                case .failedSession: return session != nil && agent["session"]?.string == session
                case .allLeases: return cooled.contains(held)
                }
            }.compactMap { $0["session"]?.string }
        }
        return [
            "rule": .string(verdict.rule), "source": .optional(verdict.source?.rawValue),
            "cause": .string(verdict.cause.rawValue), "window": .optional(verdict.window?.rawValue),
            "cools": .string(words(effect.scope)),
            "cooldown_seconds": until.map { JSONValue(($0 - now).wholeMilliseconds / 1000) } ?? .null,
            "until": .optional(until?.rfc3339),
            "confirmed_cooldown_seconds": until == nil || effect.disablesWhenConfirmed
                ? .null : JSONValue((confirmed - now).wholeMilliseconds / 1000),
            "disables_when_confirmed": .bool(effect.disablesWhenConfirmed),
            "restarts": .string(words(effect.restarts)),
            "retry_after_seconds": verdict.retryAfter.map { JSONValue($0.wholeMilliseconds / 1000) } ?? .null,
            "reset_at": .optional(verdict.resetAt?.rfc3339),
            "key": .optional(failed), "keys": .array(cooled.map(JSONValue.string)),
            "next": .optional(effect.scope == .nothing ? failed : next),
            "agents": restarted.map { .array($0.map(JSONValue.string)) } ?? .null,
            "text": .string(Redactor().redact(text)),
        ]
    }

    private static func isReady(_ item: JSONValue) -> Bool {
        ["active", "ready"].contains(item["state"]?.string ?? "")
    }

    /// The key that would be active then: the ready one used longest ago.
    private static func next(_ items: [JSONValue], _ cooled: [String]) -> String? {
        let left = items.filter { isReady($0) && !cooled.contains($0["id"]?.string ?? "") }
        let active = left.first { $0["state"]?.string == "active" }
        return (active ?? left.min { ($0["last_used"]?.string ?? "") < ($1["last_used"]?.string ?? "") })?["id"]?.string
    }

    private static func words(_ scope: Cause.Effect.Scope) -> String {
        switch scope {
        case .nothing: "nothing: it is not the key's fault"
        case .key: "the key"
        case .account: "all keys of its account"
        }
    }

    private static func words(_ restarts: Cause.Effect.Restarts) -> String {
        switch restarts {
        case .nobody: "nobody"
        case .failedSession: "the agent that failed"
        case .allLeases: "all agents on what cools"
        }
    }
}
