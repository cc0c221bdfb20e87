// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// A page that holds tables between marks: `<!-- NAME: written by COMMAND -->` and `<!-- end of NAME -->`.
struct Page {
    let path: FilePath

    /// Puts a table into its place, with what the machine was doing.
    func put(_ lines: [String], under name: String) throws {
        let old = String(decoding: try RegularFile.read(path, limit: 1 << 20).bytes, as: UTF8.self)
        let command = name == "daemon" ? "Benchmarks/run" : "Benchmarks/run \(name)"
        let marks = ("<!-- \(name): written by \(command) -->", "<!-- end of \(name) -->")
        guard let start = old.firstRange(of: marks.0)?.upperBound, let end = old.firstRange(of: marks.1)?.lowerBound
        else {
            throw BenchError(description: "\(path.shown) has no place for the table: \(marks.0)")
        }
        let load = String(
            decoding: try RegularFile.read("/proc/loadavg", limit: 100).bytes.prefix { $0 != 32 }, as: UTF8.self)
        let text = "\nLoad of the machine at the end: \(load).\n\n" + lines.joined(separator: "\n") + "\n"
        // In place: it is the owner's file, who may be somebody else than who measures.
        let file = try Syscalls.open(path, flags: O_WRONLY | O_TRUNC)
        try Syscalls.writeAll(file.raw, Array((old[..<start] + text + old[end...]).utf8))
    }
}

/// Rows of a table in Markdown.
struct Table {
    private(set) var lines: [String]

    init(_ head: [String]) {
        lines = []
        add(head)
        lines.append("|" + String(repeating: "---|", count: head.count))
    }

    mutating func add(_ cells: [String]) { lines.append("| " + cells.joined(separator: " | ") + " |") }
}

/// With two digits behind the point where there is something to see.
func short(_ value: Double) -> String {
    guard value.isFinite else { return "none" }
    let hundredths = Int((value * 100).rounded())
    return value >= 10
        ? "\(Int(value.rounded()))" : "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
}

/// An empty folder that goes when the body is done.
///
/// - Parameter isInMemory: Where the machine has such a place: some disks take milliseconds for each folder that is removed
///   (ext4 with `discard`), and what is measured makes and removes many.
func withScratch<Result>(isInMemory: Bool = false, _ body: (String) throws -> Result) throws -> Result {
    let place = isInMemory && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
    var template = Array("\(place)/gasclawd-watchers.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw BenchError(description: "no temporary folder") }
    let scratch = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer {
        do {
            let cleaner = try Child(["/bin/rm", "-rf", scratch], environment: ["PATH": "/bin"])
            var status: Int32 = 0
            waitpid(cleaner.pid, &status, 0)
        } catch { say("\(scratch) stays: \(error)") }
    }
    return try body(scratch)
}
