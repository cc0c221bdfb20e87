// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

extension Duration {
    /// Reads the configuration file's durations: `500ms`, `30s`, `5m`, `6h` (contract E).
    ///
    /// - Returns: nil for anything else: signs, fractions, other units, more than 100 years.
    public init?(configured text: some StringProtocol) {
        let bytes = Array(text.utf8)
        let digits = bytes.prefix { (48...57).contains($0) }
        guard !digits.isEmpty, digits.count <= 13 else { return nil }
        let value = digits.reduce(Int64(0)) { $0 * 10 + Int64($1 - 48) }
        let milliseconds: Int64
        switch String(decoding: bytes[digits.count...], as: UTF8.self) {
        case "ms": milliseconds = 1
        case "s": milliseconds = 1000
        case "m": milliseconds = 60_000
        case "h": milliseconds = 3_600_000
        default: return nil
        }
        let (product, overflow) = value.multipliedReportingOverflow(by: milliseconds)
        guard !overflow, product <= 36500 * 86_400_000 else { return nil }
        self = .milliseconds(product)
    }

    /// The duration in the two largest units that matter: `250ms`, `42s`, `5m 03s`, `6h 05m`, `3d 04h`.
    public var brief: String {
        let milliseconds = max(0, wholeMilliseconds)
        let seconds = milliseconds / 1000
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        if milliseconds < 1000 { return "\(milliseconds)ms" }
        if seconds < 60 { return "\(seconds)s" }
        if seconds < 3600 { return "\(seconds / 60)m \(two(seconds % 60))s" }
        if seconds < 86400 { return "\(seconds / 3600)h \(two(seconds / 60 % 60))m" }
        return "\(seconds / 86400)d \(two(seconds / 3600 % 24))h"
    }
}
