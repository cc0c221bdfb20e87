// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// A command as the parser knows it: what manual, completions and `version` say is never another's.
struct CommandDescription {
    struct Argument: Hashable {
        /// As it is typed: `--config <file>`, `<id>`, `[<sessions> ...]`.
        let usage: String
        let abstract: String
        let defaultValue: String?
        let choices: [String]
    }

    /// The names that lead to it, the program's left out.
    let path: [String]
    let abstract: String
    /// What `--help` says below it; empty: nothing.
    let discussion: String
    let arguments: [Argument]
    /// Those that are shown.
    let subcommands: [CommandDescription]

    /// The program with all its commands.
    ///
    /// - Throws: What the parser says of itself is not understood: this is built with another parser.
    static func program() throws(JSONError) -> CommandDescription {
        let dump = try JSONValue(parsing: Array(Gasclawd._dumpHelp().utf8))
        return CommandDescription(dump["command"] ?? .null, below: nil)
    }

    private init(_ json: JSONValue, below parent: [String]?) {
        let path = parent.map { $0 + [json["commandName"]?.string ?? ""] } ?? []
        self.path = path
        abstract = json["abstract"]?.string ?? ""
        discussion = json["discussion"]?.string ?? ""
        arguments = (json["arguments"]?.array ?? []).filter(Self.isShown).map(Argument.init)
        subcommands = (json["subcommands"]?.array ?? []).filter(Self.isShown)
            .filter { $0["commandName"]?.string != "help" }
            .map { CommandDescription($0, below: path) }
    }

    private static func isShown(_ json: JSONValue) -> Bool { json["shouldDisplay"]?.bool ?? true }

    /// The commands that do something: those without commands below them.
    var leaves: [CommandDescription] { subcommands.isEmpty ? [self] : subcommands.flatMap(\.leaves) }
}

extension CommandDescription.Argument {
    fileprivate init(_ json: JSONValue) {
        let value = json["valueName"]?.string ?? ""
        var text: String
        switch json["kind"]?.string {
        case "positional": text = "<\(value)>"
        case "flag": text = Self.name(json)
        default: text = "\(Self.name(json)) <\(value)>"
        }
        if json["isRepeating"]?.bool == true, json["kind"]?.string == "positional" { text += " ..." }
        if json["isOptional"]?.bool == true, json["kind"]?.string == "positional" { text = "[\(text)]" }
        usage = text
        abstract = json["abstract"]?.string ?? ""
        defaultValue = json["defaultValue"]?.string
        choices = (json["allValues"]?.array ?? []).compactMap(\.string)
    }

    private static func name(_ json: JSONValue) -> String {
        (json["names"]?.array ?? []).map { name in
            (name["kind"]?.string == "long" ? "--" : "-") + (name["name"]?.string ?? "")
        }.joined(separator: ", ")
    }
}
