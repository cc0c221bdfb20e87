// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Controller
import Fixtures
import Glibc
import JSON
import KeyPool
import LinuxSys
import Secrets
import SystemPackage
import Testing
import Timekeeping

@testable import Daemon
@testable import townsim

/// Questions to a provider, with the real curl and a stand-in on this machine.
@Suite(.serialized) struct ProberTests {
    private let folder: TemporaryFolder
    private let loop: EventLoop
    private let provider: Provider
    private let key: Key

    init() throws {
        SignalReceiver.ignoreBrokenPipes()
        folder = try TemporaryFolder()
        loop = try EventLoop()
        provider = try Provider(home: folder.path.string, on: loop)
        key = try #require(Key(MiniatureTown.newKey()))
    }

    private func prober(_ environment: [String: String] = [:]) -> Prober {
        Prober(program: Links.find("curl", in: ["/usr/bin", "/bin"]), version: "1.2.3", environment: environment)
    }

    private func ask(
        _ kind: ProbeKind, answer: String, environment: [String: String] = [:], path: String = "/coding/"
    ) throws -> ProbeOutcome {
        try folder.put("provider/\(key.id)", answer)
        let url = try #require(kind.url(baseURL: "http://127.0.0.1:\(provider.port)\(path)"))
        var outcome: ProbeOutcome?
        prober(environment).ask(ProbeOrder(key: key, kind: kind, url: url), on: loop) {
            outcome = $0
            loop.stop()
        }
        // Held by the loop, it would hold the folder.
        let end = loop.schedule(after: .seconds(60)) { loop.stop() }
        try loop.run()
        loop.cancel(end)
        return try #require(outcome)
    }

    private var requests: [JSONValue] {
        get throws {
            let path = folder.path.appending("provider.jsonl")
            guard Syscalls.exists(path) else { return [] }
            return try RegularFile.read(path, limit: 1 << 20).bytes.split(separator: 10).map {
                try JSONValue(parsing: $0)
            }
        }
    }

    @Test func aUsedUpWindowHasItsResetTime() throws {
        guard case .usage(let report) = try ask(.usages, answer: "5-hour") else {
            Issue.record("no report")
            return
        }
        let now = Timestamp.now
        let found = try #require(report.exhaustedUntil(seen: nil, at: now))
        #expect(found.window == .fiveHours)
        #expect((6600...7200).contains((found.until - now).wholeMilliseconds / 1000))
        #expect(report.owner?.utf8.count == 12)
        let request = try #require(try requests.first)
        #expect(request["method"] == "GET" && request["path"] == "/coding/v1/usages")
        #expect(request["user_agent"] == "gasclawd/1.2.3" && request["accept"] == "application/json")
        #expect(request["key"]?.string == key.id.text)
    }

    @Test func aGoodKeyIsGood() throws {
        #expect(try ask(.models, answer: "ok") == .good)
        #expect(try requests.first?["path"] == "/coding/v1/models")
        #expect(try ask(.models, answer: "ok", path: "/anthropic") == .good)
        #expect(try requests.last?["path"] == "/v1/models")
    }

    @Test(arguments: [("401", Cause.invalid), ("402", .membership)])
    func aRefusalIsTakenByItsWords(_ answer: String, _ cause: Cause) throws {
        for kind in [ProbeKind.usages, .models] {
            guard case .refused(let verdict, _) = try ask(kind, answer: answer) else {
                Issue.record("not refused")
                return
            }
            #expect(verdict.cause == cause)
        }
    }

    @Test(arguments: ["500", "403", "not-json", "list", "huge", "breaks-off", "garbage"])
    func whatIsNoAnswerSaysNothingOfTheKey(_ answer: String) throws {
        guard case .nothing(let why) = try ask(.usages, answer: answer) else {
            Issue.record("believed")
            return
        }
        #expect(!why.isEmpty)
        #expect(!Redactor(keys: [key]).redact(why).contains("\u{1b}"))
    }

    @Test func aRedirectIsNotFollowed() throws {
        #expect(try ask(.usages, answer: "redirect") == .nothing("HTTP 302: redirects are not followed"))
        #expect(try requests.map { $0["path"] } == ["/coding/v1/usages"])
    }

    @Test func aHostileReportIsReadAsFarAsItMakesSense() throws {
        guard case .usage(let report) = try ask(.usages, answer: "hostile") else {
            Issue.record("no report")
            return
        }
        #expect(report.limits.count == 1)
        // A reset in seventy years is for the pool not to believe.
        #expect(report.limits[0].window == .fiveHours)
    }

    @Test(arguments: ["no-answer", "trickle", "endless"])
    func aSlowAnswerIsGivenUp(_ answer: String) throws {
        let began = EventLoop.now
        guard case .nothing = try ask(.usages, answer: answer) else {
            Issue.record("believed")
            return
        }
        #expect(EventLoop.now - began < 30_000_000_000)
    }

    @Test func aClosedPortIsNoAnswer() throws {
        let listener = try Provider(home: folder.path.string, on: EventLoop()).port
        var outcome: ProbeOutcome?
        let order = ProbeOrder(key: key, kind: .models, url: "http://127.0.0.1:\(listener)/v1/models")
        prober().ask(order, on: loop) {
            outcome = $0
            loop.stop()
        }
        try loop.run()
        guard case .nothing(let why)? = outcome else {
            Issue.record("\(outcome as Any)")
            return
        }
        #expect(why.contains("cannot be reached"))
    }

    @Test func withoutCurlNothingIsAsked() throws {
        var outcome: ProbeOutcome?
        let order = ProbeOrder(key: key, kind: .models, url: "http://127.0.0.1:1/v1/models")
        Prober(program: nil, version: "1", environment: [:]).ask(order, on: loop) { outcome = $0 }
        guard case .nothing(let why)? = outcome else {
            Issue.record("\(outcome as Any)")
            return
        }
        #expect(why.contains("curl"))
    }

    /// A proxy of the environment must not see a question to this machine, nor a user's own curl file change one.
    @Test func theEnvironmentDoesNotLeadElsewhere() throws {
        #expect(
            try ask(
                .models, answer: "ok",
                environment: ["http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1", "HOME": "/root"])
                == .good)
    }

    @Test func theKeyIsInNoArgumentAndNoVariable() throws {
        let prober = prober(["ANTHROPIC_API_KEY": key.reveal(), "https_proxy": "http://proxy:3128"])
        #expect(prober.arguments("/usr/bin/curl") == ["/usr/bin/curl", "-q", "--config", "-"])
        #expect(!prober.environment.contains { $0.contains(key.reveal().suffix(8)) })
        #expect(prober.environment.contains("https_proxy=http://proxy:3128"))
    }
}
