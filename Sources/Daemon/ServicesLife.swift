// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import FileWatching
import GasTown
import JSON
import LinuxSys
import LogFollowing
import Logging
import Supervision
import SystemPackage
import Timekeeping

/// From the first look to the last, and what holds services back meanwhile.
extension Services {
    // MARK: - Begin and end

    /// Ends the calls of gt that an earlier process of ours was making when it was killed: what they are doing is done
    /// again, and two of a kind undo each other. With them goes the dolt of an installation that is done again.
    func clear(then next: @escaping () -> Void) {
        let left = isReadOnly ? [] : calls.leftovers()
        func finish() {
            guard !isEnding else { return }
            guard !isReadOnly, Bootstrap.isInstallationUnfinished(place.root, store), let dolt = place.dolt,
                dolt != Bootstrap.doltBeforeInstallation(store)
            else { return next() }
            stopDolt(nil) { [self] problem in
                if let problem { log.warning("\(problem)") }
                if !isEnding { next() }
            }
        }
        guard !left.isEmpty else { return finish() }
        var count = left.count
        for call in left {
            let words = ProcessTable.arguments(of: call.pid)?.joined(separator: " ") ?? ""
            log.notice(
                "a call that an earlier gasclawd left is ended",
                metadata: [
                    "pid": "\(call.pid)", "call": "\(owner.redact(words))",
                ])
            TreeTermination.end(call, grace: .seconds(5), on: loop) { [self] error in
                if let error { log.warning("pid \(call.pid) cannot be ended: \(error)") } else { calls.ended(call) }
                count -= 1
                if count == 0 { finish() }
            }
        }
    }

    /// Looks for what runs already, then starts what is missing.
    func open() {
        watchFiles()
        look { [self] in handle(.opened) }
    }

    /// The same, but what is missing waits for the bootstrap.
    func openGated(then next: @escaping () -> Void) {
        watchFiles()
        gate(ServiceName.allCases, Bootstrap.gate)
        look { [self] in
            handle(.opened)
            next()
        }
    }

    /// Looks for what runs already.
    func look(then next: @escaping () -> Void) {
        refreshObstacles()
        adoptDolt()
        adoptDaemon()
        adoptMayor(then: next)
    }

    /// Another configuration is in force.
    func reconfigure(managed: [ServiceName], place new: ServicePlace) {
        let isElsewhere = new.root != place.root || new.clients != place.clients
        place = new
        if isElsewhere { watchFiles() }
        handle(.managed(managed))
        refreshObstacles()
    }

    /// Nothing is started or watched from here any more.
    ///
    /// - Parameter next: Called when the calls that were going on have ended, with all that they had started.
    func halt(then next: @escaping () -> Void = {}) {
        guard !isEnding else { return next() }
        if mustPersist { persist() }
        isEnding = true
        for timer in Array(timers.values) + Array(deadlines.values) + [alarm, persistTimer].compactMap(\.self) {
            loop.cancel(timer)
        }
        (timers, deadlines, alarm, persistTimer) = ([:], [:], nil, nil)
        endWait()
        mayorReturn.cancel()
        let going = Array(commands.values)
        commands = [:]
        attempts = [:]
        handles = [:]
        holders = [:]
        watcher?.close()
        let waiting = waiters
        waiters = []
        for waiter in waiting {
            waiter.reply(.failure(ControlError(code: "stopping", message: "gasclawd is stopping")))
        }
        guard !going.isEmpty else { return next() }
        var count = going.count
        for command in going {
            command.end {
                count -= 1
                if count == 0 { next() }
            }
        }
    }

    /// The same, and what runs lives on.
    func release() {
        halt()
        daemonChild?.release()
        daemonChild = nil
    }

    /// What was stopped by hand is wanted again at the next start: all was ended on purpose.
    func forget() {
        do throws(SystemError) {
            if Syscalls.exists(store.services) { try Syscalls.unlink(store.services) }
        } catch {
            log.warning("the state of services stays", metadata: ["error": "\(error)"])
        }
    }

    // MARK: - What holds them back

    /// Keeps services from being started; nil lets them.
    func gate(_ names: [ServiceName], _ obstacle: Obstacle?) {
        for name in names { gates[name] = obstacle }
        refreshObstacles()
    }

    func refreshObstacles() {
        for name in supervisor.managed { handle(.obstacle(name, obstacle(to: name))) }
    }

    private func obstacle(to name: ServiceName) -> Obstacle? {
        if let gate = gates[name] { return gate }
        guard place.toolbox.gt != nil else {
            return .absent("gt is not found (install it, or add its folder to town.path, then gasclawd reload)")
        }
        guard place.isInstalled else {
            if townMemory.knows(place.root) { return .absent(TownMemory.absence(place.root)) }
            return .absent("there is no town at \(place.root.shown) (gasclawd bootstrap makes one)")
        }
        if name == .dolt, place.toolbox.dolt == nil {
            return .absent("dolt is not found (install it, or add its folder to town.path, then gasclawd reload)")
        }
        if name == .mayor, place.toolbox.tmux == nil {
            return .absent("tmux is not found (install it, or add its folder to town.path, then gasclawd reload)")
        }
        if Syscalls.exists(place.files.shuttingDown) {
            return .held("the town is being taken down (\(place.files.shuttingDown.shown))")
        }
        if name == .mayor, Syscalls.exists(place.files.stop) { return .held("the emergency stop is on (gt thaw)") }
        return nil
    }

    private func watchFiles() {
        watcher?.close()
        let watcher = FileWatcher(on: loop, onTrouble: { [unowned self] in owner.onChange() }) {
            [unowned self] reports in
            for report in reports { look(report) }
        }
        self.watcher = watcher
        for (path, id) in [
            (place.files.town, Spec.town), (place.files.shuttingDown, Spec.shuttingDown), (place.files.stop, Spec.stop),
            (place.files.daemonState, Spec.heartbeat),
        ] {
            _ = watcher.add(.file(path, id: id))
        }
        _ = watcher.add(WatchSpec(id: Spec.clients, base: place.clients, pattern: [.affix("", ".json")]))
        follow(store.daemonOutput, id: Spec.daemonOutput, from: .end)
        follow(place.files.doltLog, id: Spec.doltLog, from: .end)
    }

    func look(_ report: WatchReport) {
        switch report.spec {
        case Spec.heartbeat: heartbeatWritten()
        case Spec.daemonOutput, Spec.doltLog: readOutput(report.spec)
        case Spec.clients: if report.exists { clientWritten(report.path) }
        default: refreshObstacles()
        }
    }
}
