// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import LinuxSys
import SystemPackage

/// Keeps Claude Code's own files so that agents start without a question. They are merged, never overwritten: the
/// client writes them during a run.
final class ClientFiles {
    static let spec = "client"
    private static let stateMax = 64 << 20

    private let directory: FilePath
    private let bypassesPermissions: Bool
    /// nil: there shall be none.
    private let hook: FailureHook?
    /// The last 20 characters of each key.
    private var approvals: [String] = []
    private var trusted: Set<String> = []
    private let onProblem: (String?) -> Void

    /// - Parameter onProblem: Called with what cannot be written, nil when all is well again.
    init(
        directory: FilePath, bypassesPermissions: Bool, hook: FailureHook? = nil, onProblem: @escaping (String?) -> Void
    ) {
        self.directory = directory
        self.bypassesPermissions = bypassesPermissions
        self.hook = hook
        self.onProblem = onProblem
    }

    var state: FilePath { directory.appending(".claude.json") }
    var settings: FilePath { directory.appending("settings.json") }
    var sessions: FilePath { directory.appending("sessions") }
    var projects: FilePath { directory.appending("projects") }

    func approve(_ approvals: [String]) {
        self.approvals = approvals
        apply()
    }

    func trust(_ folder: String) {
        guard trusted.insert(folder).inserted else { return check() }
        apply()
    }

    /// Whether there is nothing to write for these keys and folders.
    func isComplete(for approvals: [String], trusted: [String]) -> Bool {
        do {
            let complete: [Bool] = [
                try ClaudeFiles.state(Self.read(state), approvals: approvals, trusted: trusted) == nil,
                try ClaudeFiles.settings(Self.read(settings), bypassesPermissions: bypassesPermissions) == nil,
                Syscalls.exists(directory.appending(".credentials.json")),
            ]
            return complete.allSatisfy(\.self)
        } catch {
            return false
        }
    }

    private static func read(_ path: FilePath) throws -> [UInt8]? {
        Syscalls.exists(path) ? try RegularFile.read(path, limit: stateMax).bytes : nil
    }

    /// Looks again at each change of the files: the client may have written over an approval.
    func check() { apply() }

    private func apply() {
        do {
            try Syscalls.makeDirectories(directory)
            try AtomicFile.merge(state, limit: Self.stateMax) { old in
                try ClaudeFiles.state(old, approvals: approvals, trusted: trusted.sorted())
            }
            try AtomicFile.merge(settings, limit: ClaudeSettings.lengthMax) { old in
                try ClaudeFiles.settings(old, bypassesPermissions: bypassesPermissions, hook: .set(hook))
            }
            try AtomicFile.merge(directory.appending(".credentials.json"), limit: 1 << 20) { old in
                old == nil ? Array("{}\n".utf8) : nil
            }
            onProblem(nil)
        } catch {
            onProblem("\(directory.shown): Claude Code's files cannot be prepared: \(error)")
        }
    }
}
