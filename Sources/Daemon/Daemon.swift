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
    var stateLock: LockFile?
    var townLock: FolderLock?
    /// Whoever has it and is waited for.
    var townHolder: ProcessHandle?
    /// Said once.
    var townWarning: String?
    var alarm: WallAlarm?
    var clock = ClockWatch()
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

    var processes: [ProcessName: ProcessHandle] = [:]
    var tmuxServers: [ProcessIdentity: ProcessHandle] = [:]
    var calls: [UInt64: ControlCall] = [:]
    var reloadWaiters: [UInt64: ReloadWaiter] = [:]
    var inbox: [Input] = []
    var isHandling = false
    var mustPersist = false
    /// The client does not know all keys yet.
    var isApprovalDue = false
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
    var exitCode: Int32 = 0
    var isStopping = false
    var isEmptying = false
    /// Ours while our bootstrap runs.
    var bootstrapLock: LockFile?
    /// A `gasclawd bootstrap` that is waited for.
    var otherBootstrap: ProcessHandle?
    /// Services wait for it.
    var isBootstrappedByOther = false
    /// When the end began, in the loop's time.
    var stopBegan: Int64 = 0
    /// Alerts on their way are waited for.
    var isSayingGoodbye = false
    var endsTown = false

    /// Once a minute what no event tells of is looked for (contract H). The only timer that looks at watched files.
    static let auditInterval = Duration.seconds(60)
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

    static func held(_ lock: FilePath, _ directory: FilePath) -> SystemError {
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
}

extension LockFile {
    /// Whoever holds it serves the runtime directory.
    static func path(runtime: FilePath) -> FilePath { runtime.appending("gasclawd.lock") }
}
