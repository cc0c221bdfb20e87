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

extension Daemon {
    /// Writes what has to survive a restart. It stays due if it fails, and the status says so.
    func persist() {
        mustPersist = false
        do throws(SystemError) {
            do throws(SystemError) {
                try store.write(controller.snapshot, to: store.keys)
            } catch  where error.errno == .noSuchFileOrDirectory {
                // Somebody removed the directory: agents start through the links in it.
                log.warning("the state directory is gone; it is made again")
                try store.open()
                makeLinks()
                isLaunchFileDue = true
                try store.write(controller.snapshot, to: store.keys)
            }
            noteState(problem: nil)
            mendState()
            if isLaunchFileDue { writeLaunchValues() }
        } catch {
            mustPersist = true
            noteState(problem: "state cannot be written: \(error)")
            // One timer, however often it was tried meanwhile.
            guard persistTimer == nil else { return }
            persistTimer = loop.schedule(after: .seconds(1)) { [unowned self] in
                persistTimer = nil
                planTurnEnd()
            }
        }
    }

    /// Somebody emptied the directory, and not all of it is written at each change: agents start by what is in it.
    func mendState() {
        if installedLinks == nil, !Syscalls.exists(store.bin.appending("claude")) {
            log.warning("the links for agents are gone; they are made again", metadata: ["path": "\(store.bin.shown)"])
            makeLinks()
        }
        guard controller.launchValues != nil, !Syscalls.exists(LauncherFile.fallback(state: store.directory)) else {
            return
        }
        writeLaunchValues()
    }

    private func noteState(problem: String?) {
        guard surroundings.stateProblem != problem else { return }
        surroundings.stateProblem = problem
        if let problem { log.error("\(problem)") } else { log.notice("state can be written again") }
    }

    func planOffsets() {
        guard offsetsTimer == nil else { return }
        offsetsTimer = loop.schedule(after: Self.offsetsInterval) { [unowned self] in
            offsetsTimer = nil
            saveOffsets()
        }
    }

    func saveOffsets() {
        guard let followed, followed.hasNews, !mustPersist else { return }
        do throws(SystemError) {
            try store.write(followed.snapshot, to: store.offsets)
            followed.saved()
        } catch {
            // They are behind, which is safe: rows are known by their ids.
            noteState(problem: "state cannot be written: \(error)")
        }
    }

    // MARK: - What a crash left

    /// Opens the ring of events and tells what a process that did not end in order had seen last.
    func openRing() {
        do throws(SystemError) {
            let ring = try EventRing(store.directory.appending("events.ring"))
            self.ring = ring
            guard !ring.leftover.isEmpty else { return }
            let shown = ring.leftover.suffix(Self.leftoverMax)
            var metadata: Logger.Metadata = ["events": "\(shown.count)"]
            let left = ring.leftover.count - shown.count
            // Most of them, and all before, it has told itself.
            if left > 0 { metadata["left_out"] = "\(left)" }
            log.warning(
                "the process before ended without being told to; its last events follow", metadata: metadata)
            for record in shown { tellAgain(record) }
        } catch {
            log.warning("events will not survive a crash", metadata: ["error": "\(error)"])
        }
    }

    private static let leftoverMax = 100

    private func tellAgain(_ record: [UInt8]) {
        do throws(JSONError) {
            let event = try JSONValue(parsing: record)
            var metadata: Logger.Metadata = [:]
            for member in event.object?.members ?? [] where !member.value.isNull && member.name != "type" {
                let name = member.name == "time" ? "at" : member.name
                metadata[name] = .string(member.value.string ?? member.value.line)
            }
            log.notice("before: \(event["type"]?.string ?? "?")", metadata: metadata)
        } catch {
            log.notice("before: a record that is not understood")
        }
    }

    // MARK: - What launchers need

    func makeLinks() {
        let launcher = LauncherFile(
            socket: ControlClient.socketPath(runtime: configuration.paths.runtime), state: store.directory,
            program: toolbox.claude)
        do throws(SystemError) {
            if let installedLinks {
                try AtomicFile.replace(installedLinks.file, with: launcher.json.encoded() + [10], durable: false)
            } else {
                try Links.make(bin: store.bin, launcher: launcher.json, at: LauncherFile.path(bin: store.bin))
            }
        } catch {
            noteState(problem: "links for agents cannot be made: \(error)")
        }
    }

    /// The fall-back of launchers that find no daemon. 0600: the active key is in it.
    func writeLaunchValues() {
        let path = LauncherFile.fallback(state: store.directory)
        isLaunchFileDue = false
        do throws(SystemError) {
            if let values = controller.launchValues {
                try store.write(values.json, to: path)
            } else if Syscalls.exists(path) {
                // A key that is in no file any more is not kept here either.
                try Syscalls.unlink(path)
            }
        } catch {
            isLaunchFileDue = true
            mustPersist = true
            noteState(problem: "state cannot be written: \(error)")
            planTurnEnd()
        }
    }

