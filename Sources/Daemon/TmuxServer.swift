// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys

/// The tmux server that a process runs in, as tmux has told it by its environment (tmux(1), TMUX).
struct TmuxServer {
    let socket: String
    let process: ProcessIdentity

    /// - Returns: nil if it runs in none that lives.
    init?(of pid: Int32) {
        let name = Array("TMUX=".utf8)
        guard let entry = ProcessTable.environment(of: pid)?.first(where: { $0.starts(with: name) }) else { return nil }
        // `/tmp/tmux-1000/town-0a1b2c,4711,0`
        let fields = String(decoding: entry.dropFirst(name.count), as: UTF8.self).split(separator: ",")
        guard fields.count == 3, let server = Int32(fields[1]),
            let status = ProcessTable.status(of: server), status.isAlive
        else { return nil }
        socket = String(fields[0])
        process = status.identity
    }
}
