// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import TOML

/// Reads the file, then the variables that go over it, then defaults for what nobody gave.
struct Loader {
    private let file: String
    private let sections: [String]
    private var reader: ValueReader
    /// Keys that were given, well or not, and where.
    private var given: [String: ConfigurationError.Place] = [:]

    /// - Parameter sections: What is looked at; all else may hold what it wants.
    static func load(
        _ bytes: [UInt8]?, path: String, environment: ConfigurationEnvironment, sections: [String]
    ) throws(ConfigurationErrors) -> Configuration {
        try loadWithOrigins(bytes, path: path, environment: environment, sections: sections).0
    }

    /// The same, with the place of each value that is no default.
    static func loadWithOrigins(
        _ bytes: [UInt8]?, path: String, environment: ConfigurationEnvironment, sections: [String]
    ) throws(ConfigurationErrors) -> (Configuration, [String: ConfigurationError.Place]) {
        var loader = Loader(file: path, sections: sections, reader: ValueReader(environment: environment))
        if let bytes { loader.readFile(try parse(bytes, path)) }
        loader.readVariables()
        loader.readDefaults()
        guard loader.reader.errors.isEmpty else {
            throw ConfigurationErrors(loader.reader.errors.sorted(by: ConfigurationError.precedes))
        }
        return (loader.reader.configuration, loader.given)
    }

    private init(file: String, sections: [String], reader: ValueReader) {
        self.file = file
        self.sections = sections
        self.reader = reader
    }

    private static func parse(_ bytes: [UInt8], _ path: String) throws(ConfigurationErrors) -> [TOMLMember] {
        do throws(TOMLError) {
            return try TOML.parse(bytes).table ?? []
        } catch {
            let place = ConfigurationError.Place.file(path, line: error.position.line, column: error.position.column)
            throw ConfigurationErrors([ConfigurationError(place, error.message)])
        }
    }

    private var isWhole: Bool { sections == Schema.sections }

    private func place(_ position: TOMLPosition) -> ConfigurationError.Place {
        .file(file, line: position.line, column: position.column)
    }

    // MARK: - The file

    private mutating func readFile(_ members: [TOMLMember]) {
        for member in members {
            if sections.contains(member.name) {
                readSection(member)
            } else if isWhole {
                reader.report(place(member.namePosition), Self.unknownAtTop(member))
            }
        }
    }

    private mutating func readSection(_ section: TOMLMember) {
        let settings = Schema.settings(of: section.name)
        if let setting = settings.first(where: \.name.isEmpty) {
            given[setting.key] = place(section.value.position)
            guard setting.isSupported else {
                return reader.report(place(section.namePosition), "\(section.name) is not yet supported")
            }
            return reader.read(GivenValue(section.value, file: file, subject: "\(setting.key): "), for: setting)
        }
        guard let members = section.value.table else {
            return reader.report(
                place(section.value.position), "\(section.name): must be a table, not \(section.value.kind)")
        }
        for member in members {
            guard let setting = settings.first(where: { $0.name == member.name }) else {
                reader.report(place(member.namePosition), Self.unknown(member.name, in: settings))
                continue
            }
            given[setting.key] = place(member.value.position)
            guard setting.isSupported else {
                reader.report(place(member.namePosition), "\(setting.key) is not yet supported")
                continue
            }
            reader.read(GivenValue(member.value, file: file, subject: "\(setting.key): "), for: setting)
        }
    }

    private static func unknown(_ name: String, in settings: [Setting]) -> String {
        if let near = nearestName(to: name, among: settings.map(\.name)) {
            return "unknown key \(quoted(name)) (did you mean \"\(near)\"?)"
        }
        let elsewhere = Schema.settings.first { $0.name == name }
        if let elsewhere { return "unknown key \(quoted(name)) (did you mean \"\(elsewhere.key)\"?)" }
        let known = settings.filter(\.isSupported).map(\.name).joined(separator: ", ")
        return "unknown key \(quoted(name))\(known.isEmpty ? "" : " (known here: \(known))")"
    }

    private static func unknownAtTop(_ member: TOMLMember) -> String {
        let isTable = member.value.table != nil
        let what = isTable ? "unknown table" : "unknown key"
        if !isTable, let setting = Schema.settings.first(where: { $0.name == member.name }) {
            return "\(what) \(quoted(member.name)) (did you mean \"\(setting.key)\"?)"
        }
        if let near = nearestName(to: member.name, among: Schema.sections) {
            return "\(what) \(quoted(member.name)) (did you mean \"\(near)\"?)"
        }
        return "\(what) \(quoted(member.name)) (known: \(Schema.sections.joined(separator: ", ")))"
    }

