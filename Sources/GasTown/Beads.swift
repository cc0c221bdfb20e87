// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// A call of bd, the issue tracker of a town (bd 1.0.3: cmd/bd).
public enum BeadsCall: Sendable, Hashable {
    /// - Parameter labels: For finding it again.
    case create(title: String, description: String, labels: [String] = [])
    /// Open ones, at most 50: bd's own limit.
    case list
    /// All open ones.
    case listAll
    case search(String)
    case show(id: String)
    /// bd closes the issue that was touched last if it is given no id: there is no call without one here.
    case close(id: String, reason: String)
    case describe(id: String, description: String)

    /// Longer descriptions go through standard input: one argument may have 128 KiB (execve(2), MAX_ARG_STRLEN).
    private static let argumentMax = 100 << 10
    /// What every one of bd's filters holds; `-n` is a limit.
    private static let countMax = "100000"

    /// The words behind the program's name.
    public var arguments: [String] {
        switch self {
        case .create(let title, let description, let labels):
            var words = ["create"] + Self.positional(title, option: "--title")
            words += input.isEmpty ? (description.isEmpty ? [] : ["-d", description]) : ["--stdin"]
            if !labels.isEmpty { words += ["-l", labels.joined(separator: ",")] }
            return words + ["--json"]
        case .list: return ["list", "--json"]
        case .listAll: return ["list", "-n", Self.countMax, "--json"]
        case .search(let query): return ["search"] + Self.positional(query, option: "--query") + ["--json"]
        case .show(let id): return ["show", id, "--json"]
        case .close(let id, let reason): return ["close", id, "-r", reason, "--json"]
        case .describe(let id, let description):
            return ["update", id] + (input.isEmpty ? ["-d", description] : ["--stdin"]) + ["--json"]
        }
    }

    /// What bd reads from its standard input; empty: nothing.
    public var input: [UInt8] {
        switch self {
        case .create(_, let text, _), .describe(_, let text):
            text.utf8.count > Self.argumentMax ? Array(text.utf8) : []
        default: []
        }
    }

    /// A word that begins with a hyphen would be taken for an option.
    private static func positional(_ word: String, option: String) -> [String] {
        word.hasPrefix("-") ? ["\(option)=\(word)"] : [word]
    }

    /// Variables for our own calls alone: gt and agents read bd's bare form and find their own database.
    ///
    /// - Parameters:
    ///   - base: The environment of everything that we start.
    ///   - root: The town.
    ///   - port: Where the town's dolt listens, nil for bd's own idea.
    public static func environment(_ base: [String], root: String, port: Int?) -> [String] {
        var changes = [
            "BD_JSON_ENVELOPE=1", "BEADS_DIR=\(root)/.beads",
            // bd must not start a server of its own beside the town's.
            "BEADS_DOLT_AUTO_START=0",
        ]
        if let port { changes += ["BEADS_DOLT_SERVER_PORT=\(port)", "BEADS_DOLT_PORT=\(port)"] }
        let names = changes.map { $0.prefix { $0 != "=" } + "=" }
        return base.filter { entry in !names.contains { entry.hasPrefix($0) } } + changes
    }
}

/// An issue as bd tells it (beads: internal/types/types.go).
public struct Bead: Sendable, Hashable {
    public let id: String
    public let title: String
    public let status: String
    public let priority: Int?
    public let description: String
    public let labels: [String]

    /// - Returns: nil for what has no id that bd could give: it becomes an argument.
    public init?(_ json: JSONValue) {
        guard let id = json["id"]?.string, Self.isID(id) else { return nil }
        self.id = id
        title = json["title"]?.string ?? ""
        status = json["status"]?.string ?? ""
        priority = json["priority"]?.integer.flatMap(Int.init(exactly:))
        description = json["description"]?.string ?? ""
        labels = (json["labels"]?.array ?? []).compactMap(\.string)
    }

