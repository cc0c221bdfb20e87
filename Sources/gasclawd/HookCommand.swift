// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser

/// For the help alone: `hook stop-failure` is run before the command line is parsed (main.swift).
struct HookCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hook", abstract: "What Claude Code's hooks run.", subcommands: [StopFailure.self])

    struct StopFailure: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "stop-failure",
            abstract: "Report the failure on standard input to the daemon; says nothing and always succeeds.")
        @OptionGroup var options: CommonOptions
    }
}
