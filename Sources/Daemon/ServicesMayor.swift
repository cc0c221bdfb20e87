// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import LinuxSys
import Supervision
import SystemPackage
import Timekeeping

/// The mayor: an agent in a tmux session of the town's server. It is up while its client lives: gt's own word for
/// running means the session alone.
extension Services {
    /// Contract G.
    private static let startTimeout = Duration.seconds(200)
    private static let stopTimeout = Duration.seconds(60)
    private static let tmuxTimeout = Duration.seconds(10)
    /// For an agent that neither takes a lease nor writes a session file.
    private static let lookInterval = Duration.seconds(5)
    /// What a gt daemon does at its first heartbeat it has done by then.
    private static let daemonsTime = Duration.seconds(10)
    private static let daemonIsNew = Duration.seconds(30)
    private static let meetingTime = Duration.seconds(5)
    /// Somebody else is starting it: so long it is waited for.
    private static let strangersTime = Duration.seconds(60)
    private static let respawnTime = Duration.seconds(30)
    private static let grace = Duration.seconds(5)

    enum MayorLook {
        case none
        /// A session whose agent has ended.
        case session
        /// A session in which something lives and no agent: somebody is about to start one in it.
        case starting
        case alive(ProcessIdentity)
    }

    /// Looks for the mayor's session and the agent in it.
    func lookForMayor(completion: @escaping (MayorLook) -> Void) {
        if let leased = owner.leasedMayor(), ProcessTable.isAlive(leased) { return completion(.alive(leased)) }
        guard let commands = tmux else { return completion(.none) }
        do throws(SystemError) {
            try Command.run(
                commands.panes(of: TownCommands.mayorSession), environment: place.environment,
                timeout: Self.tmuxTimeout, on: loop
            ) { result in
                guard result.status.isSuccess else { return completion(.none) }
                let panes = TownPane.parse(String(decoding: result.output, as: UTF8.self))
                let living = panes.filter { !$0.isDead }
                if let agent = living.compactMap({ Self.agent(in: $0.pid) }).first { return completion(.alive(agent)) }
                completion(panes.isEmpty ? .none : living.isEmpty ? .session : .starting)
            }
        } catch {
            completion(.none)
        }
    }

    private var tmux: TmuxCommands? {
        guard let program = place.toolbox.tmux, Syscalls.exists(FilePath(place.tmuxSocket)) else { return nil }
        return TmuxCommands(program: program, socket: place.tmuxSocket)
    }

    /// The agent of a pane: its process, or one below it where that is a shell.
    private static func agent(in pid: Int32) -> ProcessIdentity? {
        guard let status = ProcessTable.status(of: pid), status.isAlive else { return nil }
        let shells = ["sh", "bash", "dash", "zsh", "fish", "tmux"]
        guard shells.contains(shownText(status.name)) || status.name.starts(with: "tmux".utf8) else {
            return status.identity
        }
        return ProcessTable.tree(of: status.identity).first { ["claude", "node"].contains(shownText($0.name)) }?
            .identity
    }

    func adoptMayor(then next: @escaping () -> Void) {
        guard supervisor.managed.contains(.mayor) else { return next() }
        lookForMayor { [self] look in
            if case .alive(let process) = look { handle(.found(.mayor, ServiceProcess(process), detail: "")) }
            next()
        }
    }

    /// The set of leases is another: the mayor may have come.
    func noteMayor() {
        guard !isEnding, supervisor.managed.contains(.mayor), let process = owner.leasedMayor(),
            ProcessTable.isAlive(process), supervisor.process(of: .mayor) != ServiceProcess(process)
        else { return }
        wasMayorRespawned = false
        if let attempt = attempts[.mayor] { return answered(.mayor, attempt, process) }
        handle(.found(.mayor, ServiceProcess(process), detail: ""))
    }

    /// An agent that was not started through us comes back without a word: it is looked for while gt may mend.
    func lookForReturn() {
        for wait in [5, 15, 40] as [Int64] {
            loop.schedule(after: .seconds(wait)) { [weak self] in self?.mayorReturn.ask() }
        }
    }

    func lookForReturned(then done: @escaping () -> Void) {
        guard !isEnding, attempts[.mayor] == nil, supervisor.managed.contains(.mayor), !supervisor.isUp(.mayor) else {
            return done()
        }
        lookForMayor { [self] look in
            defer { done() }
            guard !isEnding, attempts[.mayor] == nil, !supervisor.isUp(.mayor) else { return }
            if case .alive(let process) = look { handle(.found(.mayor, ServiceProcess(process), detail: "")) }
        }
    }

    /// A client has written who it is: it may be the mayor, also if it took no lease.
    func clientWritten(_ path: FilePath) {
        if let mayorWait { return mayorWait.ask() }
        guard !isEnding, attempts[.mayor] == nil, let item = supervisor.item(.mayor), !supervisor.isUp(.mayor) else {
            return
        }
        // One that nobody wants may be started by hand all the same; of the others' files it says nothing.
        if item.isWanted || isMayors(path) { mayorReturn.ask() }
    }

    /// Whether a client's file is that of an agent in the mayor's folder.
    private func isMayors(_ path: FilePath) -> Bool {
        guard let bytes = ServicePlace.read(path),
            let directory = SessionFile.read(bytes, name: path.lastName)?.directory
        else { return false }
        // The town's root may have other names.
        return FilePath(directory).lastComponent?.string == "mayor"
    }

    /// The gt daemon has just been started: at its first heartbeat it starts the mayor itself
    /// (gt: daemon/daemon.go:1610-1775).
    private var isDaemonNew: Bool {
        guard supervisor.isUp(.daemon), let daemon = supervisor.process(of: .daemon),
            let start = ProcessTable.startedAt(ProcessIdentity(daemon))
        else { return false }
        return Timestamp.now - start < Self.daemonIsNew
    }

