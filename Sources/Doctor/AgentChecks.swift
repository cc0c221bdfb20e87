// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import LinuxSys
import SystemPackage

/// Whether agents that gt starts come through our launcher.
enum AgentChecks {
    static func run(_ x: Examination) -> [Check] {
        var checks = [links(x)]
        guard x.isInstalled else { return checks }
        checks += registration(x)
        checks += [path(x), environment(x), unmanaged(x), listing(x), projectSettings(x)]
        return checks
    }

    private static let registers = "gasclawd reload, or without a daemon gasclawd bootstrap"

    /// `<bin>/claude` and `<bin>/agent-shell` lead to a gasclawd that can be run, and know the way to its daemon.
    private static func links(_ x: Examination) -> Check {
        let (id, title) = ("agents.links", "launcher")
        let make = "gasclawd run makes them (a restart is enough)"
        for name in ["claude", "agent-shell"] {
            let link = x.bin.appending(name)
            let target: FilePath
            do throws(SystemError) { target = try Syscalls.realPath(link) } catch {
                return .failed(
                    id, title, "\(link.shown): \(error.errno): agents cannot start through it", fix: make)
            }
            guard Syscalls.isExecutable(target), target.lastName == Array("gasclawd".utf8) else {
                return .failed(id, title, "\(link.shown) leads to \(target.shown), which is no gasclawd", fix: make)
            }
        }
        guard let file = LauncherFile(at: x.launcherFile) else {
            return .failed(id, title, "\(x.launcherFile.shown) is not there or broken", fix: make)
        }
        let socket = ControlClient.socketPath(runtime: x.configuration.paths.runtime)
        guard file.socket == socket else {
            return .failed(
                id, title, "agents look for the daemon at \(file.socket.shown), it is at \(socket.shown)", fix: make)
        }
        return .ok(id, title, x.bin.appending("claude").shown)
    }

    // MARK: - What gt was told

    private static func registration(_ x: Examination) -> [Check] {
        let file = x.town.appending("settings/config.json")
        let names = (agent: ("agents.default", "default agent"), command: ("agents.launcher", "agents' command"))
        let content = x.json(file)
        if case .unusable(let why) = content {
            let fix = "mend it, or git -C \(x.town.shown) checkout settings/config.json"
            return [.failed(names.agent.0, names.agent.1, "settings/config.json: \(why)", fix: fix)]
        }
        let name = x.configuration.agent.name
        let said = content.json?["default_agent"]?.string
        let agent: Check =
            said == name
            ? .ok(names.agent.0, names.agent.1, name)
            : .failed(
                names.agent.0, names.agent.1,
                "\(said ?? "none"), not \(name): gt starts agents without a key of the pool",
                fix: registers)
        let configured = x.configuration.agent.command
        let wanted = configured == "claude" ? x.bin.appending("claude").string : configured
        let entry = content.json?["agents"]?[name]
        let command = ([entry?["command"]?.string] + (entry?["args"]?.array ?? []).map(\.string)).compactMap(\.self)
            .joined(separator: " ")
        let launcher: Check =
            isRegistered(content.json, name, wanted)
            ? .ok(names.command.0, names.command.1, command)
            : .failed(
                names.command.0, names.command.1,
                command.isEmpty ? "gt does not know the agent \(name)" : "\(command), not \(wanted)", fix: registers)
        return [agent, launcher, roles(content.json, name)]
    }

    /// By the rule of whoever registers it: arguments that somebody added are fine.
    private static func isRegistered(_ settings: JSONValue?, _ name: String, _ command: String) -> Bool {
        do throws(JSONError) {
            return try !TownSettings(settings?.encoded()).registration(name: name, command: command)
                .contains { $0.starts(with: ["config", "agent", "set"]) }
        } catch {
            return false
        }
    }

    /// Roles can have agents of their own, which go past the default.
    private static func roles(_ settings: JSONValue?, _ name: String) -> Check {
        let (id, title) = ("agents.roles", "agents of single roles")
        var others: [String] = []
        for list in ["role_agents", "crew_agents"] {
            for (role, agent) in settings?[list]?.object?.members ?? [] {
                guard let agent = agent.string, !agent.isEmpty, agent != name else { continue }
                others.append("\(role): \(agent)")
            }
        }
        guard others.isEmpty else {
            return .warning(
                id, title, "\(others.joined(separator: ", ")): they get no key of the pool",
                fix: "set them to \(name) in settings/config.json (role_agents, crew_agents), or take them out")
        }
        return .ok(id, title, "none but the default")
    }

    // MARK: - tmux

    /// For dogs and presets, which gt starts by the bare word.
    private static func path(_ x: Examination) -> Check {
        let (id, title) = ("agents.path", "PATH of new panes")
        guard let tmux = x.tmux, tmux.isRunning else {
            return .skipped(id, title, "the town's tmux server does not run")
        }
        let bin = x.bin.string
        guard let path = tmux.path else {
            return .warning(
                id, title, "the town's tmux server has none", fix: set(x, tmux, "\(bin):/usr/local/bin:/usr/bin:/bin"))
        }
        guard path.split(separator: ":").first.map(String.init) == bin else {
            return .warning(
                id, title, "\(bin) is not first: dogs and presets start a claude without a key of the pool",
                fix: set(x, tmux, "\(bin):\(path)"))
        }
        return .ok(id, title, "\(bin) is first")
    }

