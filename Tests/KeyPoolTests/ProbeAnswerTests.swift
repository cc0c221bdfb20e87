// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing
import Timekeeping

@testable import KeyPool

@Suite struct ProbeAnswerTests {
    private let now = Timestamp(secondsSinceEpoch: 1_795_000_000)

    @Test(arguments: [
        ("https://api.kimi.com/coding/", "https://api.kimi.com/coding/v1/usages"),
        ("https://api.kimi.com/coding", "https://api.kimi.com/coding/v1/usages"),
        ("https://api.moonshot.ai/anthropic", "https://api.moonshot.ai/v1/usages"),
        ("http://127.0.0.1:8080/coding/", "http://127.0.0.1:8080/coding/v1/usages"),
        ("http://localhost/v1", "http://localhost/v1/usages"), ("http://[::1]:81/", "http://[::1]:81/v1/usages"),
    ])
    func theQuestionGoesToTheKeysOwnEndpoint(_ base: String, _ url: String) {
        #expect(ProbeKind.usages.url(baseURL: base) == url)
    }

    @Test(arguments: [
        "http://api.kimi.com/coding/", "http://127.0.0.1.example.com/", "http://127.0.0.1@example.com/",
        "http://localhost:80:90/", "http://localhost:x/", "http://127.0.0.2/", "ftp://localhost/", "https://",
        "https://a/\"\nurl = \"https://b", "https://user:password@host/", "https://a/?b", "http://[::1]x/", "",
    ])
    func aKeyGoesNowhereInTheClear(_ base: String) { #expect(ProbeKind.usages.url(baseURL: base) == nil) }

    @Test func theOpenPlatformIsNotAskedForUsages() {
        #expect(ProbeKind.fitting(.quota, baseURL: "https://api.kimi.com/coding/") == .usages)
        #expect(ProbeKind.fitting(.quota, baseURL: "https://api.moonshot.cn/anthropic") == nil)
        #expect(ProbeKind.fitting(.invalid, baseURL: "https://api.moonshot.cn/anthropic") == .models)
        for cause in [Cause.throttled, .concurrency, .membership, .overloaded, .unknown] {
            #expect(ProbeKind.fitting(cause, baseURL: "https://api.kimi.com/coding/") == nil)
        }
    }

    private func report(_ text: String) throws -> UsageReport {
        try #require(UsageReport(try JSONValue(parsing: Array(text.utf8))))
    }

    @Test func numbersAreStringsOrNumbersAndEachOtherFollows() throws {
        for detail in [
            #""limit":"100","used":"100""#, #""limit":"100","remaining":"0""#, #""limit":100,"used":100"#,
            #""limit":"100","used":"1","remaining":"0""#, #""limit":"2.5","used":"2.5""#,
        ] {
            let report = try report("{\"usage\":{\(detail),\"resetTime\":\"2026-11-30T05:00:00Z\"}}")
            let found = try #require(report.exhaustedUntil(seen: nil, at: now))
            #expect(found.window == .week && found.until == Timestamp(rfc3339: "2026-11-30T05:00:00Z"))
        }
        for detail in [#""limit":"100""#, #""used":"3""#, #""limit":"x","used":"3""#, #""limit":"0","used":"0""#, ""] {
            #expect(try report("{\"usage\":{\(detail)}}").limits.isEmpty)
        }
    }

    @Test(arguments: [
        (300, "TIME_UNIT_MINUTE", QuotaWindow.fiveHours), (5, "TIME_UNIT_HOUR", .fiveHours),
        (7, "TIME_UNIT_DAY", .week),
        (1, "TIME_UNIT_MONTH", .month),
    ])
    func aWindowIsKnownByItsLength(_ duration: Int, _ unit: String, _ window: QuotaWindow) throws {
        for number in ["\(duration)", "\"\(duration)\""] {
            let text = """
                {"limits":[{"window":{"duration":\(number),"timeUnit":"\(unit)"},"detail":{"limit":"1","remaining":"1"}}]}
                """
            #expect(try report(text).limits.map(\.window) == [window])
        }
    }

    @Test func ofTwoUsedUpWindowsTheLaterEndCounts() throws {
        let report = try report(
            """
            {"usage":{"limit":"100","remaining":"0","resetTime":"2026-11-30T05:00:00Z"},
             "limits":[{"window":{"duration":300,"timeUnit":"TIME_UNIT_MINUTE"},
                        "detail":{"limit":"100","remaining":"0","resetTime":"2026-11-22T05:00:00Z"}}]}
            """)
        #expect(report.exhaustedUntil(seen: .fiveHours, at: now)?.window == .week)
    }

    @Test func aSmallRestCountsAsNothingOnlyInTheWindowThatWasSeen() throws {
        let report = try report(#"{"usage":{"limit":"100","used":"99","resetTime":"2026-11-30T05:00:00Z"}}"#)
        #expect(report.exhaustedUntil(seen: .week, at: now) != nil)
        #expect(report.exhaustedUntil(seen: .fiveHours, at: now) == nil)
        #expect(report.exhaustedUntil(seen: nil, at: now) == nil)
    }

    @Test func aResetThatIsOverIsNone() throws {
        let report = try report(#"{"usage":{"limit":"100","used":"100","resetTime":"2026-01-30T05:00:00Z"}}"#)
        #expect(report.exhaustedUntil(seen: .week, at: now) == nil)
    }

    @Test(arguments: ["7", "[]", "{}", #"{"error":{}}"#, "null"]) func whatIsNoReportIsNone(_ text: String) throws {
        #expect(UsageReport(try JSONValue(parsing: Array(text.utf8))) == nil)
    }
}
