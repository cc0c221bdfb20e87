// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import LinuxSys
import SystemPackage

/// The tmux session of a pane, for agents that gt did not name.
enum SessionName {
    /// - Returns: nil if tmux is not found, or does not answer at once.
    static func ask(socket: String, pane: String, _ environment: LaunchEnvironment) -> String? {
        let folders = (environment["PATH"] ?? "/usr/bin").split(separator: ":").filter { $0.hasPrefix("/") }
        guard let tmux = folders.map({ "\($0)/tmux" }).first(where: { Syscalls.isExecutable(FilePath($0)) }) else {
            return nil
        }
        var name: String?
        do throws(SystemError) {
            let loop = try EventLoop()
            try Command.run(
                [tmux, "-S", socket, "display-message", "-p", "-t", pane, "#{session_name}"],
                environment: ["PATH=/usr/bin:/bin"], timeout: .milliseconds(500), on: loop
            ) { result in
                let line = String(decoding: result.output.prefix { $0 != 10 }, as: UTF8.self)
                if result.status.isSuccess, !line.isEmpty { name = line }
                loop.stop()
            }
            try loop.run()
        } catch {
            // The name is for people; without it the pid stands in.
            return nil
        }
        return name
    }
}
