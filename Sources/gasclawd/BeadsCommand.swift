// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import Configuration
import Daemon
import GasTown
import JSON
import LinuxSys
import Secrets
import SystemPackage

/// The town's issues, in the words of Gas Town's guide; bd itself has others.
struct BeadsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "beads", abstract: "Create, find and close the town's beads.",
        discussion: "Works without a daemon. bd is called in the town; its dolt has to run.",
        subcommands: [Create.self, List.self, Search.self, Show.self, Close.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Create a bead.")
        @OptionGroup var options: CommonOptions
        @Option(parsing: .unconditional, help: "Its name, which becomes bd's title.") var name: String
        @Option(parsing: .unconditional, help: "Its text.") var content = ""
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let tracker = try Tracker(options, "create")
            try tracker.refuseEmpty(name, "--name")
            for text in [name, content] { try tracker.refuseKeys(in: text) }
            let data = try tracker.call(.create(title: name, description: content))
            guard let bead = BeadsAnswer.beads(in: data).first else { throw tracker.failure("bd names no new bead") }
            tracker.print(data, json: json) { "created \(bead.id)\n" }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the open beads, at most 50.")
        @OptionGroup var options: CommonOptions
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let tracker = try Tracker(options, "list")
            let data = try tracker.call(.list)
            tracker.print(try tracker.list(data), json: json) { tracker.table(BeadsAnswer.beads(in: data)) }
        }
    }

    struct Search: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Find open beads by their words, at most 50.")
        @OptionGroup var options: CommonOptions
        @Option(parsing: .unconditional, help: "What to look for in names, texts and ids.") var query: String
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let tracker = try Tracker(options, "search")
            try tracker.refuseEmpty(query, "--query")
            try tracker.refuseKeys(in: query)
            let data = try tracker.call(.search(query))
            tracker.print(try tracker.list(data), json: json) { tracker.table(BeadsAnswer.beads(in: data)) }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a bead.")
        @OptionGroup var options: CommonOptions
        @Argument(help: "Its id, as `beads list` shows it.") var id: String
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let tracker = try Tracker(options, "show")
            guard Bead.isID(id) else {
                throw CommandFailure(code: 64, "beads show: that is no bead's id (gasclawd beads list shows them)")
            }
            let data = try tracker.call(.show(id: id))
            guard let bead = BeadsAnswer.beads(in: data).first else { throw tracker.failure("there is no bead \(id)") }
            tracker.print(data.array?.first ?? data, json: json) { tracker.page(bead) }
        }
    }

    struct Close: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Close the open bead of that name.",
            discussion: "Where none or several have the name nothing is closed.")
        @OptionGroup var options: CommonOptions
        @Option(parsing: .unconditional, help: "Its name.") var name: String
        @Option(parsing: .unconditional, help: "Why it is closed.") var reason = "Closed"
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let tracker = try Tracker(options, "close")
            try tracker.refuseEmpty(name, "--name")
            for text in [name, reason] { try tracker.refuseKeys(in: text) }
            let beads = BeadsAnswer.beads(in: try tracker.call(.listAll))
            let bead: Bead
            do throws(BeadsError) { bead = try BeadsAnswer.open(name, in: beads) } catch {
                throw tracker.failure("\(error) (gasclawd beads list shows them; bd close ID closes one)")
            }
            let data = try tracker.call(.close(id: bead.id, reason: reason))
            tracker.print(data.array?.first ?? data, json: json) { "closed \(bead.id)\n" }
        }
    }
}

/// bd, and what its words pass before they are shown.
private struct Tracker {
    private let client: BeadsClient
    private let redactor: Redactor
    private let command: String

    init(_ options: CommonOptions, _ command: String) throws {
        let configuration = try options.configuration().value
        let paths = configuration.paths
        let toolbox = Toolbox(configuration, bin: paths.state.appending("bin"), own: .current, version: gasclawdVersion)
        client = BeadsClient(configuration, toolbox: toolbox)
        redactor = OfflineKeys.redactor(configuration)
        self.command = command
        // bd may end before it has read what it is given.
        SignalReceiver.ignoreBrokenPipes()
    }

    func failure(_ why: String) -> CommandFailure {
        CommandFailure(code: 1, "beads \(command): \(redactor.redact(why))")
    }

    func call(_ call: BeadsCall) throws -> JSONValue {
        var outcome: Result<JSONValue, BeadsError>?
        do throws(SystemError) {
            let loop = try EventLoop()
            client.run(call, on: loop) {
                outcome = $0
                loop.stop()
            }
            if outcome == nil { try loop.run() }
        } catch {
            throw CommandFailure(code: 70, "beads \(command): \(error)")
        }
        switch outcome {
        case .success(let data): return data
        case .failure(let error): throw failure("\(error)")
        case nil: throw failure("bd did not end")
        }
    }

    /// No result is `null` for some versions of bd.
    func list(_ data: JSONValue) throws -> JSONValue {
        if data.isNull { return [] }
        guard data.array != nil else { throw failure("bd: its answer is no list") }
        return data
    }

    func refuseEmpty(_ text: String, _ option: String) throws {
        guard text.allSatisfy(\.isWhitespace) else { return }
        throw CommandFailure(code: 64, "beads \(command): \(option) is empty (give it a text)")
    }

    /// bd gets its words as arguments, which every user of the machine can read, and keeps them for good.
    func refuseKeys(in text: String) throws {
        guard redactor.hidingKeys(in: text) != text else { return }
        throw CommandFailure(code: 1, "beads \(command): the text holds what looks like an API key (leave it out)")
    }

    // MARK: - Output

    func print(_ data: JSONValue, json: Bool, text: () -> String) {
        Output.write(json ? hidingKeys(data).line + "\n" : text())
    }

    private func hidingKeys(_ value: JSONValue) -> JSONValue {
        if let text = value.string { return .string(redactor.hidingKeys(in: text)) }
        if let list = value.array { return .array(list.map(hidingKeys)) }
        guard let object = value.object else { return value }
        var result = JSONObject()
        for (name, member) in object.members { result[name] = hidingKeys(member) }
        return .object(result)
    }

    func table(_ beads: [Bead]) -> String {
        guard !beads.isEmpty else { return "none\n" }
        let width = beads.map(\.id.count).max() ?? 0
        let states = beads.map(\.status.count).max() ?? 0
        return beads.map { bead in
            let priority = bead.priority.map { "P\($0)" } ?? "  "
            return "\(pad(bead.id, width))  \(pad(redactor.redact(bead.status), states))  \(priority)  "
                + redactor.redact(bead.title) + "\n"
        }.joined()
    }

    private func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    func page(_ bead: Bead) -> String {
        let lines = bead.description.split(separator: "\n", omittingEmptySubsequences: false)
            .map { redactor.redact(String($0)) }
        let state = redactor.redact(bead.status) + (bead.priority.map { ", P\($0)" } ?? "")
        return "\(bead.id)  \(redactor.redact(bead.title))\n\(state)\n"
            + (bead.description.isEmpty ? "" : "\n\(lines.joined(separator: "\n"))\n")
    }
}
