// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import Configuration
import ControlAPI
import Daemon
import JSON
import LinuxSys
import Timekeeping

struct StopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "End the gt daemon, all agents, tmux and dolt, and the daemon if one runs.")

    @OptionGroup var options: CommonOptions
    @Flag(help: "Print JSON.") var json = false

    /// Contract G, and a little for the answer.
    private static let limit = Duration.seconds(95)

    mutating func run() throws {
        let client = try options.client()
        let problems: [String]
        do throws(ControlClientError) {
            let daemon = try client.request("GET", "/v1/status", timeout: .seconds(5))["pid"]?.integer
            let answer = try client.request("POST", "/v1/stop", timeout: Self.limit)
            problems = (answer["problems"]?.array ?? []).compactMap(\.string)
            if let daemon { waitForEnd(of: Int32(truncatingIfNeeded: daemon)) }
        } catch .noDaemon {
            return try stopAlone()
        } catch {
            throw ControlClient.failure(error, socket: client.socket)
        }
        try report(problems)
    }

    private func stopAlone() throws {
        let (configuration, _) = try options.configuration()
        let log = try CommandLog.make()
        let problems: [String]
        do throws(DaemonFailure) {
            let tool = try TownTool(configuration, environment: .current, log: log)
            problems = try tool.stop { _, _ in }
        } catch {
            throw CommandFailure(code: error.code, "stop: \(error.message)")
        }
        try report(problems)
    }

    private func report(_ problems: [String]) throws {
        if json {
            Output.write(
                JSONValue.object(["ok": .bool(problems.isEmpty), "problems": .array(problems.map(JSONValue.string))])
                    .line + "\n")
        } else if problems.isEmpty {
            Output.write("stopped\n")
        }
        guard problems.isEmpty else {
            throw CommandFailure(code: 1, lines: problems.map { "gasclawd: stop: \($0)" })
        }
    }

    /// Its answer is its last word but one.
    private func waitForEnd(of pid: Int32) {
        guard let identity = ProcessTable.status(of: pid)?.identity else { return }
        do throws(SystemError) {
            let loop = try EventLoop()
            guard let handle = try ProcessHandle(identity, on: loop, onExit: { loop.stop() }) else { return }
            loop.schedule(after: .seconds(10)) { loop.stop() }
            try loop.run()
            withExtendedLifetime(handle) {}
        } catch {
            // The town is down; that the daemon ends a moment later changes nothing.
        }
    }
}
