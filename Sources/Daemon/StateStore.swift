// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import LogFollowing
import SystemPackage

/// The files of the state directory. All are 0600 and replaced in one step.
struct StateStore {
    let directory: FilePath
    /// The folder of the links that agents are started by.
    let bin: FilePath

    /// - Parameter bin: nil for the folder that belongs to this state.
    init(directory: FilePath, bin: FilePath? = nil) {
        self.directory = directory
        self.bin = bin ?? directory.appending("bin")
    }

    static let lengthMax = 16 << 20

    /// Cooldowns, last use, leases.
    var keys: FilePath { directory.appending("keys.json") }
    /// How far each transcript was read. Written after `keys`, so that it is never ahead of it.
    var offsets: FilePath { directory.appending("offsets.json") }
    /// Hooks that are set aside right now.
    var asides: FilePath { directory.appending("reloads.json") }
    /// What receivers of alerts were told.
    var alerts: FilePath { directory.appending("alerts.json") }
    /// Incidents and their beads.
    var incidents: FilePath { directory.appending("incidents.json") }
    /// What services there are, how often they failed, and when they are tried again.
    var services: FilePath { directory.appending("services.json") }
    /// What the gt daemon says on its standard output and error.
    var daemonOutput: FilePath { directory.appending("gt-daemon.out") }
    /// A step of the bootstrap that is not to be taken for done: it was interrupted if the file is there.
    var unfinished: FilePath { directory.appending("bootstrap.json") }
    /// Where whole towns have been.
    var towns: FilePath { directory.appending("towns.json") }
    /// Held by whoever brings the town into being.
    var bootstrapLock: FilePath { directory.appending("bootstrap.lock") }
    /// The calls of gt that go on.
    var calls: FilePath { directory.appending("calls") }
    var agentSettings: FilePath { directory.appending("settings") }

    /// Makes the directory, closed to others.
    func open() throws(SystemError) {
        try Syscalls.makeDirectories(directory)
        let folder = try Syscalls.open(directory, flags: Syscalls.directory)
        let status = try Syscalls.status(of: folder.raw)
        if status.owner == CurrentProcess.userID, status.mode & 0o077 != 0 {
            try Syscalls.setMode(folder.raw, 0o700)
        }
        try AtomicFile.removeLeftovers(in: folder)
    }

    /// Reads a state file.
    ///
    /// - Parameter onCorrupt: Called with the new name of a file that is not understood; it is kept for a look.
    /// - Parameter isUnderstood: Whether an object is of the form that we write.
    /// - Returns: nil if there is none that is understood.
    func read(
        _ path: FilePath, isUnderstood: (JSONValue) -> Bool = { _ in true }, onCorrupt: (String) -> Void
    ) -> JSONValue? {
        do {
            let value = try JSONValue(parsing: try RegularFile.read(path, limit: Self.lengthMax).bytes)
            guard value.object != nil else {
                throw JSONError(message: "not an object", offset: 0, line: 1, column: 1)
            }
            guard isUnderstood(value) else {
                throw JSONError(message: "not of a form that is known here", offset: 0, line: 1, column: 1)
            }
            return value
        } catch let error as FileReadError where error.isAbsence {
            return nil
        } catch {
            let aside = FilePath(path.string + ".corrupt")
            do throws(SystemError) {
                try Syscalls.rename(path, to: aside)
                onCorrupt("\(path.shown): \(error); set aside as \(aside.shown)")
            } catch let renaming {
                onCorrupt("\(path.shown): \(error); it cannot be set aside: \(renaming)")
            }
            return nil
        }
    }

    /// Whether this is what we write to ``keys``, and not another version's or another program's.
    static func isKeys(_ value: JSONValue) -> Bool { value["version"] == 1 && value["keys"]?.object != nil }

    /// Writes a state file. It survives the death of this process at any instant; the disk is not waited for, so that
    /// an edit of a key is never behind a slow one.
    func write(_ value: JSONValue, to path: FilePath) throws(SystemError) {
        try AtomicFile.replace(path, with: value.encoded() + [10], durable: false)
    }
}

extension Checkpoint {
    var json: JSONValue {
        [
            // As signed numbers, which every reader of JSON here can hold.
            "device": JSONValue(Int64(bitPattern: file.device)), "inode": JSONValue(Int64(bitPattern: file.inode)),
            "offset": JSONValue(offset),
            "marker": ["count": JSONValue(marker.count), "hash": JSONValue(Int64(bitPattern: marker.hash))],
            "line": JSONValue(Int64(bitPattern: line)),
            "older": .array(older.map(\.json)),
        ]
    }

    init?(_ json: JSONValue) {
        guard let device = json["device"]?.integer, let inode = json["inode"]?.integer,
            let offset = json["offset"]?.integer, offset >= 0, let count = json["marker"]?["count"]?.integer,
            (0...Marker.countMax).contains(count), let hash = json["marker"]?["hash"]?.integer
        else { return nil }
        self.init(
            file: FileIdentity(device: UInt64(truncatingIfNeeded: device), inode: UInt64(truncatingIfNeeded: inode)),
            offset: Int64(offset), marker: Marker(count: count, hash: UInt64(bitPattern: Int64(hash))),
            line: json["line"]?.integer.map { UInt64(bitPattern: Int64($0)) } ?? 0,
            older: (json["older"]?.array ?? []).prefix(Self.olderMax).compactMap(Checkpoint.init))
    }

    /// Of so many files that had a name before it is kept how far they were read.
    private static let olderMax = 16
}
