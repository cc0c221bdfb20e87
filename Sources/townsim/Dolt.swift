// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// A miniature dolt: a server that accepts connections, and a query that succeeds while something accepts there.
enum Dolt {
    static func run(_ arguments: [String]) throws(Failure) -> Int32 {
        let words = Words(
            arguments,
            valued: [
                "--config", "--port", "-P", "--host", "-H", "--user", "-u", "--data-dir", "-q", "--query",
                "--max-connections", "--password", "-p",
            ])
        switch words.positional.first {
        case "sql-server": return try serve(words)
        case "sql": return try query(words)
        case "version":
            Terminal.say("dolt version 1.59.10")
            return 0
        case let command: throw Failure("Unknown Command \(command ?? "")")
        }
    }

    /// `dolt sql-server --config FILE` (gt-contract.md 10.9) or `--port N`; ends on SIGTERM.
    private static func serve(_ words: Words) throws(Failure) -> Int32 {
        var port = words.value("--port", "-P").flatMap { UInt16($0) } ?? 3306
        if let config = words.value("--config") {
            guard let text = try Disk.text(config) else { throw Failure("Failed to read file: \(config)") }
            port = Self.port(inConfig: text) ?? port
        }
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard listener >= 0 else { throw Failure("socket: \(Errno(rawValue: errno))") }
        var on: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        guard withAddress(port, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0 else {
            throw Failure("Port \(port) already in use.")
        }
        do throws(SystemError) {
            let loop = try EventLoop()
            let receiver = try SignalReceiver([SIGTERM, SIGINT], on: loop) { _ in loop.stop() }
            let watch = try loop.watch(listener, for: .reading) {
                let connection = accept(listener, nil, nil)
                if connection >= 0 { close(connection) }
            }
            Terminal.say("Starting server with Config HP=\"127.0.0.1:\(port)\"")
            try loop.run()
            loop.cancel(watch)
            withExtendedLifetime(receiver) {}
        } catch { throw Failure("\(error)") }
        close(listener)
        return 0
    }

    /// `dolt --host … --port … sql -q …` asks that server; without a host it answers for the current folder and says
    /// nothing about any server (gt-contract.md 8).
    private static func query(_ words: Words) throws(Failure) -> Int32 {
        guard words.value("-q", "--query") != nil else { throw Failure("a query is needed: -q") }
        if words.value("--host", "-H") != nil || words.value("--port", "-P") != nil {
            let port = words.value("--port", "-P").flatMap { UInt16($0) } ?? 3306
            guard accepts(port) else {
                throw Failure("dial tcp 127.0.0.1:\(port): connect: connection refused")
            }
        }
        Terminal.say("+---+\n| 1 |\n+---+\n| 1 |\n+---+")
        return 0
    }

    /// Whether something listens on that port of 127.0.0.1.
    static func accepts(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return withAddress(port) { connect(descriptor, $0, $1) } == 0
    }

    /// A port that nobody listens on now.
    static func freePort() -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        guard withAddress(0, { bind(descriptor, $0, $1) }) == 0 else { return 3307 }
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        return code == 0 ? UInt16(bigEndian: address.sin_port) : 3307
    }

    /// The listener's port in the generated configuration (YAML, of which only this line matters here).
    static func port(inConfig text: String) -> UInt16? {
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace)
            if words.count == 2, words[0] == "port:" { return UInt16(words[1]) }
        }
        return nil
    }

    private static func withAddress(
        _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
