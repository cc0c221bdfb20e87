// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import SystemdKit

/// A pipe whose reading end the test holds.
private struct TestPipe: ~Copyable {
    let reading: Descriptor
    let writing: Descriptor

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SystemError(call: "pipe", errno: Errno(rawValue: errno)) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        reading = Descriptor(owning: ends[0])
        writing = Descriptor(owning: ends[1])
    }

    /// Reads lines until one is accepted as the last.
    func lines(until isLast: (String) -> Bool) throws -> [String] {
        var lines: [String] = []
        var partial: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            var polled = pollfd(fd: reading.raw, events: Int16(POLLIN), revents: 0)
            try #require(poll(&polled, 1, 60_000) == 1, "nothing came any more")
            let count = read(reading.raw, &buffer, buffer.count)
            try #require(count > 0)
            partial += buffer[..<count]
            while let end = partial.firstIndex(of: 10) {
                lines.append(String(decoding: partial[..<end], as: UTF8.self))
                partial.removeFirst(end + 1)
                if isLast(lines[lines.count - 1]) { return lines }
            }
        }
    }
}

@Suite struct RecordWriterTests {
    @Test func linesArriveInTheirOrder() throws {
        let pipe = try TestPipe()
        let writer = try RecordWriter(descriptor: pipe.writing.raw)
        for number in 0..<1000 { writer.write("line \(number)") }
        #expect(try pipe.lines { $0 == "line 999" } == (0..<1000).map { "line \($0)" })
        #expect(writer.flush(within: .seconds(60)))
    }

    @Test func aReaderThatDoesNotReadNeverHoldsUpTheCaller() throws {
        let pipe = try TestPipe()
        let writer = try RecordWriter(descriptor: pipe.writing.raw)
        let text = String(repeating: "x", count: 200)
        // If it waited, this would never come to its end: nobody reads yet.
        for number in 0..<20_000 { writer.write("\(number) \(text)") }
        #expect(!writer.flush(within: .milliseconds(1)))
        // Notices stand wherever lines are missing: the pipe takes some while the queue is being filled.
        var next = 0
        var dropped = 0
        _ = try pipe.lines { line in
            let number = Int(line.split(separator: " ")[0]) ?? -1
            if line.hasSuffix("dropped") {
                dropped += number
                next += number
            } else {
                #expect(number == next)
                next += 1
            }
            return next == 20_000
        }
        #expect(dropped > 0)
        writer.write("the end")
        #expect(try pipe.lines { _ in true } == ["the end"])
    }

    @Test func theNumberOfDroppedLinesStandsWhereTheyAreMissing() throws {
        let queue = LineQueue(wake: try WakeUp(), notice: { Array("\($0) missing\n".utf8) })
        for number in 0..<(RecordWriter.linesMax + 3) { queue.append(Array("\(number)".utf8)) }
        func next() -> String? {
            guard case .line(let bytes) = queue.next() else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
        for number in 0..<2 { #expect(next() == "\(number)") }
        queue.append(Array("after".utf8))
        for number in 2..<RecordWriter.linesMax { #expect(next() == "\(number)") }
        #expect(next() == "3 missing\n")
        #expect(next() == "after")
        #expect(next() == nil)
    }

    @Test func whatNobodyTookIsToldWithTheNextLine() throws {
        let queue = LineQueue(wake: try WakeUp(), notice: { Array("\($0) missing\n".utf8) })
        func next(isTaken: Bool) -> String? {
            guard case .line(let bytes) = queue.next() else { return nil }
            if !isTaken { queue.lineIsLost() }
            queue.lineIsDone()
            return String(decoding: bytes, as: UTF8.self)
        }
        for name in ["a", "b"] { queue.append(Array(name.utf8)) }
        #expect(next(isTaken: false) == "a")
        #expect(next(isTaken: false) == "b")
        #expect(next(isTaken: false) == nil, "a notice by itself would be lost just so")
        // The notice is lost too: it is no line of its own.
        queue.append(Array("c".utf8))
        #expect(next(isTaken: false) == "2 missing\n")
        #expect(next(isTaken: false) == "c")
        #expect(queue.droppedInAll == 3)
        queue.append(Array("d".utf8))
        #expect(next(isTaken: true) == "3 missing\n")
        #expect(next(isTaken: true) == "d")
        #expect(next(isTaken: true) == nil)
        #expect(queue.droppedInAll == 3)
    }

    @Test func longLinesDoNotTakeTheMemoryEither() throws {
        let queue = LineQueue(wake: try WakeUp(), notice: { Array("\($0) missing\n".utf8) })
        let line = [UInt8](repeating: 120, count: 64 << 10)
        for _ in 0..<1000 { queue.append(line) }
        var bytes = 0
        while case .line(let line) = queue.next() { bytes += line.count }
        #expect(bytes <= RecordWriter.bytesMax + 64)
    }

    @Test func aTooLongLineIsCutAtACharacter() throws {
        let pipe = try TestPipe()
        let writer = try RecordWriter(descriptor: pipe.writing.raw)
        writer.write("x" + String(repeating: "€", count: 40_000))
        let line = try pipe.lines { _ in true }[0]
        #expect(line.utf8.count <= RecordWriter.lineLengthMax)
        #expect(line.utf8.count > RecordWriter.lineLengthMax - 4)
        #expect(line.dropFirst().allSatisfy { $0 == "€" })
    }

    @Test func aReaderThatIsGoneEndsNothing() throws {
        let ended: Descriptor
        do {
            var ends: [Int32] = [-1, -1]
            try #require(pipe(&ends) == 0)
            close(ends[0])
            ended = Descriptor(owning: ends[1])
        }
        let writer = try RecordWriter(descriptor: ended.raw)
        for number in 0..<100 { writer.write("\(number)") }
        #expect(writer.flush(within: .seconds(60)))
    }

    @Test func aWriterThatIsGivenUpEndsThoughNobodyReads() throws {
        let pipe = try TestPipe()
        do {
            let writer = try RecordWriter(descriptor: pipe.writing.raw)
            for _ in 0..<5000 { writer.write(String(repeating: "y", count: 100)) }
        }
        // Reaching this place is the test: the writer's thread was joined.
        #expect(try pipe.lines { _ in true }.count == 1)
    }

    @Test func manyThreadsMayWriteAndFlushAtOnce() async throws {
        let pipe = try TestPipe()
        let writer = try RecordWriter(descriptor: pipe.writing.raw)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask { for number in 0..<100 { writer.write("\(task)-\(number)") } }
            }
        }
        #expect(writer.flush(within: .seconds(60)))
        writer.write("end")
        let lines = try pipe.lines { $0 == "end" }
        #expect(lines.count == 401)
        #expect(lines.filter { $0.hasPrefix("2-") } == (0..<100).map { "2-\($0)" })
    }
}
