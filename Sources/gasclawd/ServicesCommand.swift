// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import ControlAPI
import JSON
import Timekeeping

struct ServicesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "services", abstract: "Show, start, stop or restart dolt, daemon and mayor.",
        subcommands: [List.self, Start.self, Stop.self, Restart.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show what is kept running, and how it stands.")
        @OptionGroup var options: CommonOptions
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let status = try options.client().ask("GET", "/v1/status")
            let services = status["services"] ?? []
            if json { return Output.write(String(decoding: services.encoded(indented: true), as: UTF8.self)) }
            Output.write(StatusText.services(status, now: .now) ?? "no service is managed (services.manage)\n")
        }
    }

    struct Start: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Start a service, and wait until it is up.")
        @OptionGroup var options: CommonOptions
        @Argument(help: "dolt, daemon or mayor.", completion: names) var name: String
        @Flag(help: "Print JSON.") var json = false
        mutating func run() throws { try ask("start", name, options, json) }
    }

    struct Stop: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop a service; it stays down until it is started by hand.")
        @OptionGroup var options: CommonOptions
        @Argument(help: "dolt, daemon or mayor.", completion: names) var name: String
        @Flag(help: "Print JSON.") var json = false
        mutating func run() throws { try ask("stop", name, options, json) }
    }

    struct Restart: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop and start a service; one that is parked is tried at once.")
        @OptionGroup var options: CommonOptions
        @Argument(help: "dolt, daemon or mayor.", completion: names) var name: String
        @Flag(help: "Print JSON.") var json = false
        mutating func run() throws { try ask("restart", name, options, json) }
    }

    private static let names = CompletionKind.list(["dolt", "daemon", "mayor"])

    /// A mayor takes up to 200 s to stop and as many to start (contract G).
    private static let limit = Duration.seconds(420)

    private static func ask(_ command: String, _ name: String, _ options: CommonOptions, _ json: Bool) throws {
        // It becomes a part of the path.
        guard name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }), !name.isEmpty
        else { throw ValidationError("there is no such service: there are dolt, daemon and mayor") }
        let answer = try options.client().ask("POST", "/v1/services/\(name)/\(command)", timeout: limit)
        if json { return Output.write(answer.line + "\n") }
        let service = answer["service"]
        let pid = service?["pid"]?.integer.map { " (pid \($0))" } ?? ""
        Output.write("\(name) is \(service?["state"]?.string ?? "?")\(pid)\n")
    }
}
