// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import Controller
import FileWatching
import GasTown
import JSON
import LinuxSys
import Logging
import SystemPackage
import Timekeeping

/// The town's own files: what agents are started with, what holds them back, and what gt reports
/// (gt-contract.md section 3).
extension Daemon {
    private enum Spec {
        static let prefix = "town/"
        /// Files of ``TownFile``.
        static let files = "town/files/"
        static let stop = "town/estop"
        static let rigStops = "town/rig-estops/"
        static let rigStates = "town/rig-states"
        static let deacon = "town/deacon"
        static let shutdown = "town/shutdown"
        static let restarts = "town/restarts"
        static let directives = "town/directives"
    }

    func isOfTown(_ spec: String) -> Bool { spec.hasPrefix(Spec.prefix) }

    private var root: FilePath { configuration.town.root }

    /// Watches the files and learns what they say now.
    func watchTownFiles() {
        guard let watcher else { return }
        handle(.townForgotten)
        noteTown()
        isTownUnread = isTownAway
        dueTownFiles = []
        for rig in watchedRigs { unwatch(rig) }
        var found: [FilePath] = []
        for file in [TownFile.settings, .presets, .rigs, .daemon] {
            found += watcher.add(.file(root.appending(file.path), id: Spec.files + file.path))
        }
        found += watcher.add(
            WatchSpec(id: Spec.files + "roles", base: root.appending("roles"), pattern: [.affix("", ".toml")]))
        readTown(found.compactMap(townFile), .first)

        for path in watcher.add(.file(root.appending("ESTOP"), id: Spec.stop)) { lookAtStop(path, exists: true) }
        let states = WatchSpec(
            id: Spec.rigStates, base: root.appending(".beads-wisp/config"), pattern: [.affix("", ".json")])
        for path in watcher.add(states) { lookAtRigState(path, exists: true) }
        let pause = root.appending(".runtime/deacon/paused.json")
        for path in watcher.add(.file(pause, id: Spec.deacon)) { lookAtPause(path, exists: true) }
        let shutdown = watcher.add(.file(root.appending("daemon/shutting-down"), id: Spec.shutdown))
        if !shutdown.isEmpty { handle(.held(.shuttingDown, true)) }
        for path in watcher.add(.file(root.appending("daemon/restart_state.json"), id: Spec.restarts)) {
            lookAtRestarts(path, exists: true)
        }
        _ = watcher.add(
            WatchSpec(id: Spec.directives, base: root.appending("directives"), pattern: [.affix("", ".md")]))
    }

    /// The registered rigs' files join and leave the plan.
    func watchRigs() {
        guard let watcher else { return }
        let rigs = Set(controller.town.rigs.keys)
        for rig in watchedRigs.subtracting(rigs) { unwatch(rig) }
        var found: [FilePath] = []
        for rig in rigs.subtracting(watchedRigs).sorted() {
            watchedRigs.insert(rig)
            for spec in rigSpecs(rig) { found += watcher.add(spec) }
            // By its name: a pattern would have to read the root, whatever else lies in it.
            let stop = watcher.add(.file(root.appending("ESTOP.\(rig)"), id: Spec.rigStops + rig))
            if let path = stop.first { loop.atEndOfTurn { [unowned self] in lookAtStop(path, exists: true) } }
        }
        let files = found.compactMap(townFile)
        guard !files.isEmpty else { return }
        // A rig that is new comes with what it says; nobody in it was started with anything else.
        loop.atEndOfTurn { [unowned self] in readTown(files, .first) }
    }

    private func rigSpecs(_ rig: String) -> [WatchSpec] {
        [TownFile.rigSettings(rig: rig), .rigPresets(rig: rig)].map {
            .file(root.appending($0.path), id: Spec.files + $0.path)
        } + [
            WatchSpec(
                id: Spec.files + "\(rig)/roles", base: root.appending("\(rig)/roles"), pattern: [.affix("", ".toml")])
        ]
    }

    private func unwatch(_ rig: String) {
        watchedRigs.remove(rig)
        for spec in rigSpecs(rig) { watcher?.remove(spec.id) }
        watcher?.remove(Spec.rigStops + rig)
        if controller.holds.contains(.rigStop(rig)) { handle(.held(.rigStop(rig), false)) }
    }

