// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc
import SystemPackage

// Calls on a name inside an open directory. Names are bytes; they never pass through a path, which would cost more than
// the call does where there are many of them.
extension Syscalls {
    /// Opens what a name in a directory leads to. The corresponding C function is `openat`; O_CLOEXEC is always set.
    public static func open(name: [UInt8], flags: Int32, in directory: Int32) throws(SystemError) -> Descriptor {
        Descriptor(
            owning: try check("openat", FilePath(bytes: name)) {
                withName(name) { gcl_openat(directory, $0, flags | O_CLOEXEC, 0) }
            })
    }

    /// What a name in a directory is; of a link the link itself. The corresponding C function is `fstatat` with
    /// AT_SYMLINK_NOFOLLOW.
    ///
    /// - Returns: nil if there is no such name, which is so usual that it is no error.
    public static func status(ofName name: [UInt8], in directory: Int32) throws(SystemError) -> FileStatus? {
        var buffer = stat()
        var isThere = true
        _ = try check("fstatat", FilePath(bytes: name)) {
            let result = withName(name) { fstatat(directory, $0, &buffer, AT_SYMLINK_NOFOLLOW) }
            if result < 0, Glibc.errno == ENOENT {
                isThere = false
                return 0
            }
            return result
        }
        return isThere ? FileStatus(buffer) : nil
    }

    /// The names in an open directory but `.` and `..`, as bytes, in the kernel's order.
    ///
    /// The corresponding C function is `getdents64`; the descriptor stays as it is, and may be one of O_PATH.
    public static func names(inDirectory fd: Int32) throws(SystemError) -> [[UInt8]] {
        var names: [[UInt8]] = []
        try eachEntry(of: fd) { name, _ in names.append(name) }
        return names
    }

    /// Calls with each name in an open directory but `.` and `..`, in the kernel's order, and with what it is; nil if the
    /// file system does not say that along with the name.
    ///
    /// - Parameters:
    ///   - fd: The directory, which may be one of O_PATH.
    ///   - isReadable: The descriptor is open for reading and stands at its beginning: it is read itself, and not the
    ///     directory once more.
    ///   - body: Called with each name and what it is.
    public static func eachEntry(
        of fd: Int32, isReadable: Bool = false, _ body: ([UInt8], FileStatus.Kind?) -> Void
    ) throws(SystemError) {
        if isReadable { return try readEntries(of: fd, body) }
        let copy = try open(name: [UInt8(ascii: ".")], flags: O_RDONLY | O_DIRECTORY, in: fd)
        try readEntries(of: copy.raw, body)
    }

    private static func readEntries(of fd: Int32, _ body: ([UInt8], FileStatus.Kind?) -> Void) throws(SystemError) {
        let space = UnsafeMutableRawBufferPointer.allocate(byteCount: 32 << 10, alignment: 8)
        defer { space.deallocate() }
        // struct linux_dirent64 (getdents64(2)): inode, offset, the length of the record, type, name.
        let (typeStart, nameStart) = (18, 19)
        while true {
            let count = Int(
                try check("getdents64") { Int32(gcl_getdents64(fd, space.baseAddress, UInt(space.count))) })
            if count == 0 { return }
            var position = 0
            while position + nameStart <= count {
                let length = Int(space.loadUnaligned(fromByteOffset: position + 16, as: UInt16.self))
                guard length > nameStart, position + length <= count else { break }
                let name = space[(position + nameStart)..<(position + length)].prefix { $0 != 0 }
                if !name.elementsEqual([46]), !name.elementsEqual([46, 46]) {
                    body(Array(name), FileStatus.Kind(entry: space[position + typeStart]))
                }
                position += length
            }
        }
    }

    /// Whether a name in an open directory is a link with exactly that text. The corresponding C function is
    /// `readlinkat`; a name that is gone or no link is none.
    public static func isLink(name: [UInt8], in directory: Int32, to target: [UInt8]) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: target.count + 1, alignment: 1) { space in
            let count = withName(name) { name in
                space.withMemoryRebound(to: CChar.self) { buffer in
                    buffer.baseAddress.map { Int32(readlinkat(directory, name, $0, buffer.count)) } ?? -1
                }
            }
            return Int(count) == target.count && space.prefix(target.count).elementsEqual(target)
        }
    }

    private static func withName(_ name: [UInt8], _ body: (UnsafePointer<CChar>) -> Int32) -> Int32 {
        withUnsafeTemporaryAllocation(byteCount: name.count + 1, alignment: 1) { space in
            space.copyBytes(from: name)
            space[name.count] = 0
            return space.withMemoryRebound(to: CChar.self) { $0.baseAddress.map { body($0) } ?? -1 }
        }
    }
}
