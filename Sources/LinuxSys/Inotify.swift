// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc
import SystemPackage

/// One instance of inotify(7).
public final class Inotify {
    /// What the kernel reported, as bytes: names need not be UTF-8.
    public struct Event: Sendable {
        /// The watch descriptor, -1 for an overflow of the queue.
        public let watch: Int32
        public let mask: Mask
        /// The name inside the watched directory; empty if the event is about the directory itself.
        public let name: [UInt8]
    }

    public struct Mask: OptionSet, Hashable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        public static let modified = Mask(rawValue: UInt32(IN_MODIFY))
        public static let attributes = Mask(rawValue: UInt32(IN_ATTRIB))
        public static let closedAfterWriting = Mask(rawValue: UInt32(IN_CLOSE_WRITE))
        public static let movedFrom = Mask(rawValue: UInt32(IN_MOVED_FROM))
        public static let movedTo = Mask(rawValue: UInt32(IN_MOVED_TO))
        public static let created = Mask(rawValue: UInt32(IN_CREATE))
        public static let deleted = Mask(rawValue: UInt32(IN_DELETE))
        public static let selfDeleted = Mask(rawValue: UInt32(IN_DELETE_SELF))
        public static let selfMoved = Mask(rawValue: UInt32(IN_MOVE_SELF))
        public static let unmounted = Mask(rawValue: UInt32(IN_UNMOUNT))
        public static let overflowed = Mask(rawValue: UInt32(IN_Q_OVERFLOW))
        public static let ignored = Mask(rawValue: UInt32(IN_IGNORED))
        public static let isDirectory = Mask(rawValue: UInt32(IN_ISDIR))
    }

    private let descriptor: Descriptor
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)

    public init() throws(SystemError) {
        descriptor = Descriptor(
            owning: try Syscalls.check("inotify_init1") {
                inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
            })
    }

    deinit { buffer.deallocate() }

    /// The descriptor to wait for on a loop.
    public var raw: Int32 { descriptor.raw }

    /// Watches a directory that is open; no path is looked up, so it is that directory and no other.
    ///
    /// Adding the same directory again gives the same number and widens its mask (IN_MASK_ADD): of two users of one
    /// directory neither takes the events of the other away.
    public func add(directory fd: Int32, mask: Mask) throws(SystemError) -> Int32 {
        try Syscalls.check("inotify_add_watch", FilePath("/proc/self/fd/\(fd)")) {
            inotify_add_watch(
                descriptor.raw, "/proc/self/fd/\(fd)",
                mask.rawValue | UInt32(IN_ONLYDIR) | UInt32(bitPattern: Int32(IN_MASK_ADD)))
        }
    }

    /// Ends a watch; the kernel answers with an `ignored` event. One that is gone already is no error.
    public func remove(_ watch: Int32) { inotify_rm_watch(descriptor.raw, watch) }

    /// Reads what is there, at most one buffer; false if there was nothing.
    public func drain(_ handler: (Event) -> Void) throws(SystemError) -> Bool {
        guard let count = try Syscalls.read(descriptor.raw, into: buffer), count > 0 else { return false }
        var position = 0
        let header = MemoryLayout<inotify_event>.size
        while position + header <= count {
            let event = UnsafeRawPointer(buffer.baseAddress.unsafelyUnwrapped + position).loadUnaligned(
                as: inotify_event.self)
            let start = position + header
            let length = Int(event.len)
            let name = UnsafeRawBufferPointer(rebasing: buffer[start..<(start + length)])
            handler(Event(watch: event.wd, mask: Mask(rawValue: event.mask), name: Array(name.prefix { $0 != 0 })))
            position = start + length
        }
        return true
    }
}
