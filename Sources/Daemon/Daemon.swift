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

/// Somebody who asked for a reload and waits until the agents are back.
struct ReloadWaiter {
    let call: ControlCall
    let answer: ReloadAnswer
    let timer: EventLoop.Timer
    /// What came of the agents that were started anew meanwhile: nil, or why the last attempt failed.
    var outcomes: [String: String?] = [:]
}

/// Performs: the event loop, the watches, the commands, the control server. What it does is decided by the controller.
///
/// It belongs to the loop's thread and is not `Sendable`; the control server's thread and others hand messages over
/// through the mailbox.
public final class Daemon {
    let options: DaemonOptions
    var configuration: Configuration
    let store: StateStore
    let townMemory: TownMemory
    /// The town was away when its files were to be read first.
    var isTownUnread = false
    /// The links that a package brought, where we are behind them.
    let installedLinks: Links.Installed?
    let loop: EventLoop
    let log: Logger
    let bootID: String
    let startedAt = Timestamp.now
    var controller: Controller
    var history: EventHistory
    var metrics: Metrics
    var ring: EventRing?
    var surroundings: Surroundings
    var toolbox: Toolbox

    let notifier = Notifier()
    private var signals: SignalReceiver?
    var lock: LockFile?
    private var stateLock: LockFile?
    var townLock: FolderLock?
    /// Whoever has it and is waited for.
    var townHolder: ProcessHandle?
    /// Said once.
    var townWarning: String?
    private var alarm: WallAlarm?
    private var clock = ClockWatch()
    var mailbox: Mailbox<ControlEvent>?
    var server: ControlServer?
    /// The folder through which the server's socket was bound: its name is valid as long as this is open.
    var serverDirectory: Descriptor?
    var accounts: AccountReader?
    /// What both instances may watch together.
    let watchBudget = WatchBudget()
    var watcher: FileWatcher?
    var followed: FollowedFiles?
    var transcripts: Transcripts?
    var logs: Logs?
    var client: ClientFiles?
    var reloader: Reloader?
    var alerting: Alerting?
    var incidents: IncidentFiling?
    var services: Services?
    var bootstrap: Bootstrap?
    /// Something has changed while it ran: it runs once more.
    var isBootstrapDue = false
    var bootstrapDelay = RetryDelay()
    var bootstrapTimer: EventLoop.Timer?
    /// Whoever has what the bootstrap needs.
    var bootstrapHolder: ProcessHandle?
    var toolsTimer: EventLoop.Timer?
    var listingTimer: EventLoop.Timer?
    /// The first proof that the way from kernel to loop works came back.
    var isProbed = false
    /// Who has asked for the end of the town.
    var stopCall: ControlCall?

    private var processes: [ProcessName: ProcessHandle] = [:]
    private var tmuxServers: [ProcessIdentity: ProcessHandle] = [:]
    var calls: [UInt64: ControlCall] = [:]
    var reloadWaiters: [UInt64: ReloadWaiter] = [:]
    var inbox: [Input] = []
    private var isHandling = false
    var mustPersist = false
    /// The client does not know all keys yet.
    private var isApprovalDue = false
    /// `launch.json` is behind.
    var isLaunchFileDue = false
    var isTurnEndPlanned = false
    var offsetsTimer: EventLoop.Timer?
    /// Set while the state file cannot be written.
    var persistTimer: EventLoop.Timer?
    /// What of the town is to be read when it has been quiet for a moment.
    var dueTownFiles: Set<TownFile> = []
    var townTimer: EventLoop.Timer?
    /// The rigs whose files are watched.
    var watchedRigs: Set<String> = []
    var configTimer: EventLoop.Timer?
    var configDigest: String?
    var probe = Probe()
    var lastState: StatusReport.State?
    var lastDetail = ""
    var lastPolled: [PolledPath] = []
    var lastOverflows: [FilePath: Int] = [:]
    private var exitCode: Int32 = 0
    var isStopping = false
    private var isEmptying = false
    /// Ours while our bootstrap runs.
    var bootstrapLock: LockFile?
    /// A `gasclawd bootstrap` that is waited for.
    var otherBootstrap: ProcessHandle?
    /// Services wait for it.
    var isBootstrappedByOther = false
    /// When the end began, in the loop's time.
    private var stopBegan: Int64 = 0
    /// Alerts on their way are waited for.
    private var isSayingGoodbye = false
    private var endsTown = false

