// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import SystemdKit

/// A service manager's socket: what systemd has at NOTIFY_SOCKET.
private final class NotifySocket {
    private let folder: TemporaryFolder
    let path: FilePath
    private let descriptor: Descriptor

    init() throws {
        folder = try TemporaryFolder()
        path = folder.path.appending("notify")
        descriptor = Descriptor(owning: socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = path.bytes
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(result == 0, "a socket at \(path)")
    }

    /// The next message; empty if none came in a long time.
    func receive() -> String {
        var polled = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        guard poll(&polled, 1, 30_000) == 1 else { return "" }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(descriptor.raw, &buffer, buffer.count, 0)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }
}

/// One after the other: they change the environment of the process.
@Suite(.serialized) struct NotifierTests {
    @Test func statesArriveAsOneMessage() throws {
        let socket = try NotifySocket()
        setenv("NOTIFY_SOCKET", socket.path.string, 1)
        defer { unsetenv("NOTIFY_SOCKET") }
        #expect(Notifier().send([.ready, .status("two\nlines\u{1B}")]) == .sent)
        #expect(socket.receive() == "READY=1\nSTATUS=two lines ")
        #expect(Notifier().send([.reloading(monotonicMicroseconds: 42)]) == .sent)
        #expect(socket.receive() == "RELOADING=1\nMONOTONIC_USEC=42")
        #expect(Notifier().send([.watchdog, .errno(28), .stopping, .extendTimeout(.seconds(2))]) == .sent)
        #expect(socket.receive() == "WATCHDOG=1\nERRNO=28\nSTOPPING=1\nEXTEND_TIMEOUT_USEC=2000000")
        #expect(Notifier().send([.watchdogTrigger, .mainPID(77)]) == .sent)
        #expect(socket.receive() == "WATCHDOG=trigger\nMAINPID=77")
    }

    @Test func aSocketThatIsGoneIsAnErrorWithItsReason() throws {
        let path: String
        do {
            let socket = try NotifySocket()
            path = socket.path.string
        }
        setenv("NOTIFY_SOCKET", path, 1)
        defer { unsetenv("NOTIFY_SOCKET") }
        guard case .failed(let error) = Notifier().send([.ready]) else {
            Issue.record("it was not said")
            return
        }
        #expect(error.errno == .noSuchFileOrDirectory)
    }

    @Test func withoutASocketNobodyIsTold() {
        unsetenv("NOTIFY_SOCKET")
        #expect(Notifier().send([.ready]) == .notUnderSystemd)
    }

    @Test func theWatchdogsTimeIsReadIfItIsOurs() {
        defer {
            unsetenv("WATCHDOG_USEC")
            unsetenv("WATCHDOG_PID")
        }
        #expect(Watchdog.interval() == nil)
        setenv("WATCHDOG_USEC", "30000000", 1)
        #expect(Watchdog.interval() == .seconds(30))
        setenv("WATCHDOG_PID", "\(getpid())", 1)
        #expect(Watchdog.interval() == .seconds(30))
        setenv("WATCHDOG_PID", "1", 1)
        #expect(Watchdog.interval() == nil, "it is another process's")
        unsetenv("WATCHDOG_PID")
        setenv("WATCHDOG_USEC", "soon", 1)
        #expect(Watchdog.interval() == nil)
    }

    @Test func whatSystemdGivesUsIsKeptFromChildren() {
        let names = ServiceEnvironment.names
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "JOURNAL_STREAM"] {
            #expect(names.contains(name))
        }
        #expect(Set(names).count == names.count)
    }
}
