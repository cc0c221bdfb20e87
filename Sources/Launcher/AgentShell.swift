// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import LinuxSys
import SystemPackage

/// The prefix that Claude Code puts before each shell command (`CLAUDE_CODE_SHELL_PREFIX`, code.claude.com/docs/en/
/// env-vars): the command comes in `$1` and runs without the agent's key.
public enum AgentShell {
    /// Becomes the user's shell. Returns only if that failed.
    ///
    /// - Parameter arguments: argv, the program's name included.
    public static func run(_ arguments: [[UInt8]]) -> Int32 {
        guard arguments.count >= 2 else {
            LauncherMessage.write("agent-shell: no command (Claude Code calls this as its shell prefix)")
            return 64
        }
        var environment = LaunchEnvironment(CurrentProcess.environment)
        environment.strip()
        var shell = environment["SHELL"] ?? ""
        if !shell.hasPrefix("/") || !Syscalls.isExecutable(FilePath(shell)) { shell = "/bin/sh" }
        let error = CurrentProcess.become(
            FilePath(shell), arguments: [Array(shell.utf8), Array("-c".utf8)] + arguments[1...].prefix(1),
            environment: environment.entries)
        LauncherMessage.write("agent-shell: \(error)")
        return 126
    }
}

/// What the launcher says on the agent's pane.
enum LauncherMessage {
    static func write(_ text: String) {
        do throws(SystemError) { try Syscalls.writeAll(2, Array("gasclawd: \(text)\n".utf8)) } catch {
            // Nobody reads standard error: there is no one else to tell.
        }
    }
}
