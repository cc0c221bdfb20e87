// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import SystemPackage

/// Called as `watchers PAGE [ROUNDS]`: measures watchers and followers and writes the tables into the page.
enum WatchTable {
    static func run(page: String, rounds: Int) -> Int32 {
        do {
            let lines = try withScratch { scratch in
                let logs = try LogBench(scratch: scratch).run()
                let watchers = try withScratch(isInMemory: true) { try WatchBench(scratch: $0).run(rounds: rounds) }
                let runners = try RunnerBench(scratch: scratch).run(rounds: min(100, rounds))
                return watchers + [""] + runners + ["", "| logs | gasclawd | other |", "|---|---|---|"] + logs
            }
            try Page(path: FilePath(page)).put(lines, under: "watchers")
            return 0
        } catch {
            say("benchmark failed: \(error)")
            return 1
        }
    }
}
