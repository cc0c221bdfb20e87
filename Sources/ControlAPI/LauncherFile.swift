// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import SystemPackage

/// `launcher.json` beside the folder of our links: where a launcher finds its daemon. No key is in it.
public struct LauncherFile: Sendable, Equatable {
    /// The control socket.
    public let socket: FilePath
    /// The state directory, with `launch.json` and `launches/`.
    public let state: FilePath
    /// `agent.program`, for calls that need no lease.
    public let program: String?

    public static let lengthMax = 64 << 10

    public init(socket: FilePath, state: FilePath, program: String?) {
        self.socket = socket
        self.state = state
        self.program = program
    }

    /// - Returns: nil if there is none, or none that is understood.
    public init?(at path: FilePath) {
        let value: JSONValue
        do {
            value = try JSONValue(parsing: try RegularFile.read(path, limit: Self.lengthMax).bytes)
        } catch {
            // Without it the launcher goes by its environment; a broken one is the daemon's to mend.
            return nil
        }
        guard let socket = value["socket"]?.string, let state = value["state"]?.string else { return nil }
        self.init(socket: FilePath(socket), state: FilePath(state), program: value["program"]?.string)
    }

    public var json: JSONValue {
        ["socket": .string(socket.string), "state": .string(state.string), "program": .optional(program)]
    }

    /// Its place for a folder of links in a state directory.
    public static func path(bin: FilePath) -> FilePath { bin.removingLastComponent().appending("launcher.json") }
    /// Its place for the links that a package installed, which serve every user: in the home, where a launcher finds it
    /// with nothing but its environment.
    public static func path(home: FilePath) -> FilePath {
        home.appending(".local/state/gasclawd/installed.json")
    }
    /// Where a package puts the links that lead to an executable: `/usr/lib/gasclawd/bin` for `/usr/bin/gasclawd`.
    public static func installedFolder(of executable: FilePath) -> FilePath {
        executable.removingLastComponent().removingLastComponent().appending("lib/gasclawd/bin")
    }
    /// The values of the last lease, for starts without a daemon. 0600: the key is in it.
    public static func fallback(state: FilePath) -> FilePath { state.appending("launch.json") }
    /// Where a start without a daemon leaves a note.
    public static func notes(state: FilePath) -> FilePath { state.appending("launches") }
}
