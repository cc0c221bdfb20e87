// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing
import Timekeeping

@testable import KeyPool

/// A wording as it was seen or is documented, and what it has to be taken for.
struct Wording: Sendable, CustomTestStringConvertible {
    let text: String
    let status: Int?
    let type: String?
    let cause: Cause
    let window: QuotaWindow?

    init(_ cause: Cause, _ window: QuotaWindow? = nil, status: Int? = nil, type: String? = nil, _ text: String) {
        self.text = text
        self.status = status
        self.type = type
        self.cause = cause
        self.window = window
    }

    var testDescription: String { "\(status ?? 0) \(text.prefix(60))" }

    /// Kimi Code's official table.
    static let kimiCode: [Wording] = [
        Wording(
            .invalid, status: 401,
            "The API Key appears to be invalid or may have expired. Please verify your credentials and try again."),
        Wording(.invalid, status: 401, "Invalid Authentication"),
        Wording(
            .membership, status: 402, type: "invalid_request_error",
            "We're unable to verify your membership benefits at this time. Please ensure your membership is active."),
        Wording(
            .quota, .week, status: 403, type: "permission_error",
            "You've reached your usage limit for this billing cycle. Your quota will be refreshed in the next cycle."),
        Wording(
            .client, status: 403, type: "access_terminated_error",
            "Kimi For Coding is currently only available for Coding Agents such as Kimi CLI, Claude Code, Roo Code, Kilo Code, etc."
        ),
        Wording(
            .terminated, status: 403, type: "access_terminated_error",
            "Access terminated. Review our Community Guidelines(https://example.com) or contact support"),
        Wording(
            .overloaded, status: 429, type: "engine_overloaded_error",
            "The engine is currently overloaded, please try again later"),
        Wording(
            .throttled, status: 429, type: "rate_limit_reached_error",
            "We're receiving too many requests at the moment. Please wait a moment and try again."),
        Wording(
            .quota, .fiveHours, status: 429,
            "You've reached your usage limit for this period. Your quota will be refreshed in the next period."),
        Wording(
            .quota, .month, status: 429,
            "You've reached kimi monthly usage limit for this billing cycle. Your quota will be refreshed in the next cycle."
        ),
        Wording(.request, status: 400, "Your request exceeded model token limit: 262144"),
        Wording(.request, status: 413, "body too large"),
        Wording(.model, status: 404, "unknown model"),
        Wording(.overloaded, status: 500, "internal"),
    ]

    /// The newer wordings, all 403.
    static let newer: [Wording] = [
        Wording(
            .quota, .week, status: 403, type: "permission_error",
            "You've reached your weekly (7-day) usage limit. Your quota will reset when the current 7-day window ends. To continue now, purchase extra usage or upgrade your plan: https://www.kimi.com/membership/subscription?tab=quota"
        ),
        Wording(
            .quota, .fiveHours, status: 403, type: "access_terminated_error",
            "You've reached your 5-hour usage limit. Your quota will reset when the current 5-hour window ends. To continue now, purchase extra usage or upgrade your plan"
        ),
        Wording(.quota, .month, status: 403, type: "permission_error", "You've reached your monthly usage limit"),
        Wording(
            .concurrency, status: 403, type: "access_terminated_error",
            "You've reached your concurrent request limit. Please wait for your ongoing requests to finish and try again."
        ),
        Wording(.model, status: 403, type: "permission_error", "You do not have access to model k3-preview"),
        Wording(.invalid, status: 401, type: "authentication_error", "unauthenticated"),
        Wording(.unknown, status: 403, type: "permission_error", "Something that nobody has seen"),
        Wording(.unknown, status: 403, type: "access_terminated_error", "Something that nobody has seen"),
    ]

