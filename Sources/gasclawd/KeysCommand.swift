// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import ControlAPI
import Daemon
import JSON
import Secrets
import Timekeeping

struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Show and change the pool's keys.",
        subcommands: [
            List.self, Add.self, Remove.self, Rotate.self, Clear.self, Disable.self, Enable.self, Explain.self,
        ])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the keys by their ids.")
        @OptionGroup var options: CommonOptions
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let keys: JSONValue
            // Where they are looked for; nil: the daemon may have it from elsewhere.
            var folder: String?
            do {
                keys = try options.client().ask("GET", "/v1/status")["keys"] ?? .null
            } catch let failure as CommandFailure where failure.code == 69 {
                // The files can be read without a daemon.
                let configuration = try options.configuration().value
                folder = configuration.accounts.shown
                keys = OfflineKeys.list(configuration, at: .now).keys
            }
            if json {
                Output.write(String(decoding: keys.encoded(indented: true), as: UTF8.self))
                return
            }
            let items = keys["items"]?.array ?? []
            guard !items.isEmpty else {
                Output.write(
                    folder.map { "there is no key in \($0) (gasclawd keys add puts one there)\n" }
                        ?? "there is no key (gasclawd status says where they are looked for)\n")
                return Output.write(StatusText.refused(keys, areInUse: folder == nil))
            }
            Output.write(
                TextTable(
                    ["KEY", "ACCOUNT", "STATE", "CAUSE", "UNTIL", "ENDPOINT"],
                    rows: items.map { key in
                        [
                            key["id"]?.string ?? "", key["account"]?.string ?? "", key["state"]?.string ?? "",
                            key["cause"]?.string ?? "-", Self.until(key["until"]), key["base_url"]?.string ?? "",
                        ]
                    }
                ).text)
            Output.write(StatusText.refused(keys, areInUse: folder == nil))
        }

        /// To the second: JSON has the rest.
        private static func until(_ value: JSONValue?) -> String {
            value?.string.map { $0.prefix { $0 != "." && $0 != "Z" } + "Z" } ?? "-"
        }
    }

    struct Clear: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "End the rest of a key, or of all keys.")
        @OptionGroup var options: CommonOptions
        @Argument(help: "The key's id; without it, all.") var id: String?
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws { try KeysCommand.post("clear", id, options, json) }
    }

    struct Disable: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a key out of use until it is enabled; its agents get another one.")
        @OptionGroup var options: CommonOptions
        @Argument(help: "The key's id.") var id: String
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws { try KeysCommand.post("disable", id, options, json) }
    }

    struct Enable: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a disabled key into use again.")
        @OptionGroup var options: CommonOptions
        @Argument(help: "The key's id.") var id: String
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws { try KeysCommand.post("enable", id, options, json) }
    }

    /// What was typed as a key's id.
    static func keyID(_ text: String) throws -> KeyID {
        guard let key = KeyID(text: text) else {
            throw CommandFailure(
                code: 64,
                "\(CommandLineTool.called): that is no key's id: 12 hexadecimal digits (gasclawd keys list shows the ids)"
            )
        }
        return key
    }

    fileprivate static func post(_ command: String, _ id: String?, _ options: CommonOptions, _ json: Bool) throws {
        if let id { _ = try keyID(id) }
        let answer = try options.client().ask("POST", "/v1/keys/\(id.map { "\($0)/" } ?? "")\(command)")
        if json { return Output.write(answer.line + "\n") }
        let what =
            id.map { $0 + (command == "clear" ? ": its rest is over" : ": \(command)d") }
            ?? "all keys: their rest is over"
        Output.write(
            (answer["changed"]?.bool == true ? what : "nothing to do")
                + "; active: \(answer["active"]?.string ?? "none")\n")
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
