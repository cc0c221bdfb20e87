// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Controller
import JSON
import KeyPool
import LinuxSys
import Timekeeping

/// Asks a key's provider (`keys.probe`), through curl: TLS is not ours to write, and curl takes all that it needs on
/// its standard input, so that the key is in no argument and in no variable.
struct Prober {
    /// curl's absolute path; nil where it is not found.
    let program: String?
    let version: String
    /// What curl needs from ours: proxies and certificates.
    let environment: [String]

    /// As the official command line does (kimi-code's `managed-usage.ts`).
    static let timeout = Duration.seconds(8)
    /// A server that sends without end must not cost more than this a second, in bytes.
    private static let rateMax = "256k"

    init(program: String?, version: String, environment: [String: String]) {
        self.program = program
        self.version = version
        let wanted = ["https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir", "curl_ca_bundle"]
        self.environment =
            (environment.filter { wanted.contains($0.key.lowercased()) }.map { "\($0.key)=\($0.value)" }
            + ["PATH=/usr/bin:/bin", "HOME=/nonexistent"]).sorted()
    }

    /// The first argument keeps a user's own `.curlrc` away, in which anything may stand (curl(1)).
    func arguments(_ program: String) -> [String] { [program, "-q", "--config", "-"] }

    /// What curl reads on its standard input.
    func configuration(_ order: ProbeOrder) -> [UInt8] {
        let isLocal = order.url.hasPrefix("http://")
        var lines = [
            "url = \(Self.quoted(order.url))",
            "header = \(Self.quoted("Authorization: Bearer \(order.key.reveal())"))",
            "header = \"Accept: application/json\"",
            "user-agent = \(Self.quoted("gasclawd/\(version)"))",
            "silent",
            // No redirect is followed without `location`; this says so for whoever reads it.
            "max-redirs = 0",
            "proto = \"=\(isLocal ? "http" : "https")\"",
            "connect-timeout = 4",
            "max-time = \(Self.timeout.wholeMilliseconds / 1000)",
            "max-filesize = \(ProbeOutcome.bodyMax)",
            "limit-rate = \(Self.rateMax)",
            "output = \"-\"",
            // Away from the body, which is whatever the server likes.
            #"write-out = "%{stderr}%{http_code} %{exitcode}""#,
        ]
        if isLocal { lines.append("noproxy = \"*\"") }
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for character in text {
            if character == "\"" || character == "\\" { result.append("\\") }
            result.append(character)
        }
        return result + "\""
    }

    /// - Parameter completion: Called once on the loop's thread.
    func ask(_ order: ProbeOrder, on loop: EventLoop, completion: @escaping (ProbeOutcome) -> Void) {
        guard let program else {
            return completion(.nothing("curl is not found (install it, or set keys.probe = \"off\")"))
        }
        do throws(SystemError) {
            try Command.run(
                arguments(program), input: configuration(order), environment: environment,
                timeout: Self.timeout + .seconds(2), outputMax: ProbeOutcome.bodyMax, on: loop
            ) { result in
                let (status, failure) = Self.read(result)
                completion(
                    ProbeOutcome.read(
                        order.kind, status: status, body: result.output, failure: failure, at: Timestamp.now))
            }
        } catch {
            completion(.nothing("curl: \(error)"))
        }
    }

    /// The HTTP status, and why there is no answer to believe.
    private static func read(_ result: CommandResult) -> (status: Int, failure: String?) {
        if result.timedOut { return (0, "no answer within \(timeout.brief)") }
        let words = String(decoding: result.errors.prefix(256), as: UTF8.self).split(separator: " ")
        let status = words.first.flatMap { Int($0) } ?? 0
        switch result.status {
        case .exited(0): return (status, nil)
        case .exited(28): return (0, "no answer within \(timeout.brief)")
        case .exited(63): return (0, "the answer is larger than \(ProbeOutcome.bodyMax) bytes")
        // curl(1), EXIT CODES.
        case .exited(6), .exited(7), .exited(35), .exited(60):
            return (0, "the provider cannot be reached (curl: exit \(result.status.code))")
        // What came before it broke off proves nothing.
        default: return (0, "the answer broke off (curl: \(result.status))")
        }
    }
}

extension LinuxSys.ExitStatus {
    fileprivate var code: Int32 {
        switch self {
        case .exited(let code), .signalled(let code): code
        }
    }
}

extension Daemon {
    func probe(_ order: ProbeOrder) {
        toolbox.prober.ask(order, on: loop) { [unowned self] outcome in
            handle(.probed(order.key.id, order.kind, outcome))
        }
    }
}