    /// The Open Platform.
    static let openPlatform: [Wording] = [
        Wording(.invalid, status: 401, type: "invalid_authentication_error", "Invalid Authentication"),
        Wording(.invalid, status: 401, type: "incorrect_api_key_error", "Incorrect API key provided"),
        Wording(.unknown, status: 403, type: "permission_denied_error", "The API you are accessing is not open"),
        Wording(
            .unknown, status: 403, type: "permission_denied_error",
            "Your IP is not allowed to access this organization"),
        Wording(
            .model, status: 404, type: "resource_not_found_error", "Not found the model kimi-x or Permission denied"),
        Wording(
            .billing, status: 429, type: "exceeded_current_quota_error",
            "Your account org-1<ak-2> is suspended, please check your plan and billing details"),
        Wording(
            .billing, status: 403, type: nil,
            "Your account org-1<ak-2> is suspended due to insufficient balance, please recharge your account"),
        Wording(
            .billing, status: 429, type: "exceeded_current_quota_error", "You exceeded your current token quota: 0"),
        Wording(.billing, status: 429, type: "exceeded_current_quota_error", "no words that are known"),
        Wording(
            .throttled, status: 429, type: "rate_limit_reached_error",
            "Your account org-1<ak-2> request reached organization max concurrency: 1, please try again after 1 seconds"
        ),
        Wording(
            .throttled, status: 429, type: "rate_limit_reached_error",
            "Your account org-1<ak-2> request reached organization max RPM: 3, please try again after 20 seconds"),
        Wording(
            .throttled, status: 429, type: "rate_limit_reached_error",
            "Your account org-1<ak-2> request reached organization TPM rate limit, current: 9, limit: 8"),
        Wording(
            .throttled, status: 429, type: "rate_limit_reached_error",
            "Your account org-1<ak-2> request reached organization TPD rate limit, current: 9, limit: 8"),
    ]

    /// What Claude Code makes of them.
    static let client: [Wording] = [
        Wording(
            .throttled, status: 429,
            "API Error: Request rejected (429) · We're receiving too many requests at the moment. Please wait a moment and try again."
        ),
        Wording(.throttled, status: 429, "API Error: Request rejected (429) · this may be a temporary capacity issue"),
        Wording(.throttled, status: nil, "API Error: Rate limit reached"),
        Wording(.quota, .fiveHours, status: 429, "You've hit your session limit · resets 3:45pm"),
        Wording(.quota, .week, status: 429, "You've hit your weekly limit · resets Oct 9, 3:45pm"),
        Wording(.overloaded, status: 429, "API Error: Server is temporarily limiting requests (not your usage limit)"),
        Wording(
            .quota, .fiveHours, status: 403, type: "permission_error",
            "Failed to authenticate. API Error: 403 You've reached your 5-hour usage limit. Your quota will reset when the current 5-hour window ends."
        ),
        Wording(
            .quota, .fiveHours, status: 403, type: "permission_error",
            "Please run /login · API Error: 403 You've reached your 5-hour usage limit. Your quota will reset when the current 5-hour window ends."
        ),
        Wording(
            .membership, status: 402, "API Error: 402 We're unable to verify your membership benefits at this time."),
        Wording(.membership, status: 402, "API Error: 402 something else"),
        Wording(.invalid, status: 401, "Please run /login · API Error: 401 something else"),
        Wording(.invalid, status: 401, "Failed to authenticate. API Error: 401 something else"),
        Wording(.invalid, status: nil, "Invalid API key · Fix external API key"),
        Wording(.invalid, status: nil, "Invalid API key · Please run /login"),
        Wording(.client, status: nil, "Not logged in · Please run /login"),
        Wording(.billing, status: nil, "Credit balance is too low"),
        Wording(.billing, status: nil, "spend limit reached (organization)"),
        Wording(.client, status: nil, "Your apiKeyHelper script is failing · exit 1"),
        Wording(.overloaded, status: 529, "API Error: Repeated 529 Overloaded errors. Try again later."),
        Wording(.overloaded, status: nil, "API Error: Connection error."),
        Wording(.overloaded, status: 529, "whatever"),
    ]