    func lookAtTown(_ report: WatchReport) {
        noteTown()
        // That its files are missing says nothing while all of it is: it is looked at again when it is back.
        guard !isTownAway else { return }
        switch report.spec {
        case Spec.stop: lookAtStopSoon(report.path, exists: report.exists)
        case let spec where spec.hasPrefix(Spec.rigStops): lookAtStopSoon(report.path, exists: report.exists)
        case Spec.rigStates: lookAtRigState(report.path, exists: report.exists)
        case Spec.deacon: lookAtPause(report.path, exists: report.exists)
        case Spec.shutdown: handle(.held(.shuttingDown, report.exists))
        case Spec.restarts: lookAtRestarts(report.path, exists: report.exists)
        case Spec.directives: handle(.townChanged(path: report.path.safe))
        default:
            if let file = townFile(report.path) { planTown(file) }
        }
    }

    // MARK: - What agents are started with

    private func townFile(_ path: FilePath) -> TownFile? {
        var relative = path
        guard relative.removePrefix(root.lexicallyNormalized()) else { return nil }
        return TownFile(components: relative.components.map(\.string))
    }

    /// gt writes some of these in place: each is read when all have been quiet for a moment.
    private func planTown(_ file: TownFile) {
        dueTownFiles.insert(file)
        if let townTimer { loop.cancel(townTimer) }
        townTimer = loop.schedule(after: configuration.reload.settle) { [unowned self] in
            townTimer = nil
            // What we write ourselves is read when we are done.
            guard bootstrap?.isRegistering != true else { return }
            readDueTown(.change)
        }
    }

    func readDueTown(_ source: TownReadingSource) {
        guard !isTownAway else { return dueTownFiles = [] }
        let files = dueTownFiles.sorted { $0.path < $1.path }
        dueTownFiles = []
        if !files.isEmpty { readTown(files, source) }
    }

    /// Reads files of the town and hands them on together.
    func readTown(_ files: [TownFile], _ source: TownReadingSource) {
        let readings = files.map { file in
            let path = root.appending(file.path)
            return TownReading(file: file, path: path.safe, content: content(path))
        }
        handle(.townRead(readings, source))
        // What came meanwhile is not of our making.
        if source == .registration, !dueTownFiles.isEmpty {
            dueTownFiles.subtract(files)
            readDueTown(.change)
        }
    }

    /// The town is back: what it says now counts.
    func readWholeTown() {
        let roles = AgentRole.allCases.map(\.rawValue)
        var files: [TownFile] = [.settings, .presets, .rigs, .daemon] + roles.map(TownFile.role)
        for rig in watchedRigs.sorted() {
            files += [.rigSettings(rig: rig), .rigPresets(rig: rig)]
            files += roles.map { .rigRole(rig: rig, role: $0) }
        }
        dueTownFiles = []
        readTown(files, isTownUnread ? .first : .change)
        isTownUnread = false
    }

    private func content(_ path: FilePath) -> TownReading.Content {
        do throws(FileReadError) {
            return .bytes(try RegularFile.read(path, limit: TownFile.lengthMax).bytes)
        } catch {
            if case .system(let system) = error,
                system.errno == .noSuchFileOrDirectory || system.errno == .notDirectory
            {
                return .bytes(nil)
            }
            return .unreadable("\(error)")
        }
    }

    // MARK: - What holds agents back

    /// Why an agent may not be started anew at this moment. The file itself is looked at: its event may be on its way.
    func holdText(_ identity: AgentIdentity) -> String? {
        if let hold = controller.hold(on: identity) { return hold.text }
        if isTownAway { return TownHold.away.text }
        var files: [(String, TownHold)] = [("ESTOP", .stop), ("daemon/shutting-down", .shuttingDown)]
        if let rig = identity.rig, AgentIdentity.isName(rig) { files.append(("ESTOP.\(rig)", .rigStop(rig))) }
        return files.first { Syscalls.exists(root.appending($0.0)) }?.1.text
    }

    /// Looks at all of them as they are now.
    func lookAtHolds() {
        for path in [root.appending("ESTOP")] + watchedRigs.sorted().map({ root.appending("ESTOP.\($0)") }) {
            lookAtStop(path, exists: Syscalls.exists(path))
        }
        for case .parked(let rig) in controller.holds {
            let path = root.appending(".beads-wisp/config/\(rig).json")
            lookAtRigState(path, exists: Syscalls.exists(path))
        }
        let pause = root.appending(".runtime/deacon/paused.json")
        lookAtPause(pause, exists: Syscalls.exists(pause))
        handle(.held(.shuttingDown, Syscalls.exists(root.appending("daemon/shutting-down"))))
    }

