// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import SystemPackage

/// What `gasclawd.toml` and the environment say, checked as a whole (contract E).
public struct Configuration: Sendable, Equatable {
    public var town: Town
    /// The directory that holds one folder an account (`accounts.directory`).
    public var accounts: FilePath
    public var agent: Agent
    public var keys: Keys
    public var services: Services
    public var reload: Reload
    /// What lines of logs mean (`[[watch.logs]]`), in the order of the file.
    public var logRules: [LogRule]
    /// Who is told of what (`[[alerts]]`), in the order of the file.
    public var alerts: [Alert]
    /// Whether an incident is filed as a bead while it lasts (`beads.incidents`).
    public var filesIncidents: Bool
    public var paths: Paths
    /// The least urgent records that are written (`log.level`).
    public var log: LogLevel

    /// The Gas Town workspace.
    public struct Town: Sendable, Equatable {
        /// The workspace root of gt.
        public var root: FilePath
        /// Directories put before PATH to find gt, bd, dolt, claude and tmux.
        public var path: [FilePath]
        /// Projects that the town shall have.
        public var rigs: [Rig]
        /// Whether `run` brings the town into being.
        public var isBootstrapped: Bool
    }

    /// How agents are started.
    public struct Agent: Sendable, Equatable {
        /// The name under which gt knows our agent.
        public var name: String
        /// The command that gt is told; the bare word `claude` stands for the launcher's absolute path.
        public var command: String
        /// The real claude; nil searches the PATH.
        public var program: FilePath?
        /// Becomes CLAUDE_CONFIG_DIR.
        public var configDirectory: FilePath
        /// Becomes ANTHROPIC_BASE_URL for keys whose account names none; exactly as it was written.
        public var baseURL: String
        /// Whether agents act without asking (`agent.permissions` is `bypass`).
        public var bypassesPermissions: Bool
        public var sandboxed: Sandboxed
        /// What a resumed conversation is told; empty starts afresh.
        public var resumePrompt: String
        /// More variables for agents, sorted by name.
        public var environment: [AgentVariable]
        /// Whether the client tells us of failures by its StopFailure hook.
        public var hasHooks: Bool
    }

    /// Whether agents may be told that they run in a sandbox (IS_SANDBOX).
    public enum Sandboxed: String, Sendable, CaseIterable {
        /// They are if gasclawd runs in a container.
        case automatic = "auto"
        case yes
        case no
    }

    /// A variable of an agent's environment.
    public struct AgentVariable: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// How keys are chosen.
    public struct Keys: Sendable, Equatable {
        public var strategy: Strategy
        /// How long a throttled key rests if the failure names no time.
        public var cooldown: Duration
        /// Whether the provider is asked about a key that failed (`keys.probe` is `usage`).
        public var isProbed: Bool
    }

    /// How a change reaches running agents.
    public struct Reload: Sendable, Equatable {
        /// Whether agents are reloaded one at a time; false: not at all.
        public var isRolling: Bool
        /// Quiet time before a reload for configuration; keys are never delayed.
        public var settle: Duration
        /// How long a busy agent may go on before it is reloaded all the same.
        public var patience: Duration
        /// Whether the town stands still while no key is ready (`gt estop`).
        public var isParking: Bool
    }

    /// Where gasclawd keeps what is its own.
    public struct Paths: Sendable, Equatable {
        /// What must survive a restart.
        public var state: FilePath
        /// The control socket and what belongs to this run.
        public var runtime: FilePath
    }

    /// How urgent a record is, the least urgent first.
    public enum LogLevel: String, Sendable, CaseIterable {
        case trace, debug, info, notice, warning, error, critical
    }

    /// Reads a configuration file and what the environment says over it.
    ///
    /// - Parameters:
    ///   - bytes: The file's contents; nil: there is no file, defaults and environment alone count.
    ///   - environment: Variables, which go over the file.
    ///   - path: How errors name the file.
    /// - Throws: All that is wrong, at once.
    public static func load(
        _ bytes: [UInt8]?, path: String, environment: ConfigurationEnvironment
    ) throws(ConfigurationErrors) -> Configuration {
        try Loader.load(bytes, path: path, environment: environment, sections: Schema.sections)
    }

    /// Reads `[paths]` alone: a file with errors elsewhere must not keep a command from finding the daemon
    /// (contract H).
    ///
    /// - Throws: What is wrong with `[paths]`, or that the file is no TOML.
    public static func loadPaths(
        _ bytes: [UInt8]?, path: String, environment: ConfigurationEnvironment
    ) throws(ConfigurationErrors) -> Paths {
        try Loader.load(bytes, path: path, environment: environment, sections: ["paths"]).paths
    }
}
