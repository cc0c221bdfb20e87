// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import Secrets
import SystemPackage

/// The tmux server of a town.
public enum TownSocket {
    /// The socket's path: `<basename>-<first 6 hex digits of the SHA-256 of the canonical path>` in tmux' own folder
    /// (gt: session/registry.go, tmux/tmux.go).
    public static func path(root: FilePath, userID: UInt32) -> String {
        var canonical = root
        do throws(SystemError) { canonical = try Syscalls.realPath(root) } catch {
            // There is no town, and so no server.
        }
        let hash = SHA256.hex(canonical.bytes).prefix(6)
        return "/tmp/tmux-\(userID)/\(shownText(canonical.lastName))-\(hash)"
    }
}
