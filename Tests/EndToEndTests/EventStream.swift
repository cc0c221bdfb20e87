// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import Testing

@testable import townsim

/// What `gasclawd events --follow --json` prints, read as it comes.
final class EventStream {
    private let pid: Int32
    private let path: String
    private var offset = 0
    private var isClosed = false
    /// All that came.
    private(set) var all: [JSONValue] = []
    /// Up to here events were looked at.
    private var position = 0

    init(_ town: MiniatureTown, since: Int, number: Int) throws {
        path = "\(town.directory)/events.\(try town.daemonPID).\(number)"
        pid = try town.start(
            [
                MiniatureTown.gasclawd, "events", "--follow", "--json", "--since", "\(since)", "--config",
                town.configuration,
            ],
            output: path)
        // From here on it is connected: the events of the start, at least, have come.
        if since == 0 {
            try eventually("the first event") {
                try read()
                return !all.isEmpty
            }
        }
    }

    /// Reads what has come up to now.
    func read() throws {
        let bytes = try Disk.read(path) ?? []
        guard let end = bytes.lastIndex(of: 10), end >= offset else { return }
        for line in bytes[offset...end].split(separator: 10) { all.append(try JSONValue(parsing: line)) }
        offset = end + 1
    }

    /// Waits for the next event of a type that fits; what lies before it is passed over.
    @discardableResult
    func next(_ type: String, where matches: (JSONValue) -> Bool = { _ in true }) throws -> JSONValue {
        let start = position
        var found: JSONValue?
        let isThere = try Waiting.until(patience) { () throws in
            try read()
            while position < all.count {
                defer { position += 1 }
                if all[position]["type"]?.string == type, matches(all[position]) {
                    found = all[position]
                    return true
                }
            }
            return false
        }
        guard isThere, let found else {
            let seen = all[start...].suffix(40).map(\.line).joined(separator: "\n")
            throw TownError("waited \(patience) for \(type); what came:\n\(seen)")
        }
        return found
    }

    /// Goes back, so that events are looked at again from the first on.
    func rewind() { position = 0 }

    /// The events of a type that have come.
    func seen(_ type: String) throws -> [JSONValue] {
        try read()
        return all.filter { $0["type"]?.string == type }
    }

    /// Waits until the daemon has ended the stream, so that all that it said is here.
    func end() throws {
        guard !isClosed else { return }
        isClosed = true
        #expect(try waitForEnd(of: pid) == .exited(69))
        try read()
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
    }
}
