// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import JSON
import LinuxSys
import SystemPackage

/// gasclawd's own configuration. It was understood, or nothing else would be looked at.
enum ConfigurationChecks {
    static func run(_ x: Examination) -> [Check] { [file(x), inForce(x), variables(x)] }

    private static func file(_ x: Examination) -> Check {
        .ok("config.file", "configuration", x.path?.shown ?? "no file: defaults")
    }

    /// The daemon keeps the last good one when a file is refused.
    private static func inForce(_ x: Examination) -> Check {
        let (id, title) = ("config.in-force", "configuration in force")
        guard let config = x.status?["config"] else { return .skipped(id, title, "no daemon runs") }
        let used = config["path"]?.string
        if let used, let path = x.path, FilePath(used) != path {
            return .warning(
                id, title, "the daemon reads \(used), this command \(path.shown)",
                fix: "gasclawd doctor --config \(used)")
        }
        guard config["ok"]?.bool == false else {
            return .ok(id, title, "generation \(x.status?["generation"]?.integer ?? 0)")
        }
        let errors = (config["errors"]?.array ?? []).compactMap(\.string)
        return .failed(
            id, title, "refused, the last good one is in force: \(errors.joined(separator: "; "))",
            fix: "gasclawd check; then gasclawd reload")
    }

    /// Variables that the predecessor's guides set and nothing reads.
    private static func variables(_ x: Examination) -> Check {
        let (id, title) = ("config.variables", "variables")
        let names = ["BD_ROOT"].filter { x.own.variables[$0] != nil }
        guard names.isEmpty else {
            return .warning(
                id, title,
                "\(names.joined(separator: ", ")) is set and read by nothing: bd goes by BEADS_DIR or its folder",
                fix: "unset \(names.joined(separator: " "))")
        }
        return .ok(id, title, "nothing that misleads")
    }
}
