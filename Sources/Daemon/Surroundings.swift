// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import Controller
import FileWatching
import KeyPool
import LinuxSys
import SystemPackage
import SystemdKit

/// What the machine is like, as far as it matters for starting agents.
package enum Machine {
    /// Whether we run in a container: its runtime says so (podman, docker, systemd-nspawn).
    package static var isContainer: Bool {
        ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"].contains { Syscalls.exists(FilePath($0)) }
    }

    package static func isSandboxed(_ configured: Configuration.Sandboxed) -> Bool {
        switch configured {
        case .yes: true
        case .no: false
        case .automatic: isContainer
        }
    }
}

extension Settings {
    /// What of a configuration the controller needs.
    init(_ configuration: Configuration, store: StateStore, program: String?) {
        let agent = configuration.agent
        self.init(
            townRoot: configuration.town.root.string, accounts: configuration.accounts.shown,
            launch: Launch(
                baseURL: agent.baseURL, configDirectory: agent.configDirectory.string, program: program,
                isSandboxed: Machine.isSandboxed(agent.sandboxed), bypassesPermissions: agent.bypassesPermissions,
                environment: agent.environment.map { Launch.Variable(name: $0.name, value: $0.value) }),
            bin: store.bin.string, settingsDirectory: store.agentSettings.string, resumePrompt: agent.resumePrompt,
            cooldown: configuration.keys.cooldown,
            strategy: KeyStrategy(rawValue: configuration.keys.strategy.rawValue) ?? .leastRecentlyUsed,
            isProbed: configuration.keys.isProbed, isRolling: configuration.reload.isRolling,
            patience: configuration.reload.patience)
        isParking = configuration.reload.isParking
        managesMayor = configuration.services.managed.contains(.mayor)
    }
}

/// The programs that we call and the environment that they get.
package struct Toolbox {
    /// Where programs are looked for, in order.
    package let folders: [String]
    package let environment: [String]
    package let gt: String?
    package let tmux: String?
    package let bd: String?
    package let dolt: String?
    /// The real client.
    package let claude: String?
    let prober: Prober

    package init(_ configuration: Configuration, bin: FilePath, own: ConfigurationEnvironment, version: String) {
        let inherited = (own.variables["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":").map(String.init)
        folders = configuration.town.path.map(\.string) + inherited
        var variables = own.variables
        // systemd's variables are for us alone; keys are for agents alone, and they get them from the launcher.
        for name in ServiceEnvironment.names + ["GASTOWN_KIMI_KEYS", "KIMI_API_KEYS", "KIMI_API_KEY"] {
            variables[name] = nil
        }
        for name in variables.keys where name.hasPrefix("ANTHROPIC_") || name.hasPrefix("GASCLAWD_") {
            variables[name] = nil
        }
        variables["PATH"] = ([bin.string] + folders).joined(separator: ":")
        variables["GT_TOWN_ROOT"] = configuration.town.root.string
        environment = variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        gt = Links.find("gt", in: folders)
        tmux = Links.find("tmux", in: folders)
        dolt = Links.find("dolt", in: folders)
        prober = Prober(program: Links.find("curl", in: folders), version: version, environment: own.variables)
        bd = Links.find("bd", in: folders)
        claude = configuration.agent.program?.string ?? Self.client(in: folders, bin: bin)
    }

    /// The first `claude` that is not ours.
    private static func client(in folders: [String], bin: FilePath) -> String? {
        do throws(SystemError) {
            let ourselves = try CurrentProcess.executable()
            for folder in folders where FilePath(folder) != bin {
                guard let found = Links.find("claude", in: [folder]) else { continue }
                if try Syscalls.realPath(FilePath(found)) != ourselves { return found }
            }
        } catch {
            // A link that leads nowhere: the launcher looks for itself.
            return nil
        }
        return nil
    }
}
