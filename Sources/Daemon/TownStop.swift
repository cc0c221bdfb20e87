// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import LinuxSys
import Logging
import SystemPackage

/// Ends the whole town, in the order in which nothing is revived: the gt daemon, every session of the town's tmux
/// server, the server, dolt; then what they left behind. Done when the processes are gone.
final class TownStop {
    /// Contract G, less what writing state and closing the socket take.
    static let limit = Duration.seconds(85)

    private let services: Services
    private let loop: EventLoop
    private let log: Logger
    private let group: ControlGroup?
    private let endsOrphans: Bool
    private let limit: Duration
    private let onStep: (_ what: String, _ problem: String?) -> Void
    private var problems: [String] = []
    private var completion: (([String]) -> Void)?

    /// - Parameters:
    ///   - group: Our own, which holds nobody but us at the end.
    ///   - endsOrphans: Whether we took in what was left behind (`Orphans.adopt`).
    ///   - limit: What is left of the time for all of it.
    ///   - onStep: Called when a step is done.
    init(
        _ services: Services, group: ControlGroup?, endsOrphans: Bool, log: Logger, limit: Duration = limit,
        onStep: @escaping (_ what: String, _ problem: String?) -> Void = { _, _ in }
    ) {
        self.services = services
        self.loop = services.loop
        self.group = group
        self.endsOrphans = endsOrphans
        self.log = log
        self.limit = limit
        self.onStep = onStep
    }

    /// - Parameter completion: Called once with what could not be ended.
    func run(_ completion: @escaping (_ problems: [String]) -> Void) {
        self.completion = completion
        loop.schedule(after: limit) { [self] in
            problems.append("not all has ended within \(Self.limit.brief)")
            finish()
        }
        let place = services.place
        let daemon = services.supervisor.process(of: .daemon).map(ProcessIdentity.init)
        let mayor = services.supervisor.process(of: .mayor).map(ProcessIdentity.init)
        services.stopDaemon(daemon) { [self] problem in
            note("daemon", problem)
            let isThere = Syscalls.exists(FilePath(place.tmuxSocket))
            let commands =
                isThere ? place.toolbox.tmux.map { TmuxCommands(program: $0, socket: place.tmuxSocket) } : nil
            if isThere, commands == nil { problems.append("tmux is not found: sessions may live on") }
            SessionEnd(session: nil, commands: commands, environment: place.environment, loop: loop).run(
                also: [mayor].compactMap(\.self).filter(ProcessTable.isAlive)
            ) { [self] problem in
                note("sessions", problem)
                let dolt = services.supervisor.process(of: .dolt).map(ProcessIdentity.init)
                services.stopDolt(dolt) { [self] problem in
                    note("dolt", problem)
                    endOrphans(round: 1)
                }
            }
        }
    }

    private func note(_ what: String, _ problem: String?) {
        if let problem {
            problems.append(problem)
            log.warning("\(problem)")
        }
        onStep(what, problem)
    }

    /// What a service left to us, and what agents left behind in sessions of their own: tmux has put its socket into
    /// the environment of all that began in its panes (tmux(1), TMUX).
    private func endOrphans(round: Int) {
        let mark = Array("TMUX=\(services.place.tmuxSocket),".utf8)
        let ours = [CurrentProcess.pid, ProcessTable.status(of: CurrentProcess.pid)?.parent ?? 0]
        let stragglers = ProcessTable.all().filter { pid in
            !ours.contains(pid) && (ProcessTable.environment(of: pid) ?? []).contains { $0.starts(with: mark) }
        }.compactMap(ProcessTable.status(of:)).filter(\.isAlive)
        let orphans = (endsOrphans ? Orphans.living() : []) + stragglers
        guard !orphans.isEmpty, round <= 3 else { return emptyGroup() }
        var left = orphans.count
        for orphan in orphans {
            TreeTermination.end(orphan.identity, grace: .seconds(5), on: loop) { [self] error in
                if let error { note("orphans", "pid \(orphan.identity.pid) cannot be ended: \(error)") }
                left -= 1
                if left == 0 { endOrphans(round: round + 1) }
            }
        }
    }

    private func emptyGroup() {
        guard let group else { return finish() }
        Emptying.run(group, on: loop, log: log) { [self] in finish() }
    }

    private func finish() {
        guard let completion else { return }
        self.completion = nil
        Orphans.reap()
        completion(problems)
    }
}