    /// gt makes the file and then writes into it: one that is empty is looked at once more before it is told.
    /// ``holdText(_:)`` knows of it at once.
    private func lookAtStopSoon(_ path: FilePath, exists: Bool) {
        guard exists, small(path)?.isEmpty == true else { return lookAtStop(path, exists: exists) }
        loop.schedule(after: max(configuration.reload.settle, .milliseconds(20))) { [unowned self] in
            if !isTownAway { lookAtStop(path, exists: Syscalls.exists(path)) }
        }
    }

    private func lookAtStop(_ path: FilePath, exists: Bool) {
        let name = shownText(path.lastName)
        let hold: TownHold
        if name == "ESTOP" {
            hold = .stop
        } else {
            let rig = String(name.dropFirst("ESTOP.".count))
            guard AgentIdentity.isName(rig) else { return }
            hold = .rigStop(rig)
        }
        handle(.held(hold, exists, exists ? small(path).map(EmergencyStop.init) : nil))
    }

    private func lookAtRigState(_ path: FilePath, exists: Bool) {
        let rig = String(shownText(path.lastName).dropLast(".json".count))
        guard AgentIdentity.isName(rig) else { return }
        handle(.held(.parked(rig), exists && small(path).map(RigState.isParked) ?? false))
    }

    private func lookAtPause(_ path: FilePath, exists: Bool) {
        handle(.held(.deaconPaused, exists && small(path).map(DeaconPause.isOn) ?? true))
    }

    private func lookAtRestarts(_ path: FilePath, exists: Bool) {
        guard exists, let bytes = small(path) else { return handle(.restartState(RestartState())) }
        do throws(JSONError) { handle(.restartState(try RestartState(bytes))) } catch {
            // gt replaces it as a whole: the next version comes by itself.
            log.debug("gt's restart state is not understood", metadata: ["error": "\(error)"])
        }
    }

    /// A file of a few lines; nil where it cannot be read, which its being there does not depend on.
    private func small(_ path: FilePath) -> [UInt8]? {
        do throws(FileReadError) { return try RegularFile.read(path, limit: EmergencyStop.lengthMax).bytes } catch {
            log.debug("a file of the town cannot be read", metadata: ["path": "\(path.safe)", "error": "\(error)"])
            return nil
        }
    }

    // MARK: - gt's verbs

    /// The longest time for a verb that starts an agent anew (contract G).
    private static let verbTimeout = Duration.seconds(200)
    /// For what only writes a file and sends signals.
    private static let stopTimeout = Duration.seconds(30)

    /// Lets gt start an agent anew.
    func restart(_ order: RestartOrder) {
        loop.atEndOfTurn { [unowned self] in
            if let why = holdText(order.identity) { return handle(.reloadPutOff(id: order.id, why: why)) }
            gt(order.arguments, timeout: Self.verbTimeout) { [unowned self] failure in
                handle(.reloadPerformed(id: order.id, failure: failure))
                finishIfStopping()
            }
        }
    }

    /// Stops the town, or thaws it (gt: cmd/estop.go).
    func park(_ isStop: Bool) {
        let arguments = isStop ? ["estop", "-r", Controller.parkReason] : ["thaw"]
        loop.atEndOfTurn { [unowned self] in
            gt(arguments, timeout: Self.stopTimeout) { [unowned self] failure in
                handle(.parked(isStop: isStop, failure: failure))
            }
        }
    }

    /// - Parameter completion: Gets nil, or why it did not succeed.
    private func gt(_ arguments: [String], timeout: Duration, completion: @escaping (String?) -> Void) {
        guard let gt = toolbox.gt else {
            return completion("gt is not found (install it or add its folder to town.path, then gasclawd reload)")
        }
        let words = "gt \(arguments.joined(separator: " "))"
        do throws(SystemError) {
            try Command.run(
                [gt] + arguments, environment: toolbox.environment, directory: root, timeout: timeout, on: loop
            ) { result in
                guard !result.status.isSuccess else { return completion(nil) }
                let said = shownText(result.errors.prefix { $0 != 10 })
                completion(
                    "\(words): " + (result.timedOut ? "no answer within \(timeout.brief)" : "\(result.status): \(said)")
                )
            }
        } catch {
            completion("\(words): \(error)")
        }
    }
}
