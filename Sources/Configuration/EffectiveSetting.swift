// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import SystemPackage
import Timekeeping

/// A setting as it is in force, and where its value is from.
public struct EffectiveSetting: Sendable, Hashable {
    /// `section.name`.
    public let key: String
    /// As it would stand in the file. Of the address of an alert only the host: what is behind it is often a secret.
    public let value: String
    /// Where it was given; nil: nowhere, it is the default.
    public let origin: ConfigurationError.Place?
}

extension Configuration {
    /// Reads a configuration and says where each value is from.
    ///
    /// - Throws: All errors at once, as ``load(_:path:environment:)``.
    public static func explain(
        _ bytes: [UInt8]?, path: String, environment: ConfigurationEnvironment
    ) throws(ConfigurationErrors) -> [EffectiveSetting] {
        let (configuration, origins) = try Loader.loadWithOrigins(
            bytes, path: path, environment: environment, sections: Schema.sections)
        let supported = Set(Schema.settings.filter(\.isSupported).map(\.key))
        return configuration.values.filter { supported.contains($0.key) }.map { key, value in
            EffectiveSetting(key: key, value: value, origin: origins[key])
        }
    }

    private var values: [(key: String, value: String)] {
        let variables = agent.environment.map { "\($0.name) = \(Self.quote($0.value))" }
        return [
            ("town.root", Self.quote(town.root.shown)),
            ("town.rigs", Self.list(town.rigs) { "{ name = \(Self.quote($0.name)), url = \(Self.quote($0.url)) }" }),
            ("town.path", Self.list(town.path) { Self.quote($0.shown) }),
            ("town.bootstrap", "\(town.isBootstrapped)"),
            ("accounts.directory", Self.quote(accounts.shown)),
            ("agent.name", Self.quote(agent.name)),
            ("agent.command", Self.quote(agent.command)),
            ("agent.program", Self.quote(agent.program?.shown ?? "")),
            ("agent.config_dir", Self.quote(agent.configDirectory.shown)),
            ("agent.base_url", Self.quote(agent.baseURL)),
            ("agent.permissions", Self.quote(agent.bypassesPermissions ? "bypass" : "ask")),
            ("agent.sandboxed", Self.quote(agent.sandboxed.rawValue)),
            ("agent.resume_prompt", Self.quote(agent.resumePrompt)),
            ("agent.env", variables.isEmpty ? "{}" : "{ \(variables.joined(separator: ", ")) }"),
            ("agent.hooks", "\(agent.hasHooks)"),
            ("keys.strategy", Self.quote(keys.strategy.rawValue)),
            ("keys.cooldown", Self.quote(keys.cooldown.configured)),
            ("keys.probe", Self.quote(keys.isProbed ? "usage" : "off")),
            ("services.manage", Self.list(services.managed) { Self.quote($0.rawValue) }),
            ("services.dolt_port", "\(services.doltPort)"),
            ("reload.agents", Self.quote(reload.isRolling ? "rolling" : "none")),
            ("reload.settle", Self.quote(reload.settle.configured)),
            ("reload.patience", Self.quote(reload.patience.configured)),
            ("reload.park", "\(reload.isParking)"),
            (
                "watch.logs",
                Self.list(logRules) {
                    "{ files = \(Self.quote($0.files)), match = \(Self.quote($0.match)), cause = \(Self.quote($0.cause)) }"
                }
            ),
            (
                "alerts",
                Self.list(alerts) { "{ on = \(Self.list($0.events, Self.quote)), \(Self.receiver($0.receiver)) }" }
            ),
            ("beads.incidents", "\(filesIncidents)"),
            ("paths.state", Self.quote(paths.state.shown)),
            ("paths.runtime", Self.quote(paths.runtime.shown)),
            ("log.level", Self.quote(log.rawValue)),
        ]
    }

    private static func list<Element>(_ elements: [Element], _ show: (Element) -> String) -> String {
        "[\(elements.map(show).joined(separator: ", "))]"
    }

    private static func receiver(_ receiver: Alert.Receiver) -> String {
        switch receiver {
        case .command(let words): "command = \(list(words, quote))"
        case .url(let url):
            "url = \(quote(url.split(separator: "/").prefix(2).joined(separator: "//") + "/…"))"
        }
    }

    /// A TOML basic string.
    private static func quote(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case "\n": quoted += "\\n"
            case "\t": quoted += "\\t"
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

extension Duration {
    /// In the largest unit that gives a whole number.
    fileprivate var configured: String {
        let milliseconds = wholeMilliseconds
        for (unit, size) in [("h", Int64(3_600_000)), ("m", 60_000), ("s", 1000)]
        where milliseconds != 0 && milliseconds % size == 0 {
            return "\(milliseconds / size)\(unit)"
        }
        return "\(milliseconds)ms"
    }
}
