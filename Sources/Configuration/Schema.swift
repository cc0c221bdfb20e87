// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import SystemPackage

/// A key of the configuration file.
struct Setting: Sendable {
    typealias Setter<Value> = @Sendable (inout Configuration, Value) -> Void

    /// What a value must be, and where it goes.
    enum Kind: Sendable {
        /// Text for which the rule knows no objection.
        case text(rule: @Sendable (String) -> String?, Setter<String>)
        /// One of these words; those of the second list will come later.
        case choice([String], later: [String], Setter<String>)
        case duration(isZeroAllowed: Bool, Setter<Duration>)
        /// An absolute path of at most so many bytes.
        case path(lengthMax: Int, Setter<FilePath>)
        /// The same, or the empty text for none.
        case optionalPath(Setter<FilePath?>)
        case paths(Setter<[FilePath]>)
        case variables(Setter<[Configuration.AgentVariable]>)
        /// `true` or `false`.
        case flag(Setter<Bool>)
        /// A TCP port.
        case port(Setter<UInt16>)
        /// Some of these words, each at most once.
        case words([String], Setter<[String]>)
        case rigs(Setter<[Configuration.Rig]>)
        case logRules(Setter<[Configuration.LogRule]>)
        case alerts(Setter<[Configuration.Alert]>)

        /// Several values, which a variable cannot hold.
        var isStructured: Bool {
            switch self {
            case .variables, .rigs, .logRules, .alerts: true
            default: false
            }
        }
    }

    let section: String
    /// Empty where the section is no table of keys.
    let name: String
    /// The value that counts where none is given, written as in the file; a list's elements separated by colons.
    let fallback: String
    let kind: Kind
    /// What it is for is built; if not, giving it is an error.
    let isSupported: Bool

    init(
        _ section: String, _ name: String, default fallback: String = "", isSupported: Bool = true, _ kind: Kind
    ) {
        self.section = section
        self.name = name
        self.fallback = fallback
        self.kind = kind
        self.isSupported = isSupported
    }

    /// `section.name`.
    var key: String { name.isEmpty ? section : "\(section).\(name)" }

    /// The variable that goes over the file.
    var variable: String { "GASCLAWD_\(key.map { $0 == "." ? "_" : String($0) }.joined().uppercased())" }

}

/// All keys of contract E, in its order.
enum Schema {
    /// `<runtime>/control.sock` must fit into the 108 bytes of a socket's address, its zero included (unix(7)).
    private static let runtimeLengthMax = 107 - "/control.sock".utf8.count
    /// PATH_MAX without the zero.
    private static let pathLengthMax = 4095

    static let settings: [Setting] = [
        Setting("town", "root", default: "/workspace/gt", .path(lengthMax: pathLengthMax) { $0.town.root = $1 }),
        // Its default is `Configuration.defaultRigs`.
        Setting("town", "rigs", .rigs { $0.town.rigs = $1 }),
        Setting(
            "town", "path", default: "~/.local/bin:~/go/bin:/usr/local/go/bin", .paths { $0.town.path = $1 }),
        Setting("town", "bootstrap", default: "true", .flag { $0.town.isBootstrapped = $1 }),
        Setting(
            "accounts", "directory", default: "~/.kimi-accounts",
            .path(lengthMax: pathLengthMax) { $0.accounts = $1 }),
        Setting("agent", "name", default: "kimi-claude", .text(rule: agentNameProblem) { $0.agent.name = $1 }),
        Setting("agent", "command", default: "claude", .text(rule: emptinessProblem) { $0.agent.command = $1 }),
        Setting("agent", "program", .optionalPath { $0.agent.program = $1 }),
        Setting(
            "agent", "config_dir", default: "~/.claude-kimigas",
            .path(lengthMax: pathLengthMax) { $0.agent.configDirectory = $1 }),
        Setting(
            "agent", "base_url", default: "https://api.kimi.com/coding/",
            .text(rule: baseURLProblem) { $0.agent.baseURL = $1 }),
        Setting(
            "agent", "permissions", default: "bypass",
            .choice(["bypass", "ask"], later: []) { $0.agent.bypassesPermissions = $1 == "bypass" }),
        Setting(
            "agent", "sandboxed", default: "auto",
            .choice(Configuration.Sandboxed.allCases.map(\.rawValue), later: []) {
                $0.agent.sandboxed = Configuration.Sandboxed(rawValue: $1) ?? .automatic
            }),
        Setting(
            "agent", "resume_prompt", default: "Go on with your work.",
            .text(rule: { _ in nil }) { $0.agent.resumePrompt = $1 }),
        Setting("agent", "hooks", default: "false", .flag { $0.agent.hasHooks = $1 }),
        Setting("agent", "env", .variables { $0.agent.environment = $1 }),
        Setting(
            "keys", "strategy", default: "lru",
            .choice(["lru", "spread"], later: []) {
                $0.keys.strategy = Configuration.Strategy(rawValue: $1) ?? .leastRecentlyUsed
            }),
        Setting("keys", "cooldown", default: "5m", .duration(isZeroAllowed: false) { $0.keys.cooldown = $1 }),
        Setting(
            "keys", "probe", default: "off",
            .choice(["off", "usage"], later: []) { $0.keys.isProbed = $1 == "usage" }),
        Setting(
            "services", "manage", default: "dolt:daemon:mayor",
            .words(Configuration.Service.allCases.map(\.rawValue)) {
                $0.services.managed = $1.compactMap(Configuration.Service.init).sorted()
            }),
        Setting("services", "dolt_port", default: "3307", .port { $0.services.doltPort = $1 }),
        Setting(
            "reload", "agents", default: "rolling",
            .choice(["rolling", "none"], later: []) { $0.reload.isRolling = $1 == "rolling" }),
        Setting("reload", "settle", default: "50ms", .duration(isZeroAllowed: true) { $0.reload.settle = $1 }),
        Setting("reload", "patience", default: "10m", .duration(isZeroAllowed: true) { $0.reload.patience = $1 }),
        Setting("reload", "park", default: "false", .flag { $0.reload.isParking = $1 }),
        Setting("watch", "logs", .logRules { $0.logRules = $1 }),
        Setting("alerts", "", .alerts { $0.alerts = $1 }),
        Setting("beads", "incidents", default: "false", .flag { $0.filesIncidents = $1 }),
        // Their defaults depend on who we are: see `Loader`.
        Setting("paths", "state", .path(lengthMax: pathLengthMax) { $0.paths.state = $1 }),
        Setting("paths", "runtime", .path(lengthMax: runtimeLengthMax) { $0.paths.runtime = $1 }),
        Setting(
            "log", "level", default: "info",
            .choice(Configuration.LogLevel.allCases.map(\.rawValue), later: []) {
                $0.log = Configuration.LogLevel(rawValue: $1) ?? .info
            }),
    ]

    /// The names of the file's tables, in the order of the contract.
    static let sections: [String] = settings.reduce(into: []) { if $0.last != $1.section { $0.append($1.section) } }

    /// Variables that begin with our prefix and are no settings.
    static let otherVariables: Set<String> = ["GASCLAWD_CONFIG", "GASCLAWD_SOCKET", "GASCLAWD_LAUNCHER"]

    static func settings(of section: String) -> [Setting] { settings.filter { $0.section == section } }
}
