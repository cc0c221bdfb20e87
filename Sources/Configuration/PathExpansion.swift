// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

/// Why a text is no path that can be used.
struct PathProblem: Error { let message: String }

extension ConfigurationEnvironment {
    /// The absolute path that a text stands for: `~` at its beginning, `$VAR` and `${VAR}` anywhere are replaced.
    func path(_ text: String, lengthMax: Int) throws(PathProblem) -> FilePath {
        if text.isEmpty { throw PathProblem(message: "must not be empty") }
        let full = try expanded(text)
        // A variable may have brought in what the text itself may not hold; its value is not ours to show.
        if let problem = textProblem(full) { throw PathProblem(message: problem) }
        guard full.hasPrefix("/") else {
            throw PathProblem(message: "\(quoted(text)) is not an absolute path (begin it with / or ~/)")
        }
        guard full.utf8.count <= lengthMax else {
            throw PathProblem(message: "is too long: \(full.utf8.count) bytes, at most \(lengthMax) can be used")
        }
        return FilePath(full)
    }

    private func expanded(_ text: String) throws(PathProblem) -> String {
        var rest = text[...]
        var output = ""
        if rest.hasPrefix("~") {
            guard rest == "~" || rest.hasPrefix("~/") else {
                throw PathProblem(message: "\(quoted(text)): only one's own home can be written as ~")
            }
            guard let home else {
                throw PathProblem(message: "\(quoted(text)) needs a home directory, and HOME is not set")
            }
            output = home
            rest = rest.dropFirst()
        }
        while let dollar = rest.firstIndex(of: "$") {
            output += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            let name: Substring
            if rest.hasPrefix("{") {
                guard let end = rest.firstIndex(of: "}") else {
                    throw PathProblem(message: "\(quoted(text)) has a ${ without its }")
                }
                name = rest.dropFirst().prefix(upTo: end)
                rest = rest[rest.index(after: end)...]
            } else {
                name = rest.prefix { $0.utf8.allSatisfy(isNameByte) }
                rest = rest[name.endIndex...]
            }
            guard !name.isEmpty, name.utf8.allSatisfy(isNameByte) else {
                throw PathProblem(message: "\(quoted(text)) has a $ that names no variable")
            }
            guard let value = variables[String(name)] else {
                throw PathProblem(message: "the variable \(quoted(String(name))) is not set")
            }
            output += value
        }
        return output + rest
    }

    /// The first directory of one of systemd's variables: with several StateDirectory= they stand with colons
    /// between (systemd.exec(5)).
    private func directory(_ name: String) -> String? {
        nonEmpty(name).flatMap { $0.split(separator: ":").first.map(String.init) }
    }

    /// Where state is kept if nobody says so, and the variable that decided it.
    var defaultState: (path: String, variable: String) {
        if let directory = directory("STATE_DIRECTORY") { return (directory, "STATE_DIRECTORY") }
        if userID == 0 { return ("/var/lib/gasclawd", "") }
        if let xdg = nonEmpty("XDG_STATE_HOME"), xdg.hasPrefix("/") { return ("\(xdg)/gasclawd", "XDG_STATE_HOME") }
        return ("\(home ?? "~")/.local/state/gasclawd", "HOME")
    }

    /// Where the control socket is if nobody says so, and the variable that decided it.
    var defaultRuntime: (path: String, variable: String) {
        if let directory = directory("RUNTIME_DIRECTORY") { return (directory, "RUNTIME_DIRECTORY") }
        if userID == 0 { return ("/run/gasclawd", "") }
        if let xdg = nonEmpty("XDG_RUNTIME_DIR"), xdg.hasPrefix("/") { return ("\(xdg)/gasclawd", "XDG_RUNTIME_DIR") }
        return ("/tmp/gasclawd-\(userID)", "")
    }
}
