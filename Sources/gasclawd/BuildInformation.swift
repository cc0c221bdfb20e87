// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import CBuild
import JSON

/// The version (semver.org). It stands here alone: packages, manual pages and the control API take it from this line.
let gasclawdVersion = "0.1.0"

enum BuildInformation {
    /// The commit, with `+` if files differed from it; nil where it was not known to the build.
    static var commit: String? {
        let text = String(cString: gasclawd_build_commit())
        return text.isEmpty ? nil : text
    }

    /// The compiler's version, as far as a program can tell.
    static var swift: String {
        #if compiler(>=6.5)
            "6.5"
        #elseif compiler(>=6.4)
            "6.4"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2"
        #endif
    }

    /// `features` is for others to ask before they rely on something: the commands that there are, as `keys.rotate`.
    static func json() throws(JSONError) -> JSONValue {
        let features = try CommandDescription.program().leaves.map { $0.path.joined(separator: ".") }.sorted()
        return [
            "version": .string(gasclawdVersion), "commit": .optional(commit), "swift": .string(swift),
            "features": .array(features.map(JSONValue.string)),
        ]
    }
}
