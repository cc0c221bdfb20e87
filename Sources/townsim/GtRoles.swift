// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys

/// `gt mayor|deacon|witness|refinery|crew …`, `gt sling`, `gt handoff` (gt-contract.md section 1).
enum GtRoles {
    static func run(_ role: String, _ arguments: [String]) throws(Failure) -> Int32 {
        guard let verb = arguments.first else { throw Failure("gt \(role): a subcommand is needed") }
        let words = Words(Array(arguments.dropFirst()), valued: ["--agent", "--account", "--rig", "--env"])
        let town = try GtTown.find()
        if role == "crew" { return try crew(verb, words, town) }
        let seat = try townOrRigSeat(role, words, town)
        let tmux = try Tmux(town)
        var options = GtSeat.StartOptions(agentOverride: words.value("--agent"))
        // The respawn hook is the mayor's and the deacon's (section 2, respawn trap a).
        options.respawns = role == "mayor" || role == "deacon"
        switch verb {
        case "start":
            if try tmux.hasSession(seat.session) {
                // A session whose agent is dead is replaced; a living one is exit 1.
                if try tmux.isAgentAlive(seat.session) { throw Failure("\(role) session already running") }
                try tmux.end(seat.session)
            }
            try checkParked(seat)
            try seat.start(options)
            Terminal.say("✓ \(role) session started. Attach with: gt \(role) attach")
        case "stop":
            try seat.stop()
            Terminal.say("✓ \(role) session stopped.")
        case "restart":
            try checkParked(seat)
            if try tmux.hasSession(seat.session) { try seat.stop() }
            try seat.start(options)
            Terminal.say("✓ \(role) session restarted.")
        case "status":
            // Always exit 0; "running" means that the tmux session exists, not that claude lives.
            let isRunning = try tmux.hasSession(seat.session)
            if words.has("--running") {
                Terminal.say(isRunning ? "true" : "false")
            } else {
                Terminal.say(isRunning ? "● \(role) session is running" : "○ \(role) session is not running")
            }
        default: throw Failure("unknown command \"\(verb)\" for \"gt \(role)\"")
        }
        return 0
    }

    private static func townOrRigSeat(
        _ role: String, _ words: Words, _ town: GtTown
    ) throws(Failure) -> GtSeat {
        switch role {
        case "mayor": return GtSeat(town: town, role: .mayor)
        case "deacon": return GtSeat(town: town, role: .deacon)
        default:
            guard let rig = words.positional.first ?? words.value("--rig") else {
                throw Failure("accepts 1 arg(s), received 0")
            }
            return GtSeat(town: town, role: role == "witness" ? .witness : .refinery, rig: try town.rig(rig))
        }
    }

    /// A parked or docked rig is exit 1.
    private static func checkParked(_ seat: GtSeat) throws(Failure) {
        guard let rig = seat.rig else { return }
        let state = try GtStatus.rigState(seat.town, rig.name)
        if state != "operational" { throw Failure("rig '\(rig.name)' is \(state)") }
    }

    // MARK: - Crew

