// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import Glibc
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// A start while no daemon answers: with the values that it wrote last, and with a note for when it is back.
struct FallbackLaunch {
    let file: LauncherFile
    let request: LeaseRequest
    let directory: FilePath

    /// How long it is waited for a daemon or a file (contract G).
    private static let timeout = Duration.seconds(60)

    func answer() throws(LaunchFailure) -> LeaseAnswer {
        if !request.unsafeSettings.isEmpty {
            throw LaunchFailure(
                code: 78,
                message: "settings that could take the key elsewhere: "
                    + request.unsafeSettings.joined(separator: ", ") + " (remove them and start again)")
        }
        let answer: LeaseAnswer
        if let found = try stored() {
            answer = found
        } else {
            LauncherMessage.write("waiting for gasclawd (it is not running and has left no key)")
            try waitForFile()
            guard let found = try stored() else {
                throw LaunchFailure(code: 75, message: "no key and no daemon (start gasclawd run, then try again)")
            }
            answer = found
        }
        try prepare(answer)
        try leaveNote(answer)
        return answer
    }

    private func stored() throws(LaunchFailure) -> LeaseAnswer? {
        let path = LauncherFile.fallback(state: file.state)
        do {
            let contents = try RegularFile.read(path, limit: LauncherFile.lengthMax)
            guard contents.status.owner == CurrentProcess.userID, contents.status.mode & 0o077 == 0 else {
                throw LaunchFailure(
                    code: 78, message: "\(path.shown) can be read or written by others (it must be 0600)")
            }
            return LeaseAnswer(try JSONValue(parsing: contents.bytes))
        } catch let failure as LaunchFailure {
            throw failure
        } catch {
            // Absent, or torn by a full disk: as if there were none.
            return nil
        }
    }

    /// Waits until the daemon has written its file.
    private func waitForFile() throws(LaunchFailure) {
        do throws(SystemError) {
            let inotify = try Inotify()
            let folder = try Syscalls.open(file.state, flags: O_RDONLY | O_DIRECTORY)
            _ = try inotify.add(directory: folder.raw, mask: [.movedTo, .closedAfterWriting])
            let loop = try EventLoop()
            var failure: SystemError?
            _ = try loop.watch(inotify.raw, for: .reading) {
                do throws(SystemError) { _ = try inotify.drain { _ in } } catch { failure = error }
                if failure != nil || Syscalls.exists(LauncherFile.fallback(state: file.state)) { loop.stop() }
            }
            loop.schedule(after: Self.timeout) { loop.stop() }
            // It may have come between the first look and the watch.
            if !Syscalls.exists(LauncherFile.fallback(state: file.state)) { try loop.run() }
            if let failure { throw failure }
        } catch {
            throw LaunchFailure(
                code: 75, message: "no key and no daemon: \(error) (start gasclawd run, then try again)")
        }
    }

    /// What the daemon would have done before its answer: no questions for this key in this folder.
    private func prepare(_ answer: LeaseAnswer) throws(LaunchFailure) {
        let folder = FilePath(answer.configDirectory)
        let isInTown = request.directory == answer.townRoot || request.directory.hasPrefix(answer.townRoot + "/")
        do {
            try Syscalls.makeDirectories(folder)
            try AtomicFile.merge(folder.appending(".claude.json"), limit: 64 << 20) { old in
                try ClaudeFiles.state(
                    old, approvals: [String(answer.credential.suffix(20))], trusted: isInTown ? [request.directory] : []
                )
            }
            try AtomicFile.merge(folder.appending("settings.json"), limit: ClaudeSettings.lengthMax) { old in
                try ClaudeFiles.settings(old, bypassesPermissions: answer.bypassesPermissions)
            }
        } catch {
            throw LaunchFailure(code: 70, message: "Claude Code's files cannot be prepared: \(error)")
        }
    }

    /// Tells the daemon, when it is back, that this process holds a key. The key is not in it.
    private func leaveNote(_ answer: LeaseAnswer) throws(LaunchFailure) {
        let us = CurrentProcess.identity
        let identity = AgentIdentity(role: request.role, rig: request.rig, session: request.session ?? "")
        let note: JSONValue = [
            "pid": JSONValue(us.pid), "start_time": JSONValue(us.startTime),
            "session": .string(request.session ?? "pid-\(us.pid)"), "role": .string(identity.role.rawValue),
            "rig": .optional(identity.rig), "pane": .optional(request.pane),
            "tmux_socket": .optional(request.tmuxSocket),
            "cwd": .string(request.directory), "slug": .optional(request.slug), "key": .string(answer.keyID),
            "base_url": .string(answer.baseURL), "since": .string(Timestamp.now.rfc3339),
            "may_resume": .bool(request.mayResume), "conversation": .optional(request.conversation),
        ]
        let notes = LauncherFile.notes(state: file.state)
        do throws(SystemError) {
            try Syscalls.makeDirectories(notes)
            try AtomicFile.replace(notes.appending("\(us.pid).json"), with: note.encoded(), durable: false)
        } catch {
            // The agent is worth more than the note: it starts, and is shown as unmanaged later.
            LauncherMessage.write("no note for the daemon: \(error)")
        }
    }
}
