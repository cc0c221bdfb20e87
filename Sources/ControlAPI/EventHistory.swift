// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Timekeeping

/// The last events of this process, bounded in number and in bytes (contract D).
public struct EventHistory: Sendable {
    private struct Item: Sendable {
        let seq: Int
        let type: String
        let time: Timestamp
        let line: String
    }

    public static let countMax = 10_000
    public static let bytesMax = 8 << 20

    public let bootID: String
    private var items: [Item] = []
    /// Items before this index are given up; the array is compacted now and then.
    private var start = 0
    private var bytes = 0
    private var nextSeq = 1
    /// The time of the last event that is no longer here.
    private var lastGivenUp = Timestamp(microseconds: 0)

    public init(bootID: String) { self.bootID = bootID }

    /// Takes an event in and gives it its number.
    public mutating func append(_ event: Event, at time: Timestamp) -> EventRecord {
        let record = EventRecord(seq: nextSeq, bootID: bootID, time: time, event: event)
        nextSeq += 1
        let line = record.line
        items.append(Item(seq: record.seq, type: event.type, time: time, line: line))
        bytes += line.utf8.count
        while items.count - start > Self.countMax || bytes > Self.bytesMax, items.count - start > 1 {
            bytes -= items[start].line.utf8.count
            lastGivenUp = items[start].time
            start += 1
        }
        if start > 4096 {
            items.removeFirst(start)
            start = 0
        }
        return record
    }

    /// The number of the last event, 0 before the first.
    public var lastSeq: Int { nextSeq - 1 }

    /// The lines behind a number.
    ///
    /// - Parameters:
    ///   - since: Exclusive. What was asked for and is no longer there is told by one `events.dropped`.
    ///   - types: Only these; empty for all.
    public func lines(since: Int, types: Set<String> = []) -> [String] {
        var lines: [String] = []
        let since = min(max(0, since), lastSeq)
        if start < items.count, items[start].seq > since + 1 {
            let dropped = items[start].seq - since - 1
            lines.append(Self.gap(count: dropped, bootID: bootID, seq: items[start].seq - 1, time: lastGivenUp))
        }
        for item in items[start...] where item.seq > since && (types.isEmpty || types.contains(item.type)) {
            lines.append(item.line)
        }
        return lines
    }

    /// The line that stands for events that a reader did not get.
    ///
    /// - Parameters:
    ///   - count: How many they are.
    ///   - bootID: Of this process.
    ///   - seq: The number of the last of them.
    ///   - time: When that was.
    public static func gap(count: Int, bootID: String, seq: Int, time: Timestamp) -> String {
        let object: JSONObject = [
            "seq": JSONValue(seq), "boot_id": .string(bootID), "time": .string(time.rfc3339), "type": "events.dropped",
            "count": JSONValue(count),
        ]
        return JSONValue.object(object).line
    }
}
