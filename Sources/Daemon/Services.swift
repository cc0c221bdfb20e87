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

/// Performs what the supervisor decides: starts, watches and ends dolt, the gt daemon and the mayor.
///
/// It belongs to the loop's thread. The daemon has one for its life, `gasclawd bootstrap` and `stop` for theirs.
final class Services {
    /// Whoever has services.
    struct Owner {
        var emit: (Event) -> Void
        /// Something is another that others look at.
        var onChange: () -> Void
        /// A line that a child printed, as it came.
        var takeLine: (_ identifier: String, _ line: ArraySlice<UInt8>) -> Void
        /// The mayor's process, where it holds a lease.
        var leasedMayor: () -> ProcessIdentity?
        /// The mayor is on its way from one process to the next.
        var isMayorReloading: () -> Bool
        /// Text from outside, made fit to be shown.
        var redact: (String) -> String
    }

    enum Spec {
        static let heartbeat = "gt-daemon-state"
        static let town = "service-town"
        static let shuttingDown = "service-shutting-down"
        static let stop = "service-estop"
        static let daemonOutput = "gt-daemon-output"
        static let doltLog = "dolt-log"
        static let clients = "service-clients"
    }

    private static let conflictInterval = Duration.seconds(15)
    /// Each look for the mayor is a process, and clients may write as often as they like.
    static let lookPause = Duration.seconds(1)

    let loop: EventLoop
    let store: StateStore
    let log: Logger
    let owner: Owner
    let townMemory: TownMemory
    private(set) var place: ServicePlace
    private(set) var supervisor: Supervisor
    private var saved: JSONValue?
    private let isReadOnly: Bool
    private(set) var watcher: FileWatcher?
    private var alarm: EventLoop.Timer?
    private var written: [UInt8]?
    private var mustPersist = false
    private var persistTimer: EventLoop.Timer?
    /// Why what has to survive a restart is not on disk; nil: it is.
    private(set) var stateProblem: String?
    /// What the bootstrap has to say about a service's start.
    private var gates: [ServiceName: Obstacle] = [:]
    private var waiters: [Waiter] = []
    /// The town is being ended: nothing is started any more.
    private(set) var isEnding = false
    let calls: RunningCalls
    private var inbox: [ServiceInput] = []
    private var isHandling = false
    private var clock = ClockWatch()

    /// Attempts that are going on, and the commands of theirs and of stops.
    var attempts: [ServiceName: UInt64] = [:]
    var commands: [ServiceName: Command] = [:]
    var handles: [ServiceName: ProcessHandle] = [:]
    /// Others who have what a service needs.
    private var holders: [ServiceName: ProcessHandle] = [:]
    var daemonChild: Child?
    var timers: [ServiceName: EventLoop.Timer] = [:]
    /// The time within which an attempt has to be done.
    var deadlines: [ServiceName: EventLoop.Timer] = [:]
    var doltFailures = 0
    /// The last attempt was the stored command in its pane; the next one is gt's.
    var wasMayorRespawned = false
    /// Set while the mayor is waited for: looks for it now.
    var mayorWait: PacedWork?
    /// Which wait it is.
    var waitSerial: UInt64 = 0
    /// Looks for a mayor that was not started through us.
    private(set) lazy var mayorReturn = PacedWork(pause: Self.lookPause, on: loop) { [weak self] done in
        if let self { lookForReturned(then: done) } else { done() }
    }
    /// What the gt daemon has read; nil: it was started by others, or by an older version of us.
    var readOnce: ReadOnce?
    var followers: [String: LogFollower] = [:]

    /// Who asked for a change by hand and waits for what comes of it.
    private struct Waiter {
        let name: ServiceName
        let isUpWanted: Bool
        var isByHand = false
        let reply: (Result<JSONValue, ControlError>) -> Void
    }

