// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import SystemPackage

/// Why a file was not read.
public enum FileReadError: Error, Hashable, Sendable, CustomStringConvertible {
    case system(SystemError)
    /// A directory, FIFO, socket or device stands there.
    case notRegular
    /// Larger than the limit, in bytes.
    case tooLarge(limit: Int)

    public var description: String {
        switch self {
        case .system(let error): error.errno == .noSuchFileOrDirectory ? "no such file" : "\(error.errno)"
        case .notRegular: "not a regular file"
        case .tooLarge(let limit): "larger than \(limit) bytes"
        }
    }

    /// Nothing can be reached under the name: it is absent, or a link leads nowhere.
    public var isAbsence: Bool {
        if case .system(let error) = self {
            error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory
        } else {
            false
        }
    }
}

/// A regular file's bytes with what it was when they were read.
public struct FileContents: Sendable {
    public let bytes: [UInt8]
    public let status: FileStatus
}

public enum RegularFile {
    /// Reads a whole regular file.
    ///
    /// It never blocks: O_NONBLOCK opens a FIFO without its writer, and whatever is not a regular file is refused
    /// before it is read. Links are followed.
    ///
    /// - Parameters:
    ///   - path: Its name.
    ///   - limit: The largest size taken, in bytes.
    public static func read(_ path: FilePath, limit: Int) throws(FileReadError) -> FileContents {
        let file = try attempt { () throws(SystemError) in
            try Syscalls.open(path, flags: O_RDONLY | O_NONBLOCK | O_NOCTTY)
        }
        let descriptor = file.raw
        let status = try attempt { () throws(SystemError) in try Syscalls.status(of: descriptor) }
        guard status.kind == .regular else { throw .notRegular }
        guard status.size <= Int64(limit) else { throw .tooLarge(limit: limit) }
        // One byte more than the size tells whether the file grew while it was read. Those of /proc say size 0.
        var bytes = [UInt8](repeating: 0, count: min(limit + 1, max(Int(status.size) + 1, 4096)))
        var count = 0
        while true {
            if count == bytes.count {
                guard count <= limit else { throw .tooLarge(limit: limit) }
                bytes += [UInt8](repeating: 0, count: min(count, limit + 1 - count))
            }
            let got: Int
            do throws(SystemError) { got = try read(descriptor, into: &bytes, from: count) } catch {
                throw .system(error)
            }
            if got == 0 { break }
            count += got
        }
        guard count <= limit else { throw .tooLarge(limit: limit) }
        bytes.removeLast(bytes.count - count)
        return FileContents(bytes: bytes, status: status)
    }

    private static func attempt<T: ~Copyable>(_ body: () throws(SystemError) -> T) throws(FileReadError) -> T {
        do throws(SystemError) { return try body() } catch { throw .system(error) }
    }

    private static func read(_ fd: Int32, into bytes: inout [UInt8], from position: Int) throws(SystemError) -> Int {
        let result = bytes.withUnsafeMutableBytes { buffer -> Result<Int?, SystemError> in
            do throws(SystemError) {
                return .success(
                    try Syscalls.read(fd, into: UnsafeMutableRawBufferPointer(rebasing: buffer[position...])))
            } catch { return .failure(error) }
        }
        return try result.get() ?? 0
    }
}

public enum AtomicFile {
    /// Puts a file with these bytes in place in one step: readers see the old or the new one whole, also after a
    /// crash of the machine. A link is followed: the file it leads to is replaced, beside itself, or made. Another
    /// user's file is left alone, even if we could replace it: its owner put it there.
    ///
    /// - Parameters:
    ///   - path: Its name.
    ///   - bytes: All that it is to hold.
    ///   - mode: Permission bits, independent of the umask.
    ///   - durable: Whether to wait until file and directory are on disk.
    public static func replace(
        _ path: FilePath, with bytes: [UInt8], mode: UInt32 = 0o600, durable: Bool = true
    ) throws(SystemError) {
        let target = try resolved(path)
        try requireOurs(target)
        let temporary = try write(bytes, beside: target, mode: mode, durable: durable)
        do throws(SystemError) {
            try Syscalls.rename(temporary, to: target)
        } catch {
            discard(temporary)
            throw error
        }
        if durable { try synchronizeDirectory(of: target) }
    }

    /// Changes a file of another program without losing what that program writes meanwhile.
    ///
    /// The new file is exchanged with the old one in one step (RENAME_EXCHANGE), and what came out is compared with
    /// what was read: if somebody wrote in between, their text goes back at once, and the change is made to it.
    /// The other program has to write as we do, by renaming; what it writes into a file that it holds open is its own
    /// and lost with it.
    ///
    /// - Parameters:
    ///   - limit: The largest size taken, in bytes.
    ///   - path: Its name.
    ///   - mode: Permission bits of a file that is made.
    ///   - change: Gets the present bytes (nil: no file) and returns the new ones, or nil to leave the file alone.
    /// - Returns: Whether the file was changed.
    /// - Throws: Why it could not be read or written, or that it is not ours; the file is as it was.
    @discardableResult
    public static func merge(
        _ path: FilePath, limit: Int, mode: UInt32 = 0o600, change: ([UInt8]?) throws -> [UInt8]?
    ) throws -> Bool {
        let target = try resolved(path)
        var base: [UInt8]? = try present(target, limit: limit)
        for _ in 0..<16 {
            guard let new = try change(base) else { return false }
            try requireOurs(target)
            let temporary = try write(new, beside: target, mode: mode, durable: false)
            if base == nil {
                do throws(SystemError) {
                    try Syscalls.renameIfAbsent(temporary, to: target)
                    return true
                } catch {
                    discard(temporary)
                    guard error.errno == .fileExists else { throw error }
                    base = try present(target, limit: limit)
                    continue
                }
            }
            do throws(SystemError) {
                try Syscalls.exchange(temporary, target)
            } catch {
                discard(temporary)
                guard error.errno == .noSuchFileOrDirectory else { throw error }
                base = nil
                continue
            }
            do {
                try requireOurs(temporary, as: target)
                if try present(temporary, limit: limit) == base {
                    discard(temporary)
                    return true
                }
            } catch {
                // Theirs, and nothing that we can read: it is not ours to replace.
                try putBack(temporary, target, ours: new, limit: limit)
                throw error
            }
            try putBack(temporary, target, ours: new, limit: limit)
            base = try present(target, limit: limit)
        }
        throw SystemError(call: "merge", subject: path.shown, errno: .resourceTemporarilyUnavailable)
    }

