// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// `[[alerts]]`: who is told, of what, and how often.
@Suite(.serialized) struct AlertTests {
    /// A receiver that keeps what it is told.
    private func receiver(_ town: MiniatureTown, _ name: String, _ more: String = "") throws -> String {
        let path = "\(town.directory)/\(name)"
        let script = """
            #!/bin/sh
            cat /proc/$$/environ > \(path).environment
            cat >> \(path).told
            \(more)

            """
        try Disk.replace(path, Array(script.utf8), mode: 0o755)
        return path
    }

    private func told(_ town: MiniatureTown, _ name: String) throws -> [JSONValue] {
        try (Disk.read("\(town.directory)/\(name).told") ?? []).split(separator: 10).map { try JSONValue(parsing: $0) }
    }

    private func rule(_ types: String, _ command: String) -> String {
        "[[alerts]]\non = [\(types)]\ncommand = [\"\(command)\"]\n"
    }

    @Test func aConditionIsToldOnceAcrossARestartAndThenThatItIsOver() throws {
        try withTown(keys: 1) { town in
            let path = try receiver(town, "notify")
            try town.configure(sections: rule(#""keys.exhausted""#, path))
            try town.startDaemon()
            try town.gasclawd("keys", "disable", town.keys[0].id)
            try eventually("the alert") { try told(town, "notify").count == 1 }
            let first = try told(town, "notify")[0]
            #expect(first["type"]?.string == "keys.exhausted" && first["seq"]?.integer != nil)
            let environment = try #require(try Disk.read(path + ".environment")).split(separator: 0)
            #expect(Set(environment.map { text($0.prefix { $0 != 61 }) }) == ["HOME", "PATH"])
            // Told by then, also on disk.
            try eventually("the note of it") {
                try Disk.text(town.state + "/alerts.json")?.contains("\"told\":true") == true
            }
            try town.endDaemon(SIGKILL)
            try town.startDaemon()
            try eventually("the state as it was") { try town.status()?["state"]?.string == "degraded" }
            try town.gasclawd("keys", "enable", town.keys[0].id)
            try eventually("the recovery") { try told(town, "notify").count == 2 }
            let recovery = try told(town, "notify")[1]
            #expect(recovery["type"]?.string == "alert.recovered" && recovery["recovered"]?.bool == true)
            #expect(recovery["condition"]?.string == "keys.exhausted")
            try town.gasclawd("keys", "disable", town.keys[0].id)
            try eventually("the next alert") { try told(town, "notify").count == 3 }
        }
    }

    @Test func aReceiverThatIsAddedLaterIsToldAndOneThatIsTakenOutIsNot() throws {
        try withTown(keys: 1) { town in
            let (first, second) = (try receiver(town, "first"), try receiver(town, "second"))
            try town.configure(sections: rule(#""keys.exhausted""#, first))
            try town.startDaemon()
            let events = try town.events()
            try town.configure(sections: rule(#""keys.exhausted""#, second))
            try events.next("config.applied")
            try town.gasclawd("keys", "disable", town.keys[0].id)
            try eventually("the alert") { try told(town, "second").count == 1 }
            #expect(try told(town, "first").isEmpty)
        }
    }

    @Test func aReceiverThatFailsOrHangsDelaysNobody() throws {
        try withTown(keys: 2) { town in
            let failing = try receiver(town, "failing", "echo no sk-kimi-\(town.keys[0].randomPart) >&2; exit 3")
            let hanging = try receiver(
                town, "hanging",
                "echo $$ >\(town.directory)/hanging.pids; sleep 600 & echo $! >>\(town.directory)/hanging.pids; sleep 600"
            )
            let good = try receiver(town, "good")
            let types = #""key.activated", "daemon.stopping""#
            try town.configure(
                sections: rule(types, failing) + rule(types, hanging) + rule(types, good)
                    + rule(types, town.directory + "/absent"))
            try town.startDaemon()
            for _ in 0..<3 { try town.gasclawd("keys", "rotate") }
            try eventually("all alerts") { try told(town, "good").count == 4 && told(town, "failing").count == 4 }
            #expect(try told(town, "hanging").count == 1)
            try eventually("the failures in the log") {
                let log = try Disk.text(town.log) ?? ""
                return log.contains("exit 3: no [key]") && log.contains("/absent")
            }
            let log = try Disk.text(town.log) ?? ""
            #expect(!log.contains(town.keys[0].randomPart.prefix(8)))
            // The last alert is handed over before the end, which a hanging receiver cannot put off for long.
            #expect(try town.endDaemon() == .exited(0))
            #expect(try told(town, "good").last?["type"]?.string == "daemon.stopping")
            // Nor does it outlive us, with what it has started.
            let pids = (try Disk.text(town.directory + "/hanging.pids") ?? "").split(separator: "\n").compactMap {
                Int32($0)
            }
            #expect(pids.count == 2 && pids.allSatisfy { !Program.isAlive($0) })
        }
    }

    @Test func aURLGetsThePostByCurlWithNothingInItsArguments() throws {
        guard Environment.find("curl") != nil else { return }
        try withTown(keys: 1) { town in
            let server = try LoopbackServer()
            try town.configure(
                sections:
                    "[[alerts]]\non = [\"keys.exhausted\"]\nurl = \"http://127.0.0.1:\(server.port)/hook/s3cret?a=b\"\n"
            )
            try town.startDaemon()
            try town.gasclawd("keys", "disable", town.keys[0].id)
            let request = try server.request { pids in
                // While it is under way its arguments are seen by every user of the machine.
                for pid in pids {
                    let line = try Disk.text("/proc/\(pid)/cmdline") ?? ""
                    #expect(!line.contains("s3cret"))
                }
            }
            #expect(request.hasPrefix("POST /hook/s3cret?a=b HTTP/1.1\r\n"))
            #expect(request.lowercased().contains("content-type: application/json"))
            let body = try #require(request.split(separator: "\r\n\r\n").last)
            #expect(try JSONValue(parsing: body.utf8)["type"]?.string == "keys.exhausted")
            let state = try Disk.text(town.state + "/alerts.json") ?? ""
            #expect(!state.contains("s3cret"))
        }
    }

    @Test func whatCannotBeAnAlertIsRefused() throws {
        try withTown { town in
            for (section, words) in [
                ("[[alerts]]\non = [\"keys.exhaustd\"]\ncommand = [\"/bin/true\"]", "did you mean \"keys.exhausted\""),
                ("[[alerts]]\non = [\"keys.exhausted\"]\ncommand = \"/bin/true\"", "must be a list"),
                ("[[alerts]]\non = [\"keys.exhausted\"]\ncommand = [\"true\"]", "absolute path"),
                ("[[alerts]]\non = [\"keys.exhausted\"]\nurl = \"http://example.org/x\"", "must be https"),
                ("[[alerts]]\non = [\"keys.exhausted\"]", "needs a command or a url"),
            ] {
                try town.configure(sections: section)
                let result = try town.gasclawd("check")
                #expect(result.status == .exited(78) && text(result.errors).contains(words), "\(text(result.errors))")
            }
        }
    }
}

/// Takes one request on a port of its own.
private final class LoopbackServer {
    private let listener: Int32
    let port: UInt16

    init() throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let fd = listener
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(fd, $0, length) == 0 ? getsockname(fd, $0, &length) : -1
            }
        }
        guard code == 0, listen(listener, 4) == 0 else { throw TownError("no port: \(Errno(rawValue: errno))") }
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(listener) }

    /// - Parameter meanwhile: Called with the running curls before the request is answered.
    func request(meanwhile: ([Int32]) throws -> Void) throws -> String {
        var connection: Int32 = -1
        try eventually("a connection") {
            connection = accept(listener, nil, nil)
            return connection >= 0
        }
        defer { close(connection) }
        try meanwhile(
            ProcessTable.all().filter { ProcessTable.status(of: $0).map { $0.name == Array("curl".utf8) } ?? false })
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        // The body is one JSON object.
        while !(text(bytes).contains("\r\n\r\n") && bytes.last == UInt8(ascii: "}")) {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { break }
            bytes += buffer.prefix(count)
        }
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        _ = write(connection, answer, answer.utf8.count)
        return text(bytes)
    }
}
