// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Secrets
import Timekeeping

/// A question to a key's provider that costs no tokens.
public enum ProbeKind: String, Sendable, Hashable {
    /// `GET …/usages`: how much of each window is left, and until when. Kimi Code only; undocumented, but used by its
    /// official command line.
    case usages
    /// `GET …/models`: whether the key is good. It says nothing of quotas.
    case models

    /// Where the question goes: the key's own endpoint, with its Anthropic-shaped path replaced.
    ///
    /// - Parameter baseURL: What `ANTHROPIC_BASE_URL` is for the key.
    /// - Returns: nil for anything but https, and http to this machine: the key must not travel in the clear.
    public func url(baseURL: String) -> String? {
        guard Self.isSafe(baseURL) else { return nil }
        var base = baseURL[...]
        while base.hasSuffix("/") { base.removeLast() }
        if base.hasSuffix("/anthropic") { base.removeLast("/anthropic".count) }
        if !base.hasSuffix("/v1") { base += "/v1" }
        return "\(base)/\(rawValue)"
    }

    /// What to ask about a key that failed so; nil: nothing that an answer would tell.
    public static func fitting(_ cause: Cause, baseURL: String) -> ProbeKind? {
        switch cause {
        // The Open Platform has no usages.
        case .quota: baseURL.contains("/anthropic") ? nil : .usages
        case .invalid: .models
        default: nil
        }
    }

    private static func isSafe(_ url: String) -> Bool {
        guard url.utf8.allSatisfy({ (33...126).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }),
            !url.utf8.contains(where: { "@?#".utf8.contains($0) })
        else { return false }
        if url.hasPrefix("https://") { return url.utf8.count > "https://".utf8.count }
        guard url.hasPrefix("http://") else { return false }
        let authority = url.dropFirst("http://".count).prefix { $0 != "/" }
        if authority.hasPrefix("[::1]") { return isPort(authority.dropFirst("[::1]".count)) }
        let host = authority.prefix { $0 != ":" }
        return (host == "localhost" || host == "127.0.0.1") && isPort(authority.dropFirst(host.count))
    }

    private static func isPort(_ text: Substring) -> Bool {
        text.isEmpty || (text.first == ":" && UInt16(text.dropFirst()) != nil)
    }
}

/// What `/usages` says (kimi-code's `managed-usage.ts`): numbers are strings, and any field may be missing.
public struct UsageReport: Sendable, Hashable {
    public struct Limit: Sendable, Hashable {
        public let window: QuotaWindow
        public let limit: Double
        public let remaining: Double
        public let resetAt: Timestamp?
    }

    /// The windows whose numbers can be read.
    public let limits: [Limit]
    /// Keys of one user share their quota; the first 12 hexadecimal digits of the SHA-256 of the user's id.
    public let owner: String?

    /// - Returns: nil if it is not such a report.
    public init?(_ json: JSONValue) {
        guard json.object != nil, json["usage"] != nil || json["limits"] != nil || json["user"] != nil else {
            return nil
        }
        var limits: [Limit] = []
        if let detail = json["usage"], let limit = Limit(detail, window: .week) { limits.append(limit) }
        for entry in (json["limits"]?.array ?? []).prefix(16) {
            guard let window = Self.window(entry["window"]), let detail = entry["detail"],
                let limit = Limit(detail, window: window)
            else { continue }
            limits.append(limit)
        }
        self.limits = limits
        owner = json["user"]?["userId"]?.string.flatMap { id in
            id.isEmpty || id.utf8.count > 256 ? nil : String(SHA256.hex(Array(id.utf8)).prefix(12))
        }
    }

    /// `{"duration":300,"timeUnit":"TIME_UNIT_MINUTE"}`
    private static func window(_ json: JSONValue?) -> QuotaWindow? {
        guard let duration = json?["duration"].flatMap(Limit.number), let unit = json?["timeUnit"]?.string else {
            return nil
        }
        let seconds: Double
        switch unit {
        case "TIME_UNIT_SECOND": seconds = 1
        case "TIME_UNIT_MINUTE": seconds = 60
        case "TIME_UNIT_HOUR": seconds = 3600
        case "TIME_UNIT_DAY": seconds = 86400
        case "TIME_UNIT_WEEK": seconds = 7 * 86400
        case "TIME_UNIT_MONTH": seconds = 30 * 86400
        default: return nil
        }
        let length = duration * seconds
        return length <= 86400 ? .fiveHours : length <= 8 * 86400 ? .week : .month
    }

