// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// The environment of a started program, made from the one that we were started with.
public struct LaunchEnvironment: Sendable, Hashable {
    /// `NAME=value` as bytes.
    public private(set) var entries: [[UInt8]]

    public init(_ entries: [[UInt8]]) { self.entries = entries }

    public subscript(name: String) -> String? {
        let lead = Array(name.utf8) + [UInt8(ascii: "=")]
        return entries.first { $0.starts(with: lead) }.map { String(decoding: $0.dropFirst(lead.count), as: UTF8.self) }
    }

    public mutating func set(_ name: String, _ value: String) { set(name, bytes: Array(value.utf8)) }

    public mutating func set(_ name: String, bytes value: [UInt8]) {
        remove(name)
        entries.append(Array(name.utf8) + [UInt8(ascii: "=")] + value)
    }

    public mutating func remove(_ name: String) {
        let lead = Array(name.utf8) + [UInt8(ascii: "=")]
        entries.removeAll { $0.starts(with: lead) }
    }

    public mutating func remove(prefix: String) { entries.removeAll { $0.starts(with: prefix.utf8) } }

    /// Variables that hold keys of the pool, for the daemon alone: whoever started gt may have them set.
    public static let poolVariables = ["GASTOWN_KIMI_KEYS", "KIMI_API_KEYS", "KIMI_API_KEY"]

    /// For the real client: key, endpoint, configuration folder, and the prefix that keeps the key from its tools.
    public mutating func equip(
        baseURL: String, credential: String, configDirectory: String, shellPrefix: String, isSandboxed: Bool,
        variables: [(name: String, value: String)]
    ) {
        for name in Self.poolVariables { remove(name) }
        for (name, value) in variables { set(name, value) }
        set("ANTHROPIC_BASE_URL", baseURL)
        set("ANTHROPIC_API_KEY", credential)
        // It would win over the key (code.claude.com/docs/en/authentication).
        remove("ANTHROPIC_AUTH_TOKEN")
        set("CLAUDE_CONFIG_DIR", configDirectory)
        set("DISABLE_COST_WARNINGS", "true")
        set("CLAUDE_CODE_SHELL_PREFIX", shellPrefix)
        set("GASCLAWD_LAUNCHER", "1")
        if isSandboxed { set("IS_SANDBOX", "1") }
    }

    /// For what an agent runs: no credential, no endpoint. `gt sling` and `gt handoff` would put them into argv.
    public mutating func strip() {
        remove(prefix: "ANTHROPIC_")
        for name in Self.poolVariables { remove(name) }
        remove("CLAUDE_CODE_SHELL_PREFIX")
        remove("GASCLAWD_LAUNCHER")
    }
}
