// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

// The kernel's calls as small typed functions. Nothing outside this module calls the kernel.
// Every call that can be interrupted is repeated on EINTR.

internal import CLinuxSys
import Glibc
import SystemPackage

public enum Syscalls {
    /// O_PATH (open(2)): the file is only named, not opened; works without permission to read it.
    public static let pathOnly = gcl_o_path
    /// Stands for the working directory (AT_FDCWD, openat(2)).
    public static let workingDirectory: Int32 = AT_FDCWD
    /// To open a directory for reading.
    public static let directory = O_RDONLY | O_DIRECTORY

    /// Opens a file relative to a directory. The corresponding C function is `openat`; O_CLOEXEC is always set.
    public static func open(
        _ path: FilePath, flags: Int32, mode: UInt32 = 0o600, at directory: Int32 = Syscalls.workingDirectory
    ) throws(SystemError) -> Descriptor {
        Descriptor(
            owning: try check("openat", path) {
                path.withPlatformString { gcl_openat(directory, $0, flags | O_CLOEXEC, mode) }
            })
    }

    /// The corresponding C function is `read`. 0 is the end of the file; nil means that it would block.
    public static func read(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int? {
        try unlessItBlocks("read") { Glibc.read(fd, buffer.baseAddress, buffer.count) }
    }

    /// The corresponding C function is `pread`.
    public static func read(
        _ fd: Int32, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> Int? {
        try unlessItBlocks("pread") { Glibc.pread(fd, buffer.baseAddress, buffer.count, off_t(offset)) }
    }

    /// The corresponding C function is `write`. It may write less than asked; nil means that it would block.
    public static func write(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int? {
        try unlessItBlocks("write") { Glibc.write(fd, bytes.baseAddress, bytes.count) }
    }

    /// Writes all bytes to a regular file or a blocking descriptor.
    public static func writeAll(_ fd: Int32, _ bytes: [UInt8]) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            let start = written
            let count = bytes.withUnsafeBytes { buffer -> Result<Int, SystemError> in
                do throws(SystemError) {
                    guard let count = try write(fd, UnsafeRawBufferPointer(rebasing: buffer[start...])) else {
                        return .failure(SystemError(call: "write", errno: .wouldBlock))
                    }
                    return .success(count)
                } catch {
                    return .failure(error)
                }
            }
            written += try count.get()
        }
    }

    /// The corresponding C function is `fstat`.
    public static func status(of fd: Int32) throws(SystemError) -> FileStatus {
        var buffer = stat()
        _ = try check("fstat") { fstat(fd, &buffer) }
        return FileStatus(buffer)
    }

    /// The corresponding C functions are `stat` and `lstat`.
    public static func status(of path: FilePath, followingLinks: Bool = true) throws(SystemError) -> FileStatus {
        var buffer = stat()
        _ = try check(followingLinks ? "stat" : "lstat", path) {
            path.withPlatformString { followingLinks ? stat($0, &buffer) : lstat($0, &buffer) }
        }
        return FileStatus(buffer)
    }

    /// The magic number of the file system that holds an open file. The corresponding C function is `fstatfs`.
    public static func fileSystemType(of fd: Int32) throws(SystemError) -> Int {
        var buffer = statfs()
        _ = try check("fstatfs") { fstatfs(fd, &buffer) }
        return Int(buffer.f_type)
    }

    /// The target of a symbolic link, relative to a directory. The corresponding C function is `readlinkat`.
    public static func linkTarget(_ path: FilePath, at directory: Int32 = Syscalls.workingDirectory) throws(SystemError)
        -> FilePath
    {
        // Most targets are short; one that fills the space may be longer.
        for capacity in [256, Int(PATH_MAX)] {
            var buffer = [UInt8](repeating: 0, count: capacity)
            let count = try check("readlinkat", path) {
                path.withPlatformString { name in
                    buffer.withUnsafeMutableBytes { bytes in
                        guard let start = bytes.baseAddress else { return Int32(0) }
                        return Int32(
                            readlinkat(directory, name, start.assumingMemoryBound(to: CChar.self), bytes.count))
                    }
                }
            }
            if Int(count) < capacity || capacity == Int(PATH_MAX) { return FilePath(bytes: buffer[..<Int(count)]) }
        }
        throw SystemError(call: "readlinkat", subject: path.shown, errno: .fileNameTooLong)
    }

    /// The path of an open file as the kernel knows it now, without links (proc(5), `/proc/PID/fd`). A removed file's
    /// ends in ` (deleted)`.
    public static func path(of fd: Int32) throws(SystemError) -> FilePath {
        try linkTarget(FilePath("/proc/self/fd/\(fd)"))
    }

    /// The absolute path without links of something that exists. The corresponding C function is `realpath`.
    public static func realPath(_ path: FilePath) throws(SystemError) -> FilePath {
        guard let result = path.withPlatformString({ realpath($0, nil) }) else {
            throw SystemError(call: "realpath", subject: path.shown, errno: currentErrno)
        }
        defer { free(result) }
        return FilePath(platformString: result)
    }

    /// The corresponding C function is `rename`.
    public static func rename(_ from: FilePath, to target: FilePath) throws(SystemError) {
        _ = try check("rename", target) {
            from.withPlatformString { a in target.withPlatformString { b in Glibc.rename(a, b) } }
        }
    }

    /// Swaps two files in one step. The corresponding C function is `renameat2` with RENAME_EXCHANGE.
    public static func exchange(_ a: FilePath, _ b: FilePath) throws(SystemError) {
        _ = try check("renameat2", b) {
            a.withPlatformString { first in b.withPlatformString { second in gcl_rename_exchange(first, second) } }
        }
    }

    /// Renames unless the target exists (EEXIST). The corresponding C function is `renameat2` with RENAME_NOREPLACE.
    public static func renameIfAbsent(_ from: FilePath, to target: FilePath) throws(SystemError) {
        _ = try check("renameat2", target) {
            from.withPlatformString { a in target.withPlatformString { b in gcl_rename_noreplace(a, b) } }
        }
    }

    /// The corresponding C function is `unlink`.
    public static func unlink(_ path: FilePath) throws(SystemError) {
        _ = try check("unlink", path) { path.withPlatformString { Glibc.unlink($0) } }
    }

    /// Removes a folder with all that is in it; links are removed, not followed.
    public static func removeTree(_ path: FilePath) throws(SystemError) {
        guard try status(of: path, followingLinks: false).kind == .directory else { return try unlink(path) }
        let folder = try open(path, flags: directory | O_NOFOLLOW)
        for name in try names(inDirectory: folder.raw) { try removeTree(path.entry(name)) }
        _ = try check("rmdir", path) { path.withPlatformString { rmdir($0) } }
    }

    /// The corresponding C function is `symlink`.
    public static func link(_ path: FilePath, to target: FilePath) throws(SystemError) {
        _ = try check("symlink", path) {
            target.withPlatformString { a in path.withPlatformString { b in symlink(a, b) } }
        }
    }

    /// The corresponding C function is `mkdir`.
    public static func makeDirectory(_ path: FilePath, mode: UInt32 = 0o700) throws(SystemError) {
        _ = try check("mkdir", path) { path.withPlatformString { mkdir($0, mode) } }
    }

    /// Makes a directory and those above it that are missing; one that is there already is fine.
    public static func makeDirectories(_ path: FilePath, mode: UInt32 = 0o700) throws(SystemError) {
        do throws(SystemError) {
            try makeDirectory(path, mode: mode)
        } catch {
            switch error.errno {
            case .fileExists where isDirectory(path): return
            case .noSuchFileOrDirectory where !path.removingLastComponent().isEmpty:
                try makeDirectories(path.removingLastComponent(), mode: mode)
                do throws(SystemError) { try makeDirectory(path, mode: mode) } catch
                    where error.errno == .fileExists && isDirectory(path)
                {}
            default: throw error
            }
        }
    }

    /// Whether the path leads to a directory.
    public static func isDirectory(_ path: FilePath) -> Bool {
        do { return try status(of: path).kind == .directory } catch { return false }
    }

    /// Whether something can be reached under the path.
    public static func exists(_ path: FilePath) -> Bool {
        do {
            _ = try status(of: path)
            return true
        } catch { return false }
    }

    /// Whether the path leads to a regular file that may be executed by us.
    public static func isExecutable(_ path: FilePath) -> Bool {
        do {
            return try status(of: path).kind == .regular && path.withPlatformString { access($0, X_OK) } == 0
        } catch { return false }
    }

    /// Whether we may write to what the path leads to. The corresponding C function is `access`: it knows of read-only
    /// file systems too.
    public static func isWritable(_ path: FilePath) -> Bool { path.withPlatformString { access($0, W_OK) == 0 } }

    /// What is left to us on the file system that holds a path. The corresponding C function is `statvfs`.
    ///
    /// - Returns: Bytes, and how many more files; nil for a file system that does not count them.
    public static func freeSpace(of path: FilePath) throws(SystemError) -> (bytes: Int64, files: Int64?) {
        var buffer = statvfs()
        _ = try check("statvfs", path) { path.withPlatformString { statvfs($0, &buffer) } }
        let bytes = Int64(clamping: buffer.f_bavail).multipliedReportingOverflow(by: Int64(clamping: buffer.f_frsize))
        return (
            bytes.overflow ? .max : bytes.partialValue, buffer.f_files == 0 ? nil : Int64(clamping: buffer.f_favail)
        )
    }

    /// Empties an open file. The corresponding C function is `ftruncate`.
    public static func truncate(_ fd: Int32) throws(SystemError) { _ = try check("ftruncate") { ftruncate(fd, 0) } }

    /// The corresponding C function is `fsync`.
    public static func synchronize(_ fd: Int32) throws(SystemError) { _ = try check("fsync") { fsync(fd) } }

    /// The corresponding C function is `fchmod`.
    public static func setMode(_ fd: Int32, _ mode: UInt32) throws(SystemError) {
        _ = try check("fchmod") { fchmod(fd, mode) }
    }

    /// Locks an open file without waiting; false if another process holds it. The corresponding C function is `flock`.
    public static func tryLock(_ fd: Int32) throws(SystemError) -> Bool {
        do throws(SystemError) {
            _ = try check("flock") { flock(fd, LOCK_EX | LOCK_NB) }
            return true
        } catch {
            if error.errno == .wouldBlock { return false }
            throw error
        }
    }

    // MARK: - Helpers

    static var currentErrno: Errno { Errno(rawValue: Glibc.errno) }

    /// Runs a call until it is not interrupted and turns -1 into an error.
    ///
    /// - Parameter path: Asked for only where there is an error to tell: most calls are made on names.
    static func check(
        _ call: String, _ path: @autoclosure () -> FilePath? = nil, _ body: () -> Int32
    ) throws(SystemError) -> Int32 {
        #if DEBUG
            if let forced = Faults.forced(call, path()) {
                throw SystemError(call: call, subject: path()?.shown ?? "", errno: forced)
            }
        #endif
        while true {
            let result = body()
            if result >= 0 { return result }
            let errno = currentErrno
            if errno != .interrupted { throw SystemError(call: call, subject: path()?.shown ?? "", errno: errno) }
        }
    }

    static func unlessItBlocks(_ call: String, _ body: () -> Int) throws(SystemError) -> Int? {
        #if DEBUG
            if let forced = Faults.forced(call, nil) { throw SystemError(call: call, errno: forced) }
        #endif
        while true {
            let result = body()
            if result >= 0 { return result }
            switch Glibc.errno {
            case EINTR: continue
            case EAGAIN: return nil
            default: throw SystemError(call: call, errno: currentErrno)
            }
        }
    }
}

#if DEBUG
    /// Errors that a test makes kernel calls report (swift-system's `Mocking.swift` does the same).
    public enum Faults {
        @TaskLocal public static var plan: (@Sendable (_ call: String, _ path: FilePath?) -> Errno?)?

        static func forced(_ call: String, _ path: @autoclosure () -> FilePath?) -> Errno? {
            plan.flatMap { $0(call, path()) }
        }
    }
#endif
