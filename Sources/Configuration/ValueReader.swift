// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage
import Timekeeping

/// Puts values into a configuration and keeps what is wrong with them.
struct ValueReader {
    let environment: ConfigurationEnvironment
    var configuration = Configuration.blank
    private(set) var errors: [ConfigurationError] = []

    init(environment: ConfigurationEnvironment) { self.environment = environment }

    mutating func report(_ place: ConfigurationError.Place, _ message: String) {
        let error = ConfigurationError(place, message)
        // A missing HOME breaks several defaults and is one thing to mend.
        if !errors.contains(error) { errors.append(error) }
    }

    mutating func read(_ value: GivenValue, for setting: Setting) {
        if setting.kind.isStructured, case .environment = value.place, case .text = value.content {
            return object(to: value, "can be set in the file alone")
        }
        switch setting.kind {
        case .text(let rule, let set):
            guard let text = text(of: value) else { return }
            if let problem = rule(text) { return object(to: value, problem) }
            set(&configuration, text)
        case .choice(let words, let later, let set):
            guard let text = text(of: value) else { return }
            if later.contains(text) { return report(value.place, "\(value.subject)\"\(text)\" is not yet supported") }
            guard words.contains(text) else {
                let hint = nearestName(to: text, among: words).map { " (did you mean \"\($0)\"?)" } ?? ""
                let choices = words.count == 1 ? "not \"\(words[0])\"" : "none of \(words.joined(separator: ", "))"
                return object(to: value, "\(quoted(text)) is \(choices)\(hint)")
            }
            set(&configuration, text)
        case .duration(let isZeroAllowed, let set):
            guard let text = text(of: value) else { return }
            guard let duration = Duration(configured: text) else {
                return object(to: value, "\(quoted(text)) is no duration (500ms, 30s, 5m, 6h)")
            }
            guard isZeroAllowed || duration > .zero else { return object(to: value, "must be more than zero") }
            set(&configuration, duration)
        case .path(let lengthMax, let set):
            guard let text = text(of: value), let path = path(text, lengthMax, value) else { return }
            set(&configuration, path)
        case .optionalPath(let set):
            guard let text = text(of: value) else { return }
            if text.isEmpty { return set(&configuration, nil) }
            guard let path = path(text, 4095, value) else { return }
            set(&configuration, path)
        case .paths(let set):
            guard case .list(let elements) = value.content else { return mismatch(value, "a list of strings") }
            var paths: [FilePath] = []
            for element in elements {
                guard let text = text(of: element), let path = path(text, 4095, element) else { continue }
                paths.append(path)
            }
            set(&configuration, paths)
        case .variables(let set): readVariables(value, set)
        case .flag(let set):
            guard case .flag(let flag) = value.content else { return mismatch(value, "true or false") }
            set(&configuration, flag)
        case .port(let set):
            guard case .integer(let number) = value.content else { return mismatch(value, "a port's number") }
            guard let port = UInt16(exactly: number), port > 0 else {
                return object(to: value, "\(number) is no port (1 to 65535)")
            }
            set(&configuration, port)
        case .words(let words, let set): readWords(value, words, set)
        case .rigs(let set): readRigs(value, set)
        case .logRules(let set): readLogRules(value, set)
        case .alerts(let set): readAlerts(value, set)
        }
    }

    /// A directory from a variable that is no setting of ours: taken as it stands, without expansion.
    mutating func readLiteral(_ path: String, from variable: String, for setting: Setting) {
        guard case .path(let lengthMax, let set) = setting.kind else { return }
        let place = ConfigurationError.Place.environment(variable)
        if let problem = textProblem(path) { return report(place, problem) }
        guard path.hasPrefix("/") else {
            return report(place, "\(setting.key) is made from it, and it holds no absolute path")
        }
        guard path.utf8.count <= lengthMax else {
            return report(
                place, "\(setting.key) is made from it and gets too long: at most \(lengthMax) bytes can be used")
        }
        set(&configuration, FilePath(path))
    }

    private mutating func readVariables(
        _ value: GivenValue, _ set: Setting.Setter<[Configuration.AgentVariable]>
    ) {
        guard case .table(let members) = value.content else { return mismatch(value, "a table") }
        var variables: [Configuration.AgentVariable] = []
        for (name, namePlace, member) in members {
            if let problem = variableNameProblem(name) { report(namePlace, "\(value.subject)\(problem)") }
            guard let text = text(of: member) else { continue }
            if let problem = variableValueProblem(text) { object(to: member, problem) }
            variables.append(Configuration.AgentVariable(name: name, value: text))
        }
        set(&configuration, variables.sorted { $0.name < $1.name })
    }

    mutating func text(of value: GivenValue) -> String? {
        guard case .text(let text) = value.content else {
            mismatch(value, "a string")
            return nil
        }
        if let problem = textProblem(text) {
            object(to: value, problem)
            return nil
        }
        return text
    }

    private mutating func path(_ text: String, _ lengthMax: Int, _ value: GivenValue) -> FilePath? {
        do throws(PathProblem) {
            return try environment.path(text, lengthMax: lengthMax)
        } catch {
            object(to: value, error.message)
            return nil
        }
    }

    mutating func object(to value: GivenValue, _ problem: String) {
        report(value.place, "\(value.subject)\(problem)")
    }

    mutating func mismatch(_ value: GivenValue, _ wanted: String) {
        object(to: value, "must be \(wanted), not \(value.kind)")
    }
}

extension Configuration {
    /// What values are put into; every field is set from the schema before it is handed out.
    static let blank = Configuration(
        town: Town(root: "/", path: [], rigs: defaultRigs, isBootstrapped: true), accounts: "/",
        agent: Agent(
            name: "", command: "", program: nil, configDirectory: "/", baseURL: "", bypassesPermissions: false,
            sandboxed: .automatic, resumePrompt: "", environment: [], hasHooks: false),
        keys: Keys(strategy: .leastRecentlyUsed, cooldown: .zero, isProbed: false),
        services: Services(managed: [], doltPort: 3307),
        reload: Reload(isRolling: false, settle: .zero, patience: .zero, isParking: false),
        logRules: [], alerts: [], filesIncidents: false,
        paths: Paths(state: "/", runtime: "/"), log: .info)
}
