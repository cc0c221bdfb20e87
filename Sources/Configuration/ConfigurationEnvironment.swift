// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys

/// What a configuration takes from around it: variables, the home directory and who we are.
public struct ConfigurationEnvironment: Sendable {
    /// Variables by name. Bytes that are not UTF-8 stand as U+FFFD, which no setting takes.
    public let variables: [String: String]
    /// What `~` stands for; nil if nobody knows.
    public let home: String?
    /// Our user: root's defaults are the system's directories.
    let userID: UInt32

    /// - Parameters:
    ///   - variables: By their names.
    ///   - home: What `~` stands for.
    public init(variables: [String: String], home: String?) {
        self.init(variables: variables, home: home, userID: CurrentProcess.userID)
    }

    init(variables: [String: String], home: String?, userID: UInt32) {
        self.variables = variables
        self.home = home
        self.userID = userID
    }

    /// This process's own environment.
    public static var current: ConfigurationEnvironment {
        var variables: [String: String] = [:]
        for entry in CurrentProcess.environment {
            guard let equals = entry.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let name = String(decoding: entry[..<equals], as: UTF8.self)
            // Of two entries with one name getenv(3) takes the first.
            if variables[name] == nil {
                variables[name] = String(decoding: entry[(equals + 1)...], as: UTF8.self)
            }
        }
        return ConfigurationEnvironment(
            variables: variables, home: variables["HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? passwdHome)
    }

    /// A variable's value, nil if it is unset or empty (the XDG base directory specification treats both alike).
    func nonEmpty(_ name: String) -> String? {
        guard let value = variables[name], !value.isEmpty else { return nil }
        return value
    }

    /// The home directory of the user database: systemd sets no HOME for a system unit without User= (systemd.exec(5)).
    private static var passwdHome: String? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16384)
        guard getpwuid_r(getuid(), &entry, &buffer, buffer.count, &found) == 0, found != nil,
            let home = entry.pw_dir
        else { return nil }
        return String(validatingCString: home)
    }
}
