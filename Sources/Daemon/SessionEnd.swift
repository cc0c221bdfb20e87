// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import LinuxSys
import SystemPackage

/// Ends tmux sessions with all that runs in them: first nobody brings anything back any more, then the process trees
/// end, all at once, then the sessions.
final class SessionEnd {
    private static let callTimeout = Duration.seconds(10)
    private static let grace = Duration.seconds(5)
    /// Agents that start others while they are ended are looked for again so often.
    private static let roundsMax = 4

    /// nil: all of the server.
    private let session: String?
    private let commands: TmuxCommands?
    private let environment: [String]
    private let loop: EventLoop
    private var round = 0
    private var problems: [String] = []
    private var server: ProcessIdentity?

    init(session: String?, commands: TmuxCommands?, environment: [String], loop: EventLoop) {
        self.session = session
        self.commands = commands
        self.environment = environment
        self.loop = loop
    }

    /// - Parameters:
    ///   - others: Processes that end with them.
    ///   - completion: Called once; nil means that all are gone.
    func run(also others: [ProcessIdentity], completion: @escaping (_ problem: String?) -> Void) {
        next(others) { [self] in completion(problems.isEmpty ? nil : problems.joined(separator: "; ")) }
    }

    private func next(_ others: [ProcessIdentity], done: @escaping () -> Void) {
        round += 1
        list { [self] panes in
            if server == nil { server = panes.first.flatMap { ProcessTable.status(of: $0.server)?.identity } }
            let living = panes.filter { !$0.isDead }.compactMap { ProcessTable.status(of: $0.pid) }.filter(\.isAlive)
            let targets = Set(living.map(\.identity)).union(others)
            guard !targets.isEmpty, round <= Self.roundsMax else { return endSessions(panes, done) }
            each(panes, { commands, pane in commands.removeHooks(pane: pane.pane) }) { [self] in
                endAll(targets) { [self] in next([], done: done) }
            }
        }
    }

    private func list(_ completion: @escaping ([TownPane]) -> Void) {
        guard let commands else { return completion([]) }
        call(session.map(commands.panes) ?? commands.allPanes()) { output in
            completion(output.map(TownPane.parse) ?? [])
        }
    }

    private func each(
        _ panes: [TownPane], _ arguments: (TmuxCommands, TownPane) -> [String], done: @escaping () -> Void
    ) {
        guard let commands, !panes.isEmpty else { return done() }
        var left = panes.count
        for pane in panes {
            call(arguments(commands, pane)) { _ in
                left -= 1
                if left == 0 { done() }
            }
        }
    }

    private func endAll(_ targets: Set<ProcessIdentity>, done: @escaping () -> Void) {
        guard !targets.isEmpty else { return done() }
        var left = targets.count
        for target in targets {
            TreeTermination.end(target, grace: Self.grace, on: loop) { [self] error in
                if let error { problems.append("pid \(target.pid) cannot be ended: \(error)") }
                left -= 1
                if left == 0 { done() }
            }
        }
    }

    private func endSessions(_ panes: [TownPane], _ done: @escaping () -> Void) {
        guard let commands else { return done() }
        if let session {
            guard !panes.isEmpty else { return done() }
            return call(commands.endSession(session)) { _ in done() }
        }
        call(commands.endServer()) { [self] _ in
            guard let server, ProcessTable.isAlive(server) else { return removeSocket(done) }
            endAll([server]) { [self] in removeSocket(done) }
        }
    }

    /// tmux leaves its socket behind.
    private func removeSocket(_ done: () -> Void) {
        do throws(SystemError) {
            if let path = commands.map({ FilePath($0.socket) }), Syscalls.exists(path) { try Syscalls.unlink(path) }
        } catch {
            problems.append("the tmux server's socket stays: \(error)")
        }
        done()
    }

    /// - Parameter completion: nil where tmux did not do it: there is no server any more, or no such pane.
    private func call(_ arguments: [String], completion: @escaping (String?) -> Void) {
        do throws(SystemError) {
            try Command.run(arguments, environment: environment, timeout: Self.callTimeout, on: loop) { result in
                completion(result.status.isSuccess ? String(decoding: result.output, as: UTF8.self) : nil)
            }
        } catch {
            problems.append("\(error)")
            completion(nil)
        }
    }
}
