// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import SystemPackage

/// The folder that stands in for Claude Code: links to this program, and beside it the way to this daemon.
enum Links {
    static let names = ["claude", "agent-shell"]

    /// Makes the links lead to our executable and writes `launcher.json`.
    static func make(bin: FilePath, launcher: JSONValue, at file: FilePath) throws(SystemError) {
        try Syscalls.makeDirectories(bin)
        let executable = try CurrentProcess.executable()
        for name in names {
            let link = bin.appending(name)
            do throws(SystemError) {
                if try Syscalls.linkTarget(link) == executable { continue }
            } catch {
                // Absent, or something else: it is replaced below.
            }
            let temporary = bin.appending(".\(name).\(CurrentProcess.pid)")
            try Syscalls.link(temporary, to: executable)
            try Syscalls.rename(temporary, to: link)
        }
        try AtomicFile.replace(file, with: launcher.encoded() + [10], durable: false)
    }

    /// The absolute path of a program.
    ///
    /// - Parameter folders: Where to look, in order.
    static func find(_ name: String, in folders: [String]) -> String? {
        folders.map { "\($0)/\(name)" }.first {
            $0.hasPrefix("/") && Syscalls.isExecutable(FilePath($0)) && !Syscalls.isDirectory(FilePath($0))
        }
    }
}