    // MARK: - The environment

    private mutating func readVariables() {
        let variables = reader.environment.variables
        for name in variables.keys.sorted() where name.hasPrefix("GASCLAWD_") {
            guard !Schema.otherVariables.contains(name), let text = variables[name] else { continue }
            guard let setting = Schema.settings.first(where: { $0.variable == name }) else {
                if isWhole { reportUnknown(variable: name) }
                continue
            }
            if sections.contains(setting.section) { override(setting, with: text, from: name) }
        }
        readOtherVariables()
    }

    /// Variables that other programs know too: the narrower one goes before them, and empty means unset.
    private mutating func readOtherVariables() {
        for (key, name) in [("log.level", "LOG_LEVEL"), ("services.dolt_port", "DOLT_PORT")] {
            guard let setting = Schema.settings.first(where: { $0.key == key }), setting.isSupported,
                sections.contains(setting.section), reader.environment.variables[setting.variable] == nil,
                let text = reader.environment.nonEmpty(name)
            else { continue }
            override(setting, with: name == "LOG_LEVEL" ? text.lowercased() : text, from: name)
        }
        guard let setting = Schema.settings.first(where: { $0.key == "town.rigs" }), setting.isSupported,
            sections.contains(setting.section), let url = reader.environment.nonEmpty("GT_RIG_URL")
        else { return }
        let place = ConfigurationError.Place.environment("GT_RIG_URL")
        given[setting.key] = place
        if let problem = textProblem(url) ?? rigURLProblem(url) { return reader.report(place, problem) }
        reader.configuration.town.rigs = [Configuration.Rig(name: Self.rigName(of: url), url: url)]
    }

    /// The last part of a repository's URL, as far as a rig may be called so.
    private static func rigName(of url: String) -> String {
        var last = url.split { $0 == "/" || $0 == ":" }.last ?? ""
        if last.hasSuffix(".git") { last = last.dropLast(4) }
        let name = String(last.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
        return rigNameProblem(name) == nil && name.contains { $0 != "_" } ? name : "project"
    }

    private mutating func override(_ setting: Setting, with text: String, from variable: String) {
        given[setting.key] = .environment(variable)
        guard setting.isSupported else {
            return reader.report(.environment(variable), "\(setting.key) is not yet supported")
        }
        let value = GivenValue(text, for: setting, place: .environment(variable), subject: "")
        reader.read(value, for: setting)
    }

    private mutating func reportUnknown(variable name: String) {
        let known = Schema.settings.filter(\.isSupported).map(\.variable) + Schema.otherVariables
        let hint = nearestName(to: name, among: known).map { " (did you mean \"\($0)\"?)" } ?? ""
        reader.report(.environment(quotedVariable(name)), "no setting has this variable\(hint)")
    }

    // MARK: - Defaults

    private mutating func readDefaults() {
        for setting in Schema.settings where sections.contains(setting.section) {
            guard given[setting.key] == nil else { continue }
            switch setting.key {
            // Nothing, but for the rigs of `Configuration.blank`.
            case "town.rigs", "watch.logs", "alerts": break
            case "paths.state": readDefault(setting, reader.environment.defaultState)
            case "paths.runtime": readDefault(setting, reader.environment.defaultRuntime)
            default:
                // Directories in a home that nobody knows hold no programs.
                let text =
                    setting.key == "town.path" && reader.environment.home == nil
                    ? setting.fallback.split(separator: ":").filter { !$0.hasPrefix("~") }.joined(separator: ":")
                    : setting.fallback
                let subject = "\(setting.key) by default: "
                reader.read(
                    GivenValue(text, for: setting, place: .environment("HOME"), subject: subject), for: setting)
            }
        }
    }

    private mutating func readDefault(_ setting: Setting, _ origin: (path: String, variable: String)) {
        reader.readLiteral(origin.path, from: origin.variable, for: setting)
    }
}

/// A variable's name as it may stand in a message.
private func quotedVariable(_ name: String) -> String {
    let shown = quoted(name)
    return shown.hasPrefix("\"") ? String(shown.dropFirst().dropLast()) : "GASCLAWD_…"
}