    /// `crew start RIG/NAME | RIG NAME…`, `crew restart NAME | RIG/NAME | --all`, `crew stop …`, `crew list`.
    private static func crew(_ verb: String, _ words: Words, _ town: GtTown) throws(Failure) -> Int32 {
        let tmux = try Tmux(town)
        if verb == "list" {
            for seat in try crewSeats(town) { Terminal.say("  \(seat.address)") }
            return 0
        }
        var seats: [GtSeat] = []
        if words.has("--all") {
            // --all means the running ones only.
            for seat in try crewSeats(town) where try tmux.hasSession(seat.session) { seats.append(seat) }
        } else {
            guard !words.positional.isEmpty else {
                throw Failure("at least one argument is required when not using --all")
            }
            seats = try named(words, town)
        }
        for seat in seats {
            switch verb {
            case "start", "add":
                try Disk.makeDirectories(seat.directory)
                if verb == "add" { continue }
                if try tmux.hasSession(seat.session) {
                    if try tmux.isAgentAlive(seat.session) {
                        Terminal.say("○ \(seat.address) is already running")
                        continue
                    }
                    try tmux.end(seat.session)
                }
                try checkParked(seat)
                try seat.start(GtSeat.StartOptions(agentOverride: words.value("--agent"), topic: "start"))
                Terminal.say("✓ Started crew worker: \(seat.address)")
            case "restart":
                guard Disk.isDirectory(seat.directory) else {
                    throw Failure("crew worker '\(seat.name ?? "")' not found")
                }
                if try tmux.hasSession(seat.session) { try seat.stop() }
                // CLAUDE_CONFIG_DIR is not forwarded here (section 2).
                try seat.start(
                    GtSeat.StartOptions(
                        agentOverride: words.value("--agent"), forwardsConfigDirectory: false, topic: "restart"))
                Terminal.say("✓ Restarted crew workspace: \(seat.address)")
            case "stop":
                try seat.stop()
                Terminal.say("✓ Stopped \(seat.address)")
            default: throw Failure("unknown command \"\(verb)\" for \"gt crew\"")
            }
        }
        return 0
    }

    // MARK: - Polecats

    /// `session restart RIG/POLECAT [-f]` and `session list [--rig R] --json`: polecats only (section 1).
    static func session(_ arguments: [String]) throws(Failure) -> Int32 {
        guard let verb = arguments.first else { throw Failure("gt session: a subcommand is needed") }
        let words = Words(Array(arguments.dropFirst()), valued: ["--rig"])
        let town = try GtTown.find()
        switch verb {
        case "restart":
            guard words.positional.count == 1, let address = words.positional.first else {
                throw Failure("accepts 1 arg(s), received \(words.positional.count)")
            }
            let parts = address.split(separator: "/").map(String.init)
            guard parts.count == 2 else { throw Failure("invalid address '\(address)': want <rig>/<polecat>") }
            let seat = GtSeat(town: town, role: .polecat, rig: try town.rig(parts[0]), name: parts[1])
            guard Disk.isDirectory(seat.directory) else { throw Failure("polecat '\(parts[1])' not found") }
            if try Tmux(town).hasSession(seat.session) { try seat.stop() }
            // CLAUDE_CONFIG_DIR is not forwarded here (section 2).
            try seat.start(GtSeat.StartOptions(forwardsConfigDirectory: false, topic: "restart"))
            Terminal.say("✓ Session restarted: \(seat.session)")
            return 0
        case "list":
            let sessions = try Tmux(town).sessions()
            var rows: [JSONValue] = []
            for rig in try town.rigs() where words.value("--rig").map({ $0 == rig.name }) ?? true {
                for name in Disk.names(town.path("\(rig.name)/polecats")) where !name.hasPrefix(".") {
                    let seat = GtSeat(town: town, role: .polecat, rig: rig, name: name)
                    rows.append([
                        "rig": .string(rig.name), "polecat": .string(name), "session_id": .string(seat.session),
                        "running": .bool(sessions.contains(seat.session)),
                    ])
                }
            }
            // The literal null where there is none.
            Terminal.say((rows.isEmpty ? JSONValue.null : .array(rows)).line)
            return 0
        default: throw Failure("unknown command \"\(verb)\" for \"gt session\"")
        }
    }

    private static func named(_ words: Words, _ town: GtTown) throws(Failure) -> [GtSeat] {
        var seats: [GtSeat] = []
        var rig = words.value("--rig")
        var names = words.positional
        if rig == nil, let first = names.first, !first.contains("/"), names.count > 1 {
            rig = first
            names.removeFirst()
        }
        for name in names {
            let parts = name.split(separator: "/").map(String.init)
            guard let rigName = parts.count > 1 ? parts.first : rig, let worker = parts.last else {
                throw Failure("could not determine rig (use --rig flag)")
            }
            seats.append(GtSeat(town: town, role: .crew, rig: try town.rig(rigName), name: worker))
        }
        return seats
    }

