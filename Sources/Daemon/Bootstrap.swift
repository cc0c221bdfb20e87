// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import ControlAPI
import GasTown
import JSON
import LinuxSys
import Logging
import Supervision
import SystemPackage
import Timekeeping

/// What came of a step of the bootstrap.
public struct BootstrapStep: Sendable {
    public enum Result: String, Sendable {
        case done, skipped, failed
        /// It would be done, but only that was asked.
        case would
    }
    /// accounts, claude, install, dolt, rig, register, daemon or mayor.
    public let name: String
    public let result: Result
    public let took: Duration
    /// Redacted.
    public let detail: String

    public var json: JSONValue {
        [
            "step": .string(name), "result": .string(result.rawValue),
            "seconds": JSONValue(Double(took.wholeMilliseconds) / 1000), "detail": .string(detail),
        ]
    }
}

/// Brings a town into being: each step only if it is needed, so that it can be run again whatever interrupted it.
final class Bootstrap {
    enum Mode {
        /// As a part of `run`: services are the supervisor's, who tries again what fails.
        case supervised
        /// By itself: what was started is ended again if a step fails.
        case alone
        /// Nothing is done.
        case dry
        /// Beside a running daemon, which has the services.
        case beside
    }

    /// What a step is done with, but for gt: accounts and Claude Code's files are others' to keep.
    struct Helpers {
        /// nil: it was done before, and told.
        var accounts: (() -> (BootstrapStep.Result, String))?
        var claude: () -> (BootstrapStep.Result, String)
        /// Makes the town's folder where it is missing, and locks it.
        var holdTown: () -> TownLock.Outcome
    }

    let services: Services
    let configuration: Configuration
    let store: StateStore
    let mode: Mode
    let helpers: Helpers
    private let log: Logger
    private let onBegin: (String) -> Void
    private let onStep: (BootstrapStep) -> Void
    private let completion: (_ failure: String?) -> Void
    private(set) var isRunning = false
    /// It is changing the town's settings.
    private(set) var isRegistering = false
    private var steps: [Step] = []
    private var startedAt: Int64 = 0
    /// What was started, and how it is ended; the last one first.
    private var undos: [(name: String, body: (@escaping () -> Void) -> Void)] = []
    private var command: Command?
    private var interruption: String?
    /// What failed and does not keep the others from being done.
    private var failures: [String] = []
    /// Whoever has what a failed step needs; its end is worth another try.
    private(set) var holder: ProcessIdentity?

    typealias Done = (BootstrapStep.Result, String) -> Void
    private struct Step {
        let name: String
        let body: (@escaping Done) -> Void
    }

    init(
        services: Services, configuration: Configuration, mode: Mode, helpers: Helpers,
        onBegin: @escaping (String) -> Void = { _ in }, onStep: @escaping (BootstrapStep) -> Void,
        completion: @escaping (_ failure: String?) -> Void
    ) {
        self.services = services
        self.configuration = configuration
        self.store = services.store
        self.log = services.log
        self.mode = mode
        self.helpers = helpers
        self.onBegin = onBegin
        self.onStep = onStep
        self.completion = completion
    }

    var place: ServicePlace { services.place }

    /// What the bootstrap holds back until its turn comes.
    static let gate = Obstacle.waiting("waits for the bootstrap")

    func run() {
        isRunning = true
        // A town whose agents are registered lives, whatever is added to it meanwhile.
        if mode != .supervised || !isRegistered { services.gate(ServiceName.allCases, Self.gate) }
        steps =
            helpers.accounts.map { accounts in
                [
                    Step(name: "accounts") { done in
                        let (result, detail) = accounts()
                        done(result, detail)
                    }
                ]
            } ?? []
        steps += [
            Step(name: "claude") { [self] done in
                let (result, detail) = helpers.claude()
                done(result, detail)
            },
            Step(name: "install") { [self] in install($0) },
            Step(name: "dolt") { [self] in start(.dolt, $0) },
        ]
        for rig in configuration.town.rigs { steps.append(Step(name: "rig") { [self] in addRig(rig, $0) }) }
        steps += [
            Step(name: "register") { [self] in register($0) },
            Step(name: "daemon") { [self] in start(.daemon, $0) },
            Step(name: "mayor") { [self] in start(.mayor, $0) },
        ]
        // Not from inside the caller.
        services.loop.atEndOfTurn { [self] in next() }
    }

