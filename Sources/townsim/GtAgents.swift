// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import Timekeeping

/// An agent's place in a town, and how gt starts and stops it there.
struct GtSeat {
    enum Role: String { case mayor, deacon, witness, refinery, crew, polecat }

    let town: GtTown
    let role: Role
    var rig: GtTown.Rig?
    var name: String?

    /// gt-contract.md section 0, "Session names".
    var session: String {
        let prefix = rig?.prefix ?? "hq"
        return switch role {
        case .mayor, .deacon, .witness, .refinery: "\(prefix)-\(role.rawValue)"
        case .crew: "\(prefix)-crew-\(name ?? "")"
        case .polecat: "\(prefix)-\(name ?? "")"
        }
    }

    var directory: String {
        let rigRoot = town.path(rig?.name ?? "")
        return switch role {
        case .mayor, .deacon: town.path(role.rawValue)
        case .witness: rigRoot + "/witness"
        case .refinery: rigRoot + "/refinery/rig"
        case .crew: rigRoot + "/crew/\(name ?? "")"
        case .polecat: rigRoot + "/polecats/\(name ?? "")"
        }
    }

    /// The address in mail, beacons and BD_ACTOR.
    var address: String {
        let rigName = rig?.name ?? ""
        return switch role {
        case .mayor, .deacon: role.rawValue
        case .witness, .refinery: "\(rigName)/\(role.rawValue)"
        case .crew: "\(rigName)/crew/\(name ?? "")"
        case .polecat: "\(rigName)/polecats/\(name ?? "")"
        }
    }

    // MARK: - Environment

    /// What gt passes on from its own environment (gt-contract.md section 2, AgentEnv). ANTHROPIC_BASE_URL is
    /// deliberately not in it, and DISABLE_COST_WARNINGS is unknown to gt.
    static func passes(_ name: String) -> Bool {
        let exact: Set<String> = [
            "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_MODEL",
            "ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL",
            "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY", "AWS_PROFILE", "AWS_REGION",
            "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "ANTHROPIC_VERTEX_PROJECT_ID",
            "CLOUD_ML_REGION", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
            "CLAUDE_CODE_CLIENT_CERT", "CLAUDE_CODE_CLIENT_KEY", "NODE_EXTRA_CA_CERTS",
        ]
        return exact.contains(name)
    }

    /// AgentEnv: built from the environment of the gt process that starts the agent.
    ///
    /// - Parameters:
    ///   - own: gt's environment.
    ///   - forwardsConfigDirectory: CLAUDE_CONFIG_DIR goes along for the mayor, the witness, the refinery and for
    ///     `gt deacon start|restart`, not for `crew restart` and what the daemon starts (section 2).
    func environment(
        from own: [String: String], forwardsConfigDirectory: Bool, agentOverride: String?, doltPort: UInt16
    ) -> [String: String] {
        var environment = own.filter { Self.passes($0.key) && !$0.value.isEmpty }
        environment["GT_ROLE"] = address
        environment["BD_ACTOR"] = address
        environment["GIT_AUTHOR_NAME"] = name ?? address
        environment["GT_ROOT"] = town.root
        environment["GT_SESSION"] = session
        if let rig { environment["GT_RIG"] = rig.name }
        if role == .crew, let name { environment["GT_CREW"] = name }
        if role == .polecat, let name { environment["GT_POLECAT"] = name }
        if let rig, let name { environment["BEADS_AGENT_NAME"] = "\(rig.name)/\(name)" }
        if let agentOverride { environment["GT_AGENT"] = agentOverride }
        if forwardsConfigDirectory, let directory = own["CLAUDE_CONFIG_DIR"], !directory.isEmpty {
            environment["CLAUDE_CONFIG_DIR"] = directory
        }
        // Always forced.
        environment["NODE_OPTIONS"] = ""
        environment["CLAUDECODE"] = ""
        environment["BD_BACKUP_ENABLED"] = "false"
        environment["GT_DOLT_PORT"] = "\(doltPort)"
        environment["BEADS_DOLT_PORT"] = "\(doltPort)"
        environment["BEADS_DOLT_AUTO_START"] = "0"
        return environment
    }

    static var ownEnvironment: [String: String] {
        var environment: [String: String] = [:]
        for entry in Environment.all {
            guard let equals = entry.firstIndex(of: "=") else { continue }
            environment[String(entry[..<equals])] = String(entry[entry.index(after: equals)...])
        }
        return environment
    }

    // MARK: - Start

    struct StartOptions {
        var agentOverride: String?
        var forwardsConfigDirectory = true
        var sender = "human"
        var topic = "cold-start"
        /// Only these roles get a hook that respawns a dead pane (section 2, respawn trap a).
        var respawns = false
        var waits = true
    }