    /// Gives a name back to the file that was exchanged away from it, or to one that came since.
    private static func putBack(_ theirs: FilePath, _ target: FilePath, ours: [UInt8], limit: Int) throws(SystemError) {
        // What the name should hold now: ours, then what was put back.
        var expected: [UInt8]? = ours
        for _ in 0..<64 {
            let old = content(theirs, limit: limit)
            do throws(SystemError) {
                try Syscalls.exchange(theirs, target)
            } catch {
                // Somebody removed the file; what was there before is older than that.
                discard(theirs)
                guard error.errno == .noSuchFileOrDirectory else { throw error }
                return
            }
            let out = content(theirs, limit: limit)
            if out == expected {
                discard(theirs)
                return
            }
            // They wrote once more in between: that is the newest, and goes back in turn.
            expected = old
        }
        throw SystemError(call: "merge", subject: target.shown, errno: .resourceTemporarilyUnavailable)
    }

    /// For a comparison only; nil for what cannot be read.
    private static func content(_ path: FilePath, limit: Int) -> [UInt8]? {
        do throws(FileReadError) { return try RegularFile.read(path, limit: limit).bytes } catch { return nil }
    }

    private static func present(_ path: FilePath, limit: Int) throws -> [UInt8]? {
        do throws(FileReadError) {
            return try RegularFile.read(path, limit: limit).bytes
        } catch {
            if error.isAbsence { return nil }
            throw error
        }
    }

    /// Linux follows at most 40 links in one name (path_resolution(7)).
    private static let linksMax = 40

    /// Where a chain of links ends, also if nothing stands there yet: a link that dangles stays a link, and what it
    /// leads to is made.
    private static func resolved(_ path: FilePath) throws(SystemError) -> FilePath {
        var path = path
        for _ in 0...linksMax {
            do throws(SystemError) {
                let target = try Syscalls.linkTarget(path)
                // Not shortened: what ".." means is for the kernel to say, behind links in the way.
                path = target.isAbsolute ? target : path.directory.pushing(target)
            } catch {
                // EINVAL: it is no link; ENOENT: nothing is there.
                guard error.errno == .invalidArgument || error.errno == .noSuchFileOrDirectory else { throw error }
                return path
            }
        }
        throw SystemError(call: "readlink", subject: path.shown, errno: .tooManySymbolicLinkLevels)
    }

    /// Refuses what is not ours to replace: another user's file, whoever may write it, and what is no regular file.
    ///
    /// - Parameter name: What it is called, where it is looked at under another name.
    private static func requireOurs(_ target: FilePath, as name: FilePath? = nil) throws(SystemError) {
        let status: FileStatus
        do throws(SystemError) { status = try Syscalls.status(of: target, followingLinks: false) } catch {
            guard error.errno == .noSuchFileOrDirectory else { throw error }
            return
        }
        func refusal(_ why: String, _ errno: Errno) -> SystemError {
            SystemError(call: "replace", subject: "\((name ?? target).shown) (\(why))", errno: errno)
        }
        guard status.owner == geteuid() else { throw refusal("it belongs to user \(status.owner)", .notPermitted) }
        switch status.kind {
        case .regular: break
        // It has become one since it was looked at.
        case .link: throw refusal("it is a link again", .resourceTemporarilyUnavailable)
        case .directory: throw refusal("it is a directory", .isDirectory)
        default: throw refusal("it is no regular file", .invalidArgument)
        }
    }

    private static func write(
        _ bytes: [UInt8], beside target: FilePath, mode: UInt32, durable: Bool
    ) throws(SystemError) -> FilePath {
        // Only the beginning of the name: with ours it must not be longer than the 255 bytes that a name may have.
        let random = String(UInt32.random(in: .min ... .max), radix: 36)
        let name = [UInt8(ascii: ".")] + target.lastName.prefix(200) + Array(".gasclawd-\(getpid())-\(random)".utf8)
        let temporary = target.directory.entry(name)
        let file = try Syscalls.open(temporary, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: mode)
        do throws(SystemError) {
            try Syscalls.setMode(file.raw, mode)
            try Syscalls.writeAll(file.raw, bytes)
            if durable { try Syscalls.synchronize(file.raw) }
        } catch {
            discard(temporary)
            throw error
        }
        return temporary
    }

    private static func synchronizeDirectory(of path: FilePath) throws(SystemError) {
        let directory = try Syscalls.open(path.directory, flags: O_RDONLY | O_DIRECTORY)
        try Syscalls.synchronize(directory.raw)
    }

    private static func discard(_ path: FilePath) {
        // The caller reports why the write failed; a leftover that cannot be removed adds nothing to that.
        do throws(SystemError) { try Syscalls.unlink(path) } catch {}
    }
}
