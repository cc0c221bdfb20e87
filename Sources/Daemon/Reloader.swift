// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Controller
import GasTown
import JSON
import LinuxSys
import SystemPackage

/// Starts agents anew in their panes: the same command, another key.
///
/// The pane's own hook is set aside meanwhile, for it would run the command again before the old process tree is
/// gone. What is set aside stands in a file, so that it is put back after a crash too.
final class Reloader {
    /// The hooks of a pane while they are aside.
    private struct Aside {
        let hooks: PaneHooks
        /// Whose pane it was: the number alone may be another one's by the next start.
        let session: String
        let server: Int32
    }

    private let loop: EventLoop
    private let store: StateStore
    private let environment: [String]
    private let onDone: (_ id: UInt64, _ outcome: Outcome) -> Void
    /// Why an agent may not be brought back now; asked at the last moment.
    private let holdBack: (AgentIdentity) -> String?
    /// The program's absolute path, nil where it is not found.
    var tmux: String?
    private var asides: [PanePlace: Aside] = [:]
    /// Panes that an earlier process left and that are not in order yet; nothing is reloaded before they are.
    private var recovering = 0
    private var held: [ReloadOrder] = []

    /// What came of an order.
    enum Outcome {
        case done
        case failed(String)
        /// The agent has ended, and must not be brought back now.
        case putOff(String)
    }

    /// Between TERM and KILL (contract G).
    private static let grace = Duration.seconds(5)
    private static let callTimeout = Duration.seconds(10)

    init(
        loop: EventLoop, store: StateStore, tmux: String?, environment: [String],
        holdBack: @escaping (AgentIdentity) -> String?,
        onDone: @escaping (_ id: UInt64, _ outcome: Outcome) -> Void
    ) {
        self.holdBack = holdBack
        self.loop = loop
        self.store = store
        self.tmux = tmux
        self.environment = environment
        self.onDone = onDone
    }

    func perform(_ order: ReloadOrder) {
        guard recovering == 0 else { return held.append(order) }
        if let why = holdBack(order.identity) { return onDone(order.id, .putOff(why)) }
        guard let tmux else { return report(order, "tmux is not found (town.path, PATH)") }
        let commands = TmuxCommands(program: tmux, socket: order.place.socket)
        call(commands.inspect(pane: order.place.pane)) { [self] output in
            switch output {
            case .failure(let failure): report(order, failure.text)
            case .success(let text):
                guard let pane = PaneReport(text) else { return report(order, "tmux did not describe the pane") }
                replace(order, pane, commands)
            }
        }
    }

    private func replace(_ order: ReloadOrder, _ pane: PaneReport, _ commands: TmuxCommands) {
        // Somebody brought the agent back already; where one was to be ended, it has ended by itself.
        if order.process == nil && !pane.isDead { return report(order, nil) }
        // The pane's process may be a shell around the agent: its tree is what ends. That the agent is in it is looked
        // at first: a launcher's word is no reason to end somebody else's pane.
        let shell = pane.isDead ? nil : ProcessTable.status(of: pane.pid)?.identity
        let agent = order.process.map { ProcessIdentity(pid: $0.pid, startTime: $0.startTime) }
        if let shell, let agent, ProcessTable.isAlive(agent),
            !ProcessTable.tree(of: shell).contains(where: { $0.identity == agent })
        {
            return report(order, "the agent does not run in its pane \(order.place.pane)")
        }
        asides[order.place] = Aside(hooks: pane.hooks, session: pane.session, server: pane.server)
        if let problem = save() { return report(order, problem) }
        call(commands.setHooksAside(pane: order.place.pane, hooks: pane.hooks)) { [self] output in
            if case .failure(let failure) = output {
                restore(order.place, commands) { [self] in report(order, failure.text) }
                return
            }
            guard let target = shell ?? agent else { return respawn(order, pane, commands) }
            TreeTermination.end(target, grace: Self.grace, on: loop) { [self] error in
                if let error {
                    restore(order.place, commands) { [self] in
                        report(order, "the old process cannot be ended: \(error)")
                    }
                    return
                }
                respawn(order, pane, commands)
            }
        }
    }

    private func respawn(_ order: ReloadOrder, _ pane: PaneReport, _ commands: TmuxCommands) {
        // Ending it may have taken seconds.
        if let why = holdBack(order.identity) {
            return restore(order.place, commands) { [self] in onDone(order.id, .putOff(why)) }
        }
        call(commands.respawn(pane: order.place.pane, hooks: pane.hooks)) { [self] output in
            if case .failure(let failure) = output {
                restore(order.place, commands) { [self] in report(order, failure.text) }
                return
            }
            asides[order.place] = nil
            report(order, save())
        }
    }

    private func report(_ order: ReloadOrder, _ failure: String?) {
        onDone(order.id, failure.map { .failed($0) } ?? .done)
    }

