// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import ControlAPI
import JSON
import Timekeeping

struct EventsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Show what has happened, or what happens.")

    @OptionGroup var options: CommonOptions
    @Flag(help: "Go on with what comes.") var follow = false
    @Option(help: ArgumentHelp("Only events after this number.", valueName: "seq")) var since: Int = 0
    @Option(
        name: .customLong("type"), help: ArgumentHelp("Only this type; may be repeated.", valueName: "type"),
        completion: .list(EventCatalog.entries.map(\.type)))
    var types: [String] = []
    @Flag(help: "Print JSON, one event a line.") var json = false

    func validate() throws {
        if since < 0 { throw ValidationError("--since takes the number of an event") }
        let known = Set(EventCatalog.entries.map(\.type) + ["events.dropped"])
        for type in types where type.allSatisfy({ $0.isASCII }) && !known.contains(type) {
            throw ValidationError(
                "--type: there is no event \(type); known are \(known.sorted().joined(separator: ", "))")
        }
        for type in types where !type.allSatisfy({ $0.isASCII && ($0.isLetter || ".,_".contains($0)) }) {
            throw ValidationError("--type takes the type of an event, as key.activated")
        }
    }

    mutating func run() throws {
        let client = try options.client()
        var target = "/v1/events?since=\(since)"
        if !types.isEmpty { target += "&type=\(types.joined(separator: ","))" }
        if follow { target += "&follow=1" }
        let asJSON = json
        do throws(ControlClientError) {
            try client.stream(target, to: 1) { line in
                Output.write((asJSON ? String(decoding: line, as: UTF8.self) : EventText.render(line)) + "\n")
            }
        } catch {
            if case .unread = error { return }
            throw ControlClient.failure(error, socket: client.socket)
        }
        if follow { throw ControlClient.ended }
    }
}

/// An event for people: `14:05:07 key.activated id=… account=2`.
enum EventText {
    static func render(_ line: [UInt8]) -> String {
        let event: JSONValue
        do throws(JSONError) { event = try JSONValue(parsing: line) } catch {
            return String(decoding: line, as: UTF8.self)
        }
        let time = event["time"]?.string.flatMap { Timestamp(rfc3339: $0) }.map { "\($0.timeOfDay)Z" } ?? "         "
        let number = "\(event["seq"]?.integer ?? 0)"
        var text = String(repeating: " ", count: max(0, 4 - number.count)) + number
        text += "  \(time)  \(event["type"]?.string ?? "?")"
        for member in event.object?.members ?? [] {
            if ["seq", "boot_id", "time", "type"].contains(member.name) { continue }
            // What is absent, and what there is nothing to say about.
            if member.value.isNull || member.value.string == "" { continue }
            if let list = member.value.array {
                // One a line: a refused configuration has as many as it has errors.
                for item in list { text += "\n\(String(repeating: " ", count: 17))\(item.string ?? item.line)" }
                continue
            }
            let value = member.value.string ?? member.value.line
            text += "  \(member.name)=\(value.contains(" ") ? JSONValue.string(value).line : value)"
        }
        return text
    }
}
