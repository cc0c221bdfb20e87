// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import Configuration
import ControlAPI
import Glibc
import Launcher
import LinuxSys
import SystemPackage

// Under which name we were called decides what we are: the daemon and its commands, or what stands in for Claude Code.
SignalReceiver.crashPlainly()
let arguments = CurrentProcess.arguments
switch arguments.first.map({ FilePath(bytes: $0).lastName }) {
case Array("claude".utf8):
    exit(ClaudeLauncher.run(arguments) { DefaultLauncher.find() })
case Array("agent-shell".utf8):
    exit(AgentShell.run(arguments))
default:
    // Not through the command line's parser: an agent waits for it, and it may fail at nothing.
    if arguments.count >= 3, arguments[1] == Array("hook".utf8), arguments[2] == Array("stop-failure".utf8) {
        let words = arguments.dropFirst(3).map { String(decoding: $0, as: UTF8.self) }
        if !words.contains("--help") { exit(StopFailureHook.run(words) { DefaultLauncher.socket(config: $0) }) }
    }
    exit(CommandLineTool.run())
}
