// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

/// Which file is the configuration (contract A).
public enum ConfigurationFile {
    /// Finds the configuration file.
    ///
    /// - Parameters:
    ///   - option: What `--config` said.
    ///   - environment: For `GASCLAWD_CONFIG` and the home.
    /// - Returns: The path, nil for defaults alone; `isExplicit` if the user named it, so that its absence is an
    ///   error.
    public static func find(
        option: String?, environment: ConfigurationEnvironment
    ) -> (path: FilePath?, isExplicit: Bool) {
        find(option: option, environment: environment, systemFile: "/etc/gasclawd/gasclawd.toml")
    }

    static func find(
        option: String?, environment: ConfigurationEnvironment, systemFile: FilePath
    ) -> (path: FilePath?, isExplicit: Bool) {
        if let option { return (FilePath(option), true) }
        if let named = environment.nonEmpty("GASCLAWD_CONFIG") { return (FilePath(named), true) }
        var candidates = [systemFile]
        // The XDG base directory specification: a relative path in the variable counts as unset.
        if let directory = environment.nonEmpty("XDG_CONFIG_HOME"), directory.hasPrefix("/") {
            candidates.append(FilePath(directory).appending("gasclawd/gasclawd.toml"))
        }
        if let home = environment.home {
            candidates.append(FilePath(home).appending(".config/gasclawd/gasclawd.toml"))
        }
        return (candidates.first { Syscalls.exists($0) }, false)
    }
}
