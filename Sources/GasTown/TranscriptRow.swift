// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import Timekeeping

/// What a row of a Claude Code transcript tells, as far as it matters here.
///
/// The format is internal to the client and may change (code.claude.com/docs/en/sessions), so every field but the ones
/// that decide is optional, and a row that is not understood says nothing.
public enum TranscriptRow: Sendable, Hashable {
    /// A request failed for good: the agent stopped and waits.
    case failure(TranscriptFailure)
    /// A prompt went in: the agent works.
    case turnBegan(session: ConversationID?, time: Timestamp?)
    /// The agent is done and waits for the next prompt.
    case turnEnded(session: ConversationID?, time: Timestamp?)

    /// Reads one line.
    ///
    /// Only `type == "assistant"` with `isApiErrorMessage == true` is a failure: retries are `system` rows with an
    /// object `error`, and agents talk about "429" all day.
    ///
    /// - Returns: nil for rows that tell nothing, and for what is no row.
    public static func read(_ line: some Collection<UInt8>) -> TranscriptRow? {
        guard mayMatter(line) else { return nil }
        let row: JSONValue
        do throws(JSONError) { row = try JSONValue(parsing: line) } catch { return nil }
        let session = (row["sessionId"] ?? row["session_id"])?.string.flatMap(ConversationID.init)
        let time = row["timestamp"]?.string.flatMap { Timestamp(rfc3339: $0) }
        switch row["type"]?.string {
        case "assistant":
            if row["isApiErrorMessage"]?.bool == true {
                return TranscriptFailure(row, session: session, time: time).map(TranscriptRow.failure)
            }
            guard row["isSidechain"]?.bool != true, row["message"]?["stop_reason"]?.string == "end_turn" else {
                return nil
            }
            return .turnEnded(session: session, time: time)
        case "user":
            guard row["isSidechain"]?.bool != true, row["isMeta"]?.bool != true else { return nil }
            return .turnBegan(session: session, time: time)
        case "system":
            guard row["subtype"]?.string == "turn_duration" else { return nil }
            return .turnEnded(session: session, time: time)
        default: return nil
        }
    }

    /// Most rows are tool output: they are told apart by a few words before anything is parsed.
    private static func mayMatter(_ line: some Collection<UInt8>) -> Bool {
        let result = line.withContiguousStorageIfAvailable { buffer in
            words.contains { word in
                memoryContains(UnsafeRawBufferPointer(buffer), word)
            }
        }
        return result ?? true
    }

    private static let words: [[UInt8]] = ["isApiErrorMessage", "\"user\"", "end_turn", "turn_duration"]
        .map { Array($0.utf8) }
}

/// A failed request as the client recorded it.
public struct TranscriptFailure: Sendable, Hashable {
    /// The row's own id: the same row read twice is one sighting.
    public let uuid: String
    public let session: ConversationID?
    public let directory: String?
    public let time: Timestamp?
    public let status: Int?
    public let errorType: String?
    /// As shown to the user; from outside, not yet redacted.
    public let text: String
    /// A request of a subagent: its parent may go on.
    public let isSidechain: Bool
    /// When the quota is there again, where the answer's headers said so (`quotaLimits.resetsAt`, in seconds).
    public let resetAt: Timestamp?

    init?(_ row: JSONValue, session: ConversationID?, time: Timestamp?) {
        let parts = (row["message"]?["content"]?.array ?? []).compactMap { $0["text"]?.string }
        text = parts.isEmpty ? (row["message"]?["content"]?.string ?? "") : parts.joined(separator: " ")
        let status = row["apiErrorStatus"]?.integer ?? Self.status(in: text)
        let type = row["apiErrorType"]?.string
        guard !text.isEmpty || status != nil else { return nil }
        self.status = status
        errorType = type
        // Older clients and forged rows may have none; the text then tells repeats apart.
        uuid =
            row["uuid"]?.string.map { String($0.prefix(64)) } ?? "\(row["timestamp"]?.string ?? "")\(text.prefix(64))"
        self.session = session
        directory = row["cwd"]?.string
        self.time = time
        isSidechain = row["isSidechain"]?.bool ?? false
        resetAt = row["quotaLimits"]?["resetsAt"]?.integer.map { Timestamp(secondsSinceEpoch: Int64($0)) }
    }

    /// "API Error: 403 …" and "Request rejected (429)", for clients that do not record the status.
    private static func status(in text: String) -> Int? {
        for lead in ["API Error: ", "rejected (", "API Error ("] {
            guard let start = text.firstRange(of: lead)?.upperBound else { continue }
            let digits = text[start...].prefix(3)
            if let value = Int(digits), (400..<600).contains(value) { return value }
        }
        return nil
    }
}

/// Whether the bytes hold the needle: memchr(3) for its first byte, memcmp(3) for the rest.
private func memoryContains(_ haystack: UnsafeRawBufferPointer, _ needle: [UInt8]) -> Bool {
    guard let base = haystack.baseAddress, let first = needle.first else { return false }
    var position = 0
    while position + needle.count <= haystack.count {
        guard let hit = memchr(base + position, Int32(first), haystack.count - needle.count + 1 - position) else {
            return false
        }
        if memcmp(hit, needle, needle.count) == 0 { return true }
        position = UnsafeRawPointer(hit) - base + 1
    }
    return false
}
