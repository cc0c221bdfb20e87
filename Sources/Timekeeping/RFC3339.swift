// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

// RFC 3339 in both directions. The calendar arithmetic is the proleptic Gregorian one of
// Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms" (public domain).

extension Timestamp {
    /// The instant as RFC 3339 in UTC with microseconds: `2026-11-22T10:04:25.552000Z`.
    public var rfc3339: String {
        let parts = calendar
        // State files hold hundreds of them: no string is made for a part.
        return String(unsafeUninitializedCapacity: 40) { buffer in
            var writer = Writer(buffer: buffer)
            writer.write(parts.year, digits: 4)
            writer.write("-")
            writer.write(parts.month, digits: 2)
            writer.write("-")
            writer.write(parts.day, digits: 2)
            writer.write("T")
            writer.write(parts.hour, digits: 2)
            writer.write(":")
            writer.write(parts.minute, digits: 2)
            writer.write(":")
            writer.write(parts.second, digits: 2)
            writer.write(".")
            writer.write(parts.microsecond, digits: 6)
            writer.write("Z")
            return writer.count
        }
    }

    /// `HH:MM:SS` in UTC.
    public var timeOfDay: String {
        let parts = calendar
        return "\(padded(parts.hour, 2)):\(padded(parts.minute, 2)):\(padded(parts.second, 2))"
    }

    /// RFC 3339 in UTC for people: the second in which it lies.
    public var rfc3339InSeconds: String { "\(rfc3339.prefix { $0 != "." && $0 != "Z" })Z" }

    /// Reads RFC 3339 as it stands in transcripts and state files: `T` or a space between date and time,
    /// any number of fractional digits (those beyond microseconds are cut off), `Z` or a numeric offset.
    ///
    /// - Returns: nil for anything else, also for days that do not exist and for a time without an offset.
    public init?(rfc3339 text: some StringProtocol) {
        var reader = Reader(bytes: Array(text.utf8))
        guard let year = reader.number(digits: 4), reader.skip("-"),
            let month = reader.number(digits: 2), reader.skip("-"),
            let day = reader.number(digits: 2), reader.skipAny("Tt "),
            let hour = reader.number(digits: 2), reader.skip(":"),
            let minute = reader.number(digits: 2), reader.skip(":"),
            let second = reader.number(digits: 2)
        else { return nil }
        guard (1...12).contains(month), day >= 1, day <= daysInMonth(year, month), hour < 24, minute < 60,
            second <= 60
        else { return nil }
        var micros: Int64 = 0
        if reader.skip(".") {
            guard let fraction = reader.fraction() else { return nil }
            micros = fraction
        }
        var offset: Int64 = 0
        if !reader.skipAny("Zz") {
            let negative = reader.peek == UInt8(ascii: "-")
            guard reader.skipAny("+-"), let h = reader.number(digits: 2), h < 24 else { return nil }
            _ = reader.skip(":")
            guard let m = reader.number(digits: 2), m < 60 else { return nil }
            offset = Int64(h * 3600 + m * 60) * (negative ? -1 : 1)
        }
        guard reader.isAtEnd else { return nil }
        let days = daysFromCivil(Int64(year), Int64(month), Int64(day))
        let seconds = days * 86400 + Int64(hour * 3600 + minute * 60 + second) - offset
        self.init(microseconds: seconds * 1_000_000 + micros)
    }

    private struct Calendar {
        var year: Int64, month: Int64, day: Int64
        var hour: Int64, minute: Int64, second: Int64, microsecond: Int64
    }

    private var calendar: Calendar {
        let seconds = floorDivide(microseconds, 1_000_000)
        let days = floorDivide(seconds, 86400)
        let inDay = seconds - days * 86400
        let (year, month, day) = civilFromDays(days)
        return Calendar(
            year: year, month: month, day: day, hour: inDay / 3600, minute: inDay / 60 % 60,
            second: inDay % 60, microsecond: microseconds - seconds * 1_000_000)
    }
}

private struct Writer {
    let buffer: UnsafeMutableBufferPointer<UInt8>
    var count = 0

    init(buffer: UnsafeMutableBufferPointer<UInt8>) { self.buffer = buffer }

    mutating func write(_ character: Unicode.Scalar) {
        buffer[count] = UInt8(truncatingIfNeeded: character.value)
        count += 1
    }

    /// At least so many digits; a year may have more, or a sign.
    mutating func write(_ value: Int64, digits: Int) {
        if value < 0 { write("-") }
        var rest = value.magnitude
        var length = max(1, value < 0 ? digits - 1 : digits)
        var bound: UInt64 = 1
        for _ in 0..<length { bound *= 10 }
        while length < 7, rest >= bound {
            length += 1
            bound *= 10
        }
        for position in (0..<length).reversed() {
            buffer[count + position] = UInt8(truncatingIfNeeded: 48 + rest % 10)
            rest /= 10
        }
        count += length
    }
}

private struct Reader {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }
    var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skip(_ character: Unicode.Scalar) -> Bool { skipAny(String(character)) }

    mutating func skipAny(_ characters: String) -> Bool {
        guard let next = peek, characters.utf8.contains(next) else { return false }
        position += 1
        return true
    }

    mutating func number(digits: Int) -> Int? {
        var value = 0
        for _ in 0..<digits {
            guard let next = peek, (48...57).contains(next) else { return nil }
            value = value * 10 + Int(next - 48)
            position += 1
        }
        return value
    }

    /// The digits behind the point, as microseconds.
    mutating func fraction() -> Int64? {
        var value: Int64 = 0
        var count = 0
        while let next = peek, (48...57).contains(next) {
            if count < 6 { value = value * 10 + Int64(next - 48) }
            count += 1
            position += 1
        }
        guard count > 0 else { return nil }
        for _ in 0..<max(0, 6 - count) { value *= 10 }
        return value
    }
}

private func padded(_ value: Int64, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

private func floorDivide(_ a: Int64, _ b: Int64) -> Int64 {
    a / b - (a % b < 0 ? 1 : 0)
}

private func daysInMonth(_ year: Int, _ month: Int) -> Int {
    if month == 2 { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28 }
    return [4, 6, 9, 11].contains(month) ? 30 : 31
}

private func daysFromCivil(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let y = month <= 2 ? year - 1 : year
    let era = floorDivide(y, 400)
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719468
}

private func civilFromDays(_ days: Int64) -> (Int64, Int64, Int64) {
    let shifted = days + 719468
    let era = floorDivide(shifted, 146097)
    let dayOfEra = shifted - era * 146097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthIndex = (5 * dayOfYear + 2) / 153
    let month = monthIndex + (monthIndex < 10 ? 3 : -9)
    return (
        yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthIndex + 2) / 5 + 1
    )
}
