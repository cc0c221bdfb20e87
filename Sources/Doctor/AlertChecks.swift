// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import LinuxSys
import SystemPackage

/// Whether those who shall be told of trouble can be.
enum AlertChecks {
    static func run(_ x: Examination) -> [Check] {
        let (id, title) = ("alerts.receivers", "receivers of alerts")
        let alerts = x.configuration.alerts
        guard !alerts.isEmpty else { return [.skipped(id, title, "there is none ([[alerts]])")] }
        for alert in alerts {
            guard case .command(let words) = alert.receiver, let program = words.first else { continue }
            guard Syscalls.isExecutable(FilePath(program)) else {
                let why = Syscalls.exists(FilePath(program)) ? "cannot be executed by this user" : "is not there"
                return [.failed(id, title, "\(program) \(why)", fix: "install it, chmod +x, or change [[alerts]]")]
            }
        }
        return [.ok(id, title, "\(alerts.count)")]
    }
}
