// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import ControlAPI

@Suite struct HTTPResponseReaderTests {
    /// What a reader makes of an answer that comes in these pieces.
    private func read(_ pieces: [[UInt8]], thenEnds: Bool = false) throws -> (
        status: Int, body: String, isComplete: Bool
    ) {
        var reader = HTTPResponseReader()
        var body: [UInt8] = []
        for piece in pieces where !piece.isEmpty { try reader.take(piece) { body += $0 } }
        if thenEnds { try reader.take([]) { body += $0 } }
        return (reader.status, String(decoding: body, as: UTF8.self), reader.isComplete)
    }

    private static let length =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCONTENT-LENGTH:  11\r\n\r\n{\"a\":\"\r\n\"}x"
    private static let chunked =
        "HTTP/1.1 422 Unprocessable\r\ntransfer-encoding: Chunked\r\n\r\n4\r\n{\"a\"\r\n6;x=y\r\n:\"\r\n\"}\r\n1\r\nx\r\n0\r\nT: 1\r\n\r\n"
    private static let empty = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"

    @Test(arguments: [(length, 200, "{\"a\":\"\r\n\"}x"), (chunked, 422, "{\"a\":\"\r\n\"}x"), (empty, 404, "")])
    func anAnswerIsTheSameWhereverItIsSplit(_ answer: String, _ status: Int, _ body: String) throws {
        let bytes = Array(answer.utf8)
        for split in 0...bytes.count {
            let result = try read([Array(bytes[..<split]), Array(bytes[split...])])
            #expect(result.status == status)
            #expect(result.body == body)
            #expect(result.isComplete)
        }
        let single = try read(bytes.map { [$0] })
        #expect(single.status == status)
        #expect(single.body == body)
        #expect(single.isComplete)
    }

    @Test(arguments: [length, chunked, empty]) func anAnswerThatEndsEarlyIsRefused(_ answer: String) {
        let bytes = Array(answer.utf8)
        for end in 0..<bytes.count {
            do {
                _ = try read([Array(bytes[..<end])], thenEnds: true)
                Issue.record("it is taken for whole at \(end)")
            } catch ControlClientError.ended {
                // The daemon has ended.
            } catch {
                Issue.record("\(error)")
            }
        }
    }

    @Test func withoutALengthTheBodyGoesToTheEndOfTheConnection() throws {
        let bytes = Array("HTTP/1.1 200 OK\r\nx: y\r\n\r\none\r\ntwo".utf8)
        for split in 1...bytes.count {
            let result = try read([Array(bytes[..<split]), Array(bytes[split...])], thenEnds: true)
            #expect(result.body == "one\r\ntwo")
            #expect(result.isComplete)
        }
    }

    @Test func whatGoesOnIsHandedOverAsItComes() throws {
        var reader = HTTPResponseReader()
        var lines: [String] = []
        func take(_ text: String) throws {
            try reader.take(Array(text.utf8)) { lines.append(String(decoding: $0, as: UTF8.self)) }
        }
        try take("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try take("2\r\na\n\r\n")
        #expect(lines == ["a\n"])
        try take("2\r\nb\n\r\n2\r\nc")
        #expect(lines.joined() == "a\nb\nc")
        #expect(!reader.isComplete)
    }

    @Test(arguments: [
        "SSH-2.0-x\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
    ])
    func whatIsNoAnswerIsRefused(_ text: String) {
        #expect(throws: ControlClientError.self) { try read([Array(text.utf8)]) }
    }

    @Test func aHeadWithoutAnEndIsRefusedInTime() {
        let line = Array("x: \(String(repeating: "y", count: 1000))\r\n".utf8)
        #expect(throws: ControlClientError.self) {
            try read([Array("HTTP/1.1 200 OK\r\n".utf8)] + Array(repeating: line, count: 100))
        }
    }

    @Test func whatFollowsTheAnswerIsNotPartOfIt() throws {
        #expect(try read([Array((Self.length + "HTTP/1.1 500").utf8)]).body.hasSuffix("x"))
    }
}