    /// Once a minute what no event tells of is looked for (contract H). The only timer that looks at watched files.
    private static let auditInterval = Duration.seconds(60)
    /// Offsets are saved no more often than this; after a crash what lies between is read again.
    static let offsetsInterval = Duration.seconds(1)

    /// Opens state and loop; nothing runs yet.
    public init(_ options: DaemonOptions, log: Logger) throws(DaemonFailure) {
        self.options = options
        self.log = log
        configuration = options.configuration
        installedLinks = Self.installedLinks(home: options.environment.variables["HOME"], log: log)
        store = StateStore(directory: configuration.paths.state, bin: installedLinks?.bin)
        townMemory = TownMemory(store, log: log)
        // Each agent costs a few descriptors; 1,024 is what select(2) can count, and nothing here uses that.
        ResourceLimits.raiseOpenFiles(to: 16_384)
        // Our memory holds the keys.
        CurrentProcess.setDumpable(false)
        SignalReceiver.ignoreBrokenPipes()
        do throws(SystemError) {
            loop = try EventLoop()
            try Syscalls.makeDirectories(configuration.paths.runtime)
            let lockPath = LockFile.path(runtime: configuration.paths.runtime)
            guard let lock = try LockFile(lockPath) else {
                throw Self.held(lockPath, configuration.paths.runtime)
            }
            self.lock = lock
            do throws(SystemError) {
                try store.open()
                // Two daemons with one state would undo each other's leases.
                let statePath = configuration.paths.state.appending("state.lock")
                guard let stateLock = try LockFile(statePath) else {
                    throw Self.held(statePath, configuration.paths.state)
                }
                self.stateLock = stateLock
            } catch {
                // What is there can be read, and agents need keys also while nothing can be kept.
                guard Self.isUnwritable(error), Syscalls.isDirectory(configuration.paths.state) else { throw error }
                log.error("the state directory cannot be written", metadata: ["error": "\(error)"])
            }
        } catch {
            if error.call == "lock" {
                throw DaemonFailure(
                    code: 75,
                    message: "run: gasclawd is running already: \(error.subject) (gasclawd status shows it)")
            }
            throw DaemonFailure(
                code: 1, message: "run: \(error) (paths.state and paths.runtime must be folders that we can write)")
        }
        // What else may come of it is looked at when all is open.
        switch TownLock.take(configuration.town.root, bootstrap: store.bootstrapLock) {
        case .held(let lock): townLock = lock
        case .taken(let pid):
            throw DaemonFailure(code: 75, message: "run: \(TownLock.refusal(configuration.town.root, pid))")
        case .absent, .unlockable, .stranger, .bootstrapping, .daemons: break
        }
        bootID = Self.newBootID()
        history = EventHistory(bootID: bootID)
        metrics = Metrics(startedAt: startedAt)
        surroundings = Surroundings(
            version: options.version, bootID: bootID, pid: CurrentProcess.pid, startedAt: startedAt)
        toolbox = Toolbox(configuration, bin: store.bin, own: options.environment, version: options.version)
        let log = log
        let saved = store.read(store.keys, isUnderstood: StateStore.isKeys) { log.warning("\($0)") }
        controller = Controller(
            settings: Settings(configuration, store: store, program: toolbox.claude),
            configPath: options.configPath?.string, state: saved, at: startedAt,
            seed: Self.newSeed())
        var ended: [Lease] = []
        for lease in saved.map(Controller.leases) ?? [] {
            if Self.isAlive(lease.process) {
                controller.adopt(lease)
            } else {
                controller.adoptEnded(lease, at: startedAt)
                ended.append(lease)
            }
        }
        for lease in LostServers.agents(among: ended, root: configuration.town.root) {
            controller.adoptLost(lease, at: startedAt)
        }
    }

