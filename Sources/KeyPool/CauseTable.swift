// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// Where a wording is known from. `gasclawd keys explain` shows it.
public enum WordingSource: String, Sendable, CaseIterable {
    /// The error reference of Kimi Code, the older generation of its wordings.
    case kimiCodeReference = "Kimi Code error reference (kimi.com/code/docs/en/kimi-code/error-reference.html)"
    /// Answers of the coding endpoint seen in 2026, all of them HTTP 403: the newer generation.
    case kimiCodeSeen = "answers of Kimi Code as seen up to 2026-08"
    /// The error page of the Open Platform.
    case openPlatform = "Open Platform errors (platform.kimi.ai/docs/api/errors)"
    /// Kimi's help page, where it differs from the error page.
    case openPlatformHelp = "Kimi help (kimi.com/help/kimi-api/api-troubleshooting)"
    /// What Claude Code itself says.
    case claudeCode = "Claude Code errors (code.claude.com/docs/en/errors)"
}

/// The wordings of Kimi Code, the Open Platform and Claude Code, and what they mean: data, in one place.
///
/// The first rule that fits decides, so the order matters. A rule fits if one of its wordings is in the text: all
/// fragments of that wording, which are in lower case.
enum CauseTable {
    struct Rule: Sendable {
        let name: String
        let cause: Cause
        let wordings: [Wording]
    }

    struct Wording: Sendable {
        let fragments: [String]
        let source: WordingSource

        init(_ fragments: String..., from source: WordingSource) {
            self.fragments = fragments
            self.source = source
        }
    }

    static let rules: [Rule] = [
        Rule(
            name: "concurrent-limit", cause: .concurrency,
            wordings: [Wording("reached your concurrent request limit", from: .kimiCodeSeen)]),
        Rule(
            name: "usage-limit", cause: .quota,
            wordings: [
                // The older generation first, for it is the longer one: its words are also in the newer.
                Wording("reached your usage limit for this", from: .kimiCodeReference),
                Wording("reached kimi", "usage limit", from: .kimiCodeReference),
                Wording("quota will be refreshed", from: .kimiCodeReference),
                Wording("reached your", "usage limit", from: .kimiCodeSeen),
                Wording("quota will reset", from: .kimiCodeSeen),
                // A plan of Anthropic's; Kimi never says it.
                Wording("hit your", "limit", "resets", from: .claudeCode),
            ]),
        Rule(
            name: "client-gate", cause: .client,
            wordings: [
                Wording("only available for coding agents", from: .kimiCodeReference),
                Wording("not logged in", from: .claudeCode),
                Wording("apikeyhelper script is failing", from: .claudeCode),
            ]),
        Rule(
            name: "balance", cause: .billing,
            wordings: [
                Wording("insufficient balance", from: .openPlatform),
                Wording("exceeded your current", "quota", from: .openPlatform),
                Wording("check your plan and billing", from: .openPlatform),
                Wording("exceeded_current_quota_error", from: .openPlatform),
                Wording("credit balance is too low", from: .claudeCode),
                Wording("spend limit reached", from: .claudeCode),
            ]),
        Rule(
            name: "terminated", cause: .terminated,
            wordings: [
                Wording("access terminated", from: .kimiCodeReference),
                Wording("suspended", from: .openPlatform),
                Wording("banned", from: .kimiCodeSeen),
            ]),
        Rule(
            name: "membership", cause: .membership,
            wordings: [Wording("membership benefits", from: .kimiCodeReference)]),
        Rule(
            name: "overloaded", cause: .overloaded,
            wordings: [
                Wording("engine is currently overloaded", from: .kimiCodeReference),
                Wording("engine_overloaded_error", from: .openPlatform),
                Wording("overloaded", from: .claudeCode),
                Wording("temporarily limiting requests", from: .claudeCode),
            ]),
        Rule(
            name: "model", cause: .model,
            wordings: [
                Wording("do not have access to model", from: .kimiCodeSeen),
                Wording("not found the model", from: .openPlatform),
                Wording("model not found", from: .claudeCode),
            ]),
        Rule(
            name: "throttled", cause: .throttled,
            wordings: [
                Wording("receiving too many requests", from: .kimiCodeReference),
                Wording("max concurrency", from: .openPlatform),
                Wording("max rpm", from: .openPlatform),
                Wording("tpm rate limit", from: .openPlatform),
                Wording("tpd rate limit", from: .openPlatform),
                Wording("rate_limit_reached_error", from: .openPlatform),
                Wording("too many requests", from: .claudeCode),
                Wording("rate limit reached", from: .claudeCode),
            ]),
        Rule(
            name: "invalid-key", cause: .invalid,
            wordings: [
                Wording("api key appears to be invalid", from: .kimiCodeReference),
                Wording("invalid authentication", from: .kimiCodeReference),
                Wording("unauthenticated", from: .kimiCodeSeen),
                Wording("incorrect api key", from: .openPlatform),
                Wording("invalid api key", from: .claudeCode),
            ]),
    ]

    /// The `error.type` of an answer, used when no wording fits.
    ///
    /// `access_terminated_error` is not here: it also comes with quota, concurrency and the client gate, so alone it
    /// says nothing. Nor is Claude Code's own `authentication_failed`: a quota 403 appears under it.
    static let types: [String: (cause: Cause, source: WordingSource)] = [
        "engine_overloaded_error": (.overloaded, .openPlatform),
        "overloaded_error": (.overloaded, .claudeCode), "overloaded": (.overloaded, .claudeCode),
        "api_error": (.overloaded, .claudeCode), "server_error": (.overloaded, .claudeCode),
        "exceeded_current_quota_error": (.billing, .openPlatform), "billing_error": (.billing, .claudeCode),
        "rate_limit_reached_error": (.throttled, .openPlatform), "rate_limit_error": (.throttled, .claudeCode),
        "rate_limit": (.throttled, .claudeCode),
        "invalid_authentication_error": (.invalid, .openPlatform),
        "incorrect_api_key_error": (.invalid, .openPlatform), "authentication_error": (.invalid, .kimiCodeSeen),
        "resource_not_found_error": (.model, .openPlatform), "not_found_error": (.model, .claudeCode),
        "model_not_found": (.model, .claudeCode),
        "invalid_request": (.request, .claudeCode), "max_output_tokens": (.request, .claudeCode),
    ]

    /// The HTTP status, when neither text nor type says anything.
    static func cause(ofStatus status: Int) -> Cause {
        switch status {
        case 401: .invalid
        case 402: .membership
        case 403: .unknown
        case 404: .model
        case 429: .throttled
        case 400..<500: .request
        default: .overloaded
        }
    }

    /// The words for a subscription's windows. Monthly before weekly: "monthly usage limit for this billing cycle" is
    /// the monthly pool.
    static let windows: [(words: [String], window: QuotaWindow)] = [
        (["monthly"], .month),
        (["5-hour", "this period", "session limit"], .fiveHours),
        (["weekly", "7-day", "billing cycle"], .week),
    ]
}
