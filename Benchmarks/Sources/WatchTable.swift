// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// Called as `watchers PAGE [ROUNDS]`: measures watchers and followers and writes the table into the page, between its
/// marks.
enum WatchTable {
    private static let marks = ("<!-- watchers: written by Benchmarks/run watchers -->", "<!-- end of watchers -->")

    static func run(page: String, rounds: Int) -> Int32 {
        var template = Array("/tmp/gasclawd-watchers.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { return 70 }
        let scratch = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer {
            do {
                let cleaner = try Child(["/bin/rm", "-rf", scratch], environment: ["PATH": "/bin"])
                var status: Int32 = 0
                waitpid(cleaner.pid, &status, 0)
            } catch { say("\(scratch) stays: \(error)") }
        }
        do {
            let logs = try LogBench(scratch: scratch).run()
            let watchers = try WatchBench(scratch: scratch).run(rounds: rounds)
            let text =
                watchers + ["", "| logs | gasclawd | other |", "|---|---|---|"] + logs
            try insert(text.joined(separator: "\n"), into: FilePath(page))
            return 0
        } catch {
            say("benchmark failed: \(error)")
            return 1
        }
    }

    private static func insert(_ table: String, into page: FilePath) throws {
        let old = String(decoding: try RegularFile.read(page, limit: 1 << 20).bytes, as: UTF8.self)
        guard let start = old.firstRange(of: marks.0)?.upperBound, let end = old.firstRange(of: marks.1)?.lowerBound
        else {
            throw BenchError(description: "\(page.shown) has no place for the table: \(marks.0)")
        }
        let load = String(
            decoding: try RegularFile.read("/proc/loadavg", limit: 100).bytes.prefix { $0 != 32 }, as: UTF8.self)
        let new = old[..<start] + "\nLoad of the machine meanwhile: \(load).\n\n\(table)\n" + old[end...]
        try AtomicFile.replace(page, with: Array(new.utf8), mode: 0o644, durable: false)
    }
}
