// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import SystemPackage

/// Who listens on a port, and who holds a lock: read from /proc, without touching either.
public enum Holders {
    /// A socket that listens.
    public struct Listener: Sendable, Hashable {
        public let userID: UInt32
        /// nil where the process is another user's, or outside of our PID namespace.
        public let pid: Int32?
    }

    /// Whoever listens on a TCP port of this machine (proc(5), /proc/net/tcp).
    public static func listener(port: UInt16) throws(FileReadError) -> Listener? {
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let bytes: [UInt8]
            do throws(FileReadError) {
                bytes = try RegularFile.read(FilePath(table), limit: 32 << 20).bytes
            } catch  where error.isAbsence {
                // A kernel without IPv6.
                continue
            }
            guard let socket = listening(port: port, in: bytes) else { continue }
            return Listener(userID: socket.userID, pid: owner(ofSocket: socket.inode))
        }
        return nil
    }

    /// `  0: 0100007F:0CEB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 12345 …`
    static func listening(port: UInt16, in table: [UInt8]) -> (userID: UInt32, inode: UInt64)? {
        for line in table.split(separator: 10).dropFirst() {
            let fields = line.split(separator: 32).map { String(decoding: $0, as: UTF8.self) }
            // 0A is TCP_LISTEN (include/net/tcp_states.h).
            guard fields.count > 9, fields[3] == "0A", let colon = fields[1].lastIndex(of: ":"),
                UInt16(fields[1][fields[1].index(after: colon)...], radix: 16) == port,
                let userID = UInt32(fields[7]), let inode = UInt64(fields[9])
            else { continue }
            return (userID, inode)
        }
        return nil
    }

    /// What a process's descriptors lead to (proc(5), `/proc/PID/fd`); empty where it is not ours to look into.
    public static func targets(of pid: Int32) -> [FilePath] {
        do throws(SystemError) {
            let directory = try Syscalls.open(FilePath("/proc/\(pid)/fd"), flags: Syscalls.directory)
            return try Syscalls.names(inDirectory: directory.raw).compactMap { name in
                // One may be closed meanwhile.
                do throws(SystemError) {
                    return try Syscalls.linkTarget(FilePath(String(decoding: name, as: UTF8.self)), at: directory.raw)
                } catch { return nil }
            }
        } catch { return [] }
    }

    private static func owner(ofSocket inode: UInt64) -> Int32? {
        ProcessTable.all().first { !descriptors(of: $0, ofKind: "socket:[\(inode)]").isEmpty }
    }

    /// The numbers of a process's descriptors that the kernel describes by exactly these words, such as
    /// `anon_inode:inotify` (proc(5), `/proc/PID/fd`); empty where it has ended or is not ours to look into.
    public static func descriptors(of pid: Int32, ofKind kind: String) -> [[UInt8]] {
        let kind = Array(kind.utf8)
        do throws(SystemError) {
            let directory = try Syscalls.open(FilePath("/proc/\(pid)/fd"), flags: Syscalls.directory)
            return try Syscalls.names(inDirectory: directory.raw)
                .filter { Syscalls.isLink(name: $0, in: directory.raw, to: kind) }
        } catch {
            return []
        }
    }

    /// Whoever holds a lock on a file, of flock(2) or fcntl(2) (proc(5), /proc/locks); nil if nobody does or the file is
    /// not there. Nothing is locked to find out.
    public static func lockHolder(_ path: FilePath) throws(FileReadError) -> Int32? { try lockHolders(path).first }

    /// All who hold one: shared locks have several holders. The process that took it is meant, which may have ended and
    /// left it to a child; those outside of our PID namespace are missing.
    public static func lockHolders(_ path: FilePath) throws(FileReadError) -> [Int32] {
        let inode: UInt64
        do throws(SystemError) { inode = try Syscalls.status(of: path).identity.inode } catch { return [] }
        return lockHolders(of: inode, in: try RegularFile.read("/proc/locks", limit: 8 << 20).bytes)
    }

    /// `1: FLOCK  ADVISORY  WRITE 4711 08:01:131072 0 EOF`; the device is not compared: file systems with subvolumes
    /// show another one than stat(2) does.
    static func lockHolders(of inode: UInt64, in table: [UInt8]) -> [Int32] {
        table.split(separator: 10).compactMap { line in
            let fields = line.split(separator: 32).map { String(decoding: $0, as: UTF8.self) }
            // `1: -> FLOCK …` waits for it.
            guard fields.count >= 6, fields[1] != "->", let pid = Int32(fields[4]), pid > 0,
                fields[5].split(separator: ":").last.flatMap({ UInt64($0) }) == inode
            else { return nil }
            return pid
        }
    }
}