    // MARK: - A look

    /// Tells what became of a pane.
    func look(_ place: PanePlace, session: String, completion: @escaping (PaneState) -> Void) {
        guard let tmux else { return completion(.unknown) }
        let commands = TmuxCommands(program: tmux, socket: place.socket)
        call(commands.inspect(pane: place.pane)) { output in
            switch output {
            case .failure(let failure): completion(failure.isNoAnswer ? .unknown : .gone)
            case .success(let text):
                guard let pane = PaneReport(text), pane.session == session else { return completion(.gone) }
                completion(pane.isDead ? .dead(status: pane.exitStatus) : .alive)
            }
        }
    }

    // MARK: - Hooks

    /// Puts back what an earlier process had set aside when it died.
    ///
    /// - Parameter mayRespawn: Whether an agent whose pane it left dead may be brought back: not while the town stands
    ///   still.
    func recover(_ saved: JSONValue?, mayRespawn: Bool) {
        for entry in saved?["panes"]?.array ?? [] {
            guard let socket = entry["socket"]?.string, let pane = entry["pane"]?.string, socket.hasPrefix("/"),
                let session = entry["session"]?.string, let server = entry["server"]?.integer
            else { continue }
            let hooks = PaneHooks(
                entries: (entry["hooks"]?.array ?? []).compactMap { hook in
                    guard let level = hook["level"]?.string.flatMap(PaneHooks.Level.init(rawValue:)),
                        let index = hook["index"]?.integer, let command = hook["command"]?.string
                    else { return nil }
                    return PaneHooks.Entry(level: level, index: index, command: command)
                })
            asides[PanePlace(socket: socket, pane: pane)] = Aside(
                hooks: hooks, session: session, server: Int32(truncatingIfNeeded: server))
        }
        guard let tmux, !asides.isEmpty else { return }
        recovering = asides.count
        for (place, aside) in asides {
            let commands = TmuxCommands(program: tmux, socket: place.socket)
            call(commands.inspect(pane: place.pane)) { [self] output in
                guard case .success(let text) = output, let report = PaneReport(text), report.session == aside.session,
                    report.server == aside.server
                else {
                    // The pane is gone, or its number is another's.
                    return recovered(place)
                }
                // A pane that died meanwhile has nobody to bring it back: its hook was not there.
                let next =
                    report.isDead && mayRespawn
                    ? commands.respawn(pane: place.pane, hooks: aside.hooks)
                    : commands.restoreHooks(pane: place.pane, hooks: aside.hooks)
                call(next) { [self] _ in recovered(place) }
            }
        }
    }

    private func recovered(_ place: PanePlace) {
        asides[place] = nil
        // A full disk keeps the entry: it is tried again at the next start, and then the hooks stand already.
        _ = save()
        recovering -= 1
        guard recovering == 0 else { return }
        let orders = held
        held = []
        for order in orders { perform(order) }
    }

    private func restore(_ place: PanePlace, _ commands: TmuxCommands, then next: @escaping () -> Void) {
        guard let aside = asides.removeValue(forKey: place) else { return next() }
        call(commands.restoreHooks(pane: place.pane, hooks: aside.hooks)) { [self] _ in
            _ = save()
            next()
        }
    }

    /// - Returns: Why the file cannot be written.
    private func save() -> String? {
        let panes = asides.map { place, aside -> JSONValue in
            [
                "socket": .string(place.socket), "pane": .string(place.pane), "session": .string(aside.session),
                "server": JSONValue(aside.server),
                "hooks": .array(
                    aside.hooks.entries.map {
                        [
                            "level": .string($0.level.rawValue), "index": JSONValue($0.index),
                            "command": .string($0.command),
                        ]
                    }),
            ]
        }
        do throws(SystemError) {
            try store.write(["panes": .array(panes)], to: store.asides)
            return nil
        } catch {
            return "the state directory cannot be written: \(error)"
        }
    }

    private struct Failure: Error {
        let text: String
        /// tmux could not be asked: what it would have said is not known.
        var isNoAnswer = false
    }

    private func call(_ arguments: [String], completion: @escaping (Result<String, Failure>) -> Void) {
        do throws(SystemError) {
            try Command.run(arguments, environment: environment, timeout: Self.callTimeout, on: loop) { result in
                guard result.status.isSuccess else {
                    let said = shownText(result.errors.prefix { $0 != 10 })
                    let why =
                        result.timedOut
                        ? "tmux did not answer" : said.isEmpty ? "tmux: \(result.status)" : "tmux: \(said)"
                    return completion(.failure(Failure(text: why, isNoAnswer: result.timedOut)))
                }
                completion(.success(String(decoding: result.output, as: UTF8.self)))
            }
        } catch {
            completion(.failure(Failure(text: "\(error)", isNoAnswer: true)))
        }
    }
}
