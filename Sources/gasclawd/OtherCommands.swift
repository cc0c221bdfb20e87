// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import Configuration
import ControlAPI
import JSON
import LinuxSys
import Secrets
import SystemPackage

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check a configuration file without using it.")

    @OptionGroup var options: CommonOptions
    @Argument(help: "The file; without it, the one that run would use.") var file: String?
    @Flag(help: "Print JSON.") var json = false

    mutating func run() throws {
        if let file { options.config = file }
        do {
            let (path, settings) = try options.explain()
            Output.write(json ? report(path, settings).line + "\n" : text(path, settings))
        } catch let failure as CommandFailure where json && failure.code == 78 {
            Output.write(
                JSONValue.object(["ok": false, "errors": .array(failure.lines.map(JSONValue.string))]).line + "\n")
            throw ExitCode(78)
        }
    }

    private func report(_ path: FilePath?, _ settings: [EffectiveSetting]) -> JSONValue {
        [
            "ok": true, "path": .optional(path?.shown),
            "settings": .array(
                settings.map {
                    ["key": .string($0.key), "value": .string($0.shownValue), "origin": .string($0.shownOrigin)]
                }),
        ]
    }

    private func text(_ path: FilePath?, _ settings: [EffectiveSetting]) -> String {
        let rows = settings.map { ["\($0.key) = \($0.shownValue)", "# \($0.shownOrigin)"] }
        return "\(path?.shown ?? "no file: defaults"): in order\n" + TextTable(rows).text
    }
}

extension EffectiveSetting {
    /// People put keys into places where none belongs: the arguments of a program, a variable for agents.
    var shownValue: String { Redactor().hidingKeys(in: value) }

    /// Where the value is from, for people.
    var shownOrigin: String {
        switch origin {
        case .file(let file, let line, let column): "\(file):\(line):\(column)"
        case .environment(let name): "environment: \(name)"
        case nil: "default"
        }
    }
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Show the version.")
    @OptionGroup var options: CommonOptions
    @Flag(help: "Print JSON.") var json = false

    mutating func run() throws {
        Output.write(try json ? BuildInformation.json().line + "\n" : "gasclawd \(gasclawdVersion)\n")
    }
}

/// Prints `units/gasclawd.catalog`.
struct CatalogCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "print-catalog", abstract: "Print the journal's message catalog.", shouldDisplay: false)

    mutating func run() throws { Output.write(EventCatalog.file) }
}
