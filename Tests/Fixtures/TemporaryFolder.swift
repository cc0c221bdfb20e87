// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// A fresh folder that goes with everything in it. Names are relative to it.
public final class TemporaryFolder {
    public let path: FilePath

    /// - Parameter name: What it is called before a part that makes it unique; short where a socket lies in it.
    public init(_ name: String = "gasclawd-test") throws(SystemError) {
        path = try Self.make(name)
    }

    /// Makes a folder that its maker removes. Where somebody runs the tests who removes what they leave (scripts/test), a
    /// word of that run is in its name.
    public static func make(_ name: String, in folder: String = "/tmp") throws(SystemError) -> FilePath {
        let run = run.map { $0 + "." } ?? ""
        var template = Array("\(folder)/\(name).\(run)XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError(call: "mkdtemp", errno: Errno(rawValue: errno)) }
        return FilePath(platformString: template)
    }

    private static var run: String? { getenv("GASCLAWD_TEST_RUN").map { String(cString: $0) } }

    /// What a program needs in its environment that makes such folders itself.
    public static var variables: [String] { run.map { ["GASCLAWD_TEST_RUN=\($0)"] } ?? [] }

    deinit { removeTree(path) }

    // MARK: - As programs do it

    /// Writes in place: truncated first.
    public func write(_ name: String, _ text: String, mode: UInt32 = 0o600) throws(SystemError) {
        let file = try Syscalls.open(path.appending(name), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        try Syscalls.writeAll(file.raw, Array(text.utf8))
    }

    /// Puts a whole file into place, with the folders above it.
    @discardableResult
    public func put(_ name: String, _ text: String = "", mode: UInt32 = 0o600) throws(SystemError) -> FilePath {
        let file = path.appending(name)
        try Syscalls.makeDirectories(file.removingLastComponent())
        try AtomicFile.replace(file, with: Array(text.utf8), mode: mode, durable: false)
        return file
    }

    /// Adds to a file, as a writer does that opens it anew each time.
    public func append(_ name: String, _ text: String) throws(SystemError) { try append(name, Array(text.utf8)) }

    public func append(_ name: String, _ bytes: [UInt8]) throws(SystemError) {
        let file = try Syscalls.open(path.appending(name), flags: O_WRONLY | O_CREAT | O_APPEND)
        try Syscalls.writeAll(file.raw, bytes)
    }

    public func rename(_ from: String, _ to: String) throws(SystemError) {
        try Syscalls.rename(path.appending(from), to: path.appending(to))
    }

    public func truncate(_ name: String, to size: Int = 0) throws(SystemError) {
        try check("truncate", name) { Glibc.truncate(path.appending(name).string, size) }
    }

    public func link(_ name: String, to target: FilePath) throws(SystemError) {
        try Syscalls.makeDirectories(path.appending(name).removingLastComponent())
        try Syscalls.link(path.appending(name), to: target)
    }

    public func link(_ name: String, to target: String) throws(SystemError) { try link(name, to: FilePath(target)) }

    public func hardLink(_ name: String, to file: String) throws(SystemError) {
        try check("link", name) { Glibc.link(path.appending(file).string, path.appending(name).string) }
    }

    public func makeDirectory(_ name: String) throws(SystemError) {
        try Syscalls.makeDirectories(path.appending(name), mode: 0o755)
    }

    public func setMode(_ name: String, _ mode: UInt32) throws(SystemError) {
        let file = try Syscalls.open(path.appending(name), flags: O_RDONLY)
        try Syscalls.setMode(file.raw, mode)
    }

    /// Removes a file or a folder with all that is in it.
    public func remove(_ name: String) { removeTree(path.appending(name)) }

    // MARK: - What is there

    public func text(_ name: String) throws(FileReadError) -> String {
        String(decoding: try RegularFile.read(path.appending(name), limit: 1 << 24).bytes, as: UTF8.self)
    }

    /// The names in a folder, sorted.
    public func names(in folder: String = ".") throws(SystemError) -> [String] {
        let directory = try Syscalls.open(path.appending(folder), flags: Syscalls.directory)
        return try Syscalls.names(inDirectory: directory.raw).map(shownText).sorted()
    }

    private func check(_ call: StaticString, _ subject: String, _ body: () -> Int32) throws(SystemError) {
        guard body() == 0 else { throw SystemError(call: "\(call)", subject: subject, errno: Errno(rawValue: errno)) }
    }
}

/// Removes a file or a folder with all that is in it; links are not followed. What is gone meanwhile is passed over.
public func removeTree(_ path: FilePath) {
    do throws(SystemError) {
        if try Syscalls.status(of: path, followingLinks: false).kind == .directory {
            let directory = try Syscalls.open(path, flags: Syscalls.directory | O_NOFOLLOW)
            for name in try Syscalls.names(inDirectory: directory.raw) { removeTree(path.entry(name)) }
            path.withPlatformString { _ = rmdir($0) }
        } else {
            try Syscalls.unlink(path)
        }
    } catch {
        // A test that removed it itself left nothing to remove.
    }
}
