// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

// Runs a script of Tests/FileWatchingTests/Scripts in a folder of its own: what it does to real files, and what must be
// reported of it. A process for each, so that it can be put into namespaces of its own (unshare(1)).
//
//   watchscript FILE      exit 0: all was reported; 1: what was not, on standard error; 77: this machine forbids it

import Glibc
import LinuxSys
import SystemPackage

func say(_ text: String) {
    do { try Syscalls.writeAll(2, Array(text.utf8)) } catch { exit(70) }
}

guard CommandLine.arguments.count == 2 else {
    say("usage: watchscript FILE\n")
    exit(64)
}
do {
    let bytes = try RegularFile.read(FilePath(CommandLine.arguments[1]), limit: 1 << 20).bytes
    let script = try Script(String(decoding: bytes, as: UTF8.self))
    let runner = try Runner(isInMemory: script.isInMemory)
    defer { runner.cleanUp() }
    try runner.run(script)
} catch let refusal as Forbidden {
    say("\(refusal.what)\n")
    exit(77)
} catch {
    say("\(error)\n")
    exit(1)
}