    static func crewSeats(_ town: GtTown) throws(Failure) -> [GtSeat] {
        var seats: [GtSeat] = []
        for rig in try town.rigs() {
            for name in Disk.names(town.path("\(rig.name)/crew")) where !name.hasPrefix(".") {
                seats.append(GtSeat(town: town, role: .crew, rig: rig, name: name))
            }
        }
        return seats
    }

    // MARK: - Called by agents

    /// `gt sling BEAD RIG`: starts a polecat with the environment of the agent that calls, key included, which goes
    /// into `tmux new-session -e` (design.md section 6, "agent-shell").
    static func sling(_ arguments: [String]) throws(Failure) -> Int32 {
        let words = Words(arguments, valued: ["--agent", "--account", "--args", "-s", "-m"])
        guard words.positional.count == 2 else { throw Failure("accepts 2 arg(s), received \(words.positional.count)") }
        let town = try GtTown.find()
        let rig = try town.rig(words.positional[1])
        let tmux = try Tmux(town)
        let sessions = try tmux.sessions()
        let names = ["furiosa", "nux", "slit", "rictus", "capable", "toast", "dag", "cheedo"]
        guard let name = names.first(where: { !sessions.contains("\(rig.prefix)-\($0)") }) else {
            throw Failure("no free polecat name in rig '\(rig.name)'")
        }
        let seat = GtSeat(town: town, role: .polecat, rig: rig, name: name)
        try checkParked(seat)
        var options = GtSeat.StartOptions(
            agentOverride: words.value("--agent"), sender: Environment.value("GT_ROLE") ?? "human",
            topic: "assigned:\(words.positional[0])")
        options.waits = false
        try seat.start(options)
        Terminal.say("✓ Slung \(words.positional[0]) to \(seat.address)")
        return 0
    }

    /// `gt handoff`: builds the command of the calling agent's own session anew and exports its ANTHROPIC_API_KEY, not
    /// its ANTHROPIC_AUTH_TOKEN and not its base URL; the agent's `env` block is ignored (section 2, respawn trap b).
    static func handoff(_ arguments: [String]) throws(Failure) -> Int32 {
        let town = try GtTown.find()
        guard let session = Environment.value("GT_SESSION"), let pane = Environment.value("TMUX_PANE") else {
            throw Failure("not running in tmux - cannot hand off")
        }
        let tmux = try Tmux(town)
        guard try tmux.hasSession(session) else { throw Failure("session '\(session)' not found") }
        let role = (Environment.value("GT_ROLE") ?? "mayor").split(separator: "/").map(String.init)
        let rig = role.count > 1 ? try town.rig(role[0]) : nil
        let kind: GtSeat.Role =
            switch role.count > 1 ? role[1] : role.first ?? "" {
            case "crew": .crew
            case "polecats": .polecat
            case "witness": .witness
            case "refinery": .refinery
            case "deacon": .deacon
            default: .mayor
            }
        let seat = GtSeat(town: town, role: kind, rig: rig, name: role.count > 2 ? role[2] : nil)
        var agent = try GtConfig.agent(
            for: kind.rawValue, rig: rig?.name, name: seat.name, override: Environment.value("GT_AGENT"), in: town)
        agent.environment = agent.environment.filter { $0.key == "NODE_OPTIONS" }
        var environment = seat.environment(
            from: GtSeat.ownEnvironment, forwardsConfigDirectory: true,
            agentOverride: Environment.value("GT_AGENT"), doltPort: try town.doltPort())
        environment["ANTHROPIC_AUTH_TOKEN"] = nil
        let command = seat.command(agent, environment, beacon: seat.beacon(sender: "self", topic: "handoff"))
        try town.log("handoff", seat.address, "session \(session)")
        Terminal.say("🤝 Handing off…")
        try tmux.run("set-option", "-t", session, "remain-on-exit", "on")
        // This ends the pane's processes, ourselves among them.
        try tmux.demand(["respawn-pane", "-k", "-t", pane, command])
        return 0
    }
}
