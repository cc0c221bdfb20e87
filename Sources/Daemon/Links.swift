// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON
import LinuxSys
import SystemPackage

/// The folder that stands in for Claude Code: links to this program, and the way to this daemon.
enum Links {
    /// `gasclawd` is for hooks: the link stays where it is when the program moves.
    static let names = ["claude", "agent-shell", "gasclawd"]

    /// What a package brought: links that are there already, and the claim to be this user's daemon behind them.
    struct Installed {
        let bin: FilePath
        /// Where launchers look.
        let file: FilePath
        let lock: LockFile
    }

    /// - Parameters:
    ///   - executable: Our own file.
    ///   - home: `$HOME`.
    /// - Returns: nil where no package brought links to us, or where another daemon of this user is behind them.
    static func installed(executable: FilePath, home: String?) throws(SystemError) -> Installed? {
        let bin = LauncherFile.installedFolder(of: executable)
        guard let home, home.hasPrefix("/"), names.allSatisfy({ leads(bin.appending($0), to: executable) })
        else { return nil }
        let file = LauncherFile.path(home: FilePath(home))
        try Syscalls.makeDirectories(file.removingLastComponent())
        guard let lock = try LockFile(FilePath(file.string + ".lock")) else { return nil }
        return Installed(bin: bin, file: file, lock: lock)
    }

    private static func leads(_ link: FilePath, to executable: FilePath) -> Bool {
        do throws(SystemError) { return try Syscalls.realPath(link) == executable } catch { return false }
    }

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
        let bytes = launcher.encoded() + [10]
        do throws(FileReadError) {
            if try RegularFile.read(file, limit: 1 << 16).bytes == bytes { return }
        } catch {
            // Absent or not to be read: it is written.
        }
        try AtomicFile.replace(file, with: bytes, durable: false)
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
