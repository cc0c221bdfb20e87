// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// A provider's loopback stand-in for questions about keys: `GET …/v1/usages` and `GET …/v1/models`
/// (kimi-claude.md A.8).
///
/// `townsim provider` writes its port to `<home>/provider.port`. What a key is answered is the first word of
/// `<home>/provider/<key id>`, read at each request; without it the key is good and nothing is used up. Each request is
/// noted in `<home>/provider.jsonl`, the key itself never.
final class Provider {
    private let loop: EventLoop
    private let home: String
    private let listener: Descriptor
    let port: UInt16
    private var clients: [Int32: Client] = [:]

    private final class Client {
        let descriptor: Descriptor
        var request: [UInt8] = []
        var reading: EventLoop.Watch?
        var writing: EventLoop.Watch?
        var output: [UInt8] = []
        /// The output is sent again and again.
        var isEndless = false
        var timer: EventLoop.Timer?
        init(_ raw: Int32) { descriptor = Descriptor(owning: raw) }
    }

    init(home: String, on loop: EventLoop) throws(Failure) {
        self.loop = loop
        self.home = home
        let raw = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw Failure("socket: \(Errno(rawValue: errno))") }
        listener = Descriptor(owning: raw)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(raw, address, length) != 0 || listen(raw, 64) != 0 ? -1 : getsockname(raw, address, &length)
            }
        }
        guard code == 0 else { throw Failure("bind: \(Errno(rawValue: errno))") }
        port = UInt16(bigEndian: address.sin_port)
        do throws(SystemError) { _ = try loop.watch(raw, for: .reading) { [unowned self] in accept() } } catch {
            throw Failure("\(error)")
        }
    }

    /// Serves until it is ended.
    static func run(home: String) throws(Failure) -> Int32 {
        // A client that breaks off is nothing unusual.
        SignalReceiver.ignoreBrokenPipes()
        do throws(SystemError) {
            let loop = try EventLoop()
            let provider: Provider
            do throws(Failure) {
                provider = try Provider(home: home, on: loop)
                try Disk.replace(home + "/provider.port", Array("\(provider.port)\n".utf8))
            } catch { throw SystemError(call: "provider", subject: error.message, errno: .ioError) }
            try loop.run()
            withExtendedLifetime(provider) {}
            return 0
        } catch { throw Failure("\(error)") }
    }

    private func accept() {
        let raw = Glibc.accept(listener.raw, nil, nil)
        guard raw >= 0 else { return }
        _ = fcntl(raw, F_SETFD, FD_CLOEXEC)
        _ = fcntl(raw, F_SETFL, O_NONBLOCK)
        let client = Client(raw)
        clients[raw] = client
        do throws(SystemError) {
            client.reading = try loop.watch(raw, for: .reading) { [unowned self] in read(client) }
        } catch { close(client) }
    }

    private func close(_ client: Client) {
        for watch in [client.reading, client.writing].compactMap(\.self) { loop.cancel(watch) }
        if let timer = client.timer { loop.cancel(timer) }
        clients[client.descriptor.raw] = nil
    }

    private func read(_ client: Client) {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        let count = Glibc.read(client.descriptor.raw, &buffer, buffer.count)
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        guard count > 0 else { return close(client) }
        client.request += buffer[..<count]
        guard client.request.firstRange(of: [13, 10, 13, 10]) != nil else { return }
        let lines = String(decoding: client.request, as: UTF8.self).split(separator: "\r\n")
        client.request = []
        do throws(Failure) { try answer(client, lines) } catch { close(client) }
    }

    private func answer(_ client: Client, _ lines: [Substring]) throws(Failure) {
        let words = (lines.first ?? "").split(separator: " ")
        let path = words.count > 1 ? String(words[1]) : ""
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].drop { $0 == " " }.description
        }
        let bearer = headers["authorization"].map { $0.hasPrefix("Bearer ") ? String($0.dropFirst(7)) : "" } ?? ""
        let key = bearer.isEmpty ? "" : keyIdentifier(bearer)
        try Disk.append(
            home + "/provider.jsonl",
            JSONValue.object([
                "time": .string(Timestamp.now.rfc3339), "method": .string(words.first.map(String.init) ?? ""),
                "path": .string(path), "key": .string(key), "user_agent": .optional(headers["user-agent"]),
                "accept": .optional(headers["accept"]),
            ]).line + "\n")
        let name = try Disk.text("\(home)/provider/\(key)")?.split(whereSeparator: \.isWhitespace).first
        let answer = ProviderAnswer.named(name.map(String.init) ?? "ok", path: path, port: port)
        client.output = answer.bytes
        client.isEndless = answer.isEndless
        guard let pace = answer.pace else { return flush(client) }
        trickle(client, pace)
    }

    /// One byte at a time; none at all where there is nothing to send.
    private func trickle(_ client: Client, _ pace: Duration) {
        guard !client.output.isEmpty else { return }
        client.timer = loop.schedule(after: pace) { [unowned self] in
            var byte = client.output.removeFirst()
            guard Glibc.write(client.descriptor.raw, &byte, 1) == 1 else { return close(client) }
            trickle(client, pace)
        }
    }

    private func flush(_ client: Client) {
        var sent = 0
        while sent < client.output.count {
            let count = client.output[sent...].withUnsafeBytes {
                Glibc.write(client.descriptor.raw, $0.baseAddress, $0.count)
            }
            if count < 0, errno == EAGAIN {
                if !client.isEndless { client.output.removeFirst(sent) }
                guard client.writing == nil else { return }
                // A descriptor is watched once: what else the client says does not matter any more.
                if let reading = client.reading { loop.cancel(reading) }
                client.reading = nil
                do throws(SystemError) {
                    client.writing = try loop.watch(client.descriptor.raw, for: .writing) { [unowned self] in
                        flush(client)
                    }
                } catch { close(client) }
                return
            }
            guard count > 0 else { return close(client) }
            sent += count
            if sent == client.output.count, client.isEndless { sent = 0 }
        }
        close(client)
    }
}