    /// Ends it with what it has started.
    func interrupt(_ why: String) {
        guard isRunning, interruption == nil else { return }
        interruption = why
        command?.end()
        if command == nil, isWaiting { stepDone?(.failed, why) }
    }

    private var isWaiting = false
    private var stepDone: Done?

    private func next() {
        guard isRunning else { return }
        guard !steps.isEmpty else { return end() }
        let step = steps.removeFirst()
        startedAt = EventLoop.now
        onBegin(step.name)
        var isDone = false
        let done: Done = { [self] result, detail in
            guard !isDone else { return }
            isDone = true
            stepDone = nil
            isRegistering = false
            let outcome = interruption.map { (BootstrapStep.Result.failed, $0) } ?? (result, detail)
            let shown = services.owner.redact(outcome.1)
            onStep(
                BootstrapStep(
                    name: step.name, result: outcome.0, took: .nanoseconds(EventLoop.now - startedAt), detail: shown))
            guard outcome.0 != .failed else { return fail(step.name, shown) }
            services.loop.atEndOfTurn { [self] in next() }
        }
        stepDone = done
        step.body(done)
    }

    private func fail(_ step: String, _ detail: String) {
        failures.append("\(step): \(detail)")
        // Agents are registered whatever becomes of a rig or of dolt: whoever starts later starts with a key.
        steps.removeAll { !Self.isIndependent($0.name, of: step, mode) || interruption != nil }
        guard steps.isEmpty else { return services.loop.atEndOfTurn { [self] in next() } }
        end()
    }

    /// Whether a step can be done though one before it failed.
    private static func isIndependent(_ step: String, of failed: String, _ mode: Mode) -> Bool {
        switch failed {
        // What is started by itself is ended again after a failure: it is not started at all.
        case "rig": ["rig", "register"].contains(step) || mode != .alone
        case "dolt": step == "register"
        default: false
        }
    }

    private func end() {
        guard !failures.isEmpty else { return finish(nil) }
        let failure = "the bootstrap failed at \(failures.joined(separator: "; "))"
        undo { [self] in finish(failure) }
    }

    private func undo(_ completion: @escaping () -> Void) {
        guard mode == .alone, let last = undos.popLast() else { return completion() }
        log.notice("undone: \(last.name)")
        last.body { [self] in undo(completion) }
    }

    private func finish(_ failure: String?) {
        isRunning = false
        command = nil
        // A town whose agents are registered can live, whatever else is missing; the supervisor tries what failed.
        if mode == .supervised, let failure, !isRegistered {
            services.gate([.daemon, .mayor], .absent(failure))
            services.gate([.dolt], place.isInstalled ? nil : .absent(failure))
        } else if mode == .supervised {
            services.gate(ServiceName.allCases, nil)
        }
        completion(failure)
    }

    // MARK: - Steps

