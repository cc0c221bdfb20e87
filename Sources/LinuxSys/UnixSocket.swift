// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc
import SystemPackage

/// A stream socket of the local domain (unix(7)), for programs that wait for their answer: commands and launcher.
public struct UnixSocket: ~Copyable {
    private let descriptor: Descriptor

    /// Connects. A peer that takes nothing in is an error after at most a second, here and in `send`.
    ///
    /// - Throws: ENOENT or ECONNREFUSED where nobody listens, EAGAIN where too many wait already.
    public init(connectingTo path: FilePath) throws(SystemError) { descriptor = try Self.connect(path) }

    private static func connect(_ path: FilePath) throws(SystemError) -> Descriptor {
        // An address holds 107 bytes; a longer path is reached through its directory's descriptor.
        let directory = try Syscalls.open(
            path.directory, flags: Syscalls.pathOnly | O_DIRECTORY)
        let short = Array("/proc/self/fd/\(directory.raw)/".utf8) + path.lastName
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard short.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemError(call: "connect", subject: path.shown, errno: .fileNameTooLong)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: short) }
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let connection = Descriptor(owning: try Syscalls.check("socket") { socket(AF_UNIX, type, 0) })
        let raw = connection.raw
        // Without it connect(2) waits for ever behind a listener whose backlog is full (unix(7), socket(7)).
        var patience = timeval(tv_sec: 1, tv_usec: 0)
        _ = try Syscalls.check("setsockopt") {
            setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        }
        _ = try Syscalls.check("connect", path) {
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
        return connection
    }

    /// Sends all bytes.
    public func send(_ bytes: [UInt8]) throws(SystemError) { try Syscalls.writeAll(descriptor.raw, bytes) }

    /// Closes our half: the peer sees the end, and can still answer (shutdown(2)).
    public func finishSending() throws(SystemError) {
        _ = try Syscalls.check("shutdown") { shutdown(descriptor.raw, Int32(SHUT_WR)) }
    }

    /// Waits for bytes.
    ///
    /// - Parameters:
    ///   - deadline: On the clock of `EventLoop.now`; nil waits for ever.
    ///   - output: A pipe into which what comes is written: there is nothing to wait for when nobody reads it. nil: none.
    /// - Returns: Empty at the end of the stream.
    /// - Throws: ETIMEDOUT at the deadline; EPIPE when the reader of `output` has gone (poll(2), `POLLERR`).
    public func receive(until deadline: Int64?, for output: Int32? = nil) throws(SystemError) -> [UInt8] {
        // poll(2) passes over a negative descriptor.
        var polls = [
            pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0),
            pollfd(fd: output ?? -1, events: 0, revents: 0),
        ]
        while true {
            var wait: Int32 = -1
            if let deadline {
                let left = deadline - EventLoop.now
                guard left > 0 else { throw SystemError(call: "read", subject: "socket", errno: .timedOut) }
                wait = Int32(min(left / 1_000_000 + 1, 3_600_000))
            }
            let count = Glibc.poll(&polls, nfds_t(polls.count), wait)
            if count > 0 {
                // What has come is taken before its reader is missed.
                if polls[0].revents != 0 { break }
                throw SystemError(call: "write", subject: "output", errno: .brokenPipe)
            }
            if count < 0, errno != EINTR {
                throw SystemError(call: "poll", subject: "socket", errno: Errno(rawValue: errno))
            }
        }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let raw = descriptor.raw
        let result = buffer.withUnsafeMutableBytes { bytes -> Result<Int?, SystemError> in
            do throws(SystemError) { return .success(try Syscalls.read(raw, into: bytes)) } catch {
                return .failure(error)
            }
        }
        let count = try result.get() ?? 0
        buffer.removeLast(buffer.count - count)
        return buffer
    }
}
