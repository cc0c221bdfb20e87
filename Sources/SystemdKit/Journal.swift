// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CSystemd
import Glibc
import LinuxSys
import SystemPackage

/// systemd's journal, as a place to send records to.
public enum Journal {
    private static let socket = FilePath("/run/systemd/journal/socket")

    /// Whether standard error is the journal's stream, so that records belong there (systemd.exec(5), JOURNAL_STREAM).
    public static var isStandardError: Bool {
        guard let stream = CurrentProcess.environmentValue("JOURNAL_STREAM") else { return false }
        let parts = stream.split(separator: ":")
        guard parts.count == 2, let device = UInt64(parts[0]), let inode = UInt64(parts[1]) else { return false }
        do throws(SystemError) {
            let status = try Syscalls.status(of: 2)
            return status.device == device && status.inode == inode
        } catch {
            return false
        }
    }

    /// Sends a record and waits until journald has taken it, for ever if it does not read.
    ///
    /// - Parameter fields: `NAME=value` each.
    /// - Returns: Whether it was taken. `sd_journal_sendv` says so also where there is no journald at all, so its
    ///   socket is looked for.
    static func send(_ fields: [[UInt8]]) -> Bool {
        guard !fields.isEmpty, Syscalls.exists(socket) else { return false }
        // One buffer for all, so that no pointer outlives its array.
        let joined = Array(fields.joined())
        return joined.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return false }
            var position = 0
            let vectors = fields.map { field -> iovec in
                defer { position += field.count }
                return iovec(iov_base: UnsafeMutableRawPointer(mutating: base + position), iov_len: field.count)
            }
            return sd_journal_sendv(vectors, Int32(vectors.count)) == 0
        }
    }
}