    /// - Parameter isReadOnly: Nothing is written down.
    init(
        managed: [ServiceName], place: ServicePlace, store: StateStore, loop: EventLoop, log: Logger, owner: Owner,
        townMemory: TownMemory? = nil, isReadOnly: Bool = false
    ) {
        self.townMemory = townMemory ?? TownMemory(store, isReadOnly: isReadOnly, log: log)
        self.isReadOnly = isReadOnly
        self.place = place
        self.store = store
        self.loop = loop
        self.log = log
        self.owner = owner
        calls = RunningCalls(folder: store.calls, log: log)
        saved = store.read(store.services) { log.warning("\($0)") }
        written = saved.map { $0.encoded() + [10] }
        readOnce = ReadOnce(saved?["daemon_read"])
        supervisor = Supervisor(
            managed: managed, saved: saved, seed: UInt64.random(in: .min ... .max), at: Timestamp.now)
    }

    /// Another process had the services until now: what it has left is taken up.
    func recall() {
        guard !isReadOnly else { return }
        saved = store.read(store.services) { [log] in log.warning("\($0)") }
        written = saved.map { $0.encoded() + [10] }
        readOnce = ReadOnce(saved?["daemon_read"])
        supervisor = Supervisor(
            managed: supervisor.managed, saved: saved, seed: UInt64.random(in: .min ... .max), at: Timestamp.now)
    }

    // MARK: - Inputs and actions

    /// Hands an input to the supervisor and performs what it decides. Inputs that come up meanwhile wait their turn.
    func handle(_ input: ServiceInput) {
        guard !isEnding else { return }
        inbox.append(input)
        guard !isHandling else { return }
        isHandling = true
        var position = 0
        while position < inbox.count, !isEnding {
            let now = Timestamp.now
            if let jump = clock.jump(at: now) {
                for action in supervisor.handle(.clockSet(by: jump), at: now) { perform(action) }
            }
            for action in supervisor.handle(inbox[position], at: now) { perform(action) }
            position += 1
        }
        inbox = []
        isHandling = false
        setAlarm()
        // State first: who is told that a service stays down may rely on it, whatever happens to us next.
        if mustPersist { persist() }
        answerWaiters()
        owner.onChange()
    }

    private func perform(_ action: ServiceAction) {
        switch action {
        case .start(let name, let attempt): start(name, attempt)
        case .stop(let name, let process):
            // Not from inside the decision: a stop may be done at once.
            loop.atEndOfTurn { [self] in stop(name, process) }
        case .watch(let name, let process): watch(name, process)
        case .tell(let news):
            log.debug("service", metadata: ["name": "\(news.name.rawValue)", "is": "\(news.kind.rawValue)"])
            owner.emit(
                .service(
                    news.kind.rawValue, name: news.name.rawValue, pid: news.pid, status: news.status,
                    nextRetryAt: news.nextRetryAt, detail: news.detail))
        case .persist: mustPersist = true
        }
    }

    private func start(_ name: ServiceName, _ attempt: UInt64) {
        attempts[name] = attempt
        holders[name] = nil
        unwatch(name)
        loop.atEndOfTurn { [self] in
            guard isCurrent(name, attempt) else { return }
            switch name {
            case .dolt: startDolt(attempt)
            case .daemon: startDaemon(attempt)
            case .mayor: startMayor(attempt)
            }
        }
    }

    func isCurrent(_ name: ServiceName, _ attempt: UInt64) -> Bool { attempts[name] == attempt && !isEnding }

    func answered(_ name: ServiceName, _ attempt: UInt64, _ process: ProcessIdentity, _ detail: String = "") {
        guard isCurrent(name, attempt) else { return }
        finishAttempt(name)
        handle(.answered(name, attempt: attempt, ServiceProcess(process), detail: detail))
    }

    func failed(_ name: ServiceName, _ attempt: UInt64, _ reason: String) {
        guard isCurrent(name, attempt) else { return }
        finishAttempt(name)
        handle(.failed(name, attempt: attempt, reason: owner.redact(reason)))
    }

