// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import SystemPackage

/// Why the daemon did not answer.
public enum ControlClientError: Error, Sendable, CustomStringConvertible {
    /// Nobody listens on the socket.
    case noDaemon(SystemError)
    /// The connection broke, or no answer came in time.
    case interrupted(SystemError)
    /// The connection ended before the answer did: the daemon has ended.
    case ended
    /// Nobody reads what is passed on.
    case unread
    /// What came is no HTTP.
    case malformed
    /// The daemon refused: its error, with the HTTP status.
    case refused(ControlError, status: Int)

    public var description: String {
        switch self {
        case .noDaemon(let error): "no daemon: \(error)"
        case .interrupted(let error): "no answer: \(error)"
        case .ended: "the daemon has ended before its answer did"
        case .unread: "nobody reads the answer"
        case .malformed: "the answer is not understood"
        case .refused(let error, _): error.message
        }
    }
}

/// The commands' and the launcher's side of the control socket.
///
/// One request a connection, and the caller waits: a command has nothing else to do, and a launcher must not start
/// threads before it becomes another program. The server side is NIO.
public struct ControlClient: Sendable {
    public let socket: FilePath

    public init(socket: FilePath) { self.socket = socket }

    /// The socket's name in the runtime directory.
    public static func socketPath(runtime: FilePath) -> FilePath { runtime.appending("control.sock") }

    /// Sends a request and waits for its answer.
    ///
    /// - Parameters:
    ///   - method: `GET` or `POST`.
    ///   - target: Path and query.
    ///   - body: nil: none is sent.
    ///   - timeout: For the whole exchange.
    public func request(
        _ method: String, _ target: String, body: JSONValue? = nil, timeout: Duration
    ) throws(ControlClientError) -> JSONValue {
        let (status, value) = try answer(method, target, body: body, timeout: timeout)
        guard (200..<300).contains(status) else {
            throw .refused(
                ControlError(
                    code: value["error"]?["code"]?.string ?? "internal",
                    message: value["error"]?["message"]?.string ?? "HTTP \(status)"), status: status)
        }
        return value
    }

    /// Sends a request and waits for its answer, whatever its status is.
    public func answer(
        _ method: String, _ target: String, body: JSONValue? = nil, timeout: Duration
    ) throws(ControlClientError) -> (status: Int, value: JSONValue) {
        let deadline = EventLoop.now + timeout.nanoseconds
        var content: [UInt8] = []
        let status = try exchange(method, target, body: body, deadline: deadline) { content += $0 }
        let value: JSONValue
        if content.isEmpty {
            value = .null
        } else {
            do throws(JSONError) { value = try JSONValue(parsing: content) } catch { throw .malformed }
        }
        return (status, value)
    }

    /// Reads an answer that goes on line by line until the daemon ends it.
    ///
    /// - Parameters:
    ///   - line: Called with each line.
    ///   - target: Path and query.
    ///   - output: The descriptor to which the lines go: it ends when nobody reads them any more. nil: none.
    ///   - interval: How long to wait at most for what comes until `onPause` is called; nil: as long as it takes.
    ///   - onPause: Called when nothing has come for that long.
    public func stream(
        _ target: String, to output: Int32? = nil, interval: Duration? = nil, onPause: () -> Void = {},
        line: ([UInt8]) -> Void
    ) throws(ControlClientError) {
        var rest: [UInt8] = []
        let status = try exchange("GET", target, body: nil, deadline: nil, output: output, interval: interval) {
            piece in
            if piece.isEmpty { onPause() }
            rest += piece
            while let end = rest.firstIndex(of: 10) {
                line(Array(rest[..<end]))
                rest.removeSubrange(...end)
            }
        }
        guard status == 200 else {
            throw .refused(ControlError(code: "internal", message: "HTTP \(status)"), status: status)
        }
    }

