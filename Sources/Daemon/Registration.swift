// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import GasTown
import JSON
import LinuxSys
import SystemPackage

/// What makes the town start its agents through our launcher.
enum Registration {
    struct Failure: Error { let text: String }

    /// What agents are started with: the launcher, unless somebody wants another command.
    static func command(_ configuration: Configuration, bin: FilePath) -> String {
        configuration.agent.command == "claude" ? bin.appending("claude").string : configuration.agent.command
    }

    /// The `gt config` calls that are still needed.
    static func calls(_ place: ServicePlace, name: String, command: String) -> Result<[[String]], Failure> {
        let path = place.files.settings
        do {
            // gt writes it at the first `gt config`.
            let bytes =
                Syscalls.exists(path) ? try RegularFile.read(path, limit: ClaudeSettings.lengthMax).bytes : nil
            return .success(try TownSettings(bytes).registration(name: name, command: command))
        } catch {
            return .failure(Failure(text: "\(path.shown): \(error)"))
        }
    }
}