    /// The command that runs in the pane: `exec env K='v' … command arguments '[GAS TOWN] …'`; the agent's own `env`
    /// block is merged last and wins (section 2).
    func command(_ agent: GtAgent, _ environment: [String: String], beacon: String) -> String {
        let merged = environment.merging(agent.environment) { _, new in new }
        let assignments = merged.sorted { $0.key < $1.key }.map { "\($0.key)=\(shellQuoted($0.value))" }
        var arguments = agent.arguments
        if agent.isClaude, rig != nil {
            // For the roles of a rig gt names its settings file on the command line.
            arguments += ["--settings", settingsFolder + "/.claude/settings.json"]
        }
        let line =
            [agent.command]
            + arguments.map { argument in
                argument.allSatisfy { $0.isLetter || $0.isNumber || "-_./=:".contains($0) }
                    ? argument : shellQuoted(argument)
            }
        return (["exec", "env"] + assignments + line + [shellQuoted(beacon)]).joined(separator: " ")
    }

    private var settingsFolder: String {
        switch role {
        case .crew: town.path("\(rig?.name ?? "")/crew")
        case .polecat: town.path("\(rig?.name ?? "")/polecats")
        case .refinery: town.path("\(rig?.name ?? "")/refinery")
        default: directory
        }
    }

    /// `[GAS TOWN] recipient <- sender • time • topic`, and for some topics what to do.
    func beacon(sender: String, topic: String) -> String {
        let head = "[GAS TOWN] \(address) <- \(sender) • \(Timestamp.now.seconds.prefix(16)) • \(topic)"
        guard topic == "cold-start" || topic == "handoff" else { return head }
        return head + "\n\nCheck your hook and mail, then act on the hook if present."
    }

    /// Starts the agent as gt does (section 2, "tmux creation"): every variable, the key among them, stands in tmux's
    /// argv, in the session's environment and in the pane's start command.
    func start(_ options: StartOptions) throws(Failure) {
        let tmux = try Tmux(town)
        let agent = try GtConfig.agent(
            for: role.rawValue, rig: rig?.name, name: name, override: options.agentOverride, in: town)
        try Disk.makeDirectories(directory)
        try GtInstall.ensureSettings(in: settingsFolder)
        let environment = environment(
            from: Self.ownEnvironment, forwardsConfigDirectory: options.forwardsConfigDirectory,
            agentOverride: options.agentOverride, doltPort: try town.doltPort())
        let command = command(agent, environment, beacon: beacon(sender: options.sender, topic: options.topic))
        var creation = ["new-session", "-d", "-s", session, "-c", directory]
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) { creation += ["-e", "\(name)=\(value)"] }
        try tmux.demand(creation)
        try tmux.run("set-option", "-t", session, "remain-on-exit", "on")
        try tmux.demand(["respawn-pane", "-k", "-t", session, "-c", directory, command])
        if options.respawns { try setRespawnHook(tmux) }
        try town.log("spawn", address, "session \(session)")
        try town.event("session_start", actor: address, ["session": .string(session)])
        if options.waits { try waitForPrompt(tmux) }
    }

    /// After 3 s the hook starts the pane's ORIGINAL command again, if it is still dead then, and sets remain-on-exit
    /// anew (section 2, respawn trap a).
    private func setRespawnHook(_ tmux: Tmux) throws(Failure) {
        let call = "tmux -L \(tmux.socket)"
        let target = "'\(session)'"
        // `##{` keeps the format from being expanded when the hook fires: it must be asked 3 s later.
        let script =
            "sleep 3 && \(call) list-panes -t \(target) -F '##{pane_dead}' 2>/dev/null | grep -q 1"
            + " && \(call) respawn-pane -k -t \(target) && \(call) set-option -t \(target) remain-on-exit on || true"
        try tmux.run("set-hook", "-t", session, "pane-died", "run-shell -b \"\(script)\"")
    }

    /// Blocks until the client's prompt shows, at most 180 s (section 1, mayor start). On the way gt presses Enter in a
    /// trust dialog, where it believes "yes" to be preselected, and accepts the bypass warning.
    private func waitForPrompt(_ tmux: Tmux) throws(Failure) {
        var answered: Set<String> = []
        let isReady = try Waiting.until(.seconds(180)) { () throws(Failure) in
            guard let pane = try tmux.pane(of: session) else {
                throw Failure("session \(session) died during startup")
            }
            if pane.isDead { return true }
            let screen = try tmux.screen(of: session)
            if screen.contains("Quick safety check"), answered.insert("trust").inserted {
                try tmux.run("send-keys", "-t", "=\(session):", "Enter")
                return false
            }
            if screen.contains("Bypass Permissions mode"), screen.contains("Yes, I accept"),
                answered.insert("bypass").inserted
            {
                try tmux.run("send-keys", "-t", "=\(session):", "Down")
                try tmux.run("send-keys", "-t", "=\(session):", "Enter")
                return false
            }
            return screen.contains("❯") && !screen.contains("Quick safety check")
        }
        // That no prompt was seen is not an error (section 2: the session exists, so the agent "is active").
        if !isReady { Terminal.complain("warning: \(session) shows no prompt yet") }
    }

    func stop() throws(Failure) {
        let tmux = try Tmux(town)
        guard try tmux.hasSession(session) else { throw Failure("\(address) session is not running") }
        try tmux.end(session)
        try town.log("kill", address, "session \(session)")
        try town.event("session_end", actor: address, ["session": .string(session)])
    }
}