/// What a key is answered.
struct ProviderAnswer {
    let bytes: [UInt8]
    var isEndless = false
    /// Between two bytes.
    var pace: Duration?

    static func named(_ name: String, path: String, port: UInt16) -> ProviderAnswer {
        switch name {
        case "no-answer": ProviderAnswer(bytes: [], pace: .seconds(1))
        case "trickle": ProviderAnswer(bytes: response(200, usage(fiveHours: 100, week: 100)).bytes, pace: .seconds(1))
        case "breaks-off":
            ProviderAnswer(bytes: Array("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"usage\":{".utf8))
        case "huge": response(200, String(repeating: " ", count: 100_000) + "{}")
        case "endless":
            ProviderAnswer(
                bytes: Array(
                    ("HTTP/1.1 200 OK\r\n\r\n" + String(repeating: "HTTP/1.1 200 OK ", count: 4096)).utf8),
                isEndless: true)
        case "redirect":
            response(302, "", more: "Location: http://127.0.0.1:\(port)/stolen/v1/usages\r\n")
        case "garbage": ProviderAnswer(bytes: Array("\u{1b}[2Jnot HTTP at all\r\n\r\n".utf8))
        case "not-json": response(200, "<html>busy</html>")
        case "list": response(200, "[1,2,3]")
        case "hostile":
            response(
                200,
                #"""
                {"user":{"userId":"\u001b[31m"},"usage":{"limit":"1e999","used":"NaN","resetTime":"9999-12-31T23:59:59Z"},
                "limits":[{"window":{"duration":-5,"timeUnit":"x"},"detail":{"limit":"-1","remaining":"-1","resetTime":"x"}},
                {"window":{"duration":300,"timeUnit":"TIME_UNIT_MINUTE"},"detail":{"limit":"100","remaining":"0","resetTime":"2099-01-01T00:00:00Z"}},
                7,null,{"window":null}]}
                """#)
        case "401":
            response(
                401,
                #"{"error":{"type":"authentication_error","message":"The API Key appears to be invalid or may have expired. Please verify your credentials and try again."},"type":"error"}"#
            )
        case "402":
            response(
                402,
                #"{"error":{"type":"invalid_request_error","message":"We're unable to verify your membership benefits at this time. Please ensure your membership is active."}}"#
            )
        case "403": response(403, #"{"error":{"type":"permission_error","message":"You do not have access"}}"#)
        case "500": response(500, "internal")
        case "5-hour": response(200, usage(fiveHours: 0, week: 97))
        case "weekly": response(200, usage(fiveHours: 80, week: 0))
        default:
            path.hasSuffix("/usages")
                ? response(200, usage(fiveHours: 80, week: 97))
                : response(200, #"{"object":"list","data":[{"id":"kimi-for-coding","object":"model"}]}"#)
        }
    }

    private static func response(_ status: Int, _ body: String, more: String = "") -> ProviderAnswer {
        ProviderAnswer(
            bytes: Array(
                """
                HTTP/1.1 \(status) x\r
                Content-Type: application/json\r
                Content-Length: \(body.utf8.count)\r
                \(more)Connection: close\r
                \r
                \(body)
                """.utf8))
    }

    /// kimi-claude.md A.8: numbers are strings, and `used` or `remaining` may be absent.
    private static func usage(fiveHours: Int, week: Int) -> String {
        let soon = (Timestamp.now + .seconds(2 * 3600)).rfc3339
        let late = (Timestamp.now + .seconds(3 * 86400)).rfc3339
        return """
            {"user":{"userId":"u-1","region":"REGION_CN","membership":{"level":"LEVEL_INTERMEDIATE"}},
             "usage":{"limit":"100","used":"\(100 - week)","resetTime":"\(late)"},
             "limits":[{"window":{"duration":300,"timeUnit":"TIME_UNIT_MINUTE"},"detail":{"limit":"100",\
            "remaining":"\(fiveHours)","resetTime":"\(soon)"}}],
             "parallel":{"limit":"20"},"authentication":{"method":"METHOD_API_KEY","scope":"FEATURE_CODING"}}
            """
    }
}
