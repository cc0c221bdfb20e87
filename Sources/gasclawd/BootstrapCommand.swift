// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import Configuration
import ControlAPI
import Daemon
import JSON
import Logging
import SystemdKit
import Timekeeping

struct BootstrapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bootstrap", abstract: "Bring the town into being and start its services.",
        discussion: "Each step is done only if it is needed. If one fails, what was started is ended again.")

    @OptionGroup var options: CommonOptions
    @Flag(help: "Print what would be done, and do nothing.") var dryRun = false
    @Flag(help: "Print JSON, when all is done.") var json = false

    mutating func run() throws {
        let given = GivenKeys.take()
        let (configuration, _) = try options.configuration()
        let log = try CommandLog.make()
        let json = json
        let isLive = Output.isTerminal && !json
        let failure: String?
        var steps: [JSONValue] = []
        do throws(DaemonFailure) {
            let tool = try TownTool(configuration, environment: .current, given: given, isReadOnly: dryRun, log: log)
            failure = try tool.bootstrap(isDry: dryRun, hasDaemon: hasDaemon()) { name in
                if isLive { Output.write("\(Self.padded(name)) …") }
            } onStep: { step in
                if json { return steps.append(step.json) }
                let time = step.took >= .milliseconds(100) ? " (\(step.took.brief))" : ""
                let line = "\(Self.padded(step.name)) \(step.result.rawValue)\(time): \(step.detail)"
                Output.write((isLive ? "\r\u{1B}[K" : "") + line + "\n")
            }
        } catch {
            throw CommandFailure(code: error.code, error.message)
        }
        if json {
            let answer: JSONValue = [
                "ok": .bool(failure == nil), "steps": .array(steps), "error": .optional(failure),
            ]
            Output.write(answer.line + "\n")
        }
        if let failure { throw CommandFailure(code: 1, "\(failure) (mend it, then run it again)") }
    }

    private static func padded(_ name: String) -> String {
        name + String(repeating: " ", count: max(0, 9 - name.count))
    }

    private func hasDaemon() -> Bool {
        do {
            _ = try options.client(followsMoves: false).ask("GET", "/healthz", timeout: .seconds(2))
            return true
        } catch { return false }
    }
}

/// What a command that works by itself has to say beside its output: warnings, on standard error.
enum CommandLog {
    static func make() throws -> Logger {
        do {
            let writer = try RecordWriter(descriptor: 2)
            return Logger(label: "gasclawd") { _ in StandardErrorHandler(writer: writer, level: .warning) }
        } catch {
            throw CommandFailure(code: 70, "\(error)")
        }
    }
}
