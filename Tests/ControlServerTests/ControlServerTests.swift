// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import ControlServer
import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

/// Requests that are well made, badly made, and made in pieces.
@Suite(.serialized) struct ControlServerTests {
    private func withServer(
        userID: UInt32 = getuid(), readerPatience: Duration = .seconds(30),
        answer: @escaping @Sendable (ControlCall) -> ControlReply? = Self.standard,
        _ body: (TestServer) throws -> Void
    ) throws {
        let server = try TestServer(userID: userID, readerPatience: readerPatience, answer: answer)
        do { try body(server) } catch { Issue.record("\(error)") }
        try server.close()
    }

    private static let standard: @Sendable (ControlCall) -> ControlReply? = { call in
        switch call.request {
        case .status: .value(["state": "ready"])
        case .readiness: .valueWithStatus(["ready": false], 503)
        case .lease: .failure(ControlError(code: "unavailable", message: "no key"))
        case .rotate: .failure(ControlError(code: "busy", message: "no other key"))
        case .reload: .failure(ControlError(code: "refused", message: "bad file"))
        case .events: .lines(["{\"seq\":1,\"type\":\"a\"}"], lastSeq: 1)
        case .metrics: .text("x 1\n", type: "text/plain")
        case .health: nil
        case .sighting(let report): .value(["session": .optional(report.conversation)])
        case .key(let command, let key): .value(["command": .string(command), "key": .optional(key)])
        case .service(let name, let command):
            name == "dolt"
                ? .value(["command": .string(command)])
                : .failure(ControlError(code: "not_found", message: "there is no such service"))
        case .stop: .value(["ok": true])
        case .agentsReload(let sessions):
            .value(["sessions": sessions.map { .array($0.map(JSONValue.string)) } ?? .null])
        }
    }

    private static let lease = #"{"pid":1,"cwd":"/"}"#

