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
    var place: ServicePlace
    private(set) var supervisor: Supervisor
    private var saved: JSONValue?
    let isReadOnly: Bool
    var watcher: FileWatcher?
    var alarm: EventLoop.Timer?
    private var written: [UInt8]?
    var mustPersist = false
    var persistTimer: EventLoop.Timer?
    /// Why what has to survive a restart is not on disk; nil: it is.
    private(set) var stateProblem: String?
    /// What the bootstrap has to say about a service's start.
    var gates: [ServiceName: Obstacle] = [:]
    var waiters: [Waiter] = []
    /// The town is being ended: nothing is started any more.
    var isEnding = false
    let calls: RunningCalls
    private var inbox: [ServiceInput] = []
    var isHandling = false
    private var clock = ClockWatch()

    /// Attempts that are going on, and the commands of theirs and of stops.
    var attempts: [ServiceName: UInt64] = [:]
    var commands: [ServiceName: Command] = [:]
    var handles: [ServiceName: ProcessHandle] = [:]
    /// Others who have what a service needs.
    var holders: [ServiceName: ProcessHandle] = [:]
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
    struct Waiter {
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

    func start(_ name: ServiceName, _ attempt: UInt64) {
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

    func stop(_ name: ServiceName, _ process: ServiceProcess?) {
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

    func stopped(_ name: ServiceName, _ problem: String?) {
        unwatch(name)
        if let problem { log.warning("\(name.rawValue): \(problem)") }
        handle(.stopped(name, problem: problem.map(owner.redact)))
    }

    // MARK: - State

    func persist() {
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
}