    func startMayor(_ attempt: UInt64) { startMayor(attempt, hasWaited: false) }

    private func startMayor(_ attempt: UInt64, hasWaited: Bool) {
        lookForMayor { [self] look in
            guard isCurrent(.mayor, attempt) else { return }
            let again = { [self] in startMayor(attempt, hasWaited: true) }
            switch look {
            case .alive(let process): answered(.mayor, attempt, process)
            // gt takes a session in which no agent lives yet for a dead one, ends it and makes another: of two who start
            // the mayor at once each ends the other's.
            case .none where !hasWaited && isDaemonNew: awaitMayor(attempt, Self.daemonsTime, otherwise: again)
            case .starting where !hasWaited: awaitMayor(attempt, Self.respawnTime, otherwise: again)
            case .none: callGt(attempt, TownCommands.startMayor(agent: place.agent))
            case .session, .starting:
                // Its pane is being respawned: two at once would end each other.
                if owner.isMayorReloading() {
                    return awaitMayor(attempt, Self.respawnTime, "the mayor did not come back in its session")
                }
                // The stored command first, in its place: it is quick, and the conversation goes on.
                if !wasMayorRespawned, let commands = tmux {
                    wasMayorRespawned = true
                    return respawn(attempt, commands)
                }
                wasMayorRespawned = false
                callGt(attempt, TownCommands.restartMayor(agent: place.agent))
            }
        }
    }

    private func respawn(_ attempt: UInt64, _ commands: TmuxCommands) {
        do throws(SystemError) {
            try Command.run(
                commands.respawn(session: TownCommands.mayorSession), environment: place.environment,
                timeout: Self.tmuxTimeout, on: loop
            ) { [self] result in
                guard isCurrent(.mayor, attempt) else { return }
                if let failure = Self.failure(of: ["respawn-pane"], result, tool: Array("tmux".utf8)) {
                    return failed(.mayor, attempt, failure)
                }
                awaitMayor(attempt, Self.respawnTime, "the mayor did not come back in its session")
            }
        } catch {
            failed(.mayor, attempt, "\(error)")
        }
    }

    private func callGt(_ attempt: UInt64, _ arguments: [String]) {
        guard let gt = place.toolbox.gt else { return failed(.mayor, attempt, "gt is not found") }
        run(.mayor, gt, arguments, timeout: Self.startTimeout, identifier: Self.gtIdentifier) { [self] failure in
            guard isCurrent(.mayor, attempt) else { return }
            lookForMayor { [self] look in
                guard isCurrent(.mayor, attempt) else { return }
                switch look {
                case .alive(let process): answered(.mayor, attempt, process)
                case .none:
                    guard let failure else {
                        return failed(
                            .mayor, attempt, "gt says that it has started the mayor, but its session is not there")
                    }
                    // The gt daemon starts it too, at its first heartbeat, and the two may have met.
                    awaitMayor(attempt, Self.meetingTime, failure)
                case .session, .starting:
                    // It was there already, as gt says.
                    awaitMayor(
                        attempt, failure == nil ? Self.respawnTime : Self.strangersTime,
                        failure ?? "gt says that it has started the mayor, but no agent lives in its session")
                }
            }
        }
    }

    private func awaitMayor(_ attempt: UInt64, _ limit: Duration, _ reason: String) {
        awaitMayor(attempt, limit) { [self] in failed(.mayor, attempt, reason) }
    }

    /// Waits for the lease, or for the session file of an agent that takes none.
    ///
    /// - Parameter otherwise: Called when its time is over.
    private func awaitMayor(_ attempt: UInt64, _ limit: Duration, otherwise: @escaping () -> Void) {
        let deadline = EventLoop.now + limit.wholeMicroseconds * 1000
        endWait()
        let serial = waitSerial
        let looks = PacedWork(pause: Self.lookPause, on: loop) { [unowned self] done in
            guard isCurrent(.mayor, attempt), waitSerial == serial else { return done() }
            lookForMayor { [self] look in
                defer { done() }
                guard isCurrent(.mayor, attempt), waitSerial == serial else { return }
                if case .alive(let process) = look { return answered(.mayor, attempt, process) }
                guard EventLoop.now >= deadline else { return }
                endWait()
                otherwise()
            }
        }
        func wait() {
            let left = Duration.nanoseconds(max(1, deadline - EventLoop.now))
            deadlines[.mayor] = loop.schedule(after: min(Self.lookInterval, left)) { [unowned self] in
                deadlines[.mayor] = nil
                looks.ask()
                if EventLoop.now < deadline { wait() }
            }
        }
        mayorWait = looks
        wait()
    }

    /// Nobody waits for the mayor any more.
    func endWait() {
        waitSerial += 1
        mayorWait?.cancel()
        mayorWait = nil
        if let timer = deadlines.removeValue(forKey: .mayor) { loop.cancel(timer) }
    }

    func stopMayor(_ process: ProcessIdentity?, completion: @escaping (_ problem: String?) -> Void) {
        func end() {
            let end = SessionEnd(
                session: TownCommands.mayorSession, commands: tmux, environment: place.environment, loop: loop)
            end.run(also: [process].compactMap(\.self).filter(ProcessTable.isAlive), completion: completion)
        }
        guard let gt = place.toolbox.gt, tmux != nil else { return end() }
        run(.mayor, gt, TownCommands.stopMayor, timeout: Self.stopTimeout, identifier: Self.gtIdentifier) { _ in end() }
    }
}