    static func installedLinks(home: String?, log: Logger) -> Links.Installed? {
        do throws(SystemError) {
            return try Links.installed(executable: CurrentProcess.executable(), home: home)
        } catch {
            log.warning("the installed links are not used", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Whether a disk is read-only, full, or somebody else's.
    private static func isUnwritable(_ error: SystemError) -> Bool {
        [.readOnlyFileSystem, .noSpace, .permissionDenied, .notPermitted].contains(error.errno)
    }

    private static func held(_ lock: FilePath, _ directory: FilePath) -> SystemError {
        let holder = LockFile.holder(of: lock).map { "pid \($0)" } ?? "another process"
        return SystemError(call: "lock", subject: "\(holder) holds \(directory.shown)", errno: .resourceBusy)
    }

    /// Runs until a signal ends it.
    ///
    /// - Returns: The exit code.
    public func run() throws(DaemonFailure) -> Int32 {
        do throws(SystemError) {
            // Before the first thread is started, so that all inherit the mask.
            signals = try SignalReceiver([SIGTERM, SIGINT, SIGHUP, SIGCHLD], on: loop) { [unowned self] signal in
                switch signal {
                case SIGHUP: reload()
                // At the end of the turn: whoever holds the process by pidfd reads its status before.
                case SIGCHLD: loop.atEndOfTurn { Orphans.reap() }
                default: stop("signal \(signal)")
                }
            }
            alarm = try WallAlarm(on: loop) { [unowned self] in handle(.woke) }
            mailbox = try Mailbox(on: loop) { [unowned self] event in take(event) }
        } catch {
            throw DaemonFailure(code: 70, message: "run: \(error)")
        }
        openRing()
        makeLinks()
        placeGivenKeys()
        startAlerting()
        startWatching()
        adoptNotes()
        findLegacy()
        handle(.started)
        followLogs()
        followed?.readAll()
        try startServer()
        startServices()
        lookForTools()
        startLiveness()
        loop.schedule(after: Self.auditInterval) { [unowned self] in audit() }
        do throws(SystemError) { try loop.run() } catch {
            throw DaemonFailure(code: 70, message: "run: \(error)")
        }
        return exitCode
    }

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
    func emit(_ event: Event) {
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
    private func saved(_ result: Result<JSONValue, ControlError>) -> Result<JSONValue, ControlError> {
        guard mustPersist, case .success = result else { return result }
        return .failure(.unsaved(surroundings.stateProblem ?? "state cannot be written"))
    }

    private func answer(_ token: ReplyToken, _ result: Result<JSONValue, ControlError>) {
        guard let call = calls.removeValue(forKey: token.serial) else { return }
        switch result {
        case .success(let value): call.reply(.value(value))
        case .failure(let error): call.reply(.failure(error))
        }
    }

    private func watch(_ process: ProcessName) {
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
    private func watchServer(of agent: Int32) {
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

    // MARK: - The end

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
    private func end() {
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

    private func endTown(_ group: ControlGroup?) {
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

    private func audit() {
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

    private static func newSeed() -> UInt64 {
        var random = SystemRandomNumberGenerator()
        return UInt64.random(in: .min ... .max, using: &random)
    }

    private static func newBootID() -> String {
        var random = SystemRandomNumberGenerator()
        let bytes = (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        return bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

extension LockFile {
    /// Whoever holds it serves the runtime directory.
    static func path(runtime: FilePath) -> FilePath { runtime.appending("gasclawd.lock") }
}
