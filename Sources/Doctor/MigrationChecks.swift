// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

/// The predecessor, gasclaw, whose work gasclawd takes over.
enum MigrationChecks {
    static func run(_ x: Examination) -> [Check] { [gasclaw(x), environment(x)] }

    private static func gasclaw(_ x: Examination) -> Check {
        let (id, title) = ("migration.gasclaw", "gasclaw")
        let names = ["gasclaw", "gasclaw-container"]
        // By itself, or as a script of an interpreter: python3 -I /opt/gasclaw/bin/gasclaw.
        let interpreters = ["python", "pypy", "uv", "sh", "bash", "env"]
        let running = x.processes.first { process in
            guard let program = process.program else { return false }
            if names.contains(program) { return true }
            return interpreters.contains { program.hasPrefix($0) }
                && process.words.dropFirst().prefix(2).contains {
                    names.contains(Examination.Process.lastName($0))
                }
        }
        if let running {
            return .failed(
                id, title, "it runs, pid \(running.pid), and starts the same services",
                fix: "gasclaw stop (or kill \(running.pid)); docs/migration.md tells what replaces what")
        }
        let home = FilePath(x.own.home ?? "/")
        let traces = [
            home.appending(".gasclaw"), x.systemFile("/opt/gasclaw"), x.systemFile("/workspace/config/gasclaw.yaml"),
        ].filter { Syscalls.exists($0) }
        guard traces.isEmpty else {
            return .ok(
                id, title,
                "was here (\(traces.map(\.shown).joined(separator: ", "))); its accounts and cooldowns are used, see docs/migration.md"
            )
        }
        return .ok(id, title, "not here")
    }

    /// What it was configured with and nothing here reads.
    private static func environment(_ x: Examination) -> Check {
        let (id, title) = ("migration.environment", "gasclaw's variables")
        let unused = [
            "OPENCLAW_KIMI_KEY", "TELEGRAM_BOT_TOKEN", "TELEGRAM_OWNER_ID", "GT_AGENT_COUNT", "MONITOR_INTERVAL",
            "ACTIVITY_DEADLINE", "GATEWAY_PORT", "GASCLAW_CONFIG",
        ].filter { x.own.variables[$0] != nil }
        guard unused.isEmpty else {
            return .ok(id, title, "\(unused.joined(separator: ", ")): not read here, see docs/migration.md")
        }
        return .ok(id, title, "none")
    }
}
