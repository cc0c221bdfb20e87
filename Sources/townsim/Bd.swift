// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import Timekeeping

/// A miniature bd as gt-contract.md section 7 describes it, over one JSON file in the private folder.
///
/// `faults/bd` makes it misbehave: `hang`, `text` (no JSON though it was asked for), `rubbish`, `exit-0` (an error with
/// exit status 0), `busy` (a failure told as JSON on standard error), `flood` (more output than a pipe holds).
enum Bd {
    static func run(_ arguments: [String]) throws(Failure) -> Int32 {
        let words = Words(
            arguments,
            valued: [
                "-C", "--db", "--actor", "--title", "-d", "--description", "--body", "-m", "-t", "--type", "-p",
                "--priority", "-l", "--labels", "-a", "--assignee", "--id", "--status", "-n", "--limit",
                "--query", "-r", "--reason", "--resolution", "--parent", "--deps", "--body-file", "--reason-file",
            ])
        // Section 7: `--name` and `--content` do not exist; an unknown flag is exit 1.
        let known: Set<String> = [
            "--json", "--all", "--silent", "--dry-run", "-q", "-v", "-f", "--force", "--readonly",
            "--sandbox", "--stdin",
        ]
        for flag in words.flagNames where !known.contains(flag) { throw Failure("Error: unknown flag: \(flag)") }
        for flag in ["--name", "--content"] where words.value(flag) != nil {
            throw Failure("Error: unknown flag: \(flag)")
        }
        let command = words.positional.first ?? ""
        let rest = Array(words.positional.dropFirst())
        if command == "version" {
            // bd/version.go:18; it opens no database.
            Terminal.say("bd version 1.0.3 (dev)")
            return 0
        }
        try misbehave(words)
        try openDatabase(words)
        let home = Environment.townsimHome
        try Disk.makeDirectories(home, mode: 0o700)
        return try Disk.locked(home + "/beads.lock") { () throws(Failure) in
            var store = try Store(path: home + "/beads.json")
            switch command {
            case "create", "new": return try create(words, rest, &store)
            case "list":
                let wanted = words.value("--status")
                return show(
                    store.issues.filter { issue in
                        if let wanted { return issue["status"]?.string == wanted }
                        return words.has("--all") || issue["status"]?.string != "closed"
                    }, words)
            case "search":
                // An empty query is exit 1; closed ones are hidden (section 7).
                let query = (rest.isEmpty ? words.value("--query") ?? "" : rest.joined(separator: " ")).lowercased()
                guard !query.isEmpty else { throw Failure("Error: search query is required") }
                return show(
                    store.issues.filter { issue in
                        issue["status"]?.string != "closed"
                            && ["title", "description", "id"].contains {
                                issue[$0]?.string?.lowercased().contains(query) ?? false
                            }
                    }, words)
            case "show", "view": return try show(rest, words, store)
            case "close", "done": return try close(words, rest, &store)
            case "update": return try update(words, rest, &store)
            default: throw Failure("Error: unknown command \"\(command)\" for \"bd\"")
            }
        }
    }

    private static func misbehave(_ words: Words) throws(Failure) {
        let fault = try Disk.text(Environment.townsimHome + "/faults/bd") ?? ""
        switch fault.split(whereSeparator: \.isWhitespace).first ?? "" {
        case "hang":
            while true { Waiting.pause(.seconds(3600)) }
        case "text":
            Terminal.say("No issues found.")
            throw Failure("", status: 0)
        case "rubbish":
            Terminal.write("{\"schema_version\": 1, \"da\u{0}")
            throw Failure("", status: 0)
        case "exit-0":
            Terminal.say(JSONValue.object(["error": "database is locked"]).line)
            throw Failure("", status: 0)
        case "busy": throw fatal("database is locked", words)
        case "flood":
            for _ in 0..<200 { Terminal.complain(String(repeating: "warning: stale binary ", count: 50)) }
        default: break
        }
    }

    /// FatalError: JSON goes to standard error (section 7, errors.go:75-117).
    private static func fatal(_ message: String, _ words: Words) -> Failure {
        Failure(words.has("--json") ? JSONValue.object(["error": .string(message)]).line : "Error: \(message)")
    }

