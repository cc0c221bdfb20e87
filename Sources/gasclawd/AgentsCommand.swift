// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import ControlAPI
import JSON
import LinuxSys
import Timekeeping

struct AgentsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agents", abstract: "Show the agents, or start them anew.", subcommands: [List.self, Reload.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the agents with the key each holds.")
        @OptionGroup var options: CommonOptions
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let status = try options.client().ask("GET", "/v1/status")
            if json {
                Output.write(String(decoding: (status["agents"] ?? []).encoded(indented: true), as: UTF8.self))
            } else {
                Output.write(StatusText.agents(status, now: .now) ?? "no agent runs\n")
            }
        }
    }

    struct Reload: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Start agents anew in their panes, with their conversations.")
        @OptionGroup var options: CommonOptions
        @Argument(help: "Sessions, as agents list shows them.") var sessions: [String] = []
        @Flag(help: "All of them.") var all = false
        @Flag(help: "Print JSON.") var json = false

        func validate() throws {
            if all == !sessions.isEmpty { throw ValidationError("it takes sessions, or --all") }
        }

        mutating func run() throws {
            let body: JSONValue = all ? ["all": true] : ["sessions": .array(sessions.map(JSONValue.string))]
            let answer = try options.client().ask("POST", "/v1/agents/reload", body: body)
            if json { return Output.write(answer.line + "\n") }
            let names = (answer["agents_to_reload"]?.array ?? []).compactMap(\.string)
            Output.write(
                names.isEmpty
                    ? "no agent runs that could be started anew\n"
                    : "to be started anew: \(names.joined(separator: " "))\n")
            for waiting in answer["waiting"]?.object?.members ?? [] {
                Output.write("\(waiting.name): \(waiting.value.string ?? "")\n")
            }
        }
    }
}