    private static func set(_ x: Examination, _ tmux: Examination.Tmux, _ path: String) -> String {
        "gasclawd run does it; by hand: tmux -S \(tmux.socket) set-environment -g PATH '\(path)'"
    }

    private static func environment(_ x: Examination) -> Check {
        let (id, title) = ("agents.environment", "environment of new panes")
        guard let tmux = x.tmux, tmux.isRunning else {
            return .skipped(id, title, "the town's tmux server does not run")
        }
        let bad = SecretChecks.misleading(tmux.variableNames)
        guard bad.isEmpty else {
            let commands = bad.map { "tmux -S \(tmux.socket) set-environment -g -u \($0)" }
            return .failed(
                id, title, "\(bad.joined(separator: ", ")): every new pane gets it",
                fix: commands.joined(separator: "; "))
        }
        return .ok(id, title, "no key, nothing that redirects agents")
    }

    private static func unmanaged(_ x: Examination) -> Check {
        let (id, title) = ("agents.managed", "agents that run")
        guard let agents = x.status?["agents"]?.array else { return .skipped(id, title, "no daemon runs") }
        let others = agents.filter { $0["unmanaged"]?.bool == true }.compactMap { $0["session"]?.string }
        guard others.isEmpty else {
            return .warning(
                id, title, "not started through gasclawd: \(others.joined(separator: ", "))",
                fix: "start them anew (gt mayor restart, gt crew restart NAME, …; never gt rig restart)")
        }
        let stalled = agents.filter { $0["stalled"]?.bool == true }.compactMap { $0["session"]?.string }
        guard stalled.isEmpty else {
            return .warning(
                id, title, "stopped at an error: \(stalled.joined(separator: ", "))",
                fix: "gasclawd keys list; gasclawd agents reload \(stalled.joined(separator: " "))")
        }
        return .ok(id, title, "\(agents.count), all with a key of the pool")
    }

    /// gt's own list and the panes of its tmux server have to say the same.
    private static func listing(_ x: Examination) -> Check {
        let (id, title) = ("agents.list", "gt's list of agents")
        guard !x.isAnothers else { return .skipped(id, title, "gt answers the town's own user alone") }
        guard let gt = x.toolbox.gt, let tmux = x.tmux, tmux.isRunning else {
            return .skipped(id, title, "the town's tmux server does not run")
        }
        // gt's probe can make a daemon fail that is just starting (gt: daemon/daemon.go:2227-2262).
        let beat = x.json(TownFiles(x.town).daemonState).json?["pid"]?.integer
        guard let holder = DaemonChecks.lockHolder(x), beat == Int(holder) else {
            return .skipped(id, title, "no gt daemon runs that has written its heartbeat: it is not disturbed")
        }
        let fix = "in \(x.town.shown): gt status --json --fast"
        guard
            case .success(let result) = x.run(.init(words: [gt] + TownListing.arguments, directory: x.town)),
            result.status.isSuccess
        else {
            return .warning(id, title, "gt status --json --fast fails or gives no answer", fix: fix)
        }
        let list: TownListing
        do throws(JSONError) { list = try TownListing(result.output) } catch {
            return .warning(id, title, "gt status --json --fast is not understood: \(error)", fix: fix)
        }
        let living = Set(tmux.panes.filter { !$0.isDead && x.process($0.pid) != nil }.map(\.session))
        let others = list.disagreements(living: living).sorted { $0.key < $1.key }
        guard others.isEmpty else {
            return .warning(
                id, title, others.map { "\($0.key): \($0.value)" }.joined(separator: "\n"),
                fix: "look into the pane: tmux -S \(tmux.socket) attach -t \(others[0].key)")
        }
        return .ok(
            id, title,
            "\(list.agents.count) \(list.agents.count == 1 ? "agent, as its pane has" : "agents, as their panes have") it"
        )
    }

    /// A project's settings that take the key elsewhere block the start of an agent there.
    private static func projectSettings(_ x: Examination) -> Check {
        let (id, title) = ("agents.settings", "projects' settings")
        for path in SecretChecks.settingsFiles(x)
        where path != x.configuration.agent.configDirectory.appending("settings.json") {
            switch x.json(path, limit: ClaudeSettings.lengthMax) {
            case .absent: continue
            case .unusable(let why):
                return .warning(id, title, "\(path.shown): \(why): no agent starts there", fix: "mend \(path.shown)")
            case .json(let value):
                let names = ClaudeSettings.unsafeNames(in: value)
                guard names.isEmpty else {
                    return .failed(
                        id, title, "\(path.shown) sets \(names.joined(separator: ", ")): no agent starts there",
                        fix: "take it out of \(path.shown)")
                }
            }
        }
        return .ok(id, title, "nothing that takes a key elsewhere")
    }
}