    /// - Parameter interval: An empty piece tells that nothing came for so long.
    private func exchange(
        _ method: String, _ target: String, body: JSONValue?, deadline: Int64?, output: Int32? = nil,
        interval: Duration? = nil, piece: (ArraySlice<UInt8>) -> Void
    ) throws(ControlClientError) -> Int {
        let connection: UnixSocket
        do throws(SystemError) { connection = try UnixSocket(connectingTo: socket) } catch { throw .noDaemon(error) }
        let content = body?.encoded() ?? []
        var head = "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        if body != nil { head += "Content-Type: application/json\r\nContent-Length: \(content.count)\r\n" }
        do throws(SystemError) { try connection.send(Array((head + "\r\n").utf8) + content) } catch {
            throw [.brokenPipe, .connectionReset].contains(error.errno) ? .ended : .interrupted(error)
        }
        var reader = HTTPResponseReader()
        while !reader.isComplete {
            let bytes: [UInt8]
            let pause = interval.map { EventLoop.now + $0.nanoseconds }
            do throws(SystemError) { bytes = try connection.receive(until: deadline ?? pause, for: output) } catch {
                // It was killed while something of ours was still to be read.
                if error.errno == .connectionReset { throw .ended }
                if error.errno == .brokenPipe { throw .unread }
                guard deadline == nil, pause != nil, error.errno == .timedOut else { throw .interrupted(error) }
                piece([])
                continue
            }
            try reader.take(bytes, piece: piece)
        }
        return reader.status
    }
}

/// Takes an HTTP/1.1 answer apart as it comes (RFC 9112): by length, in chunks, or up to the end of the connection.
struct HTTPResponseReader {
    private enum State {
        case head
        case body(left: Int?)
        case chunkSize
        case chunk(left: Int)
        case trailer, complete
    }
    private var state = State.head
    private var buffer: [UInt8] = []
    private(set) var status = 0

    static let headMax = 64 << 10

    var isComplete: Bool { if case .complete = state { true } else { false } }

    /// - Parameter bytes: Empty at the end of the connection.
    mutating func take(_ bytes: [UInt8], piece: (ArraySlice<UInt8>) -> Void) throws(ControlClientError) {
        buffer += bytes
        if bytes.isEmpty {
            guard case .body(left: nil) = state else { throw .ended }
            state = .complete
            return
        }
        while try step(piece) {}
    }

    private mutating func step(_ piece: (ArraySlice<UInt8>) -> Void) throws(ControlClientError) -> Bool {
        switch state {
        case .head:
            guard let end = buffer.firstRange(of: [13, 10, 13, 10]) else {
                guard buffer.count <= Self.headMax else { throw .malformed }
                return false
            }
            try readHead(buffer[..<end.lowerBound])
            buffer.removeSubrange(..<end.upperBound)
            return true
        case .body(let left):
            let count = min(buffer.count, left ?? buffer.count)
            if count > 0 { piece(buffer[..<count]) }
            buffer.removeFirst(count)
            if let left { state = left == count ? .complete : .body(left: left - count) }
            return false
        case .chunkSize:
            guard let line = takeLine() else { return false }
            let digits = line.prefix { $0 != UInt8(ascii: ";") }
            guard let size = Int(String(decoding: digits, as: UTF8.self), radix: 16), size >= 0 else {
                throw .malformed
            }
            state = size == 0 ? .trailer : .chunk(left: size)
            return true
        case .chunk(let left):
            if left == 0 {
                guard takeLine() != nil else { return false }
                state = .chunkSize
                return true
            }
            let count = min(buffer.count, left)
            guard count > 0 else { return false }
            piece(buffer[..<count])
            buffer.removeFirst(count)
            state = .chunk(left: left - count)
            return true
        case .trailer:
            guard let line = takeLine() else { return false }
            if line.isEmpty { state = .complete }
            return true
        case .complete: return false
        }
    }

    private mutating func takeLine() -> [UInt8]? {
        guard let end = buffer.firstRange(of: [13, 10]) else { return nil }
        let line = Array(buffer[..<end.lowerBound])
        buffer.removeSubrange(..<end.upperBound)
        return line
    }

    private mutating func readHead(_ head: ArraySlice<UInt8>) throws(ControlClientError) {
        let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let code = Int(words[1]) else { throw .malformed }
        status = code
        state = .body(left: nil)
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let value = parts[1].drop { $0 == " " }.lowercased()
            switch parts[0].lowercased() {
            case "content-length":
                guard let length = Int(value), length >= 0 else { throw .malformed }
                state = length == 0 ? .complete : .body(left: length)
            case "transfer-encoding" where value == "chunked":
                state = .chunkSize
                return
            default: break
            }
        }
    }
}

extension Duration {
    /// Nanoseconds, saturating at about 290 years.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max / 2 : product + attoseconds / 1_000_000_000
    }
}