    /// Older clients show the body as it came.
    static let dumps: [Wording] = [
        Wording(
            .quota, .week, status: 403,
            #"API Error: 403 {"error":{"type":"permission_error","message":"You've reached your usage limit for this billing cycle. Your quota will be refreshed in the next cycle."},"type":"error"}"#
        ),
        Wording(
            .concurrency, status: 403,
            #"API Error: 403 {"error":{"message":"You've reached your concurrent request limit. Please wait","type":"access_terminated_error"}}"#
        ),
        Wording(
            .overloaded, status: 429,
            #"API Error: 429 {"error":{"type":"engine_overloaded_error","message":"The engine is currently overloaded, please try again later"}}"#
        ),
        Wording(
            .throttled, status: 429,
            #"API Error (429 {"error":{"type":"rate_limit_reached_error","message":"max RPM: 3"}}) · Retrying in 2892 seconds… (attempt 10/10)"#
        ),
        Wording(
            .invalid, status: 401,
            #"API Error (401 {"error":{"type":"authentication_error","message":"unauthenticated"},"type":"error"})"#),
        Wording(
            .billing, status: 429,
            #"API Error: 429 {"error":{"type":"exceeded_current_quota_error","message":"Your account org-1<ak-2> is suspended, please check"}}"#
        ),
        Wording(
            .unknown, status: 403,
            #"API Error: 403 {"error":{"message":"new words","type":"access_terminated_error"}}"#),
    ]
}

@Suite struct CauseRulesTests {
    @Test(arguments: Wording.kimiCode + Wording.newer + Wording.openPlatform + Wording.client + Wording.dumps)
    func everyKnownWordingGetsItsCause(_ wording: Wording) {
        let verdict = CauseRules.classify(text: wording.text, status: wording.status, errorType: wording.type)
        #expect(verdict.cause == wording.cause, "\(verdict.rule)")
        #expect(verdict.window == wording.window)
    }

    @Test(arguments: [nil, 401, 402, 403, 404, 429, 500] as [Int?])
    func theTextDecidesBeforeTheStatus(_ status: Int?) {
        for wording in Wording.newer.prefix(5) + Wording.kimiCode.prefix(10) {
            #expect(CauseRules.classify(text: wording.text, status: status).cause == wording.cause)
        }
    }

    @Test func theMonthlyPoolIsNotTakenForTheWeek() {
        let text = "You've reached kimi monthly usage limit for this billing cycle (7-day windows are not concerned)"
        #expect(CauseRules.classify(text: text, status: 403).window == .month)
    }

    @Test(arguments: [
        ("please try again after 7 seconds", 7), ("Retry after 12s", 12), ("try again in 3 seconds.", 3),
        ("max RPM: 3, please try again after 1152 seconds", 1152), ("retry-after: 90", 90),
        ("try again in 2 minutes", 120), ("Try again in 1h 5m.", 3900), ("try again after 1 day and 3 hours", 97200),
    ])
    func aWaitInTheTextIsRead(_ text: String, _ seconds: Int) {
        #expect(CauseRules.classify(text: text, status: 429).retryAfter == .seconds(seconds))
    }

    @Test(arguments: [
        "try again later", "try again after lunch", "try again in 2 fortnights",
        "try again after 99999999999999 seconds",
        "try again after ٣ seconds", "try again after", "",
    ])
    func whatIsNoWaitIsNone(_ text: String) {
        #expect(CauseRules.classify(text: text, status: 429).retryAfter == nil)
    }

    @Test(arguments: [
        "You've reached your weekly usage limit. Your quota will reset at 2026-11-30T05:00:00Z.",
        "You've reached your weekly usage limit. Your quota will be refreshed at 2026-11-30T05:00:00.000Z, then go on",
        #"{"error":{"message":"You've reached your weekly usage limit; it will reset (2026-11-30T06:00:00+01:00)"}}"#,
        #"{"error":{"message":"reached your weekly usage limit, reset at 2026-11-30T05:00:00Z","type":"x"}}"#,
    ])
    func aResetTimeIsRead(_ text: String) {
        #expect(CauseRules.classify(text: text, status: 403).resetAt == Timestamp(rfc3339: "2026-11-30T05:00:00Z"))
    }

    @Test(arguments: [
        "Your quota will reset when the current 5-hour window ends.", "resets 3:45pm", "reset at 2026-13-40T99:00:00Z",
        "at 2026-11-30T05:00:00Z", "reset",
    ])
    func whatIsNoResetTimeIsNone(_ text: String) {
        #expect(CauseRules.classify(text: text, status: 403).resetAt == nil)
    }

    @Test func aHugeTextIsLookedAtOnlyAtItsBeginning() {
        let text = String(repeating: "é", count: 200_000) + "access terminated"
        #expect(CauseRules.classify(text: text, status: 403).cause == .unknown)
    }

    @Test func whatIsNotTheKeysFaultCoolsNothingAndRestartsNobody() {
        for cause in [Cause.overloaded, .client, .model, .request] {
            #expect(cause.effect.scope == .nothing)
            #expect(cause.effect.restarts == .nobody)
        }
        #expect(Cause.unknown.effect.restarts == .nobody)
        #expect(Cause.quota.effect.scope == .account)
    }
}