    /// Somebody else has what it needs: nobody is fought, and the end of theirs is waited for.
    func blocked(_ name: ServiceName, _ attempt: UInt64, _ conflict: ServicePlace.Conflict) {
        guard isCurrent(name, attempt) else { return }
        finishAttempt(name)
        handle(.blocked(name, attempt: attempt, reason: owner.redact(conflict.text)))
        lookAtConflict(name, conflict.holder)
        guard let holder = conflict.holder else { return }
        do throws(SystemError) {
            let held = try ProcessHandle(holder, on: loop) { [unowned self] in
                holders[name] = nil
                handle(.unblocked(name))
            }
            holders[name] = held
            if held == nil { loop.atEndOfTurn { [self] in handle(.unblocked(name)) } }
        } catch {
            log.debug("the end of pid \(holder.pid) cannot be seen", metadata: ["error": "\(error)"])
        }
    }

    /// A process can also give back what it has and live on: that no event tells.
    private func lookAtConflict(_ name: ServiceName, _ holder: ProcessIdentity?) {
        unwatchTimers(name)
        timers[name] = loop.schedule(after: Self.conflictInterval) { [unowned self] in
            timers[name] = nil
            let now =
                switch name {
                case .dolt: place.doltConflict.map(\.holder)
                case .daemon: place.daemonLockHolder.map { Optional($0) }
                case .mayor: ProcessIdentity??.none
                }
            guard let now, now == holder else { return handle(.unblocked(name)) }
            lookAtConflict(name, holder)
        }
    }

    private func finishAttempt(_ name: ServiceName) {
        attempts[name] = nil
        if name == .mayor { endWait() }
        if let timer = deadlines.removeValue(forKey: name) { loop.cancel(timer) }
    }

    private func stop(_ name: ServiceName, _ process: ServiceProcess?) {
        guard !isEnding else { return }
        finishAttempt(name)
        unwatchTimers(name)
        let identity = process.map(ProcessIdentity.init)
        // What an attempt is doing ends first, with all that it has started.
        endCommand(name) { [self] in
            switch name {
            case .dolt: stopDolt(identity) { [self] in stopped(name, $0) }
            case .daemon: stopDaemon(identity) { [self] in stopped(name, $0) }
            case .mayor: stopMayor(identity) { [self] in stopped(name, $0) }
            }
        }
    }

    private func stopped(_ name: ServiceName, _ problem: String?) {
        unwatch(name)
        if let problem { log.warning("\(name.rawValue): \(problem)") }
        handle(.stopped(name, problem: problem.map(owner.redact)))
    }

    // MARK: - Processes

    /// Reports the end of a process, also of one that is no child of ours.
    private func watch(_ name: ServiceName, _ process: ServiceProcess) {
        unwatch(name)
        watchHealth(name)
        if name == .daemon, daemonChild?.identity == ProcessIdentity(process) { return }
        do throws(SystemError) {
            let held = try ProcessHandle(ProcessIdentity(process), on: loop) { [unowned self] in
                let status = handles[name]?.status
                exited(name, process, status.map { "\($0)" } ?? "ended")
            }
            guard let held else {
                return loop.atEndOfTurn { [self] in exited(name, process, "ended") }
            }
            handles[name] = held
        } catch {
            log.error("the end of \(name.rawValue) cannot be seen", metadata: ["error": "\(error)"])
        }
    }

    func exited(_ name: ServiceName, _ process: ServiceProcess, _ status: String) {
        handles[name] = nil
        unwatchTimers(name)
        let isExpected = name == .mayor && owner.isMayorReloading()
        handle(.exited(name, process, status: status, isExpected: isExpected))
        if name == .mayor, !isExpected { lookForReturn() }
    }

    private func unwatch(_ name: ServiceName) {
        handles[name] = nil
        unwatchTimers(name)
    }

    private func unwatchTimers(_ name: ServiceName) {
        if let timer = timers.removeValue(forKey: name) { loop.cancel(timer) }
    }

    private func watchHealth(_ name: ServiceName) {
        switch name {
        case .dolt: watchDolt()
        case .daemon: watchHeartbeat()
        case .mayor: break
        }
    }

