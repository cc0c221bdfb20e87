// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import Timekeeping

/// `gt install` and `gt rig` (gt-contract.md section 1, "install / rig").
enum GtInstall {
    /// Not idempotent: a folder that is an HQ already is exit 1. It starts Dolt and leaves it running. A global git
    /// identity, which the real one demands, is not looked for: the stand-in for dolt has none to copy.
    static func install(_ arguments: [String]) throws(Failure) -> Int32 {
        let words = Words(
            arguments, valued: ["-n", "--name", "--owner", "--public-name", "--github", "--dolt-port"])
        let root = Environment.absolute(words.positional.first ?? ".")
        if Disk.exists(root + "/mayor/town.json"), !words.has("-f", "--force") {
            throw Failure("directory is already a Gas Town HQ (use --force to reinitialize)")
        }
        if let outer = GtTown.from(directoryName(root)), Disk.exists(outer.path("mayor/town.json")) {
            throw Failure("cannot create HQ inside existing Gas Town workspace: \(outer.root)")
        }
        let port =
            words.value("--dolt-port").flatMap { UInt16($0) }
            ?? Environment.value("GT_DOLT_PORT").flatMap { UInt16($0) } ?? 3307
        // A port that answers as MySQL would be reused; whatever listens here is not asked what it is.
        if Dolt.accepts(port) {
            throw Failure("Dolt port \(port) is already in use; try: gt install --dolt-port \(Dolt.freePort())")
        }
        try Disk.makeDirectories(root)
        let town = GtTown(root: Disk.realPath(root))
        try writeFiles(town, name: words.value("-n", "--name") ?? baseName(root), owner: words.value("--owner"), port)
        if words.has("--git"), Environment.find("git") != nil {
            // `git init` and a .gitignore that does not cover settings/ and mayor/*.json (section 3a); no commit.
            _ = try Program.run(["git", "init", "-q"], directory: town.root)
            try Disk.overwrite(
                town.path(".gitignore"), Array(".runtime/\n.dolt-data/\ndaemon/\nlogs/\n.beads/\n".utf8))
        }
        try GtDolt.start(town, port: port)
        Terminal.say("✓ HQ created successfully!\n  \(town.root)")
        return 0
    }

    private static func writeFiles(
        _ town: GtTown, name: String, owner: String?, _ port: UInt16
    ) throws(Failure) {
        try Disk.makeDirectories(
            town.path("mayor/.claude"), town.path("deacon/.claude"), town.path("deacon/dogs/boot"),
            town.path("plugins"), town.path(".beads/formulas"), town.path("settings"), town.path(".claude/commands"),
            town.path("daemon"), town.path("logs"), town.path(".dolt-data/hq"))
        let now = JSONValue.string(Timestamp.now.seconds)
        try Disk.replace(
            town.path("mayor/town.json"),
            [
                "type": "town", "version": 2, "name": .string(name), "owner": .string(owner ?? ""),
                "public_name": .string(name), "created_at": now,
            ], mode: 0o644)
        try Disk.replace(town.path("mayor/rigs.json"), ["version": 1, "rigs": [:]], mode: 0o644)
        func patrol(_ agent: String) -> JSONValue {
            ["enabled": true, "interval": "5m", "agent": .string(agent), "rigs": []]
        }
        var daemon: JSONObject = [
            "type": "daemon-patrol-config", "version": 1, "heartbeat": ["enabled": true, "interval": "3m"],
            "patrols": ["deacon": patrol("deacon"), "witness": patrol("witness"), "refinery": patrol("refinery")],
        ]
        if port != 3307 { daemon["env"] = ["GT_DOLT_PORT": .string("\(port)")] }
        try Disk.overwrite(town.path("mayor/daemon.json"), daemon)
        try Disk.overwrite(town.path("mayor/overseer.json"), ["type": "overseer", "version": 1, "name": "overseer"])
        try Disk.overwrite(town.path("settings/escalation.json"), ["type": "escalation", "version": 1, "routes": [:]])
        try Disk.overwrite(town.path("CLAUDE.md"), Array("# Gas Town\n\nRun `gt prime` for full context.\n".utf8))
        try Disk.link(town.path("AGENTS.md"), to: "CLAUDE.md")
        for role in ["mayor", "deacon"] { try ensureSettings(in: town.path(role)) }
    }

    /// The Claude settings of a role: hooks, and nothing about permissions.
    static func ensureSettings(in folder: String) throws(Failure) {
        let path = folder + "/.claude/settings.json"
        guard !Disk.exists(path) else { return }
        try Disk.makeDirectories(folder + "/.claude")
        let hook: JSONValue = [
            ["matcher": "", "hooks": [["type": "command", "command": "gt prime --hook"]]]
        ]
        try Disk.overwrite(path, ["hooks": ["SessionStart": hook]])
    }

    // MARK: - Rigs

    static func rig(_ arguments: [String]) throws(Failure) -> Int32 {
        switch arguments.first {
        case "add": return try addRig(Array(arguments.dropFirst()))
        case "list": return try listRigs(Array(arguments.dropFirst()))
        case let command: throw Failure("unknown command \"\(command ?? "")\" for \"gt rig\"")
        }
    }

