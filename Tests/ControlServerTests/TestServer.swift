// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlServer
import Fixtures
import Glibc
import JSON
import LinuxSys
import Synchronization
import SystemPackage
import Timekeeping

@testable import ControlAPI

/// A server on a socket of its own, and clients that speak to it byte by byte.
final class TestServer {
    let socket: FilePath
    let calls = CallLog()
    let server: ControlServer
    private let folder: TemporaryFolder

    /// - Parameter answer: What each call is answered; nil leaves it open.
    init(
        userID: UInt32 = getuid(), readerPatience: Duration = .seconds(30),
        answer: @escaping @Sendable (ControlCall) -> ControlReply?
    ) throws {
        // Short, for the socket's address.
        folder = try TemporaryFolder("gcs")
        socket = folder.path.appending("control.sock")
        let calls = calls
        server = try ControlServer(
            socketPath: socket.string, userID: userID, bootID: "boot", readerPatience: readerPatience
        ) { event in
            switch event {
            case .call(let call):
                calls.note(call)
                if let reply = answer(call) { call.reply(reply) }
            case .withdrawn(let serial): calls.withdraw(serial)
            case .abandoned(let peer): calls.abandon(peer)
            }
        }
    }

    func publish(seq: Int, type: String, line: String) {
        server.publish(PublishedEvent(seq: seq, type: type, time: .now, line: line))
    }

    func connect() throws -> TestClient { try TestClient(socket) }

    func close() throws {
        try server.close()
    }
}

/// What the server handed over.
final class CallLog: Sendable {
    private let state = Mutex<(calls: [ControlCall], withdrawn: [UInt64], abandoned: [Int32])>(([], [], []))
    var all: [ControlCall] { state.withLock { $0.calls } }
    var withdrawn: [UInt64] { state.withLock { $0.withdrawn } }
    /// Processes that read no events any more.
    var abandoned: [Int32] { state.withLock { $0.abandoned } }
    fileprivate func note(_ call: ControlCall) { state.withLock { $0.calls.append(call) } }
    fileprivate func withdraw(_ serial: UInt64) { state.withLock { $0.withdrawn.append(serial) } }
    fileprivate func abandon(_ peer: Int32) { state.withLock { $0.abandoned.append(peer) } }
}

/// One connection.
final class TestClient {
    struct Answer {
        var status = 0
        var body: [UInt8] = []
        /// Everything as it came.
        var raw = ""
        var json: JSONValue? {
            do throws(JSONError) { return try JSONValue(parsing: body) } catch { return nil }
        }
        var code: String? { json?["error"]?["code"]?.string }
    }

    private let connection: UnixSocket
    private var rest: [UInt8] = []

    init(_ socket: FilePath) throws { connection = try UnixSocket(connectingTo: socket) }

    func send(_ text: String) throws { try connection.send(Array(text.utf8)) }

    /// Nothing more is sent from here.
    func finishSending() throws { try connection.finishSending() }

    /// The next bytes; empty at the end of the connection.
    func receive() throws -> [UInt8] {
        if !rest.isEmpty {
            defer { rest = [] }
            return rest
        }
        return try connection.receive(until: EventLoop.now + 30_000_000_000)
    }

    /// The next answer, byte for byte, so that what belongs to the one after it stays.
    func answer() throws -> Answer {
        var answer = Answer()
        var reader = HTTPResponseReader()
        while !reader.isComplete {
            var bytes = try receive()
            if bytes.isEmpty {
                try reader.take([], piece: { _ in })
                break
            }
            while !bytes.isEmpty && !reader.isComplete {
                answer.raw.unicodeScalars.append(Unicode.Scalar(bytes[0]))
                try reader.take([bytes.removeFirst()]) { answer.body += $0 }
            }
            rest = bytes
        }
        answer.status = reader.status
        return answer
    }

    /// Sends a request and takes its answer.
    func ask(_ method: String, _ target: String, body: String = "", headers: String = "") throws -> Answer {
        let length = body.isEmpty ? "" : "Content-Length: \(body.utf8.count)\r\n"
        try send("\(method) \(target) HTTP/1.1\r\nHost: x\r\n\(headers)\(length)\r\n\(body)")
        return try answer()
    }
}
