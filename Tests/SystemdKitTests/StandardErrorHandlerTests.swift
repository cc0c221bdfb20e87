// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import Logging
import SystemPackage
import Testing
import Timekeeping

@testable import SystemdKit

@Suite struct StandardErrorHandlerTests {
    private func line(
        _ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata = [:],
        _ style: StandardErrorHandler.Style = .prefixed
    ) -> String {
        StandardErrorHandler.line(
            level, message, metadata, style, at: Timestamp(microseconds: 1_795_000_000_000_000))
    }

    @Test(arguments: [
        (Logger.Level.trace, "<7>"), (.debug, "<7>"), (.info, "<6>"), (.notice, "<5>"), (.warning, "<4>"),
        (.error, "<3>"), (.critical, "<2>"),
    ]) func elsewhereThanOnATerminalThePriorityIsPrefixed(level: Logger.Level, prefix: String) {
        #expect(line(level, "m") == "\(prefix)m")
    }

    @Test func onATerminalTimeAndLevelStandFirst() {
        #expect(
            line(.warning, "m", ["b": "2", "a": "1"], .terminal(hasColour: false)) == "11:06:40 warning  m a=1 b=2")
        #expect(line(.error, "m", [:], .terminal(hasColour: true)) == "11:06:40 \u{1B}[31merror   \u{1B}[0m m")
    }

    @Test func aRecordIsOneLineWhateverIsInIt() {
        #expect(line(.info, "a\nb", ["k": "c\nd"]) == "<6>a\\nb k=c\\nd")
        #expect(line(.info, "\u{1B}[31mred\u{202E}") == "<6>\\x1b[31mred\\xe2\\x80\\xae")
        #expect(line(.info, "a\r\nb").unicodeScalars.allSatisfy { $0.value >= 32 })
    }

    @Test func aValuesEndCanBeTold() {
        #expect(line(.info, "m", ["k": "a b"]) == "<6>m k=\"a b\"")
        #expect(line(.info, "m", ["k": ""]) == "<6>m k=\"\"")
        #expect(line(.info, "m", ["k": "a\"=b"]) == "<6>m k=\"a\\\"=b\"")
        #expect(line(.info, "m", ["k": ["x", ["y": "z"]]]) == "<6>m k=\"[x, {y: z}]\"")
    }

    @Test func aLoggerWritesThroughItWithItsMetadata() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let reading = Descriptor(owning: ends[0])
        let writing = Descriptor(owning: ends[1])
        let writer = try RecordWriter(descriptor: writing.raw)
        var logger = Logger(label: "test") { _ in
            StandardErrorHandler(writer: writer, level: .info, style: .fitting(writing.raw))
        }
        logger[metadataKey: "one"] = "1"
        logger.debug("not to be seen")
        logger.notice("seen", metadata: ["two": "2", "one": "nearer"])
        try #require(writer.flush(within: .seconds(60)))
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(reading.raw, &buffer, buffer.count)
        #expect(String(decoding: buffer.prefix(max(0, count)), as: UTF8.self) == "<5>seen one=nearer two=2\n")
    }
}
