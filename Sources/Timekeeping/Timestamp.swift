// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// An instant of wall-clock time in microseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// This is what state files, events and cooldowns use: it survives a restart. Distances between two
/// moments of one process are measured with the loop's monotonic clock instead.
public struct Timestamp: Hashable, Comparable, Sendable {
    /// Microseconds since the Unix epoch; negative before it.
    public var microseconds: Int64

    public init(microseconds: Int64) { self.microseconds = microseconds }

    /// Whole seconds since the Unix epoch, saturating at the ends of what microseconds can hold.
    public init(secondsSinceEpoch seconds: Int64) {
        let (value, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        microseconds = overflow ? (seconds < 0 ? .min : .max) : value
    }

    public static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }

    public static func + (a: Timestamp, d: Duration) -> Timestamp {
        let (value, overflow) = a.microseconds.addingReportingOverflow(d.wholeMicroseconds)
        return Timestamp(microseconds: overflow ? (d < .zero ? .min : .max) : value)
    }

    public static func - (a: Timestamp, d: Duration) -> Timestamp { a + (.zero - d) }

    public static func - (a: Timestamp, b: Timestamp) -> Duration {
        .microseconds(a.microseconds.subtractingReportingOverflow(b.microseconds).partialValue)
    }
}

extension Duration {
    /// The duration in microseconds, rounded towards zero and saturating.
    public var wholeMicroseconds: Int64 {
        let (seconds, attoseconds) = components
        let (micros, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        return micros &+ attoseconds / 1_000_000_000_000
    }

    /// The duration in milliseconds, rounded towards zero and saturating.
    public var wholeMilliseconds: Int64 { wholeMicroseconds / 1000 }

    /// The duration in seconds as a floating-point number.
    public var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
