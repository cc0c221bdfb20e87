// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import LinuxSys
import LogFollowing
import Secrets
import Supervision
import SystemPackage

/// What a gt daemon found in the files that it reads once, at its start. Their times do not tell it: a rename, `cp -p`
/// and a restored copy keep the old ones.
struct ReadOnce: Equatable {
    let process: ServiceProcess
    /// A digest of each file below the town's root; none for one that was not there.
    private let digests: [String: String]

    /// - Parameter digests: Taken before the process was started, so that a change between is seen as one.
    init(process: ServiceProcess, digests: [String: String]) {
        self.process = process
        self.digests = digests
    }

    /// What the files hold now.
    static func digests(in root: FilePath) -> [String: String] {
        var digests: [String: String] = [:]
        for file in [TownFile.presets, .daemon] { digests[file.path] = digest(of: root.appending(file.path)) }
        return digests
    }

    /// Whether the process has read what a file holds now.
    func isCurrent(_ path: String, in root: FilePath) -> Bool {
        digests[path] == Self.digest(of: root.appending(path))
    }

    /// nil for a file that is not there. One that cannot be read is like no other.
    private static func digest(of path: FilePath) -> String? {
        do throws(FileReadError) {
            return SHA256.hex(try RegularFile.read(path, limit: TownFile.lengthMax).bytes)
        } catch {
            return error.isAbsence ? nil : "unreadable"
        }
    }

    // MARK: - On disk

    var json: JSONValue {
        var files = JSONObject()
        for (path, digest) in digests.sorted(by: { $0.key < $1.key }) { files[path] = .string(digest) }
        return ["pid": JSONValue(process.pid), "start": JSONValue(process.startTime), "files": .object(files)]
    }

    init?(_ json: JSONValue?) {
        guard let pid = json?["pid"]?.integer.flatMap(Int32.init(exactly:)), pid > 1,
            let start = json?["start"]?.integer.flatMap(UInt64.init(exactly:)), let files = json?["files"]?.object
        else { return nil }
        process = ServiceProcess(pid: pid, startTime: start)
        var digests: [String: String] = [:]
        for member in files.members { digests[member.name] = member.value.string }
        self.digests = digests
    }
}