    /// Until when the key can do nothing, if a window is used up.
    ///
    /// - Parameters:
    ///   - seen: The window of the sighting that asked: of that one alone a small rest counts as nothing, for
    ///     the numbers are rounded.
    ///   - now: The time that it is.
    public func exhaustedUntil(seen: QuotaWindow?, at now: Timestamp) -> (window: QuotaWindow, until: Timestamp)? {
        limits.compactMap { limit -> (window: QuotaWindow, until: Timestamp)? in
            guard let reset = limit.resetAt, reset > now else { return nil }
            let isUsedUp = limit.remaining <= 0 || (limit.window == seen && limit.remaining <= limit.limit * 0.02)
            return isUsedUp ? (limit.window, reset) : nil
        }.max { $0.until < $1.until }
    }

    /// For people: `5-hour 0 of 100 left until …, weekly 97 of 100 left until …`.
    public var text: String {
        guard !limits.isEmpty else { return "usages: no window in it" }
        return "usages: "
            + limits.map { limit in
                "\(limit.window.rawValue) \(Self.shown(limit.remaining)) of \(Self.shown(limit.limit)) left"
                    + (limit.resetAt.map { " until \($0.rfc3339)" } ?? "")
            }.joined(separator: ", ")
    }

    private static func shown(_ number: Double) -> String {
        number == number.rounded() && abs(number) < 1e15 ? "\(Int64(number))" : "\(number)"
    }
}

extension UsageReport.Limit {
    /// `used` or `remaining` may be absent: each follows from the limit and the other.
    init?(_ json: JSONValue, window: QuotaWindow) {
        guard let limit = json["limit"].flatMap(Self.number), limit > 0 else { return nil }
        let remaining = json["remaining"].flatMap(Self.number) ?? json["used"].flatMap(Self.number).map { limit - $0 }
        guard let remaining else { return nil }
        self.window = window
        self.limit = limit
        self.remaining = remaining
        resetAt = (json["resetTime"] ?? json["reset_time"])?.string.flatMap { Timestamp(rfc3339: $0) }
    }

    /// A number, or a string that holds one.
    static func number(_ json: JSONValue) -> Double? {
        let value = json.double ?? json.string.flatMap { $0.utf8.count <= 32 ? Double($0) : nil }
        return value.flatMap { $0.isFinite ? $0 : nil }
    }
}

/// What came of a question.
public enum ProbeOutcome: Sendable, Hashable {
    case usage(UsageReport)
    /// The key is good.
    case good
    /// The provider refused it, in words as agents get them.
    case refused(Verdict, text: String)
    /// It says nothing about the key: no answer, a fault of the server, something that is not understood.
    case nothing(String)

    /// The largest body taken, in bytes.
    public static let bodyMax = 64 << 10

    /// - Parameters:
    ///   - kind: What was asked.
    ///   - body: What was answered.
    ///   - now: The time that it is.
    ///   - status: The HTTP status; 0 where there was no answer.
    ///   - failure: Why there was none, from whoever asked.
    public static func read(
        _ kind: ProbeKind, status: Int, body: [UInt8], failure: String?, at now: Timestamp
    ) -> ProbeOutcome {
        if let failure { return .nothing(failure) }
        switch status {
        case 200:
            guard body.count < bodyMax else { return .nothing("the answer is larger than \(bodyMax) bytes") }
            let json: JSONValue
            do throws(JSONError) { json = try JSONValue(parsing: body) } catch {
                return .nothing("the answer is no JSON")
            }
            switch kind {
            case .models: return json.object == nil ? .nothing("the answer is not a list of models") : .good
            case .usages: return UsageReport(json).map(ProbeOutcome.usage) ?? .nothing("the answer is no usage report")
            }
        case 300..<400: return .nothing("HTTP \(status): redirects are not followed")
        case 401, 402, 403, 429:
            let (text, type) = words(body)
            let verdict = CauseRules.classify(text: text, status: status, errorType: type, at: now)
            guard verdict.cause.effect.scope != .nothing, verdict.cause != .unknown else {
                return .nothing("HTTP \(status): \(text)")
            }
            return .refused(verdict, text: text)
        default: return .nothing("HTTP \(status)")
        }
    }

    /// `{"error":{"type":…,"message":…}}`, or whatever it is.
    private static func words(_ body: [UInt8]) -> (text: String, type: String?) {
        let text = String(decoding: body.prefix(4096), as: UTF8.self)
        let json: JSONValue
        do throws(JSONError) { json = try JSONValue(parsing: body) } catch { return (text, nil) }
        return (json["error"]?["message"]?.string ?? json["message"]?.string ?? text, json["error"]?["type"]?.string)
    }
}
