// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing
import Timekeeping

@testable import ControlAPI

@Suite struct LeaseRequestTests {
    private let full = LeaseRequest(
        pid: 7, pane: "%3", tmuxSocket: "/tmp/t", session: "hq-mayor", role: "mayor", rig: "r", directory: "/w",
        conversation: "c", mayResume: false, slug: "-w", unsafeSettings: ["f: x"], mayWait: true)

    @Test func aRequestSurvivesTheSocket() throws {
        #expect(try LeaseRequest(try JSONValue(parsing: full.json.encoded())) == full)
        let small = LeaseRequest(pid: 1, directory: "/")
        #expect(try LeaseRequest(small.json) == small)
        #expect(try LeaseRequest(["pid": 1, "cwd": "/"]) == small)
    }

    @Test(arguments: [
        "{}", "[]", "null", #"{"pid":1}"#, #"{"cwd":"/"}"#, #"{"pid":0,"cwd":"/"}"#, #"{"pid":-1,"cwd":"/"}"#,
        #"{"pid":99999999999,"cwd":"/"}"#, #"{"pid":"1","cwd":"/"}"#, #"{"pid":1,"cwd":"w"}"#, #"{"pid":1,"cwd":7}"#,
        #"{"pid":1,"cwd":"/","pane":"3"}"#, #"{"pid":1,"cwd":"/","pane":"%"}"#,
        #"{"pid":1,"cwd":"/","pane":"%3;kill-server"}"#,
        #"{"pid":1,"cwd":"/","pane":"%٣"}"#, #"{"pid":1,"cwd":"/","tmux_socket":"t"}"#, #"{"pid":1,"cwd":"/\u0000x"}"#,
        #"{"pid":1,"cwd":"/","session":["x"]}"#,
    ])
    func aWrongRequestIsRefused(_ text: String) throws {
        let value = try JSONValue(parsing: text)
        do throws(ControlError) {
            let request = try LeaseRequest(value)
            Issue.record("taken: \(request)")
        } catch {
            #expect(error.status == 400)
        }
    }

    @Test func aTextThatIsTooLongIsRefused() {
        let json: JSONValue = ["pid": 1, "cwd": .string("/" + String(repeating: "x", count: 4096))]
        #expect(throws: ControlError.self) { try LeaseRequest(json) }
    }

    @Test func anAnswerSurvivesTheSocket() throws {
        let answer = LeaseAnswer(
            baseURL: "b", credential: "k", keyID: "0123456789ab", environment: [("Z", "1"), ("A", "é")],
            configDirectory: "/c", program: nil, isSandboxed: true, bin: "/b", settingsDirectory: "/s",
            bypassesPermissions: true, townRoot: "/t", resume: "r", resumePrompt: "p")
        let read = try #require(LeaseAnswer(try JSONValue(parsing: answer.json.encoded())))
        #expect(read.json == answer.json)
        #expect(read.environment.map(\.name) == ["Z", "A"])
        #expect(read.program == nil)
        #expect(LeaseAnswer(["credential": "k"]) == nil)
    }

    @Test(arguments: [
        ("bad_request", 400), ("forbidden", 403), ("not_found", 404), ("method_not_allowed", 405), ("busy", 409),
        ("too_large", 413), ("refused", 422), ("unavailable", 503), ("internal", 500), ("?", 500),
    ])
    func everyErrorHasItsStatus(_ code: String, _ status: Int) {
        let error = ControlError(code: code, message: "m")
        #expect(error.status == status)
        #expect(error.json.line == #"{"error":{"code":"\#(code)","message":"m"}}"#)
    }
}