    /// Found by BEADS_DIR or from the current folder upwards; without one it is exit 1 (section 7, main.go:849-853).
    /// The data is in the town's dolt, which has to run (section 8, "git-backed beads").
    private static func openDatabase(_ words: Words) throws(Failure) {
        var folder = Environment.value("BEADS_DIR") ?? ""
        if folder.isEmpty {
            var parent = Disk.realPath(Environment.currentDirectory)
            while parent != "/", parent != ".", !Disk.isDirectory(parent + "/.beads") { parent = directoryName(parent) }
            folder = parent + "/.beads"
        }
        guard Disk.isDirectory(folder) else { throw fatal("no beads database found (run 'bd init')", words) }
        var port: UInt16?
        for name in ["BEADS_DOLT_SERVER_PORT", "BEADS_DOLT_PORT"] where port == nil {
            port = Environment.value(name).flatMap { UInt16($0) }
        }
        if port == nil, let town = GtTown.from(directoryName(folder)) { port = try town.doltPort() }
        guard Dolt.accepts(port ?? 3307) else {
            throw fatal("failed to open database: Dolt server unreachable at 127.0.0.1:\(port ?? 3307)", words)
        }
    }

    /// The issues of the file.
    private struct Store {
        let path: String
        var issues: [JSONObject]
        var lastTouched: String?

        init(path: String) throws(Failure) {
            self.path = path
            let file = try Disk.object(path)
            issues = file?["issues"]?.array?.compactMap(\.object) ?? []
            lastTouched = file?["last_touched"]?.string
        }

        func save() throws(Failure) {
            try Disk.replace(
                path,
                ["issues": .array(issues.map(JSONValue.object)), "last_touched": .optional(lastTouched)] as JSONObject)
        }
    }

    private static func create(_ words: Words, _ rest: [String], _ store: inout Store) throws(Failure) -> Int32 {
        guard let title = words.value("--title") ?? rest.first, !title.isEmpty else {
            throw Failure("Error: title required (or use --file to create from markdown)")
        }
        let now = JSONValue.string(Timestamp.now.seconds)
        let labels = (words.value("-l", "--labels") ?? "").split(separator: ",").map { JSONValue.string(String($0)) }
        let id = words.value("--id") ?? "hq-\(String(UInt32.random(in: 60_466_176 ... .max), radix: 36).suffix(5))"
        let issue: JSONObject = [
            "id": .string(id), "title": .string(title),
            "description": .string(try description(words) ?? ""), "status": "open",
            "priority": JSONValue(words.value("-p", "--priority").flatMap { Int($0) } ?? 2),
            "issue_type": .string(words.value("-t", "--type") ?? "task"), "created_at": now,
            "created_by": .string(Environment.value("BD_ACTOR") ?? Environment.value("USER") ?? "unknown"),
            "updated_at": now, "labels": .array(labels),
        ]
        if !words.has("--dry-run") {
            store.issues.append(issue)
            store.lastTouched = id
            try store.save()
        }
        if words.has("--json") {
            var object = issue
            object["schema_version"] = 1
            Terminal.say(enveloped(.object(issue)) ?? JSONValue.object(object).line)
        } else {
            Terminal.say(words.has("--silent") ? id : "✓ Created issue: \(id)\n  Title: \(title)")
        }
        return 0
    }

    /// At most 50 unless `-n` says otherwise, 0 being no limit (section 7).
    private static func show(_ issues: [JSONObject], _ words: Words) -> Int32 {
        let limit = words.value("-n", "--limit").flatMap { Int($0) } ?? 50
        let shown = limit == 0 ? issues[...] : issues.prefix(limit)
        if words.has("--json") {
            let list = JSONValue.array(
                shown.map { issue in
                    var issue = issue
                    for count in ["dependency_count", "dependent_count", "comment_count"] { issue[count] = 0 }
                    return .object(issue)
                })
            Terminal.say(enveloped(list) ?? list.line)
        } else {
            for issue in shown { Terminal.say("○ \(issue["id"]?.string ?? "") \(issue["title"]?.string ?? "")") }
        }
        return 0
    }

