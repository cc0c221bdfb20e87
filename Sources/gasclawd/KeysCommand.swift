// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import ControlAPI
import Daemon
import JSON
import Timekeeping

struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Show the pool's keys, or change to the next one.",
        subcommands: [List.self, Rotate.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the keys by their ids.")
        @OptionGroup var options: CommonOptions
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let keys: JSONValue
            do {
                keys = try options.client().ask("GET", "/v1/status")["keys"] ?? .null
            } catch let failure as CommandFailure where failure.code == 69 {
                // The files can be read without a daemon.
                keys = OfflineKeys.list(try options.configuration().value, at: .now)
            }
            if json {
                Output.write(String(decoding: keys.encoded(indented: true), as: UTF8.self))
                return
            }
            let items = keys["items"]?.array ?? []
            guard !items.isEmpty else {
                Output.write("there is no key (gasclawd status says where they are looked for)\n")
                return Output.write(StatusText.refused(keys))
            }
            Output.write(
                TextTable(
                    ["KEY", "ACCOUNT", "STATE", "CAUSE", "UNTIL", "ENDPOINT"],
                    rows: items.map { key in
                        [
                            key["id"]?.string ?? "", key["account"]?.string ?? "", key["state"]?.string ?? "",
                            key["cause"]?.string ?? "-", key["until"]?.string ?? "-", key["base_url"]?.string ?? "",
                        ]
                    }
                ).text)
            Output.write(StatusText.refused(keys))
        }
    }

    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the next key the active one; its agents are started anew.")
        @OptionGroup var options: CommonOptions
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let answer = try options.client().ask("POST", "/v1/keys/rotate")
            Output.write(json ? answer.line + "\n" : "active: \(answer["active"]?.string ?? "?")\n")
        }
    }
}
