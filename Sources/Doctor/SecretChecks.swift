// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import LinuxSys
import SystemPackage

/// Places where a key must not be, and hooks that see one.
enum SecretChecks {
    static func run(_ x: Examination) -> [Check] {
        guard x.isInstalled else { return [hooks(x)] }
        return [settings(x), hooks(x)]
    }

    /// Variables that carry a credential into every agent, or mislead them and bd; by name alone.
    static func misleading(_ names: Set<String>) -> [String] {
        let fixed: Set<String> = [
            "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "GASTOWN_KIMI_KEYS", "KIMI_API_KEYS",
            "KIMI_API_KEY", "BD_JSON_ENVELOPE", "BEADS_DIR",
        ]
        return names.intersection(fixed).sorted()
    }

    /// The town's files are committed, and gt logs the daemon's variables in the clear.
    private static func settings(_ x: Examination) -> Check {
        let (id, title) = ("secrets.town-files", "keys in the town's files")
        var places: [String] = []
        if let agents = x.json(x.town.appending("settings/config.json")).json?["agents"]?.object {
            for (name, agent) in agents.members {
                for (variable, value) in agent["env"]?.object?.members ?? [] where isSecret(variable, value) {
                    places.append("settings/config.json: agents.\(name).env.\(variable)")
                }
            }
        }
        for (variable, value) in x.json(x.town.appending("mayor/daemon.json")).json?["env"]?.object?.members ?? []
        where isSecret(variable, value) {
            places.append("mayor/daemon.json: env.\(variable)")
        }
        guard places.isEmpty else {
            return .failed(
                id, title, "\(places.joined(separator: "; ")): gt commits these files and logs the daemon's",
                fix: "take it out, revoke the key, and put the new one into an account's config.toml")
        }
        return .ok(id, title, "none")
    }

    private static func isSecret(_ name: String, _ value: JSONValue) -> Bool {
        guard let text = value.string, !text.isEmpty else { return false }
        return ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GASTOWN_KIMI_KEYS", "KIMI_API_KEY"].contains(name)
            || text.hasPrefix("sk-")
    }

    /// The settings files that agents of this town read.
    static func settingsFiles(_ x: Examination) -> [FilePath] {
        let own = x.configuration.agent.configDirectory
        var folders = [x.town, x.town.appending("mayor"), x.town.appending("deacon")]
        let rigs = x.json(x.town.appending("mayor/rigs.json")).json?["rigs"]?.object?.members ?? []
        for rig in rigs.prefix(256).map(\.name) {
            let folder = x.town.appending(rig)
            folders += [
                folder, folder.appending("mayor/rig"), folder.appending("witness"), folder.appending("refinery/rig"),
            ]
            for kind in ["crew", "polecats"] {
                for member in x.names(folder.appending(kind)).prefix(256) {
                    folders += [member] + x.names(member).prefix(4)
                }
            }
        }
        return [own.appending("settings.json")]
            + folders.flatMap { folder in ClaudeSettings.projectFiles.map { folder.appending($0) } }
    }

    /// A hook with `args` is executed directly, without the prefix that takes the key out of its environment.
    private static func hooks(_ x: Examination) -> Check {
        let (id, title) = ("secrets.hooks", "hooks that see the key")
        var found: [String] = []
        for path in settingsFiles(x) {
            guard let settings = x.json(path, limit: ClaudeSettings.lengthMax).json else { continue }
            for (event, matchers) in settings["hooks"]?.object?.members ?? [] {
                let hooks = (matchers.array ?? []).flatMap { $0["hooks"]?.array ?? [] }
                for hook in hooks where hook["args"]?.array != nil && hook["command"]?.string != nil {
                    found.append("\(path.shown): \(event): \(hook["command"]?.string ?? "")")
                }
            }
        }
        guard found.isEmpty else {
            return .warning(
                id, title, "in exec form (with args): \(found.joined(separator: "; "))",
                fix: "write them in shell form (command alone), or make sure that you trust them with the key")
        }
        return .ok(id, title, "none")
    }
}