    private static func addRig(_ arguments: [String]) throws(Failure) -> Int32 {
        let words = Words(
            arguments,
            valued: ["--prefix", "--local-repo", "--branch", "--push-url", "--upstream-url", "--url", "--filter"])
        guard let name = words.positional.first else { throw Failure("accepts between 1 and 2 arg(s), received 0") }
        guard words.positional.count > 1 else {
            throw Failure("git-url is required (or use --adopt to register an existing directory)")
        }
        let url = words.positional[1]
        // A scheme, or user@host:path; a bare path is refused.
        let isRemote = url.contains("://") || (url.contains("@") && url.contains(":"))
        guard isRemote, !url.hasPrefix("/"), !url.hasPrefix("."), !url.hasPrefix("~") else {
            throw Failure("invalid git URL \"\(url)\": expected a remote URL (e.g., https://, git@, file:///)")
        }
        let town = try GtTown.find()
        if name.contains(where: { "-./\\ ".contains($0) }) {
            throw Failure("adding rig: rig name \"\(name)\" contains invalid characters")
        }
        if name == "hq" { throw Failure("adding rig: rig name \"hq\" is reserved for town-level infrastructure") }
        if try town.rigs().contains(where: { $0.name == name }) { throw Failure("adding rig: rig already exists") }
        let folder = town.path(name)
        if Disk.exists(folder) { throw Failure("adding rig: directory already exists: \(folder) (use --adopt)") }
        guard Dolt.accepts(try town.doltPort()) else {
            throw Failure("adding rig: Dolt server is not running (start it with: gt dolt start)")
        }
        try Disk.makeDirectories(folder)
        if Environment.find("git") != nil {
            let clone = try Program.run(
                ["git", "clone", "-q", "--bare", url, folder + "/.repo.git"],
                environment: Environment.with(["GIT_TERMINAL_PROMPT": "0"]), timeout: .seconds(300))
            if !clone.status.isSuccess {
                // A failure removes what it made.
                Disk.removeTree(folder)
                throw Failure("adding rig: cloning repository: \(shownText(clone.errors.prefix(300)))")
            }
        }
        let prefix = words.value("--prefix") ?? (name.count <= 3 ? name : String(name.prefix(2)))
        try Disk.makeDirectories(
            folder + "/settings", folder + "/mayor/rig", folder + "/refinery/rig", folder + "/witness",
            folder + "/polecats", folder + "/crew", folder + "/.beads")
        try Disk.replace(
            folder + "/config.json",
            [
                "type": "rig", "version": 1, "name": .string(name), "git_url": .string(url),
                "default_branch": .string(words.value("--branch") ?? "main"), "beads": ["prefix": .string(prefix)],
            ], mode: 0o644)
        try register(town, name: name, url: url, prefix: prefix)
        Terminal.say("✓ Rig \(name) created")
        return 0
    }

    /// The side effects of section 1: rigs.json, the patrol lists of daemon.json, and a commit in the town.
    private static func register(_ town: GtTown, name: String, url: String, prefix: String) throws(Failure) {
        var file = try Disk.object(town.path("mayor/rigs.json")) ?? ["version": 1]
        var rigs = file["rigs"]?.object ?? [:]
        rigs[name] = [
            "git_url": .string(url), "added_at": .string(Timestamp.now.seconds),
            "beads": ["repo": "", "prefix": .string(prefix)],
        ]
        file["rigs"] = .object(rigs)
        try Disk.replace(town.path("mayor/rigs.json"), file, mode: 0o644)
        var daemon = try Disk.object(town.path("mayor/daemon.json")) ?? [:]
        var patrols = daemon["patrols"]?.object ?? [:]
        for role in ["witness", "refinery"] {
            var patrol = patrols[role]?.object ?? [:]
            patrol["rigs"] = .array((patrol["rigs"]?.array ?? []) + [.string(name)])
            patrols[role] = .object(patrol)
        }
        daemon["patrols"] = .object(patrols)
        try Disk.overwrite(town.path("mayor/daemon.json"), daemon)
        try Disk.append(
            town.path(".beads/routes.jsonl"),
            JSONValue.object(["prefix": .string(prefix + "-"), "path": .string(name)]).line + "\n", mode: 0o644)
        guard Disk.isDirectory(town.path(".git")), Environment.find("git") != nil else { return }
        let files = ["mayor/rigs.json", "mayor/daemon.json", ".beads/routes.jsonl"]
        _ = try Program.run(["git", "add", "-f"] + files, directory: town.root)
        // Without an identity git refuses; gt only warns then.
        _ = try Program.run(["git", "commit", "-q", "-m", "rig: add \(name)", "--"] + files, directory: town.root)
    }

    private static func listRigs(_ arguments: [String]) throws(Failure) -> Int32 {
        let town = try GtTown.find()
        let rigs = try town.rigs()
        guard !rigs.isEmpty else {
            // Text even with --json (section 1).
            Terminal.say("No rigs configured.")
            return 0
        }
        let tmux = try Tmux(town)
        var list: [JSONValue] = []
        for rig in rigs {
            let running = try tmux.sessions()
            func state(_ role: String) -> JSONValue {
                running.contains("\(rig.prefix)-\(role)") ? "running" : "stopped"
            }
            list.append([
                "name": .string(rig.name), "beads_prefix": .string(rig.prefix),
                "status": .string(try GtStatus.rigState(town, rig.name)), "witness": state("witness"),
                "refinery": state("refinery"),
                "polecats": JSONValue(Disk.names(town.path("\(rig.name)/polecats")).count),
                "crew": JSONValue(Disk.names(town.path("\(rig.name)/crew")).filter { !$0.hasPrefix(".") }.count),
            ])
        }
        if arguments.contains("--json") {
            Terminal.write(String(decoding: JSONValue.array(list).encoded(indented: true), as: UTF8.self))
        } else {
            for rig in rigs { Terminal.say("  \(rig.name)") }
        }
        return 0
    }
}