    private func install(_ done: @escaping Done) {
        let root = place.root
        let interrupted = Unfinished.read(store.unfinished).flatMap { $0.root == root && $0.rig == nil ? $0 : nil }
        if place.isInstalled, interrupted == nil {
            services.townMemory.note(place.files.town, at: root)
            return done(.skipped, "\(root.shown) is a town")
        }
        // Nobody has asked for another town: this one's volume is not mounted.
        if mode == .supervised, interrupted == nil, services.townMemory.knows(root) {
            return done(.failed, TownMemory.absence(root))
        }
        var arguments = TownCommands.install(root.string, doltPort: configuration.services.doltPort)
        if place.isInstalled { arguments.append("--force") }
        guard mode != .dry else { return done(.would, wouldCall([arguments])) }
        guard let gt = place.toolbox.gt else {
            return done(.failed, "gt is not found (install it, or add its folder to town.path)")
        }
        if place.dolt == nil, let conflict = place.doltConflict {
            holder = conflict.holder
            return done(.failed, conflict.text)
        }
        let (wasFolder, directory) = (Syscalls.isDirectory(root), Self.existing(root))
        // From here on it is seen that somebody is at it.
        let hold = helpers.holdTown()
        if case .taken(let pid) = hold { return done(.failed, TownLock.refusal(root, pid)) }
        if place.isInstalled, interrupted == nil { return done(.skipped, "\(root.shown) is a town") }
        // Only what this step has made is ever removed.
        // A town that is whole may have been used since: it is not taken for a part of this.
        let isFresh = interrupted.map { $0.isFresh && !place.isInstalled } ?? Self.isAbsentOrEmpty(root)
        // One that lives on its own, whatever has become of its folder, is not of this step's making.
        let doltBefore = place.dolt ?? interrupted?.dolt
        do throws(SystemError) {
            try store.write(
                Unfinished(root: root, rig: nil, isFresh: isFresh, dolt: doltBefore).json, to: store.unfinished)
        } catch {
            if !wasFolder, isFresh, interrupted == nil, mayRemove(root, hold) { remove(root, keepingFolder: false) }
            return done(.failed, "\(error)")
        }
        call(gt, arguments, timeout: .seconds(300), directory: directory) { [self] failure in
            let isThere = place.isInstalled
            guard failure != nil || !isThere || interruption != nil else {
                removeMark()
                services.townMemory.note(place.files.town, at: root)
                services.refreshObstacles()
                return done(.done, "gt install \(root.shown)")
            }
            func cleanUp() {
                let isRemoved = isFresh && mayRemove(root, hold)
                if isRemoved { remove(root, keepingFolder: wasFolder) }
                // What stays is no whole town, though it may look like one; another folder of the name is not ours to mend.
                if isRemoved || isAnother(root, hold) || !isFresh && interrupted == nil { removeMark() }
                done(
                    .failed, failure ?? "gt says that it has made the town, but \(place.files.town.shown) is not there")
            }
            // It leaves dolt running (gt: cmd/install.go).
            guard let dolt = place.dolt, dolt != doltBefore else { return cleanUp() }
            services.stopDolt(dolt) { _ in cleanUp() }
        }
    }

    private func addRig(_ rig: Configuration.Rig, _ done: @escaping Done) {
        let arguments = TownCommands.addRig(rig.name, url: rig.url)
        if isListed(rig.name) { return done(.skipped, "\(rig.name) is a rig of the town") }
        guard mode != .dry else { return done(.would, wouldCall([arguments])) }
        guard let gt = place.toolbox.gt else { return done(.failed, "gt is not found") }
        if rig.url.hasPrefix("/"), !Syscalls.exists(FilePath(rig.url)) {
            return done(
                .failed, "\(rig.name): \(rig.url) is not there (set town.rigs or GT_RIG_URL to a repository)")
        }
        let folder = place.root.appending(rig.name)
        let mark = Unfinished(root: place.root, rig: rig.name, isFresh: true)
        // gt takes no folder that is there already; what an interrupted call of it left is removed.
        if Unfinished.read(store.unfinished) == mark, Syscalls.exists(folder) {
            remove(folder, keepingFolder: false)
        }
        let wasThere = Syscalls.exists(folder)
        do throws(SystemError) {
            if !wasThere { try store.write(mark.json, to: store.unfinished) }
        } catch {
            return done(.failed, "\(error)")
        }
        call(gt, arguments, timeout: .seconds(600), directory: place.root) { [self] failure in
            defer { removeMark() }
            guard failure != nil || !isListed(rig.name) || interruption != nil else {
                return done(.done, "\(rig.name) from \(rig.url)")
            }
            // gt removes what it made when it fails; not when it was ended.
            if !wasThere, !isListed(rig.name) { remove(folder, keepingFolder: false) }
            done(
                .failed, failure ?? "gt says that it has added \(rig.name), but it is not in \(place.files.rigs.shown)")
        }
    }

    private func isListed(_ rig: String) -> Bool {
        do throws(JSONError) {
            return try ServicePlace.read(place.files.rigs).map(TownFiles.rigNames)?.contains(rig) ?? false
        } catch { return false }
    }

