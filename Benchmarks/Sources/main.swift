// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

// Measures the budgets on this machine: `Benchmarks GASCLAWD PAGE [ROUNDS]`. What is compared is measured side by side in
// one run, for machines are noisy.
let arguments = CurrentProcess.arguments.map { String(decoding: $0, as: UTF8.self) }
switch FilePath(arguments[0]).lastComponent?.string {
case "tmux": exit(TmuxStamp.run(arguments))
case "claude": exit(IdleAgent.run())
default: break
}
if arguments.count >= 3 {
    switch arguments[1] {
    case "watch": exit(WatchCommand.run(arguments[2]))
    case "scan": exit(LogBench.scan(arguments[2]))
    case "follow": exit(FollowCommand.run(arguments[2]))
    case "react" where arguments.count == 4: exit(RunnerBench.react(arguments[2], arguments[3]))
    case "systemd-path": exit(RunnerBench.systemd(arguments[2]))
    case "storm" where arguments.count == 4: exit(StormCommand.run(arguments[2], rate: Int(arguments[3]) ?? 1000))
    case "hook" where arguments.count >= 4:
        do {
            try Bench.hook(
                gasclawd: arguments[3], page: arguments[2], rounds: arguments.count > 4 ? Int(arguments[4]) ?? 400 : 400
            )
            exit(0)
        } catch {
            say("benchmark failed: \(error)")
            exit(1)
        }
    case "watchers":
        exit(WatchTable.run(page: arguments[2], rounds: arguments.count > 3 ? Int(arguments[3]) ?? 200 : 200))
    default: break
    }
}
guard arguments.count >= 3, Syscalls.isExecutable(FilePath(arguments[1])) else {
    say("usage: Benchmarks GASCLAWD PAGE [ROUNDS]")
    exit(64)
}
do {
    let rounds = arguments.count > 3 ? Int(arguments[3]) ?? 400 : 400
    let bench = try Bench(gasclawd: arguments[1])
    defer { bench.remove() }
    try bench.measureStart(rounds: 20)
    try bench.measureKeys(rounds: rounds)
    try bench.measureIdle(seconds: 120)
    try bench.measureRows(rounds: max(10, rounds / 16))
    try bench.measureKills(4)
    try bench.measureTown(folders: 50_000, rounds: 10)
    try Page(path: FilePath(arguments[2])).put(bench.table.lines + [""] + bench.figures.lines, under: "daemon")
} catch {
    say("benchmark failed: \(error)")
    exit(1)
}
