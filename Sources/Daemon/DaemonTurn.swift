// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import ControlAPI
import ControlServer
import Controller
import FileWatching
import GasTown
import Glibc
import JSON
import KeyPool
import LinuxSys
import LogFollowing
import Logging
import Secrets
import Supervision
import SystemPackage
import SystemdKit
import Timekeeping

/// A turn of the loop: inputs, what is decided, and what is done once for all of them.
extension Daemon {
    // MARK: - Inputs and effects

    /// Hands an input to the controller and performs what it decides. Inputs that come up meanwhile wait their turn.
    func handle(_ input: Input) {
        inbox.append(input)
        guard !isHandling else { return }
        isHandling = true
        var position = 0
        while position < inbox.count {
            let now = Timestamp.now
            if let jump = clock.jump(at: now) {
                for effect in controller.handle(.clockSet(by: jump), at: now) { perform(effect) }
                // The supervisor's own timers do not run by the wall clock.
                loop.atEndOfTurn { [unowned self] in services?.handle(.woke) }
            }
            for effect in controller.handle(inbox[position], at: now) { perform(effect) }
            position += 1
        }
        inbox = []
        isHandling = false
        planTurnEnd()
    }

    private func perform(_ effect: Effect) {
        switch effect {
        case .emit(let event): emit(event)
        case .persist: mustPersist = true
        case .answerLease(let token, let result):
            // State first: an agent must not hold a key that a crash makes us forget.
            if mustPersist { persist() }
            approveKeys()
            answer(token, result.map(\.json))
        case .answerRotation(let token, let result):
            if mustPersist { persist() }
            answer(
                token,
                saved(
                    result.map { ["ok": true, "active": .string($0), "generation": JSONValue(controller.generation)] })
            )
        case .answer(let token, let result):
            // Who is told that a key is disabled may rely on it, whatever happens to us next.
            if mustPersist { persist() }
            answer(token, saved(result))
        case .watch(let process): watch(process)
        case .leasesChanged:
            followTranscripts(isAdopted: !isProbed)
            services?.noteMayor()
            forgetListing()
        case .trust(let directory): client?.trust(directory)
        case .keysChanged: isApprovalDue = true
        case .launchValuesChanged: writeLaunchValues()
        case .reload(let order):
            approveKeys()
            reloader?.perform(order)
        case .probe(let order): probe(order)
        case .restart(let order): restart(order)
        case .look(let place, let session):
            // Its answer is the next input, not one within this one.
            loop.atEndOfTurn { [unowned self] in
                reloader?.look(place, session: session) { [unowned self] in handle(.paneSeen(place, $0)) }
            }
        case .restartService(let name, let path, let mayBeItsOwn):
            restartService(name, changed: path, mayBeItsOwn: mayBeItsOwn)
        case .rigsChanged: watchRigs()
        case .park(let isStop): park(isStop)
        case .note(let text): log.notice("\(text)")
        }
    }

    /// Before an agent starts and at the end of a turn: once for however many keys have come.
    private func approveKeys() {
        guard isApprovalDue else { return }
        isApprovalDue = false
        client?.approve(controller.pool.sorted.map { $0.key.revealApproval() })
    }

    /// Puts an event into the history, to those who follow, and into the log.
    func emit(_ told: Event) {
        // What comes from outside was redacted before; a folder that is named like a key was not known for one then.
        let event = told.mappingStrings(controller.redactor.hidingOurKeys)
        let record = history.append(event, at: Timestamp.now)
        let line = record.line
        server?.publish(PublishedEvent(seq: record.seq, type: event.type, time: record.time, line: line))
        metrics.count(event, at: record.time, reaction: .nanoseconds(EventLoop.now - loop.turnBegan))
        ring?.append(Array(line.utf8))
        alerting?.take(record)
        if event.type == "agent.reload.finished" { planListing() }
        noteReload(event)
        log.log(level: event.level, "\(event.type)", metadata: event.metadata)
        planTurnEnd()
    }

    /// Nothing is called done that a restart of ours would forget.
    func saved(_ result: Result<JSONValue, ControlError>) -> Result<JSONValue, ControlError> {
        guard mustPersist, case .success = result else { return result }
        return .failure(.unsaved(surroundings.stateProblem ?? "state cannot be written"))
    }

    func answer(_ token: ReplyToken, _ result: Result<JSONValue, ControlError>) {
        guard let call = calls.removeValue(forKey: token.serial) else { return }
        switch result {
        case .success(let value): call.reply(.value(value))
        case .failure(let error): call.reply(.failure(error))
        }
    }

    func watch(_ process: ProcessName) {
        guard processes[process] == nil else { return }
        let identity = ProcessIdentity(pid: process.pid, startTime: process.startTime)
        do throws(SystemError) {
            let held = try ProcessHandle(identity, on: loop) { [unowned self] in
                processes[process] = nil
                handle(.processExited(process))
            }
            guard let held else { return handleLater(.processExited(process)) }
            processes[process] = held
            watchServer(of: process.pid)
        } catch {
            log.error("the end of a process cannot be seen", metadata: ["pid": "\(process.pid)", "error": "\(error)"])
        }
    }

    /// Holds the tmux server that an agent lives in: with it go all its agents at once.
    func watchServer(of agent: Int32) {
        guard let server = TmuxServer(of: agent), tmuxServers[server.process] == nil else { return }
        do throws(SystemError) {
            tmuxServers[server.process] = try ProcessHandle(server.process, on: loop) { [unowned self] in
                let status = tmuxServers.removeValue(forKey: server.process)?.status
                handle(
                    .serverEnded(
                        socket: server.socket,
                        isCrash: status.map { if case .signalled = $0 { true } else { !$0.isSuccess } }))
            }
        } catch {
            log.debug("the end of the tmux server cannot be seen", metadata: ["error": "\(error)"])
        }
    }

    private func handleLater(_ input: Input) { loop.atEndOfTurn { [unowned self] in handle(input) } }

    static func isAlive(_ process: ProcessName) -> Bool {
        ProcessTable.isAlive(ProcessIdentity(pid: process.pid, startTime: process.startTime))
    }

    // MARK: - The end of a turn

    /// What is done once for all inputs of a turn: state to disk, the next alarm, what systemd and subscribers see.
    func planTurnEnd() {
        guard !isTurnEndPlanned else { return }
        isTurnEndPlanned = true
        loop.atEndOfTurn { [unowned self] in
            isTurnEndPlanned = false
            if mustPersist { persist() }
            approveKeys()
            alarm?.set(controller.nextWake(after: Timestamp.now))
            if followed?.hasNews == true { planOffsets() }
            answerReloadWaiters()
            becomeReady()
            publishState()
            finishIfStopping()
        }
    }
}