    /// Letters, digits, and `-`, `_` or `.` between them.
    public static func isID(_ text: String) -> Bool {
        guard let first = text.utf8.first, first != UInt8(ascii: "-"), text.utf8.count <= 128 else { return false }
        return text.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                || [UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ".")].contains(byte)
        }
    }

    public var isClosed: Bool { status == "closed" }
}

/// Why a call of bd came to nothing.
public struct BeadsError: Error, Sendable, Hashable, CustomStringConvertible {
    /// bd's own words, or what it did; not yet fit to be shown.
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// The reading of bd's answers.
public enum BeadsAnswer {
    /// The data of an answer, whichever form it has.
    ///
    /// - Parameters:
    ///   - isSuccess: Whether bd's exit status was 0.
    ///   - status: How bd ended, for an error that says nothing itself.
    ///   - output: Standard output. With `BD_JSON_ENVELOPE=1` it is `{"schema_version":1,"data":…}`; older ones print
    ///     the bare value (output.go).
    ///   - errors: Standard error, where some errors are told as JSON and some as text (errors.go).
    public static func data(
        isSuccess: Bool, status: String, output: [UInt8], errors: [UInt8]
    ) throws(BeadsError) -> JSONValue {
        let value = json(output)
        guard isSuccess else {
            let told = value.flatMap(message) ?? json(errors).flatMap(message) ?? text(errors) ?? text(output)
            throw BeadsError(told ?? status)
        }
        guard let value else {
            guard let said = text(output) else { throw BeadsError(text(errors) ?? "it printed nothing") }
            throw BeadsError("it printed no JSON: \(said)")
        }
        if let told = message(value) { throw BeadsError(told) }
        if value["schema_version"] != nil, let data = value["data"] { return data }
        return value
    }

    /// The issues of an answer that lists some; what is none is passed over.
    public static func beads(in data: JSONValue) -> [Bead] {
        if data.object != nil { return Bead(data).map { [$0] } ?? [] }
        return (data.array ?? []).compactMap(Bead.init)
    }

    /// The open issue of exactly that title.
    ///
    /// - Throws: That there is none, or that there are several, with their ids.
    public static func open(_ title: String, in beads: [Bead]) throws(BeadsError) -> Bead {
        let found = beads.filter { $0.title == title && !$0.isClosed }
        guard let first = found.first else { throw BeadsError("no open bead has that name") }
        guard found.count == 1 else {
            throw BeadsError("\(found.count) open beads have that name: \(found.map(\.id).joined(separator: ", "))")
        }
        return first
    }

    /// Warnings may stand before the value.
    private static func json(_ bytes: [UInt8]) -> JSONValue? {
        if let value = parsed(bytes[...]) { return value }
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: 10) {
            start = bytes.index(after: end)
            guard start < bytes.endIndex else { return nil }
            if bytes[start] == UInt8(ascii: "{") || bytes[start] == UInt8(ascii: "["),
                let value = parsed(bytes[start...])
            {
                return value
            }
        }
        return nil
    }

    private static func parsed(_ bytes: ArraySlice<UInt8>) -> JSONValue? {
        do throws(JSONError) {
            let value = try JSONValue(parsing: bytes)
            // A bare number or word is something that was printed, not an answer.
            guard value.object != nil || value.array != nil || value.isNull else { return nil }
            return value
        } catch { return nil }
    }

    private static func message(_ value: JSONValue) -> String? {
        let error = value["error"]
        return error?.string ?? error?["message"]?.string
    }

    /// The first line that says something.
    private static func text(_ bytes: [UInt8]) -> String? {
        let lines = bytes.split(separator: 10).map { String(decoding: $0, as: UTF8.self) }
        guard var line = lines.first(where: { !$0.allSatisfy(\.isWhitespace) }) else { return nil }
        if line.hasPrefix("Error: ") { line.removeFirst(7) }
        return line
    }
}
