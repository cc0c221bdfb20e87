// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing
import Timekeeping

@Suite struct TimekeepingTests {
    @Test(arguments: [
        ("2026-11-22T10:04:25.552Z", "2026-11-22T10:04:25.552000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ("2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00.000000Z"),
        ("2000-03-01 00:30:00.1234567-0100", "2000-03-01T01:30:00.123456Z"),
    ]) func timesAreReadAndWritten(text: String, written: String) {
        #expect(Timestamp(rfc3339: text)?.rfc3339 == written)
    }

    @Test(arguments: [
        "", "2026", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx", "２026-01-01T00:00:00Z",
    ]) func whatIsNoTimeIsRefused(text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
    }

    @Test(arguments: [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("6h", 21_600_000), ("0s", 0)])
    func durationsAreRead(text: String, milliseconds: Int64) {
        #expect(Duration(configured: text) == .milliseconds(milliseconds))
    }

    @Test(arguments: ["", "5", "m", "-5m", "1.5h", "5 m", "5d", "99999999999999h", "9999999999999h"])
    func whatIsNoDurationIsRefused(text: String) {
        #expect(Duration(configured: text) == nil)
    }

    @Test func additionSaturates() {
        #expect(Timestamp(microseconds: .max) + .seconds(1) == Timestamp(microseconds: .max))
    }

    @Test(arguments: [
        (Duration.milliseconds(250), "250ms"), (.seconds(42), "42s"), (.seconds(303), "5m 03s"),
        (.seconds(21900), "6h 05m"), (.seconds(273_600), "3d 04h"),
    ]) func durationsAreShownInTwoUnits(duration: Duration, text: String) {
        #expect(duration.brief == text)
    }
}