    // MARK: - Commands

    /// Runs a command of a service with the town as its folder; its output goes to the journal under the identifier.
    func run(
        _ name: ServiceName, _ program: String, _ arguments: [String], timeout: Duration, identifier: String,
        completion: @escaping (_ failure: String?) -> Void
    ) {
        do throws(SystemError) {
            var call: ProcessIdentity?
            let command = try Command.run(
                [program] + arguments, environment: place.environment, directory: place.root, timeout: timeout, on: loop
            ) { [self] result in
                if let call { calls.ended(call) }
                // Another one may run in its place by now.
                if commands[name]?.isRunning == false { commands[name] = nil }
                for bytes in [result.output, result.errors] {
                    for line in bytes.split(separator: 10).suffix(200) { owner.takeLine(identifier, line) }
                }
                let failure = Self.failure(of: arguments, result, tool: FilePath(program).lastName)
                // It may be dolt that is the reason.
                if failure != nil, name != .dolt { checkDolt() }
                completion(failure)
            }
            commands[name] = command
            call = command.identity
            calls.began(command.identity, arguments)
        } catch {
            completion("\(error)")
        }
    }

    /// Why a call failed, in the tool's own words; nil if it did not, as far as its exit code tells.
    static func failure(of arguments: [String], _ result: CommandResult, tool: [UInt8]) -> String? {
        guard !result.status.isSuccess || result.timedOut else { return nil }
        let call = "\(shownText(tool)) \(arguments.joined(separator: " "))"
        if result.timedOut { return "\(call): no answer in its time; it was ended" }
        // The last lines tell why; warnings stand before them.
        let errors = result.errors.isEmpty ? result.output : result.errors
        let words = errors.split(separator: 10).suffix(3).map { shownText($0.prefix(300)) }
        return "\(call): \(result.status)\(words.isEmpty ? "" : ": \(words.joined(separator: " / "))")"
    }

    private func endCommand(_ name: ServiceName, then next: @escaping () -> Void) {
        guard let command = commands.removeValue(forKey: name) else { return next() }
        command.end(then: next)
    }

    // MARK: - State

    private func persist() {
        mustPersist = false
        var snapshot = supervisor.snapshot.object ?? [:]
        if let readOnce { snapshot["daemon_read"] = readOnce.json }
        let bytes = JSONValue.object(snapshot).encoded() + [10]
        guard bytes != written, !isReadOnly else { return }
        do throws(SystemError) {
            try AtomicFile.replace(store.services, with: bytes, durable: false)
            written = bytes
            guard stateProblem != nil else { return }
            stateProblem = nil
            log.notice("the state of services can be written again")
            owner.onChange()
        } catch {
            mustPersist = true
            let problem = "state cannot be written: \(error)"
            if problem != stateProblem { log.error("\(problem)") }
            stateProblem = problem
            // One timer, however often it was tried meanwhile.
            guard persistTimer == nil else { return }
            persistTimer = loop.schedule(after: .seconds(1)) { [unowned self] in
                persistTimer = nil
                if mustPersist, !isEnding { persist() }
            }
        }
    }

    private func setAlarm() {
        if let alarm { loop.cancel(alarm) }
        alarm = nil
        let now = Timestamp.now
        guard let wake = supervisor.nextWake(after: now) else { return }
        alarm = loop.schedule(after: wake - now + .milliseconds(1)) { [unowned self] in
            alarm = nil
            handle(.woke)
        }
    }

    /// The processes that an earlier process of ours left, as far as they live.
    func leftover(_ name: ServiceName) -> ProcessIdentity? {
        Supervisor.processes(in: saved)[name].map(ProcessIdentity.init).flatMap {
            ProcessTable.isAlive($0) ? $0 : nil
        }
    }

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

    private func look(_ report: WatchReport) {
        switch report.spec {
        case Spec.heartbeat: heartbeatWritten()
        case Spec.daemonOutput, Spec.doltLog: readOutput(report.spec)
        case Spec.clients: if report.exists { clientWritten(report.path) }
        default: refreshObstacles()
        }
    }

