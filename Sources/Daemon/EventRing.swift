// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

/// The last events in a file that survives a crash, so that the next start can tell what happened before it.
///
/// A header says between which two positions there are records; positions only grow, and the place of a byte is its
/// position modulo the size. The header is changed after the record is written, so a death in between costs that one
/// record; a checksum finds what was torn all the same.
final class EventRing {
    private static let magic = Array("gasclawd event ring 1\n".utf8)
    private static let headerSize = 64
    private static let recordHead = 8
    static let size = 1 << 20

    private let file: MappedFile
    private let capacity: Int
    /// Position of the oldest record.
    private var tail: UInt64 = 0
    /// Position behind the newest record.
    private var head: UInt64 = 0
    /// What a process left that did not end in order, oldest first.
    private(set) var leftover: [[UInt8]] = []

    init(_ path: FilePath, size: Int = EventRing.size) throws(SystemError) {
        file = try MappedFile(path, count: size)
        capacity = size - Self.headerSize
        if file.bytes(at: 0, count: Self.magic.count) == Self.magic {
            tail = number(at: 32)
            head = number(at: 40)
            leftover = records()
        }
        tail = 0
        head = 0
        writeHeader()
        file.write(Self.magic, at: 0)
    }

    /// Adds a record; the oldest ones make room.
    func append(_ record: [UInt8]) {
        let length = Self.recordHead + record.count
        guard length <= capacity else { return }
        while Int(head - tail) + length > capacity { tail += UInt64(Self.recordHead + self.length(at: tail)) }
        // First the positions without what is overwritten, then the record, then the positions with it.
        writeHeader()
        put(Self.bytes(UInt32(record.count)) + Self.bytes(Self.checksum(record)) + record, at: head)
        head += UInt64(length)
        writeHeader()
    }

    /// Ends in order: the next start has nothing to tell.
    func close() {
        tail = head
        writeHeader()
    }

    // MARK: - Layout

    private func records() -> [[UInt8]] {
        guard head >= tail, head - tail <= UInt64(capacity) else { return [] }
        var records: [[UInt8]] = []
        var position = tail
        while position + UInt64(Self.recordHead) <= head {
            let length = length(at: position)
            guard length >= 0, position + UInt64(Self.recordHead + length) <= head else { break }
            let record = get(at: position + UInt64(Self.recordHead), count: length)
            let sum = get(at: position + 4, count: 4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            if sum == Self.checksum(record) { records.append(record) }
            position += UInt64(Self.recordHead + length)
        }
        return records
    }

    private func length(at position: UInt64) -> Int {
        get(at: position, count: 4).reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    private func put(_ bytes: [UInt8], at position: UInt64) {
        let place = Int(position % UInt64(capacity))
        let first = min(bytes.count, capacity - place)
        file.write(bytes[..<first], at: Self.headerSize + place)
        file.write(bytes[first...], at: Self.headerSize)
    }

    private func get(at position: UInt64, count: Int) -> [UInt8] {
        let place = Int(position % UInt64(capacity))
        let first = min(count, capacity - place)
        return file.bytes(at: Self.headerSize + place, count: first)
            + file.bytes(at: Self.headerSize, count: count - first)
    }

    private func number(at offset: Int) -> UInt64 {
        file.bytes(at: offset, count: 8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private func writeHeader() { file.write(Self.bytes(tail) + Self.bytes(head), at: 32) }

    private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        (0..<(value.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    /// FNV-1a.
    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        bytes.reduce(0x811C_9DC5) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
    }
}