@Suite struct LauncherFileTests {
    private func withFile(_ text: String?, _ body: (FilePath) throws -> Void) throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("launcher.json")
        try withExtendedLifetime(folder) {
            if let text { try folder.put("launcher.json", text) }
            try body(path)
        }
    }

    @Test func theFileSurvivesTheDisk() throws {
        let file = LauncherFile(socket: "/run/g/control.sock", state: "/var/lib/g", program: nil)
        try withFile(file.json.line) { #expect(LauncherFile(at: $0) == file) }
    }

    @Test(arguments: [nil, "", "{", "[]", #"{"socket":"/x"}"#, #"{"socket":1,"state":"/x"}"#] as [String?])
    func aFileThatIsMissingOrBrokenIsNone(_ text: String?) throws {
        try withFile(text) { #expect(LauncherFile(at: $0) == nil) }
    }

    @Test func itStandsBesideTheLinks() {
        #expect(LauncherFile.path(bin: "/var/lib/g/bin") == "/var/lib/g/launcher.json")
        #expect(LauncherFile.fallback(state: "/s") == "/s/launch.json")
    }
}

@Suite struct StatusReportTests {
    private func report(_ states: [String], _ state: StatusReport.State = .ready) -> StatusReport {
        let now = Timestamp(secondsSinceEpoch: 1_795_000_000)
        let keys = states.map { word in
            StatusReport.KeyItem(
                id: "0123456789ab", account: "1", baseURL: "b", state: word, cause: nil,
                until: word == "cooling" ? now : nil, lastUsed: nil, leases: 0)
        }
        return StatusReport(
            version: "0", bootID: "b", state: state, detail: "d", pid: 1, startedAt: now, generation: 12,
            townRoot: "/t",
            isTownInstalled: true, isStopped: false, activeKey: nil, keys: keys, rejected: [],
            agents: [
                StatusReport.AgentItem(
                    session: "s", role: "mayor", rig: nil, pid: 2, isRunning: true, key: nil, since: now,
                    isStalled: false, isBusy: nil, isUnmanaged: false, pendingReload: nil)
            ], watch: StatusReport.Watch(),
            config: StatusReport.Config(path: nil, loadedAt: now, errors: []))
    }

    @Test func everyFieldOfTheContractIsThereAndAbsentValuesAreNull() throws {
        let json = report(["active", "ready", "cooling", "disabled"]).json
        #expect(
            json.object?.names == [
                "version", "boot_id", "state", "detail", "pid", "started_at", "generation", "town", "keys", "services",
                "agents", "watch", "config",
            ])
        let keys = try #require(json["keys"])
        #expect(
            keys.object?.names == ["total", "ready", "cooling", "disabled", "active", "strategy", "items", "rejected"])
        #expect(keys["total"] == 4 && keys["ready"] == 2 && keys["cooling"] == 1 && keys["disabled"] == 1)
        #expect(keys["active"]?.isNull == true)
        #expect(
            keys["items"]?.array?.first?.object?.names
                == ["id", "account", "base_url", "state", "cause", "until", "last_used", "leases"])
        #expect(keys["items"]?.array?.first?["cause"]?.isNull == true)
        let agent = try #require(json["agents"]?.array?.first)
        #expect(
            agent.object?.names == [
                "session", "role", "rig", "pid", "running", "key", "since", "stalled", "busy", "unmanaged",
                "pending_reload", "detail",
            ])
        #expect(agent["busy"]?.isNull == true)
        #expect(json["watch"]?["probe_ms"]?.isNull == true)
        #expect(json["config"]?["ok"] == true)
        #expect(
            json["town"]?.object?.names == ["root", "installed", "estop", "away", "holds", "rejected", "bootstrap"])
    }

    @Test func itServesWhileAKeyIsReady() {
        #expect(report(["cooling"]).isServing)
        #expect(report(["ready"], .degraded).isServing)
        #expect(!report(["cooling", "disabled"], .degraded).isServing)
        #expect(!report(["ready"], .starting).isServing)
        #expect(!report(["ready"], .stopping).isServing)
    }

    @Test func theLineCountsKeysAndAgents() {
        #expect(report(["active"]).line == "1 key: 1 ready · 1 agent · generation 12")
        let until = Timestamp(secondsSinceEpoch: 1_795_000_000).timeOfDay.prefix(5)
        #expect(
            report(["ready", "cooling", "disabled"]).line
                == "3 keys: 1 ready, 1 cooling until \(until), 1 disabled · 1 agent · generation 12")
    }
}