    /// Takes up agents that were started while no daemon answered.
    func adoptNotes() {
        let folder = LauncherFile.notes(state: store.directory)
        do throws(SystemError) {
            try Syscalls.makeDirectories(folder)
            let descriptor = try Syscalls.open(folder, flags: Syscalls.directory)
            for name in try Syscalls.names(inDirectory: descriptor.raw) { adoptNote(folder.entry(name)) }
        } catch {
            noteState(problem: "state cannot be read: \(error)")
        }
    }

    func adoptNote(_ path: FilePath) {
        guard path.lastName.suffix(5).elementsEqual(".json".utf8), Syscalls.exists(path) else { return }
        if let note = store.read(path, onCorrupt: { [log] in log.warning("\($0)") }) {
            let found = Controller.leases(in: ["leases": [note]])
            for lease in found where Self.isAlive(lease.process) { handle(.leaseFound(lease)) }
        }
        if mustPersist { persist() }
        do throws(SystemError) {
            if Syscalls.exists(path) { try Syscalls.unlink(path) }
        } catch {
            log.warning("a launcher's note stays", metadata: ["error": "\(error)"])
        }
    }

    // MARK: - State for others

    /// The status now.
    var status: StatusReport {
        var surroundings = surroundings
        surroundings.logProblem = followed?.lost.map { "\($0.path.safe) cannot be read: \($0.why)" }
        surroundings.isTownInstalled = services?.place.isInstalled ?? false
        surroundings.services = services?.items ?? []
        surroundings.serviceProblem = services?.problem
        surroundings.stateProblem = surroundings.stateProblem ?? services?.stateProblem
        surroundings.watch = watchFigures
        return controller.report(surroundings, at: Timestamp.now)
    }

    /// The status with the plan of what is watched, which may be long.
    var fullStatus: StatusReport {
        var report = status
        let plan = [accounts?.plan, watcher?.plan, services?.watcher?.plan].compactMap { $0 }.reduce(WatchPlan()) {
            $0.joined(with: $1)
        }
        report.watch.plan = plan.entries.map { entry in
            StatusReport.PlanItem(
                path: entry.path.safe, mode: entry.mode.rawValue, why: entry.why, since: entry.since,
                detail: entry.detail)
        }
        return report
    }

    /// A path that several parts of us look at is told once.
    private var polled: [PolledPath] {
        let all = (accounts?.polled ?? []) + (watcher?.polled ?? []) + (services?.watcher?.polled ?? [])
        var known: Set<FilePath> = []
        return all.filter { known.insert($0.path).inserted }
    }

    private var watchFigures: StatusReport.Watch {
        var figures = StatusReport.Watch()
        for statistics in [accounts?.statistics, watcher?.statistics, services?.watcher?.statistics].compactMap({ $0 })
        {
            figures.directories += statistics.directories
            figures.files += statistics.files
            figures.events += statistics.events
            figures.overflows += statistics.overflows
            figures.rescans += statistics.rescans
        }
        figures.polled = polled.map { "\($0.path.safe): \($0.reason)" }
        figures.probe = probe.latency
        return figures
    }

    /// Tells a change of the state once: as an event, and to systemd.
    func publishState() {
        noteWatches()
        let report = status
        guard !isStopping else { return }
        guard report.state != .starting else { return publishStart(report) }
        // What degrades it may hold a number that changes all the time; its first words say what it is.
        let isNews = report.state != lastState
        if isNews {
            switch report.state {
            case .ready: emit(.daemonReady(detail: report.detail))
            case .degraded: emit(.daemonDegraded(detail: report.detail))
            default: break
            }
        }
        lastState = report.state
        noteConditions(report)
        guard report.detail != lastDetail else { return }
        lastDetail = report.detail
        self.report(notifier.send([.status(report.detail)]), of: "STATUS")
    }

    private func noteWatches() {
        for path in polled where !lastPolled.contains(path) {
            emit(.watch("degraded", path: path.path.safe, detail: path.reason))
        }
        for path in lastPolled where !polled.contains(where: { $0.path == path.path }) {
            emit(.watch("recovered", path: path.path.safe, detail: "it is watched again"))
        }
        lastPolled = polled
        for (place, count) in [
            (configuration.accounts, accounts?.statistics.overflows),
            (configuration.town.root, watcher?.statistics.overflows),
            (configuration.town.root.appending("daemon"), services?.watcher?.statistics.overflows),
        ] {
            guard let count, count != lastOverflows[place] ?? 0 else { continue }
            lastOverflows[place] = count
            emit(
                .watch(
                    "overflow", path: place.safe,
                    detail: "the kernel's queue overflowed (\(count) so far): everything is read again"))
        }
    }
}
