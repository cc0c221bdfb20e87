// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

/// Finds the real client behind ours.
struct RealProgram {
    /// Our own file, with links followed.
    let ourselves: FilePath
    let path: String
    let home: String?

    enum Found {
        case program(FilePath)
        /// Another gasclawd, which would look for us in turn.
        case anotherLauncher(FilePath)
        case nothing
    }

    /// - Parameter configured: `agent.program`.
    func find(configured: String?) -> Found {
        if let configured, !configured.isEmpty { return classify(FilePath(configured)) ?? .nothing }
        for entry in path.split(separator: ":", omittingEmptySubsequences: true) where entry.hasPrefix("/") {
            if let found = classify(FilePath(String(entry)).appending("claude")) { return found }
        }
        if let home, let found = classify(FilePath(home).appending(".claude/local/claude")) { return found }
        return .nothing
    }

    private func classify(_ candidate: FilePath) -> Found? {
        guard Syscalls.isExecutable(candidate), !Syscalls.isDirectory(candidate) else { return nil }
        do throws(SystemError) {
            let real = try Syscalls.realPath(candidate)
            if real == ourselves { return nil }
            if real.lastName == Array("gasclawd".utf8) { return .anotherLauncher(candidate) }
        } catch {
            return nil
        }
        return .program(candidate)
    }
}