    private func register(_ done: @escaping Done) {
        let name = configuration.agent.name
        let command = Registration.command(configuration, bin: store.bin)
        guard !command.contains(" ") || !command.hasPrefix("/") else {
            return done(
                .failed, "gt cannot start \(command): it splits commands at spaces (choose another paths.state)")
        }
        let calls: [[String]]
        switch Registration.calls(place, name: name, command: command) {
        case .success(let found): calls = found
        case .failure(let failure): return done(.failed, failure.text)
        }
        guard !calls.isEmpty else { return done(.skipped, "agents are started through \(command)") }
        guard mode != .dry else { return done(.would, wouldCall(calls)) }
        guard let gt = place.toolbox.gt else {
            return done(.failed, "gt is not found (install it, or add its folder to town.path, then gasclawd reload)")
        }
        isRegistering = true
        func next(_ rest: ArraySlice<[String]>) {
            guard let first = rest.first else {
                if case .success(let left) = Registration.calls(place, name: name, command: command), left.isEmpty {
                    return done(.done, "agents are started through \(command)")
                }
                return done(
                    .failed, "gt says that it has registered \(name), but \(place.files.settings.shown) does not")
            }
            call(gt, first, timeout: .seconds(30), directory: place.root) { failure in
                if let failure { return done(.failed, failure) }
                next(rest.dropFirst())
            }
        }
        next(calls[...])
    }

    /// What a dry run says of calls of gt, also that they would fail.
    private func wouldCall(_ calls: [[String]]) -> String {
        let text = calls.map { "gt \($0.joined(separator: " "))" }.joined(separator: "; ")
        guard place.toolbox.gt == nil else { return text }
        return "\(text); but gt is not found (install it, or add its folder to town.path)"
    }

    private var isRegistered: Bool {
        let command = Registration.command(configuration, bin: store.bin)
        guard place.isInstalled else { return false }
        if case .success(let calls) = Registration.calls(place, name: configuration.agent.name, command: command) {
            return calls.isEmpty
        }
        return false
    }

    private func start(_ name: ServiceName, _ done: @escaping Done) {
        guard services.supervisor.managed.contains(name) else {
            return done(.skipped, "\(name.rawValue) is not in services.manage")
        }
        switch mode {
        case .beside: return done(.skipped, "the running gasclawd looks after \(name.rawValue)")
        case .dry:
            guard !services.supervisor.isUp(name) else { return done(.skipped, "\(name.rawValue) is up") }
            return done(.would, "start \(name.rawValue)")
        case .alone, .supervised: break
        }
        guard let item = services.supervisor.item(name), item.isWanted else {
            services.gate([name], nil)
            return done(.skipped, "\(name.rawValue) was stopped by hand (gasclawd services start \(name.rawValue))")
        }
        let wasUp = services.supervisor.isUp(name)
        services.gate([name], nil)
        isWaiting = true
        services.whenSettled(name) { [self] result in
            isWaiting = false
            switch result {
            case .success:
                let pid = services.supervisor.process(of: name).map { " (pid \($0.pid))" } ?? ""
                guard !wasUp else { return done(.skipped, "\(name.rawValue) is up\(pid)") }
                addUndo(name)
                done(.done, "\(name.rawValue) is up\(pid)")
            case .failure(let error):
                if !wasUp { addUndo(name) }
                done(.failed, error.message)
            }
        }
    }

    private func addUndo(_ name: ServiceName) {
        undos.append(
            (
                name.rawValue,
                { [self] completion in
                    services.handle(.wanted(name, .stop))
                    services.whenDown(name, completion: completion)
                }
            ))
    }

    // MARK: - Tools

    private func call(
        _ gt: String, _ arguments: [String], timeout: Duration, directory: FilePath,
        completion: @escaping (_ failure: String?) -> Void
    ) {
        do throws(SystemError) {
            var running: ProcessIdentity?
            let started = try Command.run(
                [gt] + arguments, environment: place.environment, directory: directory, timeout: timeout,
                on: services.loop
            ) { [self] result in
                command = nil
                if let running { services.calls.ended(running) }
                for bytes in [result.output, result.errors] {
                    for line in bytes.split(separator: 10).suffix(200) {
                        services.owner.takeLine(Services.gtIdentifier, line)
                    }
                }
                let failure = Services.failure(of: arguments, result, tool: Array("gt".utf8))
                if failure != nil { services.checkDolt() }
                completion(interruption ?? failure)
            }
            command = started
            running = started.identity
            services.calls.began(started.identity, arguments)
        } catch {
            completion("\(error)")
        }
    }

