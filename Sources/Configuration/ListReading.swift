// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import LineMatching

/// Settings that are lists of words or of tables.
extension ValueReader {
    /// A table's members that a list's element may have.
    private struct Members {
        var values: [String: GivenValue] = [:]
        subscript(name: String) -> GivenValue? { values[name] }
    }

    mutating func readWords(_ value: GivenValue, _ words: [String], _ set: Setting.Setter<[String]>) {
        guard case .list(let elements) = value.content else { return mismatch(value, "a list of strings") }
        var found: [String] = []
        for element in elements {
            guard let word = text(of: element) else { continue }
            guard words.contains(word) else {
                let hint = nearestName(to: word, among: words).map { " (did you mean \"\($0)\"?)" } ?? ""
                object(to: element, "\(quoted(word)) is none of \(words.joined(separator: ", "))\(hint)")
                continue
            }
            guard !found.contains(word) else {
                object(to: element, "\"\(word)\" stands there twice")
                continue
            }
            found.append(word)
        }
        set(&configuration, found)
    }

    mutating func readRigs(_ value: GivenValue, _ set: Setting.Setter<[Configuration.Rig]>) {
        var rigs: [Configuration.Rig] = []
        for (element, members) in tables(value, required: ["name", "url"], optional: []) {
            guard let name = members["name"], let url = members["url"], let nameText = text(of: name),
                let urlText = text(of: url)
            else { continue }
            if let problem = rigNameProblem(nameText) {
                object(to: name, problem)
                continue
            }
            if let problem = rigURLProblem(urlText) {
                object(to: url, problem)
                continue
            }
            guard !rigs.contains(where: { $0.name == nameText }) else {
                object(to: element, "the rig \(quoted(nameText)) stands there twice")
                continue
            }
            rigs.append(Configuration.Rig(name: nameText, url: urlText))
        }
        set(&configuration, rigs)
    }

    mutating func readLogRules(_ value: GivenValue, _ set: Setting.Setter<[Configuration.LogRule]>) {
        var rules: [Configuration.LogRule] = []
        for (_, members) in tables(value, required: ["files", "match", "cause"], optional: []) {
            guard let files = members["files"], let match = members["match"], let cause = members["cause"],
                let filesText = text(of: files), let matchText = text(of: match), let causeText = text(of: cause)
            else { continue }
            var isGood = true
            for (given, problem) in [
                (files, globProblem(filesText)), (match, patternProblem(matchText)), (cause, causeProblem(causeText)),
            ] {
                guard let problem else { continue }
                object(to: given, problem)
                isGood = false
            }
            if isGood {
                rules.append(Configuration.LogRule(files: filesText, match: matchText, cause: causeText))
            }
        }
        set(&configuration, rules)
    }

    mutating func readAlerts(_ value: GivenValue, _ set: Setting.Setter<[Configuration.Alert]>) {
        var alerts: [Configuration.Alert] = []
        for (element, members) in tables(value, required: ["on"], optional: ["command", "url"]) {
            guard let on = members["on"], let events = list(of: on, eventTypeProblem) else { continue }
            switch (members["command"], members["url"]) {
            case (nil, nil): object(to: element, "needs a command or a url")
            case (_?, let url?):
                object(to: url, "command and url exclude each other")
            case (let command?, nil):
                guard let words = list(of: command, { _ in nil }) else { continue }
                if let problem = commandProblem(words) {
                    object(to: command, problem)
                    continue
                }
                alerts.append(Configuration.Alert(events: events, receiver: .command(words)))
            case (nil, let url?):
                guard let text = text(of: url) else { continue }
                if let problem = alertURLProblem(text) {
                    object(to: url, problem)
                    continue
                }
                alerts.append(Configuration.Alert(events: events, receiver: .url(text)))
            }
        }
        set(&configuration, alerts)
    }

    /// A list of at least one text; nil if something is wrong with it, which is reported.
    private mutating func list(of value: GivenValue, _ rule: (String) -> String?) -> [String]? {
        guard case .list(let elements) = value.content else {
            mismatch(value, "a list of strings")
            return nil
        }
        guard !elements.isEmpty else {
            object(to: value, "must not be empty")
            return nil
        }
        var found: [String] = []
        for element in elements {
            guard let text = text(of: element) else { continue }
            if let problem = rule(text) {
                object(to: element, problem)
                continue
            }
            found.append(text)
        }
        return found.count == elements.count ? found : nil
    }

    /// The elements of a list of tables with exactly these members; what is wrong with others is reported.
    private mutating func tables(
        _ value: GivenValue, required: [String], optional: [String]
    ) -> [(GivenValue, Members)] {
        guard case .list(let elements) = value.content else {
            mismatch(value, "a list of tables")
            return []
        }
        var found: [(GivenValue, Members)] = []
        for element in elements {
            guard case .table(let members) = element.content else {
                mismatch(element, "a table")
                continue
            }
            var known = Members()
            for (name, place, member) in members {
                guard (required + optional).contains(name) else {
                    let hint =
                        nearestName(to: name, among: required + optional).map { "did you mean \"\($0)\"?" }
                        ?? "known here: \((required + optional).joined(separator: ", "))"
                    report(place, "\(element.subject)unknown key \(quoted(name)) (\(hint))")
                    continue
                }
                known.values[name] = member
            }
            let missing = required.filter { known[$0] == nil }
            guard missing.isEmpty else {
                object(to: element, "\(missing.joined(separator: ", ")) is missing")
                continue
            }
            found.append((element, known))
        }
        return found
    }
}

