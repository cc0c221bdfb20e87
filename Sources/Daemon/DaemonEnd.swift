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

/// How it ends, and what ends with it.
extension Daemon {
    /// - Parameters:
    ///   - code: The exit code.
    ///   - endsTown: Services and agents end too, whoever started us.
    func stop(_ why: String, code: Int32 = 0, endsTown: Bool = false) {
        guard !isStopping else { return }
        isStopping = true
        stopBegan = EventLoop.now
        exitCode = code
        self.endsTown = endsTown
        bootstrap?.interrupt("gasclawd is stopping")
        surroundings.isStopping = true
        handle(.stopping)
        emit(.daemonStopping(detail: why))
        report(notifier.send([.stopping, .status("stopping: \(why)")]), of: "STOPPING")
        // A reload that is under way has taken an agent away: it brings it back first. The bootstrap takes back the step
        // that it is at.
        if controller.isReloading || bootstrap?.isRunning == true {
            loop.schedule(after: bootstrap?.isRunning == true ? .seconds(20) : .seconds(8)) { [unowned self] in end() }
        } else {
            loop.atEndOfTurn { [unowned self] in end() }
        }
    }

    func finishIfStopping() {
        if isStopping, !controller.isReloading, bootstrap?.isRunning != true { end() }
    }

    /// Of the time for a stop (contract G).
    var stopTimeLeft: Duration {
        max(.seconds(10), TownStop.limit - .nanoseconds(EventLoop.now - stopBegan))
    }

    /// Told to stop as a service, we end what systemd leaves to us. When we end by ourselves agents live on.
    func end() {
        guard !isEmptying else { return }
        isEmptying = true
        guard exitCode == 0 else { return finish() }
        let group = ControlGroup.ofOurService
        // The first process of a container: when we end the kernel kills all others, so they end in order before.
        if endsTown || CurrentProcess.pid == 1 { return endTown(group) }
        guard let group else {
            if let supervisor = services?.supervisor, supervisor.managed.contains(where: supervisor.isUp) {
                log.notice("agents and services live on (gasclawd stop ends them)")
            }
            return finish()
        }
        Emptying.isRestart(of: group, environment: toolbox.environment, on: loop) { [unowned self] isRestart in
            if isRestart {
                log.notice("this is a restart: agents live on")
                finish()
            } else {
                endTown(group)
            }
        }
    }

    func endTown(_ group: ControlGroup?) {
        endTown(group: group) { [unowned self] problems in
            stopCall?.reply(
                .value(["ok": .bool(problems.isEmpty), "problems": .array(problems.map(JSONValue.string))]))
            finish()
        }
    }

    private func finish() {
        guard server != nil || lock != nil, !isSayingGoodbye else { return }
        isSayingGoodbye = true
        if let alerting { alerting.whenIdle { [unowned self] in close() } } else { close() }
    }

    private func close() {
        services?.release()
        persist()
        saveOffsets()
        accounts?.close()
        watcher?.close()
        do { try server?.close() } catch {
            log.warning("the control server did not close", metadata: ["error": "\(error)"])
        }
        server = nil
        removeSocket()
        ring?.close()
        lock = nil
        stateLock = nil
        townHolder = nil
        townLock = nil
        log.notice("stopped")
        loop.stop()
    }

    func report(_ outcome: Notifier.Outcome, of what: String) {
        if case .failed(let error) = outcome {
            log.warning("systemd could not be told", metadata: ["what": "\(what)", "error": "\(error)"])
        }
    }

    func audit() {
        accounts?.audit()
        watcher?.audit()
        services?.watcher?.audit()
        services?.refreshObstacles()
        holdTown()
        mendState()
        Orphans.reap()
        touchProbe()
        planTurnEnd()
        loop.schedule(after: Self.auditInterval) { [unowned self] in audit() }
    }

    static func newSeed() -> UInt64 {
        var random = SystemRandomNumberGenerator()
        return UInt64.random(in: .min ... .max, using: &random)
    }

    static func newBootID() -> String {
        var random = SystemRandomNumberGenerator()
        let bytes = (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        return bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
