// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import ControlAPI
import Daemon
import JSON
import Timekeeping

extension KeysCommand {
    struct Explain: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what an error's text is taken for, and what would follow.",
            discussion: "Nothing is changed. Without a daemon the key files and the last state are looked at.")
        @OptionGroup var options: CommonOptions
        @Argument(help: "What the provider said.") var text: String
        @Option(help: ArgumentHelp("The HTTP status.", valueName: "code")) var status: Int?
        @Option(help: ArgumentHelp("The key that failed; without it, the active one.", valueName: "id"))
        var key: String?
        @Option(help: ArgumentHelp("The agent that failed.", valueName: "name")) var session: String?
        @Flag(help: "Print JSON.") var json = false

        func validate() throws {
            if let status, !(100..<600).contains(status) {
                throw ValidationError("--status: \(status) is no HTTP status")
            }
        }

        mutating func run() throws {
            let (keys, agents, cooldown, isRunning) = try surroundings()
            var failed = key
            if let session, failed == nil {
                guard let agent = agents.first(where: { $0["session"]?.string == session }) else {
                    throw CommandFailure(
                        code: 1, "keys explain: there is no agent \(session) (gasclawd agents list shows them)")
                }
                failed = agent["key"]?.string
            }
            if let failed, !(keys["items"]?.array ?? []).contains(where: { $0["id"]?.string == failed }) {
                throw CommandFailure(
                    code: 1, "keys explain: there is no key \(failed) (gasclawd keys list shows the ids)")
            }
            let explanation = KeyExplanation.make(
                text: text, status: status, keys: keys, agents: agents, key: failed, session: session,
                cooldown: cooldown, at: .now)
            guard json else { return Output.write(text(explanation, isRunning: isRunning)) }
            var object = explanation.object ?? JSONObject()
            object["daemon"] = .bool(isRunning)
            Output.write(JSONValue.object(object).line + "\n")
        }

        /// Keys, agents and `keys.cooldown`, from the daemon or from the files.
        private func surroundings() throws -> (JSONValue, [JSONValue], Duration, Bool) {
            // A configuration that is refused does not keep anybody from asking what a text means.
            var cooldown = Duration.seconds(300)
            do { cooldown = try options.configuration().value.keys.cooldown } catch is CommandFailure {}
            do {
                let status = try options.client().ask("GET", "/v1/status")
                return (status["keys"] ?? .null, status["agents"]?.array ?? [], cooldown, true)
            } catch let failure as CommandFailure where failure.code == 69 {
                do {
                    let (keys, agents) = OfflineKeys.list(try options.configuration().value, at: .now)
                    return (keys, agents, cooldown, false)
                } catch is CommandFailure { return (.null, [], cooldown, false) }
            }
        }

        private func text(_ explanation: JSONValue, isRunning: Bool) -> String {
            func word(_ name: String) -> String? { explanation[name]?.string }
            func list(_ name: String) -> String {
                (explanation[name]?.array ?? []).compactMap(\.string).joined(separator: ", ")
            }
            var lines: [[String]] = []
            func add(_ name: String, _ value: String?) {
                guard let value, !value.isEmpty else { return }
                lines.append([name, value])
            }
            add("cause", [word("window"), word("cause")].compactMap(\.self).joined(separator: " "))
            if word("source") == nil, status == nil {
                add("rule", "no wording fits, and without --status it is taken for a request that got no answer")
            } else {
                add("rule", word("rule"))
                add("known from", word("source") ?? "the status or type alone: no wording fits")
            }
            let wait = explanation["cooldown_seconds"]?.integer.map { Duration.seconds($0).brief }
            add("cools", [word("cools"), wait.map { "for \($0)" }].compactMap(\.self).joined(separator: " "))
            add("reset", word("reset_at"))
            if explanation["disables_when_confirmed"]?.bool == true {
                add("confirmed", "it is disabled until its file changes (two agents a minute apart, or keys.probe)")
            } else if let longer = explanation["confirmed_cooldown_seconds"]?.integer,
                longer > explanation["cooldown_seconds"]?.integer ?? 0
            {
                add("confirmed", "\(Duration.seconds(longer).brief) (two agents a minute apart, or keys.probe)")
            }
            add("restarts", word("restarts"))
            let here = isRunning ? "now" : "as it is"
            if let failed = word("key") {
                let cooled = list("keys")
                add(here, cooled.isEmpty ? "the key \(failed) stays in use" : "cools: \(cooled)")
                let agents = list("agents")
                add("", agents.isEmpty ? nil : "restarts: \(agents)")
                if !cooled.isEmpty { add("", word("next").map { "next: \($0)" } ?? "no other key is ready") }
            } else {
                add(here, "there is no key in use")
            }
            return TextTable(lines).text
        }
    }
}