    @Test func eachRequestIsAnsweredWithItsStatus() throws {
        try withServer { server in
            let expected: [(method: String, target: String, body: String, status: Int, code: String?)] = [
                ("GET", "/v1/status", "", 200, nil), ("GET", "/readyz", "", 503, nil),
                ("GET", "/metrics", "", 200, nil),
                ("POST", "/v1/keys/clear", "", 200, nil), ("POST", "/v1/keys/0123456789ab/disable", "", 200, nil),
                ("GET", "/v1/keys/0123456789ab/disable", "", 405, "method_not_allowed"),
                ("POST", "/v1/keys/0123456789ab/eat", "", 404, "not_found"),
                ("POST", "/v1/services/dolt/restart", "", 200, nil),
                ("POST", "/v1/services/postgres/start", "", 404, "not_found"),
                ("POST", "/v1/services/dolt/eat", "", 404, "not_found"),
                ("GET", "/v1/services/dolt/stop", "", 405, "method_not_allowed"),
                ("POST", "/v1/stop", "", 200, nil), ("GET", "/v1/stop", "", 405, "method_not_allowed"),
                ("POST", "/v1/sightings", #"{"session_id":"x","error":"rate_limit"}"#, 200, nil),
                ("POST", "/v1/sightings", #"{"session_id":"x"}"#, 400, "bad_request"),
                ("POST", "/v1/sightings", #"{"hook_event_name":"Stop","error":"x"}"#, 400, "bad_request"),
                ("POST", "/v1/sightings", "[", 400, "bad_request"), ("POST", "/v1/sightings", "7", 400, "bad_request"),
                ("GET", "/v1/sightings", "", 405, "method_not_allowed"),
                ("POST", "/v1/agents/reload", #"{"all":true}"#, 200, nil),
                ("POST", "/v1/agents/reload", #"{"sessions":["a"]}"#, 200, nil),
                ("POST", "/v1/agents/reload", #"{"sessions":[1]}"#, 400, "bad_request"),
                ("POST", "/v1/agents/reload", "{}", 400, "bad_request"),
                ("POST", "/v1/agents/reload", #"{"all":true,"sessions":["a"]}"#, 400, "bad_request"),
                ("POST", "/v1/status", "", 405, "method_not_allowed"),
                ("DELETE", "/healthz", "", 405, "method_not_allowed"),
                ("GET", "/v1/leases", "", 405, "method_not_allowed"), ("GET", "/", "", 404, "not_found"),
                ("GET", "/v1/status/", "", 404, "not_found"), ("GET", "/v1/../etc/passwd", "", 404, "not_found"),
                ("GET", "/v1/keys/abc", "", 404, "not_found"), ("GET", "/v1/events?since=x", "", 400, "bad_request"),
                ("GET", "/v1/events?since=-1", "", 400, "bad_request"),
                ("GET", "/v1/events?since=%zz", "", 400, "bad_request"),
                ("GET", "/v1/events?since=99999999999999999999", "", 400, "bad_request"),
                ("POST", "/v1/leases", "{", 400, "bad_request"), ("POST", "/v1/leases", "[1]", 400, "bad_request"),
                ("POST", "/v1/leases", #"{"pid":0,"cwd":"/"}"#, 400, "bad_request"),
                ("POST", "/v1/leases", #"{"pid":1,"cwd":"relative"}"#, 400, "bad_request"),
                ("POST", "/v1/leases", #"{"pid":1,"cwd":"/","pane":"0; kill-server"}"#, 400, "bad_request"),
                ("POST", "/v1/leases", Self.lease, 503, "unavailable"), ("POST", "/v1/keys/rotate", "", 409, "busy"),
                ("POST", "/v1/reload", "", 422, "refused"),
            ]
            // One connection for all: it stays open, also after an error.
            let client = try server.connect()
            for (method, target, body, status, code) in expected {
                let answer = try client.ask(method, target, body: body)
                #expect(answer.status == status, "\(method) \(target)")
                let allowed = method == "GET" ? "POST" : "GET"
                #expect(answer.raw.contains("\r\nallow: \(allowed)\r\n") == (status == 405), "\(method) \(target)")
                #expect(answer.json?["error"]?["code"]?.string == code, "\(method) \(target)")
                if code != nil { #expect(answer.json?["error"]?["message"]?.string?.isEmpty == false) }
            }
        }
    }

    @Test func theDaemonLearnsWhoCalls() throws {
        try withServer { server in
            _ = try server.connect().ask("GET", "/v1/status")
            #expect(server.calls.all.map(\.peer) == [getpid()])
        }
    }

    @Test func anotherUsersRequestIsForbidden() throws {
        // We are the other user: the server is told that it belongs to somebody else. Root may call everywhere.
        try withServer(userID: getuid() + 1) { server in
            let answer = try server.connect().ask("GET", "/v1/status")
            #expect(answer.status == (getuid() == 0 ? 200 : 403))
        }
    }

    @Test func whatIsNoHTTPIs400AndEndsTheConnection() throws {
        try withServer { server in
            for nonsense in ["\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n", "GET /v1/status HTTP/9.9\r\n\r\n", "hello\r\n\r\n"] {
                let client = try server.connect()
                try client.send(nonsense)
                let answer = try client.answer()
                #expect(answer.status == 400)
                #expect(answer.code == "bad_request")
                #expect(try client.receive().isEmpty)
            }
            #expect(try server.connect().ask("GET", "/v1/status").status == 200)
        }
    }

    @Test func aBodyOfMoreThanAMegabyteIs413() throws {
        try withServer { server in
            let client = try server.connect()
            let answer = try client.ask("POST", "/v1/leases", body: String(repeating: " ", count: (1 << 20) + 1))
            #expect(answer.status == 413)
            #expect(
                try server.connect().ask(
                    "POST", "/v1/leases", body: String(repeating: " ", count: (1 << 20) - 30) + Self.lease
                ).status == 503)
        }
    }

    @Test func aBodyThatIsToldToBeTooLargeIsRefusedBeforeItIsSent() throws {
        try withServer { server in
            let client = try server.connect()
            try client.send("POST /v1/leases HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nx")
            #expect(try client.answer().status == 413)
            // What follows is read for a moment and believed in no way: neither as a body nor as a request.
            try client.send("GET /v1/status HTTP/1.1\r\n\r\n")
            #expect(try client.receive().isEmpty)
            let chunked = try server.connect()
            let chunk = String(repeating: " ", count: 1 << 20)
            try chunked.send(
                "POST /v1/leases HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n\(chunk)\r\n1\r\n")
            try chunked.send(" \r\nno chunk\r\n")
            #expect(try chunked.answer().status == 413)
            #expect(try chunked.receive().isEmpty)
            #expect(server.calls.all.isEmpty)
        }
    }

    @Test func whoClosesItsHalfIsAnsweredAll() throws {
        try withServer { server in
            let client = try server.connect()
            try client.send("GET /v1/status HTTP/1.1\r\n\r\nGET /readyz HTTP/1.1\r\n\r\n")
            try client.finishSending()
            #expect(try client.answer().status == 200)
            #expect(try client.answer().status == 503)
            #expect(try client.receive().isEmpty)
            // Half a request and no more of it: told or not, it is the end.
            let half = try server.connect()
            try half.send("GET /v1/sta")
            try half.finishSending()
            while try !half.receive().isEmpty {}
            #expect(server.calls.all.count == 2)
        }
    }

    @Test func theHeadAloneHasNoBodyBehindIt() throws {
        try withServer { server in
            let client = try server.connect()
            try client.send("HEAD /healthz HTTP/1.1\r\n\r\n")
            var text = ""
            while !text.contains("\r\n\r\n") { text += String(decoding: try client.receive(), as: UTF8.self) }
            #expect(text.hasPrefix("HTTP/1.1 405 ") && text.hasSuffix("\r\n\r\n"))
            #expect(try client.ask("GET", "/v1/status").status == 200)
        }
    }

    @Test func requestsOnOneConnectionAreAnsweredInTheirOrder() throws {
        try withServer { server in
            let client = try server.connect()
            try client.send(
                "GET /v1/status HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\n\r\nGET /readyz HTTP/1.1\r\n\r\n"
                    + "GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n")
            let statuses = try (1...4).map { _ in try client.answer().status }
            #expect(statuses == [200, 404, 503, 200])
            #expect(try client.receive().isEmpty, "the last one asked for the end")
        }
    }

    @Test func halfARequestHoldsNobodyUp() throws {
        try withServer { server in
            let half = try server.connect()
            try half.send("POST /v1/leases HTTP/1.1\r\nContent-Length: 100\r\n\r\n{\"pid\"")
            let head = try server.connect()
            try head.send("GET /v1/sta")
            #expect(try server.connect().ask("GET", "/v1/status").status == 200)
            try head.send("tus HTTP/1.1\r\n\r\n")
            #expect(try head.answer().status == 200)
            #expect(server.calls.all.count == 2)
        }
    }

    @Test func whoeverGoesBeforeTheAnswerIsToldToTheDaemon() throws {
        try withServer(answer: { _ in nil }) { server in
            do {
                let client = try server.connect()
                try client.send(
                    "POST /v1/leases HTTP/1.1\r\nContent-Length: \(Self.lease.utf8.count)\r\n\r\n\(Self.lease)")
                try eventually { server.calls.all.count == 1 }
            }
            try eventually { server.calls.withdrawn == server.calls.all.map(\.serial) }
            // An answer that comes too late goes nowhere and hurts nobody.
            server.calls.all[0].reply(.value(["credential": "x"]))
            try eventually { server.calls.withdrawn.count == 1 }
        }
    }

    @Test func healthIsBadWhenTheDaemonDoesNotAnswer() throws {
        try withServer(answer: { _ in nil }) { server in
            let answer = try server.connect().ask("GET", "/healthz")
            #expect(answer.status == 503)
        }
    }

    @Test func theClientBeyond200Is503AndAPlaceThatGetsFreeIsUsed() throws {
        try withServer { server in
            var clients = try (1...ControlServer.clientsMax).map { _ in try server.connect() }
            for client in clients { #expect(try client.ask("GET", "/v1/status").status == 200) }
            let refused = try server.connect()
            let answer = try refused.ask("GET", "/v1/status")
            #expect(answer.status == 503)
            #expect(answer.code == "too_many_clients")
            #expect(try refused.receive().isEmpty)
            // One that says nothing does not keep its descriptor either.
            let silent = try server.connect()
            #expect(try silent.receive().isEmpty)
            clients.removeLast()
            try eventually { try server.connect().ask("GET", "/v1/status").status == 200 }
        }
    }

    @Test func followersGetWhatComesInOrderAndOnlyTheirTypes() throws {
        try withServer { server in
            let all = try server.connect()
            let some = try server.connect()
            try all.send("GET /v1/events?follow=1 HTTP/1.1\r\n\r\n")
            try some.send("GET /v1/events?follow=1&type=b HTTP/1.1\r\n\r\n")
            var streams = [try Lines(all), try Lines(some)]
            for index in streams.indices { #expect(try streams[index].next() == "{\"seq\":1,\"type\":\"a\"}") }
            for seq in 2...9 {
                let type = seq % 2 == 0 ? "a" : "b"
                server.publish(seq: seq, type: type, line: "{\"seq\":\(seq)}")
            }
            // What the history held already is not said twice.
            server.publish(seq: 1, type: "b", line: "{\"seq\":1}")
            for seq in 2...9 { #expect(try streams[0].next() == "{\"seq\":\(seq)}") }
            for seq in [3, 5, 7, 9] { #expect(try streams[1].next() == "{\"seq\":\(seq)}") }
        }
    }

    @Test func whoFollowsIsToldWhenNothingComes() throws {
        try withServer { server in
            var pauses = 0
            var lines: [String] = []
            do throws(ControlClientError) {
                try ControlClient(socket: server.socket).stream(
                    "/v1/events?follow=1", interval: .milliseconds(20),
                    onPause: {
                        pauses += 1
                        guard pauses >= 3 else { return }
                        server.publish(seq: pauses, type: "a", line: "{\"seq\":\(pauses)}")
                        guard lines.count >= 2 else { return }
                        do { try server.server.close() } catch { Issue.record("\(error)") }
                    }
                ) { lines.append(String(decoding: $0, as: UTF8.self)) }
            } catch {
                // The server ended it.
            }
            #expect(pauses >= 3)
            #expect(lines.prefix(2) == ["{\"seq\":1,\"type\":\"a\"}", "{\"seq\":3}"])
        }
    }

    @Test func aFollowerThatNeverReadsCostsBoundedMemoryAndIsToldWhatItMissed() throws {
        try withServer { server in
            let slow = try server.connect()
            try slow.send("GET /v1/events?follow=1 HTTP/1.1\r\n\r\n")
            try eventually { server.calls.all.count == 1 }
            let quick = try server.connect()
            try quick.send("GET /v1/events?follow=1 HTTP/1.1\r\n\r\n")
            var quickly = try Lines(quick)
            _ = try quickly.next()
            // 32 MiB in all, and one that reads is not held up by the one that does not.
            let padding = String(repeating: "x", count: 64 << 10)
            let last = 501
            for seq in 2...last {
                server.publish(seq: seq, type: "a", line: "{\"seq\":\(seq),\"padding\":\"\(padding)\"}")
                #expect(try quickly.next().hasPrefix("{\"seq\":\(seq),"))
            }
            // It reads at last: what was kept for it, then the gap with its number, then what comes from now on.
            var slowly = try Lines(slow)
            var seen = 0
            var missed = 0
            var seq = last
            while missed == 0 {
                seq += 1
                server.publish(seq: seq, type: "a", line: "{\"seq\":\(seq)}")
                _ = try quickly.next()
                let event = try JSONValue(parsing: Array(try slowly.next().utf8))
                if event["type"]?.string == "events.dropped" {
                    missed = event["count"]?.integer ?? 0
                    #expect(event["seq"]?.integer == seen + missed)
                } else {
                    #expect(event["seq"]?.integer == seen + 1)
                    seen += 1
                }
            }
            #expect(seen < 100, "at most a few MiB were kept")
            #expect(missed > 400)
        }
    }

    @Test func aFollowerThatStandsStillIsDisconnected() throws {
        try withServer(readerPatience: .milliseconds(300)) { server in
            let slow = try server.connect()
            try slow.send("GET /v1/events?follow=1 HTTP/1.1\r\n\r\n")
            let quick = try server.connect()
            try quick.send("GET /v1/events?follow=1 HTTP/1.1\r\n\r\n")
            var quickly = try Lines(quick)
            _ = try quickly.next()
            try eventually { server.calls.all.count == 2 }
            let padding = String(repeating: "x", count: 64 << 10)
            var seq = 1
            try eventually {
                seq += 1
                server.publish(seq: seq, type: "a", line: "{\"seq\":\(seq),\"padding\":\"\(padding)\"}")
                let line = try quickly.next()
                #expect(line.hasPrefix("{\"seq\":\(seq),"))
                return !server.calls.abandoned.isEmpty
            }
            #expect(server.calls.abandoned == [getpid()])
            while try !slow.receive().isEmpty {}
            server.publish(seq: seq + 1, type: "a", line: "{\"seq\":\(seq + 1)}")
            #expect(try quickly.next() == "{\"seq\":\(seq + 1)}", "the one that reads goes on")
        }
    }

    private func eventually(_ condition: () throws -> Bool) throws {
        let deadline = EventLoop.now + 30_000_000_000
        while try !condition() {
            guard EventLoop.now < deadline else { throw SystemError(call: "wait", errno: .timedOut) }
            poll(nil, 0, 10)
        }
    }
}

/// The lines of an answer that goes on.
private struct Lines {
    private let client: TestClient
    private var buffer: [UInt8] = []

    init(_ client: TestClient) throws {
        self.client = client
        while buffer.firstRange(of: Array("\r\n\r\n".utf8)) == nil { buffer += try client.receive() }
        if let end = buffer.firstRange(of: Array("\r\n\r\n".utf8)) { buffer.removeSubrange(..<end.upperBound) }
    }

    /// The next line; what frames the chunks is passed over.
    mutating func next() throws -> String {
        while true {
            while let end = buffer.firstIndex(of: 10) {
                let line = String(decoding: buffer[..<end], as: UTF8.self)
                buffer.removeSubrange(...end)
                if line.hasPrefix("{") { return line }
            }
            let more = try client.receive()
            guard !more.isEmpty else { throw SystemError(call: "read", errno: .connectionReset) }
            buffer += more
        }
    }
}