    // MARK: - By hand

    /// Reports how a service stands as soon as it is up or will not be soon.
    func whenSettled(_ name: ServiceName, completion: @escaping (Result<JSONValue, ControlError>) -> Void) {
        waiters.append(Waiter(name: name, isUpWanted: true, reply: completion))
        answerWaiters()
    }

    /// Reports that a service is down, or that it will not be.
    func whenDown(_ name: ServiceName, completion: @escaping () -> Void) {
        waiters.append(Waiter(name: name, isUpWanted: false) { _ in completion() })
        answerWaiters()
    }

    /// `services start|stop|restart`: answered when it is done or cannot be.
    func request(
        _ name: String, _ wish: ServiceWish, reply: @escaping (Result<JSONValue, ControlError>) -> Void
    ) {
        guard let service = ServiceName(rawValue: name) else {
            let known = ServiceName.allCases.map(\.rawValue).joined(separator: ", ")
            return reply(
                .failure(
                    ControlError(
                        code: "not_found", message: "there is no service \(owner.redact(name)) (there are \(known))")))
        }
        guard supervisor.managed.contains(service) else {
            return reply(
                .failure(ControlError(code: "not_found", message: "\(name) is not managed (services.manage)")))
        }
        refreshObstacles()
        if wish == .restart, let why = supervisor.refusalOfRestart(service) {
            return reply(
                .failure(
                    ControlError(
                        code: "unavailable", message: "\(name) is left as it is, for it could not be started: \(why)")))
        }
        handle(.wanted(service, wish))
        waiters.append(Waiter(name: service, isUpWanted: wish != .stop, isByHand: true, reply: reply))
        answerWaiters()
    }

    private func answerWaiters() {
        guard !waiters.isEmpty, !isHandling else { return }
        let all = waiters
        waiters = []
        for waiter in all {
            guard let item = supervisor.item(waiter.name) else {
                waiter.reply(.failure(ControlError(code: "not_found", message: "it is not managed any more")))
                continue
            }
            if item.isWanted != waiter.isUpWanted {
                waiter.reply(.failure(ControlError(code: "busy", message: "something else was asked for meanwhile")))
                continue
            }
            switch item.state {
            case "starting", "stopping": waiters.append(waiter)
            case "down" where waiter.isUpWanted && supervisor.isOnItsWay(waiter.name): waiters.append(waiter)
            case "up" where waiter.isUpWanted, "down" where !waiter.isUpWanted:
                if waiter.isByHand, let stateProblem {
                    waiter.reply(.failure(.unsaved(stateProblem)))
                } else {
                    waiter.reply(.success(["ok": true, "service": StatusReport.ServiceItem(item).json]))
                }
            default:
                let why = item.detail.isEmpty ? "" : ": \(item.detail)"
                waiter.reply(
                    .failure(ControlError(code: "unavailable", message: "\(item.name.rawValue) is \(item.state)\(why)"))
                )
            }
        }
    }

    var items: [StatusReport.ServiceItem] { supervisor.items(at: Timestamp.now).map(StatusReport.ServiceItem.init) }
    var problem: String? { supervisor.problem(at: Timestamp.now) }
    var isSettled: Bool { supervisor.isSettled(at: Timestamp.now) }
}

extension ServiceProcess {
    init(_ identity: ProcessIdentity) { self.init(pid: identity.pid, startTime: identity.startTime) }
}

extension ProcessIdentity {
    init(_ process: ServiceProcess) { self.init(pid: process.pid, startTime: process.startTime) }
}

extension StatusReport.ServiceItem {
    init(_ item: ServiceItem) {
        self.init(
            name: item.name.rawValue, isWanted: item.isWanted, state: item.state, pid: item.pid,
            restarts: item.restarts, since: item.since, nextRetryAt: item.nextRetryAt, detail: item.detail)
    }
}
