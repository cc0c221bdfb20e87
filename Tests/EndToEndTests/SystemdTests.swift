// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// What systemd is told, on a socket that stands in for its own.
@Suite(.serialized) struct SystemdTests {
    @Test func readyStatusAndStoppingAreTold() throws {
        try withTown { town in
            let socket = try NotifySocket(town.directory + "/notify")
            try town.startDaemon(["NOTIFY_SOCKET": socket.path])
            let ready = try socket.next { $0.contains("READY=1") }
            #expect(ready.contains { $0.hasPrefix("STATUS=3 keys") })
            let events = try town.events()
            try town.write(CanaryKey(), to: "4")
            try events.next("key.added") { $0["account"]?.string == "4" }
            _ = try socket.next { $0.contains { $0.hasPrefix("STATUS=4 keys") } }
            #expect(try town.endDaemon() == .exited(0))
            _ = try socket.next { $0.contains("STOPPING=1") }
        }
    }

    @Test func theWatchdogIsFedOnlyWhileTheLoopAnswers() throws {
        try withTown { town in
            let socket = try NotifySocket(town.directory + "/notify")
            try town.startDaemon(["NOTIFY_SOCKET": socket.path, "WATCHDOG_USEC": "400000"])
            for _ in 1...3 { _ = try socket.next { $0.contains("WATCHDOG=1") } }
            let pid = try town.daemonPID
            kill(pid, SIGSTOP)
            try eventually("the daemon to stand still") { ProcessTable.status(of: pid)?.state == UInt8(ascii: "T") }
            socket.drain()
            #expect(!socket.waits(for: .seconds(1)), "nobody speaks for a process that stands still")
            kill(pid, SIGCONT)
            _ = try socket.next { $0.contains("WATCHDOG=1") }
        }
    }

    @Test func itsChildrenCannotSpeakInItsName() throws {
        try withTown { town in
            let socket = try NotifySocket(town.directory + "/notify")
            try town.install()
            try town.startDaemon(["NOTIFY_SOCKET": socket.path, "WATCHDOG_USEC": "60000000", "INVOCATION_ID": "x"])
            let ada = try town.startCrew("ada")
            let events = try town.events()
            try town.gasclawd("keys", "rotate")
            try events.next("agent.reload.finished")
            let environment = (ProcessTable.environment(of: try town.pid(of: ada)) ?? []).map { text($0) }
            for name in ["NOTIFY_SOCKET=", "WATCHDOG_USEC=", "INVOCATION_ID="] {
                #expect(!environment.contains { $0.hasPrefix(name) })
            }
        }
    }
}

/// A service manager's socket (sd_notify(3)).
private final class NotifySocket {
    let path: String
    private let descriptor: Descriptor

    init(_ path: String) throws {
        self.path = path
        descriptor = Descriptor(owning: socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw TownError("bind \(path): \(Errno(rawValue: errno))") }
    }

    /// The lines of the next message that fits.
    func next(where matches: ([String]) -> Bool) throws -> [String] {
        let deadline = EventLoop.now + 60_000_000_000
        while EventLoop.now < deadline {
            guard waits(for: .seconds(1)) else { continue }
            let lines = receive()
            if matches(lines) { return lines }
        }
        throw TownError("systemd was not told")
    }

    /// Whether a message comes within the time.
    func waits(for time: Duration) -> Bool {
        var polled = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        return poll(&polled, 1, Int32(time.components.seconds * 1000)) == 1
    }

    func drain() { while waits(for: .zero) { _ = receive() } }

    private func receive() -> [String] {
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = recv(descriptor.raw, &buffer, buffer.count, 0)
        return text(buffer.prefix(max(0, count))).split(separator: "\n").map(String.init)
    }
}
