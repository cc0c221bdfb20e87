// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import SystemPackage

/// A file of fixed size in memory, shared with the kernel (mmap(2)): what is written into it survives the death of the
/// process at any instant.
public final class MappedFile {
    private let start: UnsafeMutableRawPointer
    public let count: Int

    /// Opens or makes the file.
    ///
    /// Its space is taken at once: a hole that cannot be filled when the disk is full would be a SIGBUS.
    ///
    /// - Parameters:
    ///   - count: Its size, in bytes.
    ///   - path: Its name.
    public init(_ path: FilePath, count: Int) throws(SystemError) {
        let file = try Syscalls.open(path, flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
        let descriptor = file.raw
        let status = try Syscalls.status(of: descriptor)
        guard status.kind == .regular else {
            throw SystemError(call: "mmap", subject: path.shown, errno: .invalidArgument)
        }
        let code = posix_fallocate(descriptor, 0, off_t(count))
        guard code == 0 else {
            throw SystemError(call: "posix_fallocate", subject: path.shown, errno: Errno(rawValue: code))
        }
        if status.size > Int64(count) {
            _ = try Syscalls.check("ftruncate", path) { ftruncate(descriptor, off_t(count)) }
        }
        let address = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let address, address != MAP_FAILED else {
            throw SystemError(call: "mmap", subject: path.shown, errno: Errno(rawValue: errno))
        }
        start = address
        self.count = count
    }

    deinit { munmap(start, count) }

    /// The bytes at an offset.
    public func bytes(at offset: Int, count: Int) -> [UInt8] {
        precondition(offset >= 0 && count >= 0 && offset + count <= self.count)
        return Array(UnsafeRawBufferPointer(start: start + offset, count: count))
    }

    /// Writes bytes at an offset.
    public func write(_ bytes: some Collection<UInt8>, at offset: Int) {
        precondition(offset >= 0 && offset + bytes.count <= count)
        UnsafeMutableRawBufferPointer(start: start + offset, count: bytes.count).copyBytes(from: bytes)
    }
}