// MARK: - Rules

/// gt refuses `-`, `.`, `/`, `\`, spaces and the name `hq`; what it takes besides is more than anybody uses.
func rigNameProblem(_ text: String) -> String? {
    if let problem = emptinessProblem(text) { return problem }
    guard text.utf8.allSatisfy(isNameByte) else { return "\(quoted(text)) is no rig's name (letters, digits and _)" }
    return text.lowercased() == "hq" ? "\"\(text)\" is reserved by gt" : nil
}

/// A repository as gt takes it: `SCHEME://…`, `USER@HOST:PATH`, or an absolute path, which becomes `file://…`.
func rigURLProblem(_ text: String) -> String? {
    if let problem = emptinessProblem(text) { return problem }
    if text.hasPrefix("/") { return nil }
    guard !text.hasPrefix("-"), !text.utf8.contains(32) else { return "\(quoted(text)) is no repository's URL" }
    if let range = text.firstRange(of: "://") {
        let authority = text[range.upperBound...].prefix { $0 != "/" }
        // It is shown in status and kept in the town's repository.
        if authority.contains("@"), authority.prefix(while: { $0 != "@" }).contains(":") {
            return "must not hold a password (git's credential helper keeps it)"
        }
        return nil
    }
    guard let at = text.firstIndex(of: "@"), at != text.startIndex, text[at...].contains(":") else {
        return "\(quoted(text)) is no repository's URL (SCHEME://…, USER@HOST:PATH or an absolute path)"
    }
    return nil
}

/// A name inside the town, with `*`, `?` and `[…]` in its parts (glob(7)).
func globProblem(_ text: String) -> String? {
    if let problem = emptinessProblem(text) { return problem }
    if text.hasPrefix("/") || text.hasPrefix("~") { return "\(quoted(text)) must be a name inside the town" }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    if parts.contains("..") || parts.contains(".") { return "\(quoted(text)) must not leave the town (no . and ..)" }
    if parts.contains("") { return "\(quoted(text)) has an empty part" }
    // Folders at any depth would have to be watched, and the cost must not grow with the town.
    return parts.contains("**") ? "\(quoted(text)): ** is not supported (name each folder, with * in its name)" : nil
}

/// A regular expression that can be used.
func patternProblem(_ text: String) -> String? {
    if let problem = emptinessProblem(text) { return problem }
    return Pattern.problem(in: text).map { "\(quoted(text)) is no pattern: \($0)" }
}

func causeProblem(_ text: String) -> String? {
    let causes = Configuration.LogRule.causes
    guard !causes.contains(text) else { return nil }
    let hint = nearestName(to: text, among: causes).map { " (did you mean \"\($0)\"?)" } ?? ""
    return "\(quoted(text)) is none of \(causes.joined(separator: ", "))\(hint)"
}

/// The type of an event that exists.
func eventTypeProblem(_ text: String) -> String? {
    let types = EventCatalog.entries.map(\.type)
    guard !types.contains(text) else { return nil }
    let hint = nearestName(to: text, among: types).map { " (did you mean \"\($0)\"?)" } ?? ""
    return "\(quoted(text)) is no type of event\(hint)"
}

func commandProblem(_ words: [String]) -> String? {
    guard let program = words.first, program.hasPrefix("/") else { return "must begin with a program's absolute path" }
    return nil
}

/// https, or http on this machine: an alert tells what goes on in the town.
func alertURLProblem(_ text: String) -> String? {
    let lowered = text.lowercased()
    guard let scheme = ["https://", "http://"].first(where: lowered.hasPrefix) else {
        return "\(quoted(text)) is no URL (https://HOST/…)"
    }
    let rest = text.utf8.dropFirst(scheme.utf8.count)
    guard rest.allSatisfy({ (33...126).contains($0) }) else { return "holds a space or a character that no URL holds" }
    let authority = rest.prefix { ![UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#")].contains($0) }
    guard !authority.contains(UInt8(ascii: "@")) else { return "must not hold a user's name or password" }
    let name = String(decoding: authority, as: UTF8.self)
    guard isAuthority(name) else { return "\(quoted(text)) names no host" }
    if scheme == "http://", !isLoopback(name) { return "must be https: only this machine is told without it" }
    return nil
}

/// Whether `HOST[:PORT]` is this machine.
private func isLoopback(_ authority: String) -> Bool {
    let host = authority.hasPrefix("[") ? authority : String(authority.prefix { $0 != ":" })
    return host == "localhost" || host.hasPrefix("127.") || host.hasPrefix("[::1]")
}
