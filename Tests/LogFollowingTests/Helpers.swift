// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage
import Testing

/// A fresh folder that goes with everything in it.
final class TemporaryFolder {
    let path: FilePath

    init() throws {
        var template = Array("/tmp/gasclawd-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError(call: "mkdtemp", errno: Errno(rawValue: errno)) }
        path = FilePath(platformString: template)
    }

    deinit { remove(path) }

    func write(_ name: String, _ text: String, mode: UInt32 = 0o600) throws {
        let file = try Syscalls.open(path.appending(name), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        try Syscalls.writeAll(file.raw, Array(text.utf8))
    }

    /// Adds to a file, as a writer does that opens it anew each time.
    func append(_ name: String, _ text: String) throws { try append(name, Array(text.utf8)) }

    func append(_ name: String, _ bytes: [UInt8]) throws {
        let file = try Syscalls.open(path.appending(name), flags: O_WRONLY | O_CREAT | O_APPEND)
        try Syscalls.writeAll(file.raw, bytes)
    }

    func rename(_ from: String, _ to: String) throws {
        try Syscalls.rename(path.appending(from), to: path.appending(to))
    }

    func truncate(_ name: String, to size: Int = 0) throws {
        guard Glibc.truncate(path.appending(name).string, size) == 0 else {
            throw SystemError(call: "truncate", subject: name, errno: Errno(rawValue: errno))
        }
    }
}

/// Removes a file or a folder with all that is in it; links are not followed.
func remove(_ path: FilePath) {
    do throws(SystemError) {
        if try Syscalls.status(of: path, followingLinks: false).kind == .directory {
            let directory = try Syscalls.open(path, flags: Syscalls.directory | O_NOFOLLOW)
            for name in try Syscalls.names(inDirectory: directory.raw) { remove(path.entry(name)) }
            path.withPlatformString { _ = rmdir($0) }
        } else {
            try Syscalls.unlink(path)
        }
    } catch {
        // A test that removed it itself left nothing to remove.
    }
}

extension EventLoop {
    /// Runs until the condition holds; a deadline that no working code comes near makes a failure of a hang.
    ///
    /// - Returns: Whether the condition came to hold.
    @discardableResult
    func run(
        within deadline: Duration = .seconds(60), until condition: @escaping () -> Bool
    ) throws -> Bool {
        var holds = condition()
        if holds { return true }
        let end = schedule(after: deadline) { [unowned self] in stop() }
        func look() {
            holds = condition()
            if holds { stop() } else { schedule(after: .milliseconds(2)) { look() } }
        }
        let first = schedule(after: .milliseconds(1)) { look() }
        try run()
        cancel(end)
        cancel(first)
        return holds
    }
}
