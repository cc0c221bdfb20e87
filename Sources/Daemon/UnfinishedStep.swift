// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import SystemPackage

/// A step that began: if the file is there at the next start, it was interrupted.
struct Unfinished: Equatable {
    let root: FilePath
    /// nil: the town itself.
    let rig: String?
    /// The folder did not exist or was empty before.
    let isFresh: Bool
    /// The town's dolt, if it lived before.
    var dolt: ProcessIdentity?

    var json: JSONValue {
        [
            "dolt": dolt.map { ["pid": JSONValue($0.pid), "start": JSONValue($0.startTime)] } ?? .null,
            "step": .string(rig == nil ? "install" : "rig"), "root": .string(root.string),
            "rig": rig.map(JSONValue.string) ?? .null, "fresh": .bool(isFresh),
        ]
    }

    init(root: FilePath, rig: String?, isFresh: Bool, dolt: ProcessIdentity? = nil) {
        self.dolt = dolt
        self.root = root
        self.rig = rig
        self.isFresh = isFresh
    }

    static func read(_ path: FilePath) -> Unfinished? {
        do {
            guard let bytes = ServicePlace.read(path) else { return nil }
            let value = try JSONValue(parsing: bytes)
            guard let root = value["root"]?.string else { return nil }
            let dolt = value["dolt"]
            let pid = dolt?["pid"]?.integer.flatMap(Int32.init(exactly:))
            let start = dolt?["start"]?.integer.flatMap(UInt64.init(exactly:))
            return Unfinished(
                root: FilePath(root), rig: value["rig"]?.string, isFresh: value["fresh"]?.bool ?? false,
                dolt: pid.flatMap { pid in start.map { ProcessIdentity(pid: pid, startTime: $0) } })
        } catch { return nil }
    }
}