    /// None found: exit 1 and a JSON error on standard output (section 7).
    private static func show(_ ids: [String], _ words: Words, _ store: Store) throws(Failure) -> Int32 {
        let found = store.issues.filter { ids.contains($0["id"]?.string ?? "") }
        guard !found.isEmpty else {
            if words.has("--json") {
                Terminal.say(JSONValue.object(["error": "no issues found matching the provided IDs"]).line)
            }
            throw Failure(words.has("--json") ? "" : "Error: no issues found matching the provided IDs")
        }
        if words.has("--json") {
            let list = JSONValue.array(found.map(JSONValue.object))
            Terminal.say(enveloped(list) ?? list.line)
        } else {
            for issue in found {
                let words = ["id", "title", "description"].map { issue[$0]?.string ?? "" }
                Terminal.say("\(words[0]) · \(words[1])\n\(words[2])")
            }
        }
        return 0
    }

    /// `-d` and its aliases, or standard input with `--stdin` or `--body-file -` (section 7, flags.go:11-35).
    private static func description(_ words: Words) throws(Failure) -> String? {
        if words.has("--stdin") || words.value("--body-file") == "-" { return Terminal.readInput() }
        return words.value("-d", "--description", "--body", "-m")
    }

    /// `update <id>… --status S --title T` and the common flags (section 7, update.go:21). An id that is not there is
    /// told on standard error, and the exit status stays 0.
    private static func update(_ words: Words, _ rest: [String], _ store: inout Store) throws(Failure) -> Int32 {
        let ids = rest.isEmpty ? [store.lastTouched].compactMap { $0 } : rest
        let changes: [(String, String?)] = [
            ("status", words.value("--status")), ("title", words.value("--title")),
            ("description", try description(words)),
        ]
        var updated: [JSONValue] = []
        for id in ids {
            guard let position = store.issues.firstIndex(where: { $0["id"]?.string == id }) else {
                Terminal.complain("Issue \(id) not found")
                continue
            }
            for case (let name, let value?) in changes { store.issues[position][name] = .string(value) }
            store.issues[position]["updated_at"] = .string(Timestamp.now.seconds)
            store.lastTouched = id
            updated.append(.object(store.issues[position]))
        }
        guard !updated.isEmpty else { return 0 }
        try store.save()
        if words.has("--json") {
            Terminal.say(enveloped(.array(updated)) ?? JSONValue.array(updated).line)
        } else {
            for issue in updated { Terminal.say("✓ Updated issue: \(issue["id"]?.string ?? "")") }
        }
        return 0
    }

    /// Without an id it closes the issue that was touched last (section 7).
    private static func close(_ words: Words, _ rest: [String], _ store: inout Store) throws(Failure) -> Int32 {
        let ids = rest.isEmpty ? [store.lastTouched].compactMap { $0 } : rest
        let now = JSONValue.string(Timestamp.now.seconds)
        var closed: [JSONValue] = []
        for position in store.issues.indices where ids.contains(store.issues[position]["id"]?.string ?? "") {
            store.issues[position]["status"] = "closed"
            store.issues[position]["closed_at"] = now
            store.issues[position]["updated_at"] = now
            store.issues[position]["close_reason"] = .string(
                words.value("-r", "--reason", "--resolution", "-m") ?? "Closed")
            closed.append(.object(store.issues[position]))
        }
        guard !closed.isEmpty else { throw Failure("Error: no issues closed") }
        store.lastTouched = ids.last
        try store.save()
        if words.has("--json") {
            Terminal.say(enveloped(.array(closed)) ?? JSONValue.array(closed).line)
        } else {
            for id in ids { Terminal.say("✓ Closed \(id)") }
        }
        return 0
    }

    /// `BD_JSON_ENVELOPE=1` wraps every answer alike (section 7).
    private static func enveloped(_ data: JSONValue) -> String? {
        guard Environment.value("BD_JSON_ENVELOPE") == "1" else { return nil }
        return JSONValue.object(["schema_version": 1, "data": data]).line
    }
}
