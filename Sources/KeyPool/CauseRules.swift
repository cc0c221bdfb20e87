// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Timekeeping

/// The wordings of Kimi Code, the Open Platform and Claude Code, and what they mean.
///
/// The text decides before the status: Kimi Code sends its quota limits as 403, as it does for a closed account, and
/// clients wrap codes anew (kimi.com/code/docs error reference; platform.kimi.ai/docs/api/errors). The order matters:
/// the first rule that fits decides.
public enum CauseRules {
    /// A rule fits if one of its wordings is in the text: all fragments of that wording, in lower case.
    struct TextRule: Sendable {
        let name: String
        let cause: Cause
        let wordings: [[String]]
    }

    static let text: [TextRule] = [
        TextRule(name: "concurrent-limit", cause: .concurrency, wordings: [["reached your concurrent request limit"]]),
        TextRule(
            name: "usage-limit", cause: .quota,
            wordings: [
                ["reached your", "usage limit"], ["reached kimi", "usage limit"], ["quota will be refreshed"],
                ["quota will reset"], ["hit your", "limit", "resets"],
            ]),
        TextRule(
            name: "client-gate", cause: .client,
            wordings: [["only available for coding agents"], ["not logged in"], ["apikeyhelper script is failing"]]),
        TextRule(
            name: "balance", cause: .billing,
            wordings: [
                ["insufficient balance"], ["exceeded your current", "quota"], ["check your plan and billing"],
                ["exceeded_current_quota_error"], ["credit balance is too low"], ["spend limit reached"],
            ]),
        TextRule(
            name: "terminated", cause: .terminated,
            wordings: [["access terminated"], ["suspended"], ["banned"]]),
        TextRule(name: "membership", cause: .membership, wordings: [["membership benefits"]]),
        TextRule(
            name: "overloaded", cause: .overloaded, wordings: [["overloaded"], ["temporarily limiting requests"]]),
        TextRule(
            name: "model", cause: .model,
            wordings: [["do not have access to model"], ["not found the model"], ["model not found"]]),
        TextRule(
            name: "throttled", cause: .throttled,
            wordings: [
                ["too many requests"], ["max concurrency"], ["max rpm"], ["tpm rate limit"], ["tpd rate limit"],
                ["rate limit reached"], ["rate_limit_reached_error"],
            ]),
        TextRule(
            name: "invalid-key", cause: .invalid,
            wordings: [
                ["api key appears to be invalid"], ["invalid authentication"], ["incorrect api key"],
                ["invalid api key"], ["unauthenticated"],
            ]),
    ]

    /// Used when no wording fits. `access_terminated_error` is not here: it also comes with quota, concurrency and the
    /// client gate, so alone it says nothing.
    static let types: [String: Cause] = [
        "engine_overloaded_error": .overloaded, "overloaded_error": .overloaded, "api_error": .overloaded,
        "exceeded_current_quota_error": .billing, "billing_error": .billing,
        "rate_limit_reached_error": .throttled, "rate_limit_error": .throttled,
        "invalid_authentication_error": .invalid, "incorrect_api_key_error": .invalid,
        "authentication_error": .invalid,
        "resource_not_found_error": .model, "not_found_error": .model,
    ]

    /// - Parameters:
    ///   - text: What the provider said, without the client's own heading.
    ///   - status: The HTTP status; nil or 0 where there was no answer.
    ///   - errorType: The provider's `error.type`.
    public static func classify(text: String, status: Int?, errorType: String? = nil) -> Verdict {
        let lower = String(decoding: text.utf8.prefix(4096), as: UTF8.self).lowercased()
        for rule in self.text where rule.wordings.contains(where: { $0.allSatisfy(lower.contains) }) {
            return verdict(rule.cause, lower, rule: rule.name)
        }
        if let errorType, let cause = types[errorType] { return verdict(cause, lower, rule: "type \(errorType)") }
        let cause: Cause =
            switch status ?? 0 {
            case 401: .invalid
            case 402: .membership
            case 403: .unknown
            case 404: .model
            case 429: .throttled
            case 400..<500: .request
            default: .overloaded
            }
        return verdict(cause, lower, rule: "status \(status ?? 0)")
    }

    private static func verdict(_ cause: Cause, _ lower: String, rule: String) -> Verdict {
        Verdict(
            cause: cause, window: cause == .quota ? window(lower) : nil, retryAfter: seconds(in: lower),
            resetAt: resetTime(in: lower), rule: rule)
    }

    /// Monthly before weekly: "monthly usage limit for this billing cycle" is the monthly pool.
    private static func window(_ lower: String) -> QuotaWindow {
        if lower.contains("monthly") { return .month }
        if lower.contains("5-hour") || lower.contains("this period") { return .fiveHours }
        if lower.contains("weekly") || lower.contains("7-day") || lower.contains("billing cycle") { return .week }
        return .fiveHours
    }

    /// "try again after 7 seconds", "retry after 7s", "try again in 7 seconds".
    private static func seconds(in lower: String) -> Duration? {
        for lead in ["try again after ", "retry after ", "try again in ", "retry-after: "] {
            guard let start = lower.firstRange(of: lead)?.upperBound else { continue }
            let digits = lower[start...].prefix { $0.isASCII && $0.isNumber }
            guard !digits.isEmpty, digits.count <= 9, let value = Int64(digits) else { continue }
            let unit = lower[start...].dropFirst(digits.count).drop { $0 == " " }
            guard lead == "retry-after: " || unit.hasPrefix("s") else { continue }
            return .seconds(value)
        }
        return nil
    }

    /// "reset at 2026-08-30T05:00:00Z": the first instant behind the word.
    private static func resetTime(in lower: String) -> Timestamp? {
        guard let start = lower.firstRange(of: "reset")?.upperBound ?? lower.firstRange(of: "refreshed")?.upperBound
        else { return nil }
        for word in lower[start...].prefix(200).split(whereSeparator: { " ,;()\"".contains($0) }) {
            let trimmed = word.hasSuffix(".") ? word.dropLast() : word
            if let instant = Timestamp(rfc3339: trimmed.uppercased()) { return instant }
        }
        return nil
    }
}
