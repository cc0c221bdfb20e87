// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import Testing

@testable import townsim

extension MiniatureTown {
    /// An answer of the control socket: its status and its body.
    func ask(_ method: String, _ path: String, body: String? = nil) throws -> (status: Int, body: String) {
        var words = ["/usr/bin/env", "curl", "-sS", "-m", "60", "--unix-socket", socket, "-X", method]
        if let body { words += ["-H", "content-type: application/json", "--data-binary", body] }
        let result = try Program.run(words + ["-w", "\n%{http_code}", "http://x" + path], environment: environment)
        guard result.status.isSuccess else { throw TownError("curl: \(text(result.errors))") }
        let output = text(result.output)
        guard let end = output.lastIndex(of: "\n"), let status = Int(output[output.index(after: end)...]) else {
            throw TownError("curl said \(output)")
        }
        return (status, String(output[..<end]))
    }
}

/// The control socket of a daemon with a town, as other programs use it.
@Suite(.serialized) struct ControlAPITests {
    @Test func eachRouteAnswersWithItsStatusAndErrorsSayWhatTheyAre() throws {
        try withTown { town in
            try town.startDaemon()
            let id = town.keys[2].id
            let calls: [(String, String, String?, Int, String?)] = [
                ("GET", "/v1/status", nil, 200, nil), ("GET", "/v1/events?since=0&type=key.added", nil, 200, nil),
                ("GET", "/metrics", nil, 200, nil), ("GET", "/healthz", nil, 200, nil),
                ("GET", "/readyz", nil, 200, nil), ("POST", "/v1/reload", nil, 200, nil),
                ("POST", "/v1/keys/\(id)/disable", nil, 200, nil), ("POST", "/v1/keys/\(id)/enable", nil, 200, nil),
                ("POST", "/v1/keys/\(id)/clear", nil, 200, nil), ("POST", "/v1/keys/clear", nil, 200, nil),
                ("POST", "/v1/keys/rotate", nil, 200, nil),
                ("POST", "/v1/agents/reload", #"{"all":true}"#, 200, nil),
                ("POST", "/v1/agents/reload", #"{"sessions":["nobody"]}"#, 404, "not_found"),
                ("POST", "/v1/agents/reload", "{", 400, "bad_request"),
                ("POST", "/v1/agents/reload", #"{"sessions":[1]}"#, 400, "bad_request"),
                ("POST", "/v1/keys/000000000000/disable", nil, 404, "not_found"),
                ("POST", "/v1/keys/xyz/clear", nil, 404, "not_found"),
                ("POST", "/v1/services/ghost/restart", nil, 404, "not_found"),
                ("POST", "/v1/leases", "[]", 400, "bad_request"), ("POST", "/v1/sightings", "7", 400, "bad_request"),
                ("GET", "/v1/events?since=x", nil, 400, "bad_request"),
                ("GET", "/v1/events?since=%zz", nil, 400, "bad_request"),
                ("POST", "/v1/status", "", 405, "method_not_allowed"),
                ("GET", "/v1/keys/rotate", nil, 405, "method_not_allowed"),
                ("DELETE", "/v1/keys/\(id)/clear", nil, 405, "method_not_allowed"),
                ("GET", "/v2/status", nil, 404, "not_found"), ("GET", "/", nil, 404, "not_found"),
                ("POST", "/v1/sightings", String(repeating: " ", count: (1 << 20) + 1), 413, "too_large"),
            ]
            for (method, path, body, status, code) in calls {
                // A megabyte does not fit into an argument.
                let answer: (status: Int, body: String)
                if let body, body.utf8.count > 100_000 {
                    try Disk.overwrite(town.directory + "/body", Array(body.utf8))
                    answer = try town.ask(method, path, body: "@\(town.directory)/body")
                } else {
                    answer = try town.ask(method, path, body: body)
                }
                #expect(answer.status == status, "\(method) \(path): \(answer)")
                guard let code else { continue }
                let error = try JSONValue(parsing: answer.body)["error"]
                #expect(error?["code"]?.string == code, "\(method) \(path): \(answer)")
                #expect(error?["message"]?.string?.isEmpty == false)
            }
            // Every key out: nothing to rotate to, and not ready.
            for key in town.keys { try town.gasclawd("keys", "disable", key.id) }
            #expect(try town.ask("POST", "/v1/keys/rotate").status == 409)
            let readiness = try town.ask("GET", "/readyz")
            #expect(readiness.status == 503)
            #expect(try JSONValue(parsing: readiness.body)["error"]?["code"] == "unavailable")
            try town.configure(sections: "[keys]\ncooldown = \"often\"")
            let refused = try town.ask("POST", "/v1/reload")
            #expect(refused.status == 422)
            let json = try JSONValue(parsing: refused.body)
            #expect(json["ok"] == false && json["errors"]?.array?.count == 1)
            #expect(json["error"]?["code"] == "refused")
        }
    }

    /// Names of the contract.
    private static let names = [
        "gasclawd_events_total", "gasclawd_sightings_total", "gasclawd_rotations_total",
        "gasclawd_config_last_reload_successful", "gasclawd_config_last_reload_success_timestamp_seconds",
        "gasclawd_generation", "gasclawd_keys", "gasclawd_key_cooldown_seconds", "gasclawd_service_up",
        "gasclawd_service_restarts_total", "gasclawd_watch_directories", "gasclawd_watch_overflows_total",
        "gasclawd_watch_polled_paths", "gasclawd_log_lines_skipped_total", "gasclawd_journal_dropped_total",
        "gasclawd_probe_seconds", "gasclawd_reaction_seconds",
    ]

    @Test func theMetricsAreCompleteAndInPrometheusFormat() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            _ = try town.startCrew("ada")
            let events = try town.events()
            try town.fail(town.keys[0], with: "quota-5h-403")
            try town.gasclawd("keys", "rotate")
            try events.next("agent.reload.finished")
            try town.configure(sections: "[keys]\ncooldown = \"9m\"")
            try events.next("config.applied") { $0["path"]?.string == town.configuration }
            let page = try town.ask("GET", "/metrics").body
            let lines = page.split(separator: "\n").map(String.init)
            for name in Self.names {
                #expect(lines.contains { $0.hasPrefix("# HELP \(name) ") }, "\(name)")
                #expect(lines.contains { $0.hasPrefix("# TYPE \(name) ") }, "\(name)")
            }
            let sample = #/[a-z_]+(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? (-?[0-9.e+-]+|NaN)/#
            for line in lines where !line.hasPrefix("#") { #expect(line.wholeMatch(of: sample) != nil, "\(line)") }
            // By hand, and perhaps before that because ada met the exhausted key; the first activation is no rotation.
            let activations = lines.firstMatch(#/gasclawd_events_total\{type="key.activated"\} ([0-9]+)/#)
            #expect(activations.map { lines.contains("gasclawd_rotations_total \($0 - 1)") } == true)
            #expect(lines.contains("gasclawd_config_last_reload_successful 1"))
            #expect(lines.contains { $0.hasPrefix("gasclawd_events_total{type=\"agent.leased\"} ") })
            #expect(lines.contains { $0.hasPrefix("gasclawd_reaction_seconds_bucket{le=\"+Inf\"} ") })
            #expect(!lines.contains("gasclawd_reaction_seconds_count 0"))
            #expect(!page.contains(town.keys[0].randomPart.prefix(8)))
        }
    }

    static let promtool = Environment.find("promtool")

    @Test(.enabled(if: promtool != nil, "promtool is not installed: apt-get install prometheus"))
    func promtoolFindsNothing() throws {
        try withTown { town in
            try town.startDaemon()
            try town.gasclawd("keys", "rotate")
            try Disk.overwrite(town.directory + "/metrics", Array(try town.ask("GET", "/metrics").body.utf8) + [10])
            let result = try Program.run(
                ["/bin/sh", "-c", "exec \(Self.promtool ?? "false") check metrics < \(town.directory)/metrics"],
                environment: town.environment)
            #expect(result.status.isSuccess, "\(text(result.output)) \(text(result.errors))")
        }
    }

    /// A program that speaks to the socket as nobody should.
    private func connect(_ town: MiniatureTown) throws -> Descriptor {
        let descriptor = Descriptor(
            owning: Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(town.socket.utf8)) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw TownError("connect: \(errno)") }
        return descriptor
    }

    @Test func silentGarbageAndStoppedClientsHoldNobodyUp() throws {
        try withTown { town in
            try town.startDaemon()
            let events = try town.events()
            var clients: [Int32] = []
            defer { for client in clients { close(client) } }
            for number in 0..<120 {
                let client = try connect(town)
                let line = [
                    "", "GET /v1/st", "\u{0}\u{1}\u{2}garbage\r\n\r\n",
                    "POST /v1/leases HTTP/1.1\r\nContent-Length: 99\r\n\r\n{",
                ]
                let bytes = Array(line[number % 4].utf8)
                _ = bytes.withUnsafeBytes { write(client.raw, $0.baseAddress, $0.count) }
                clients.append(client.release())
            }
            // A follower that is stopped.
            let stopped = try town.start(
                [MiniatureTown.gasclawd, "events", "--follow", "--json", "--config", town.configuration],
                output: town.directory + "/stopped")
            kill(stopped, SIGSTOP)
            let key = CanaryKey()
            try town.write(key, to: "9")
            try events.next("key.added") { $0["id"]?.string == key.id }
            #expect(try town.ask("GET", "/healthz").status == 200)
            #expect(try town.status() != nil)
            kill(stopped, SIGCONT)
        }
    }
}

extension [String] {
    /// The number in the first line that the pattern matches.
    fileprivate func firstMatch(_ pattern: Regex<(Substring, Substring)>) -> Int? {
        lazy.compactMap { $0.wholeMatch(of: pattern) }.first.flatMap { Int($0.output.1) }
    }
}
