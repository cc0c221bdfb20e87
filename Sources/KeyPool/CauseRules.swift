// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Timekeeping

/// Takes a failure's words for what they mean; `CauseTable` holds them.
///
/// The text decides before the status: Kimi Code sends its quota limits as 403, as it does for a closed account, and
/// clients wrap codes anew (kimi.com/code/docs error reference; platform.kimi.ai/docs/api/errors).
public enum CauseRules {
    /// No more of a text is looked at, in bytes.
    static let lengthMax = 4096

    /// - Parameters:
    ///   - text: What the provider said, without the client's own heading.
    ///   - status: The HTTP status; nil or 0 where there was no answer.
    ///   - errorType: The provider's `error.type`.
    ///   - now: For what the text says relative to it ("resets in 3 hours"); nil leaves that out.
    public static func classify(
        text: String, status: Int?, errorType: String? = nil, at now: Timestamp? = nil
    ) -> Verdict {
        let lower = String(decoding: text.utf8.prefix(lengthMax), as: UTF8.self).lowercased()
        let bytes = Array(lower.utf8)
        for rule in CauseTable.rules {
            guard let wording = rule.wordings.first(where: { $0.fragments.allSatisfy { bytes.holds($0) } }) else {
                continue
            }
            return verdict(rule.cause, lower, now, rule: rule.name, source: wording.source)
        }
        if let errorType, let (cause, source) = CauseTable.types[errorType] {
            return verdict(cause, lower, now, rule: "type \(errorType)", source: source)
        }
        return verdict(CauseTable.cause(ofStatus: status ?? 0), lower, now, rule: "status \(status ?? 0)", source: nil)
    }

    private static func verdict(
        _ cause: Cause, _ lower: String, _ now: Timestamp?, rule: String, source: WordingSource?
    ) -> Verdict {
        Verdict(
            cause: cause, window: cause == .quota ? window(lower) : nil, retryAfter: WaitText.retryAfter(in: lower),
            resetAt: WaitText.resetTime(in: lower, at: now), rule: rule, source: source)
    }

    private static func window(_ lower: String) -> QuotaWindow? {
        let bytes = Array(lower.utf8)
        return CauseTable.windows.first { $0.words.contains { bytes.holds($0) } }?.window
    }
}

extension [UInt8] {
    /// Whether they hold a word. The text of a failure is looked through for fifty of them; a search by characters takes
    /// many times as long.
    fileprivate func holds(_ word: String) -> Bool {
        var word = word
        return word.withUTF8 { word in
            withUnsafeBufferPointer { bytes in
                guard let first = word.first, word.count <= bytes.count else { return word.isEmpty }
                search: for start in 0...(bytes.count - word.count) where bytes[start] == first {
                    for offset in 1..<Swift.max(1, word.count) where bytes[start + offset] != word[offset] {
                        continue search
                    }
                    return true
                }
                return false
            }
        }
    }
}

/// Reads how long a text asks to wait, and until when.
enum WaitText {
    /// "try again after 7 seconds", "retry after 7s", "try again in 2 minutes", "retry-after: 90".
    ///
    /// - Parameter lower: In lower case.
    static func retryAfter(in lower: String) -> Duration? {
        let bytes = Array(lower.utf8)
        for lead in ["try again after ", "retry after ", "try again in ", "retry-after: "] {
            guard bytes.holds(lead), let start = lower.firstRange(of: lead)?.upperBound else { continue }
            // The header's unit goes without saying (RFC 9110, section 10.2.3).
            if let wait = duration(lower[start...], bareUnit: lead == "retry-after: " ? 1 : nil) { return wait }
        }
        return nil
    }

    /// "reset at 2026-08-30T05:00:00Z": the first instant behind the word; "resets in 2h 13m" and "refreshed in 3
    /// hours" count from now.
    static func resetTime(in lower: String, at now: Timestamp?) -> Timestamp? {
        let bytes = Array(lower.utf8)
        guard bytes.holds("reset") || bytes.holds("refreshed"),
            let start = lower.firstRange(of: "reset")?.upperBound ?? lower.firstRange(of: "refreshed")?.upperBound
        else { return nil }
        let rest = lower[start...].prefix(200)
        for word in rest.split(whereSeparator: { " ,;()\"".contains($0) }) {
            let trimmed = word.hasSuffix(".") ? word.dropLast() : word
            if let instant = Timestamp(rfc3339: trimmed.uppercased()) { return instant }
        }
        guard let now else { return nil }
        for lead in ["s in ", " in "] where rest.hasPrefix(lead) {
            return duration(rest.dropFirst(lead.count), bareUnit: nil).map { now + $0 }
        }
        return nil
    }

    /// One or more numbers with their units: `7 seconds`, `2h 13m`, `1 day and 3 hours`.
    ///
    /// - Parameter bareUnit: The seconds that a number without a unit counts; nil: it is none.
    private static func duration(_ text: Substring, bareUnit: Int64?) -> Duration? {
        var rest = text
        var total: Int64?
        while let (value, unit) = part(&rest, bareUnit: bareUnit) {
            let (product, overflow) = value.multipliedReportingOverflow(by: unit)
            guard !overflow, product <= Self.secondsMax else { return nil }
            total = (total ?? 0) + product
            rest = rest.drop { $0 == " " || $0 == "," }
            if rest.hasPrefix("and ") { rest = rest.dropFirst(4) }
        }
        return total.map { .seconds($0) }
    }

    /// More than thirty years is no wait.
    private static let secondsMax: Int64 = 999_999_999
    private static let units: [(names: Set<String>, seconds: Int64)] = [
        (["s", "sec", "secs", "second", "seconds"], 1), (["m", "min", "mins", "minute", "minutes"], 60),
        (["h", "hr", "hrs", "hour", "hours"], 3600), (["d", "day", "days"], 86400),
    ]

    private static func part(_ rest: inout Substring, bareUnit: Int64?) -> (value: Int64, unit: Int64)? {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty, digits.count <= 9, let value = Int64(digits) else { return nil }
        let behind = rest.dropFirst(digits.count).drop { $0 == " " }
        let word = behind.prefix { $0.isLetter }
        if let unit = units.first(where: { $0.names.contains(String(word)) })?.seconds {
            rest = behind.dropFirst(word.count)
            return (value, unit)
        }
        guard let bareUnit else { return nil }
        rest = rest.dropFirst(digits.count)
        return (value, bareUnit)
    }
}
