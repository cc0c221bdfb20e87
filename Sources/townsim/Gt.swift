// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// A miniature gt: the commands that an outside supervisor calls, with the exit codes of gt-contract.md section 1.
enum Gt {
    private static let commands = [
        "install", "rig", "config", "daemon", "mayor", "deacon", "witness", "refinery", "crew", "status", "sling",
        "handoff", "session", "dolt", "estop", "thaw", "version", "log",
    ]

    static func run(_ arguments: [String]) throws(Failure) -> Int32 {
        do throws(Failure) { return try dispatch(arguments) } catch {
            // Section 0: 1 on any returned error, its text on stderr; no richer exit codes.
            throw Failure(error.message.isEmpty ? "" : "Error: \(error.message)", status: error.status)
        }
    }

    private static func dispatch(_ arguments: [String]) throws(Failure) -> Int32 {
        let typed = arguments.first ?? ""
        // Section 0: unique prefixes of commands are accepted.
        let matching = commands.contains(typed) ? [typed] : commands.filter { !typed.isEmpty && $0.hasPrefix(typed) }
        let rest = Array(arguments.dropFirst())
        guard matching.count == 1, let command = matching.first else {
            if typed == "--version" {
                Terminal.say("gt version 1.0.1")
                return 0
            }
            throw Failure("unknown command \"\(typed)\" for \"gt\"")
        }
        switch command {
        case "install": return try GtInstall.install(rest)
        case "rig": return try GtInstall.rig(rest)
        case "config": return try GtConfig.run(rest)
        case "daemon": return try GtDaemon.run(rest)
        case "mayor", "deacon", "witness", "refinery", "crew": return try GtRoles.run(command, rest)
        case "status": return try GtStatus.run(rest)
        case "sling": return try GtRoles.sling(rest)
        case "handoff": return try GtRoles.handoff(rest)
        case "session": return try GtRoles.session(rest)
        case "dolt": return try GtDolt.run(rest)
        case "estop": return try GtStatus.estop(rest, isOn: true)
        case "thaw": return try GtStatus.estop(rest, isOn: false)
        case "version":
            Terminal.say("gt version 1.0.1")
            return 0
        default: return 0
        }
    }
}

/// A town on disk.
struct GtTown {
    let root: String

    /// Section 0: upwards from the current folder to the outermost one with `mayor/town.json`, else one with `mayor/`,
    /// else `$GT_TOWN_ROOT`, `$GT_ROOT`.
    static func find() throws(Failure) -> GtTown {
        if let town = fromCurrentDirectory() { return town }
        for name in ["GT_TOWN_ROOT", "GT_ROOT"] {
            if let root = Environment.value(name), Disk.exists(root + "/mayor/town.json") {
                return GtTown(root: Disk.realPath(root))
            }
        }
        throw Failure("not in a Gas Town workspace")
    }

    /// The walk alone, which `config agent` and `default-agent` use: no variable helps them (section 0).
    static func fromCurrentDirectory() -> GtTown? { from(Disk.realPath(Environment.currentDirectory)) }

    static func from(_ directory: String) -> GtTown? {
        var outermost: String?
        var fallback: String?
        var folder = directory
        while true {
            if Disk.exists(folder + "/mayor/town.json") { outermost = folder }
            if fallback == nil, folder != "/", Disk.isDirectory(folder + "/mayor") { fallback = folder }
            if folder == "/" || folder == "." { break }
            folder = directoryName(folder)
        }
        return (outermost ?? fallback).map { GtTown(root: $0) }
    }

    func path(_ relative: String) -> String { "\(root)/\(relative)" }

    // MARK: - Rigs

    struct Rig {
        let name: String
        /// The prefix of its sessions (section 0, "Session names").
        let prefix: String
    }

    func rigs() throws(Failure) -> [Rig] {
        let rigs = try Disk.object(path("mayor/rigs.json"))?["rigs"]?.object
        return (rigs?.members ?? []).map { member in
            Rig(name: member.name, prefix: member.value["beads"]?["prefix"]?.string ?? member.name)
        }
    }

    func rig(_ name: String) throws(Failure) -> Rig {
        guard let rig = try rigs().first(where: { $0.name == name }) else { throw Failure("rig '\(name)' not found") }
        return rig
    }

    // MARK: - Numbers and places

    /// The generated configuration's, else GT_DOLT_PORT, else the one that `gt config set dolt.port` put into
    /// daemon.json, else 3307 (section 6, "Port"; doltserver.go:279-368, config/env.go:438-481).
    func doltPort() throws(Failure) -> UInt16 {
        if let text = try Disk.text(path(".dolt-data/config.yaml")), let port = Dolt.port(inConfig: text) {
            return port
        }
        if let port = Environment.value("GT_DOLT_PORT").flatMap({ UInt16($0) }) { return port }
        let configured = try Disk.object(path("mayor/daemon.json"))?["env"]?["GT_DOLT_PORT"]?.string
        return configured.flatMap { UInt16($0) } ?? 3307
    }

    func pid(inFile relative: String) throws(Failure) -> Int32? {
        try Disk.text(path(relative))?.split(whereSeparator: \.isWhitespace).first.flatMap { Int32($0) }
    }

    /// Whether the operator stopped all agents (section 1, estop).
    var isStopped: Bool { Disk.exists(path("ESTOP")) }

    /// A line in `logs/town.log` (section 3b).
    func log(_ type: String, _ agent: String, _ detail: String) throws(Failure) {
        try Disk.makeDirectories(path("logs"))
        let time = Timestamp.now.seconds
        try Disk.append(
            path("logs/town.log"), "\(time.prefix(10)) \(time.dropFirst(11).prefix(8)) [\(type)] \(agent) \(detail)\n")
    }

    /// A line in `.events.jsonl` (section 3b).
    func event(_ type: String, actor: String, _ payload: JSONObject) throws(Failure) {
        let event: JSONObject = [
            "ts": .string(Timestamp.now.seconds), "source": "gt", "type": .string(type), "actor": .string(actor),
            "payload": .object(payload), "visibility": "both",
        ]
        try Disk.append(path(".events.jsonl"), JSONValue.object(event).line + "\n", mode: 0o644)
    }
}
