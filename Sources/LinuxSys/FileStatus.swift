// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import Timekeeping

/// What `stat(2)` says about a file.
public struct FileStatus: Hashable, Sendable {
    public enum Kind: Sendable { case regular, directory, link, fifo, socket, device }

    public let device: UInt64
    public let inode: UInt64
    public let kind: Kind
    /// Permission bits alone.
    public let mode: UInt32
    public let owner: UInt32
    public let size: Int64
    /// How many names it has; 0: it was removed, and only who has it open can read it.
    public let links: UInt64
    /// Modification and status change in nanoseconds since the epoch.
    public let modified: Int64
    public let changed: Int64

    init(_ raw: stat) {
        device = UInt64(raw.st_dev)
        inode = UInt64(raw.st_ino)
        switch raw.st_mode & S_IFMT {
        case S_IFREG: kind = .regular
        case S_IFDIR: kind = .directory
        case S_IFLNK: kind = .link
        case S_IFIFO: kind = .fifo
        case S_IFSOCK: kind = .socket
        default: kind = .device
        }
        mode = raw.st_mode & 0o7777
        owner = raw.st_uid
        size = Int64(raw.st_size)
        links = UInt64(raw.st_nlink)
        modified = Int64(raw.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(raw.st_mtim.tv_nsec)
        changed = Int64(raw.st_ctim.tv_sec) &* 1_000_000_000 &+ Int64(raw.st_ctim.tv_nsec)
    }

    /// Which file it is, whatever it is called: device and inode.
    public var identity: FileIdentity { FileIdentity(device: device, inode: inode) }

    /// When the file was last modified.
    public var modifiedAt: Timestamp { Timestamp(microseconds: modified / 1000) }
}

extension FileStatus.Kind {
    /// From the type in an entry of a directory (readdir(3), `d_type`); nil if the file system does not say it.
    init?(entry type: UInt8) {
        switch Int(type) {
        case DT_REG: self = .regular
        case DT_DIR: self = .directory
        case DT_LNK: self = .link
        case DT_FIFO: self = .fifo
        case DT_SOCK: self = .socket
        case DT_CHR, DT_BLK: self = .device
        default: return nil
        }
    }
}

/// Device and inode: which file it is. An inode number can be used again after its file is gone.
public struct FileIdentity: Hashable, Sendable {
    public let device: UInt64
    public let inode: UInt64

    public init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}