    /// An installation of the town was interrupted, and is to be done again.
    static func isInstallationUnfinished(_ root: FilePath, _ store: StateStore) -> Bool {
        Unfinished.read(store.unfinished).map { $0.root == root && $0.rig == nil } ?? false
    }

    /// The dolt that lived before an installation that was interrupted.
    static func doltBeforeInstallation(_ store: StateStore) -> ProcessIdentity? {
        Unfinished.read(store.unfinished)?.dolt
    }

    private static func isAbsentOrEmpty(_ path: FilePath) -> Bool {
        guard Syscalls.exists(path) else { return true }
        do throws(SystemError) {
            let folder = try Syscalls.open(path, flags: Syscalls.directory)
            return try Syscalls.names(inDirectory: folder.raw).isEmpty
        } catch { return false }
    }

    /// The folder, or the nearest one above it that exists.
    private static func existing(_ path: FilePath) -> FilePath {
        var folder = path
        while !Syscalls.isDirectory(folder), folder != "/" { folder = folder.removingLastComponent() }
        return folder
    }

    private func isAnother(_ root: FilePath, _ hold: TownLock.Outcome) -> Bool {
        if case .held(let lock) = hold { !TownLock.isOf(root, lock) } else { false }
    }

    /// Whether what is in the town's folder is nobody else's.
    private func mayRemove(_ root: FilePath, _ hold: TownLock.Outcome) -> Bool {
        switch hold {
        case .held(let lock): TownLock.isOf(root, lock)
        case .unlockable, .daemons: true
        case .absent, .stranger, .bootstrapping, .taken: false
        }
    }

    private func remove(_ path: FilePath, keepingFolder: Bool) {
        guard Syscalls.exists(path) else { return }
        do throws(SystemError) {
            guard keepingFolder else { return try Syscalls.removeTree(path) }
            let folder = try Syscalls.open(path, flags: Syscalls.directory)
            for name in try Syscalls.names(inDirectory: folder.raw) { try Syscalls.removeTree(path.entry(name)) }
        } catch {
            log.warning("what a failed step has made stays", metadata: ["error": "\(error)"])
        }
    }

    private func removeMark() {
        do throws(SystemError) {
            if Syscalls.exists(store.unfinished) { try Syscalls.unlink(store.unfinished) }
        } catch {
            log.warning("the mark of an unfinished step stays", metadata: ["error": "\(error)"])
        }
    }
}

/// A step that began: if the file is there at the next start, it was interrupted.
private struct Unfinished: Equatable {
    let root: FilePath
    /// nil: the town itself.
    let rig: String?
    /// The folder did not exist or was empty before.
    let isFresh: Bool
    /// The town's dolt, if it lived before.
    var dolt: ProcessIdentity?

    var json: JSONValue {
        [
            "dolt": dolt.map { ["pid": JSONValue($0.pid), "start": JSONValue($0.startTime)] } ?? .null,
            "step": .string(rig == nil ? "install" : "rig"), "root": .string(root.string),
            "rig": rig.map(JSONValue.string) ?? .null, "fresh": .bool(isFresh),
        ]
    }

    init(root: FilePath, rig: String?, isFresh: Bool, dolt: ProcessIdentity? = nil) {
        self.dolt = dolt
        self.root = root
        self.rig = rig
        self.isFresh = isFresh
    }

    static func read(_ path: FilePath) -> Unfinished? {
        do {
            guard let bytes = ServicePlace.read(path) else { return nil }
            let value = try JSONValue(parsing: bytes)
            guard let root = value["root"]?.string else { return nil }
            let dolt = value["dolt"]
            let pid = dolt?["pid"]?.integer.flatMap(Int32.init(exactly:))
            let start = dolt?["start"]?.integer.flatMap(UInt64.init(exactly:))
            return Unfinished(
                root: FilePath(root), rig: value["rig"]?.string, isFresh: value["fresh"]?.bool ?? false,
                dolt: pid.flatMap { pid in start.map { ProcessIdentity(pid: pid, startTime: $0) } })
        } catch { return nil }
    }
}
