// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import ControlAPI
import JSON
import Timekeeping

struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Read the configuration again, as a whole or not at all.")

    @OptionGroup var options: CommonOptions
    @Flag(help: "Return when the agents concerned are back.") var wait = false
    @Option(help: ArgumentHelp("How long to wait: 30s, 10m.", valueName: "duration")) var timeout = "10m"
    @Flag(help: "Print JSON.") var json = false

    mutating func run() throws {
        guard let limit = Duration(configured: timeout) else {
            throw ValidationError("--timeout takes a duration as 30s or 10m")
        }
        let client = try options.client()
        // Whole ones; less than was asked for would be an answer too early.
        let seconds = (limit.wholeMilliseconds + 999) / 1000
        let status: Int
        let answer: JSONValue
        do throws(ControlClientError) {
            (status, answer) = try client.answer(
                "POST", wait ? "/v1/reload?wait=\(min(seconds, 86400))" : "/v1/reload",
                timeout: wait ? limit + .seconds(10) : .seconds(30))
        } catch {
            throw ControlClient.failure(error, socket: client.socket)
        }
        if json { Output.write(answer.line + "\n") }
        switch status {
        case 200:
            guard !json else { return }
            tell(answer)
        case 422:
            let errors = (answer["errors"]?.array ?? []).compactMap(\.string)
            throw CommandFailure(code: 78, lines: json ? [] : errors)
        default:
            if !json, answer["generation"] != nil { tell(answer) }
            throw CommandFailure(
                code: status == 409 ? 75 : 1,
                "reload: "
                    + ControlClient.withHint(
                        answer["error"]?["message"]?.string ?? "HTTP \(status)",
                        "gasclawd status shows how things stand"))
        }
    }

    /// What is in force, and what has become of whom.
    private func tell(_ answer: JSONValue) {
        func names(_ member: String) -> [String]? { answer[member]?.array?.compactMap(\.string) }
        Output.write("generation \(answer["generation"]?.integer ?? 0) is in force\n")
        let planned = names("agents_to_reload") ?? []
        guard let done = names("agents_reloaded") else {
            if !planned.isEmpty { Output.write("to be started anew: \(planned.joined(separator: " "))\n") }
            return
        }
        let failed = (answer["agents_failed"]?.array ?? []).compactMap { $0["session"]?.string }
        let left = planned.filter { !done.contains($0) && !failed.contains($0) }
        if !done.isEmpty { Output.write("started anew: \(done.joined(separator: " "))\n") }
        if !left.isEmpty { Output.write("left as they are: \(left.joined(separator: " "))\n") }
    }
}
