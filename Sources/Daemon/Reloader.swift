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
    private let loop: EventLoop
    private let store: StateStore
    private let environment: [String]
    private let onDone: (_ id: UInt64, _ failure: String?) -> Void
    /// The program's absolute path, nil where it is not found.
    var tmux: String?
    private var asides: [PanePlace: PaneHooks] = [:]
    /// Reloads in panes whose hooks an earlier process had set aside: they wait until these are back, or they would
    /// take the place of the hooks for the hooks.
    private var held: [PanePlace: [ReloadOrder]] = [:]

    /// Between TERM and KILL (contract G).
    private static let grace = Duration.seconds(5)
    private static let callTimeout = Duration.seconds(10)

    init(
        loop: EventLoop, store: StateStore, tmux: String?, environment: [String],
        onDone: @escaping (_ id: UInt64, _ failure: String?) -> Void
    ) {
        self.loop = loop
        self.store = store
        self.tmux = tmux
        self.environment = environment
        self.onDone = onDone
    }

    func perform(_ order: ReloadOrder) {
        guard held[order.place] == nil else {
            held[order.place]?.append(order)
            return
        }
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
        asides[order.place] = pane.hooks
        if let problem = save() { return report(order, problem) }
        call(commands.setHooksAside(pane: order.place.pane, hooks: pane.hooks)) { [self] output in
            if case .failure(let failure) = output {
                restore(order.place, commands)
                return report(order, failure.text)
            }
            let root = order.process.map { ProcessIdentity(pid: $0.pid, startTime: $0.startTime) }
            // The pane's process may be a shell around the agent: its tree is what ends.
            let shell = pane.isDead ? nil : ProcessTable.status(of: pane.pid)?.identity
            guard let target = shell ?? root else { return respawn(order, pane, commands) }
            TreeTermination.end(target, grace: Self.grace, on: loop) { [self] error in
                if let error {
                    restore(order.place, commands)
                    return report(order, "the old process cannot be ended: \(error)")
                }
                respawn(order, pane, commands)
            }
        }
    }

    private func respawn(_ order: ReloadOrder, _ pane: PaneReport, _ commands: TmuxCommands) {
        call(commands.respawn(pane: order.place.pane, hooks: pane.hooks)) { [self] output in
            if case .failure(let failure) = output {
                restore(order.place, commands)
                return report(order, failure.text)
            }
            asides[order.place] = nil
            report(order, save())
        }
    }

    private func report(_ order: ReloadOrder, _ failure: String?) { onDone(order.id, failure) }

    // MARK: - Hooks

    /// Puts back what an earlier process had set aside when it died.
    func recover(_ saved: JSONValue?) {
        for entry in saved?["panes"]?.array ?? [] {
            guard let socket = entry["socket"]?.string, let pane = entry["pane"]?.string, socket.hasPrefix("/") else {
                continue
            }
            let hooks = PaneHooks(
                entries: (entry["hooks"]?.array ?? []).compactMap { hook in
                    guard let level = hook["level"]?.string.flatMap(PaneHooks.Level.init(rawValue:)),
                        let index = hook["index"]?.integer, let command = hook["command"]?.string
                    else { return nil }
                    return PaneHooks.Entry(level: level, index: index, command: command)
                })
            let place = PanePlace(socket: socket, pane: pane)
            asides[place] = hooks
            guard let tmux else { continue }
            held[place] = []
            let commands = TmuxCommands(program: tmux, socket: socket)
            call(commands.inspect(pane: pane)) { [self] output in
                // A pane that died meanwhile has nobody to bring it back: its hook was not there.
                var isDead = false
                if case .success(let text) = output, let report = PaneReport(text) { isDead = report.isDead }
                let back = isDead ? commands.respawn(pane: pane, hooks: hooks) : commands.restoreHooks(pane: pane, hooks: hooks)
                call(back) { [self] _ in
                    asides[place] = nil
                    _ = save()
                    for order in held.removeValue(forKey: place) ?? [] { perform(order) }
                }
            }
        }
    }

    private func restore(_ place: PanePlace, _ commands: TmuxCommands) {
        guard let hooks = asides.removeValue(forKey: place) else { return }
        call(commands.restoreHooks(pane: place.pane, hooks: hooks)) { [self] _ in _ = save() }
    }

    /// - Returns: Why the file cannot be written.
    private func save() -> String? {
        let panes = asides.map { place, hooks -> JSONValue in
            [
                "socket": .string(place.socket), "pane": .string(place.pane),
                "hooks": .array(
                    hooks.entries.map {
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

    private struct Failure: Error { let text: String }

    private func call(_ arguments: [String], completion: @escaping (Result<String, Failure>) -> Void) {
        do throws(SystemError) {
            try Command.run(arguments, environment: environment, timeout: Self.callTimeout, on: loop) { result in
                guard result.status.isSuccess else {
                    let said = shownText(result.errors.prefix { $0 != 10 })
                    let why = result.timedOut ? "tmux did not answer" : said.isEmpty ? "tmux: \(result.status)" : "tmux: \(said)"
                    return completion(.failure(Failure(text: why)))
                }
                completion(.success(String(decoding: result.output, as: UTF8.self)))
            }
        } catch {
            completion(.failure(Failure(text: "\(error)")))
        }
    }
}
