// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import Timekeeping

/// `gt status` and `gt estop|thaw` (gt-contract.md section 1, "status / health / dolt / up / down / estop").
enum GtStatus {
    static func run(_ arguments: [String]) throws(Failure) -> Int32 {
        if arguments.contains("--json"), arguments.contains("--watch") {
            throw Failure("--json and --watch cannot be used together")
        }
        let town = try GtTown.find()
        let tmux = try Tmux(town)
        let sessions = try tmux.sessions()
        // The same probe as `daemon status`, with the same harm.
        let daemon = try GtDaemon.runningPID(town)
        let dolt = try GtDolt.runningPID(town)
        let server = sessions.isEmpty ? nil : try tmux.serverPID
        var rigs: [JSONValue] = []
        for rig in try town.rigs() { rigs.append(try describe(rig, town, tmux, sessions)) }
        let status: JSONObject = [
            "name": try Disk.object(town.path("mayor/town.json"))?["name"] ?? "", "location": .string(town.root),
            "overseer": ["name": "overseer", "unread_mail": 0], "dnd": nil,
            "daemon": ["running": .bool(daemon != nil), "pid": JSONValue(daemon ?? 0)],
            "dolt": [
                "running": .bool(dolt != nil), "pid": JSONValue(dolt ?? 0), "port": JSONValue(try town.doltPort()),
                "remote": false, "data_dir": .string(town.path(".dolt-data")), "port_conflict": false,
                "conflict_owner": "",
            ],
            "tmux": [
                "socket": .string(tmux.socket),
                "socket_path": .string(tmux.socketPath),
                "running": .bool(!sessions.isEmpty), "pid": JSONValue(server ?? 0),
                "session_count": JSONValue(sessions.count),
            ],
            "acp": ["running": false, "pid": 0],
            "agents": [
                // The global roles have names of their own here.
                try describe(GtSeat(town: town, role: .mayor), role: "coordinator", tmux, sessions),
                try describe(GtSeat(town: town, role: .deacon), role: "health-check", tmux, sessions),
            ],
            "rigs": .array(rigs),
            "summary": [
                "rig_count": JSONValue(rigs.count),
                "polecat_count": JSONValue(rigs.reduce(0) { $0 + ($1["polecat_count"]?.integer ?? 0) }),
                "crew_count": JSONValue(rigs.reduce(0) { $0 + ($1["crew_count"]?.integer ?? 0) }),
                "witness_count": JSONValue(rigs.count { $0["has_witness"]?.bool == true }),
                "refinery_count": JSONValue(rigs.count { $0["has_refinery"]?.bool == true }), "active_hooks": 0,
            ],
        ]
        if arguments.contains("--json") {
            Terminal.write(String(decoding: JSONValue.object(status).encoded(indented: true), as: UTF8.self))
        } else {
            Terminal.say("Town: \(town.root)\nDaemon: \(daemon.map { "\($0)" } ?? "stopped")")
            for session in sessions { Terminal.say("  \(session)") }
        }
        return 0
    }

    private static func describe(
        _ rig: GtTown.Rig, _ town: GtTown, _ tmux: Tmux, _ sessions: [String]
    ) throws(Failure) -> JSONValue {
        var agents: [JSONValue] = []
        for role in [GtSeat.Role.witness, .refinery] {
            agents.append(try describe(GtSeat(town: town, role: role, rig: rig), role: role.rawValue, tmux, sessions))
        }
        let crews = Disk.names(town.path("\(rig.name)/crew")).filter { !$0.hasPrefix(".") }
        for name in crews {
            let seat = GtSeat(town: town, role: .crew, rig: rig, name: name)
            agents.append(try describe(seat, role: "crew", tmux, sessions))
        }
        let polecats = Disk.names(town.path("\(rig.name)/polecats")).filter { !$0.hasPrefix(".") }
        for name in polecats {
            let seat = GtSeat(town: town, role: .polecat, rig: rig, name: name)
            agents.append(try describe(seat, role: "polecat", tmux, sessions))
        }
        return [
            "name": .string(rig.name), "polecats": .array(polecats.map(JSONValue.string)),
            "polecat_count": JSONValue(polecats.count), "crews": .array(crews.map(JSONValue.string)),
            "crew_count": JSONValue(crews.count), "has_witness": .bool(sessions.contains("\(rig.prefix)-witness")),
            "has_refinery": .bool(sessions.contains("\(rig.prefix)-refinery")), "hooks": [],
            "agents": .array(agents),
            "mq": ["pending": 0, "in_flight": 0, "blocked": 0, "state": "idle", "health": "empty"],
        ]
    }

    /// An AgentRuntime. `running` asks for the agent's process here, which is stricter than `mayor status`.
    private static func describe(
        _ seat: GtSeat, role: String, _ tmux: Tmux, _ sessions: [String]
    ) throws(Failure) -> JSONValue {
        let isRunning = sessions.contains(seat.session) ? try tmux.isAgentAlive(seat.session) : false
        return [
            "name": .string(seat.name ?? seat.role.rawValue), "address": .string(seat.address),
            "session": .string(seat.session), "role": .string(role), "running": .bool(isRunning), "acp": false,
            "has_work": false, "work_title": "", "hook_bead": "", "state": isRunning ? "idle" : "stopped",
            "notification_level": "normal", "unread_mail": 0, "first_subject": "", "agent_alias": "", "agent_info": "",
        ]
    }

    /// operational, parked or docked: `.beads-wisp/config/<rig>.json` (section 3a).
    static func rigState(_ town: GtTown, _ rig: String) throws(Failure) -> String {
        try Disk.object(town.path(".beads-wisp/config/\(rig).json"))?["values"]?["status"]?.string ?? "operational"
    }

    // MARK: - Emergency stop

    /// `gt estop [-r REASON] [--rig R]` and `gt thaw [--rig R]`: a file, and SIGTSTP or SIGCONT to the agents; the
    /// mayor is exempt.
    static func estop(_ arguments: [String], isOn: Bool) throws(Failure) -> Int32 {
        let words = Words(arguments, valued: ["-r", "--reason", "--rig"])
        let town = try GtTown.find()
        let rig = words.value("--rig")
        let file = town.path(rig.map { "ESTOP.\($0)" } ?? "ESTOP")
        if isOn {
            let text = "manual\t\(Timestamp.now.seconds)\t\(words.value("-r", "--reason") ?? "")\n"
            try Disk.overwrite(file, Array(text.utf8))
        } else {
            Disk.remove(file)
        }
        let prefix = try rig.map { name throws(Failure) in try town.rig(name).prefix + "-" }
        let tmux = try Tmux(town)
        for session in try tmux.sessions() where session != "hq-mayor" && session.hasPrefix(prefix ?? "") {
            if let pane = try tmux.pane(of: session), !pane.isDead { kill(pane.pid, isOn ? SIGTSTP : SIGCONT) }
        }
        Terminal.say(isOn ? "✓ E-STOP active" : "✓ Thawed")
        return 0
    }
}
