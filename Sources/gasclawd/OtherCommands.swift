// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import Configuration
import ControlAPI
import JSON
import LinuxSys
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
            let found = try options.configuration()
            let place = found.path?.shown ?? "defaults"
            Output.write(json ? JSONValue.object(["ok": true, "path": .optional(found.path?.shown)]).line + "\n" : "\(place): in order\n")
        } catch let failure as CommandFailure where json && failure.code == 78 {
            Output.write(
                JSONValue.object(["ok": false, "errors": .array(failure.lines.map(JSONValue.string))]).line + "\n")
            throw ExitCode(78)
        }
    }
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Show the version.")
    @OptionGroup var options: CommonOptions
    @Flag(help: "Print JSON.") var json = false

    mutating func run() throws {
        Output.write(json ? JSONValue.object(["version": .string(gasclawdVersion)]).line + "\n" : "gasclawd \(gasclawdVersion)\n")
    }
}

/// Prints `units/gasclawd.catalog`.
struct CatalogCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "print-catalog", abstract: "Print the journal's message catalog.", shouldDisplay: false)

    mutating func run() throws { Output.write(EventCatalog.file) }
}
