// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// What the demo saw: the last status, the events, and every request of every claude.
struct DemoRecord {
    /// One request of an agent.
    struct Request {
        let key: String
        let session: String
        let turn: Int
        let pid: Int
        let isAnswered: Bool
    }

    let eventsPath: String
    private let requestsPath: String
    private var eventsRead = 0
    private var requestsRead = 0

    var status: JSONValue?
    /// The key that was made to fail.
    var exhaustedKey: String?
    private(set) var events: [JSONValue] = []
    private(set) var requests: [Request] = []

    init(events: String, requests: String) {
        eventsPath = events
        requestsPath = requests
    }

    /// Reads the whole lines that were added to both files.
    mutating func readNew() {
        events += Self.rows(eventsPath, from: &eventsRead)
        for row in Self.rows(requestsPath, from: &requestsRead) {
            guard let key = row["key"]?.string, let session = row["session"]?.string, let turn = row["turn"]?.integer
            else { continue }
            requests.append(
                Request(
                    key: key, session: session, turn: turn, pid: row["pid"]?.integer ?? 0,
                    isAnswered: row["result"]?.string == "ok"))
        }
    }

    private static func rows(_ path: String, from position: inout Int) -> [JSONValue] {
        var bytes: [UInt8] = []
        // The file comes with the first row.
        do throws(Failure) { bytes = try Disk.read(path) ?? [] } catch { return [] }
        guard bytes.count > position, let end = bytes.lastIndex(of: 10), end >= position else { return [] }
        let new = bytes[position...end]
        position = end + 1
        var rows: [JSONValue] = []
        for line in new.split(separator: 10) {
            do throws(JSONError) { rows.append(try JSONValue(parsing: line)) } catch { continue }
        }
        return rows
    }

    /// The latest request of the process.
    func lastRequest(of pid: Int?) -> Request? { pid.flatMap { pid in requests.last { $0.pid == pid } } }

    /// What the demo promises and did not show.
    var missing: [String] {
        var missing: [String] = []
        let cooled = events.firstIndex {
            $0["type"]?.string == "key.cooled" && (exhaustedKey == nil || $0["id"]?.string == exhaustedKey)
        }
        if cooled == nil { missing.append("an event key.cooled") }
        let activated = cooled.map { cooled in
            events[cooled...].contains {
                $0["type"]?.string == "key.activated" && $0["id"]?.string != events[cooled]["id"]?.string
            }
        }
        if activated != true { missing.append("an event key.activated behind it") }
        if !hasContinuedConversation { missing.append("a conversation that goes on with another key") }
        return missing
    }

    /// A conversation that was answered under the exhausted key and later, with a higher turn, under another.
    private var hasContinuedConversation: Bool {
        guard let exhaustedKey else { return false }
        var lastTurns: [String: Int] = [:]
        for request in requests where request.isAnswered {
            if request.key == exhaustedKey {
                lastTurns[request.session] = request.turn
            } else if let turn = lastTurns[request.session], request.turn > turn {
                return true
            }
        }
        return false
    }
}
