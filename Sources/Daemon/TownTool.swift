// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import ControlAPI
import Controller
import GasTown
import Glibc
import LinuxSys
import Logging
import Secrets
import Supervision
import SystemPackage
import Timekeeping

/// What can be done to a town without a daemon: bring it into being, and end it.
public final class TownTool {
    private let configuration: Configuration
    private let store: StateStore
    private let loop: EventLoop
    private let services: Services
    private var signals: SignalReceiver?
    private var onSignal: () -> Void = {}
    private var bootstrap: Bootstrap?
    private let isReadOnly: Bool
    private var townLock: FolderLock?
    /// Said once.
    private var townWarning: String?
    /// Somebody else came first.
    private var refusal: DaemonFailure?
    private let given: GivenKeys
    private var controller: Controller
    private let installedLinks: Links.Installed?
    private let toolbox: Toolbox

    /// - Parameters:
    ///   - configuration: Whose town it is.
    ///   - environment: Ours, as the configuration sees it.
    ///   - given: Keys that came in variables or as a credential.
    ///   - isReadOnly: Nothing is changed.
    ///   - log: For what goes wrong beside the steps.
    public init(
        _ configuration: Configuration, environment: ConfigurationEnvironment, given: GivenKeys = .none,
        isReadOnly: Bool = false, log: Logger
    ) throws(DaemonFailure) {
        self.configuration = configuration
        self.isReadOnly = isReadOnly
        self.given = given
        for problem in given.problems { log.warning("\(problem)") }
        installedLinks = Daemon.installedLinks(home: environment.variables["HOME"], log: log)
        store = StateStore(directory: configuration.paths.state, bin: installedLinks?.bin)
        do throws(SystemError) {
            loop = try EventLoop()
            if !isReadOnly { try store.open() }
        } catch {
            throw DaemonFailure(code: 1, message: "\(error) (paths.state must be a folder that we can write)")
        }
        toolbox = Toolbox(configuration, bin: store.bin, own: environment, version: "")
        controller = OfflineKeys.controller(configuration, store: store, program: toolbox.claude, at: Timestamp.now)
        let redactor = Redactor(keys: controller.pool.sorted.map(\.key) + given.toWrite)
        let place = ServicePlace(configuration, toolbox)
        services = Services(
            managed: configuration.managedServices, place: place, store: store, loop: loop, log: log,
            owner: Services.Owner(
                emit: { _ in }, onChange: {}, takeLine: { _, _ in }, leasedMayor: { nil }, isMayorReloading: { false },
                redact: { redactor.redact($0) }), isReadOnly: isReadOnly)
        do throws(SystemError) {
            signals = try SignalReceiver([SIGTERM, SIGINT, SIGHUP], on: loop) { [unowned self] _ in onSignal() }
        } catch {
            throw DaemonFailure(code: 70, message: "\(error)")
        }
    }

    /// Runs the bootstrap's steps.
    ///
    /// - Parameters:
    ///   - isDry: Each step only says what it would do.
    ///   - hasDaemon: A daemon runs, which has the services.
    ///   - onBegin: Called when a step begins.
    ///   - onStep: Called when it is done.
    /// - Returns: Why it failed; nil: all is as it should be.
    public func bootstrap(
        isDry: Bool, hasDaemon: Bool, onBegin: @escaping (String) -> Void, onStep: @escaping (BootstrapStep) -> Void
    ) throws(DaemonFailure) -> String? {
        let lock: LockFile?
        do throws(SystemError) {
            lock = isDry ? nil : try LockFile(store.bootstrapLock)
        } catch {
            throw DaemonFailure(code: 1, message: "bootstrap: \(error)")
        }
        if !isDry, lock == nil {
            throw DaemonFailure(code: 75, message: "bootstrap: another one is running (wait for it)")
        }
        // Beside a daemon of ours the town is its.
        if !isDry, !hasDaemon {
            let outcome = TownLock.take(configuration.town.root)
            if let refusal = note(outcome, "bootstrap: ") { throw refusal }
        }
        var failure: String?
        let bootstrap = Bootstrap(
            services: services, configuration: configuration, mode: isDry ? .dry : hasDaemon ? .beside : .alone,
            helpers: Bootstrap.Helpers(
                accounts: { [self] in accounts() }, claude: { [self] in client(isDry: isDry) },
                holdTown: { [self] in holdNewTown() }),
            onBegin: onBegin, onStep: onStep
        ) { [self] outcome in
            failure = outcome
            services.release()
            // What a failure took back is wanted again at the next time.
            if outcome != nil, !isDry, !hasDaemon { services.forget() }
            loop.stop()
        }
        self.bootstrap = bootstrap
        onSignal = { bootstrap.interrupt("interrupted") }
        services.clear { [self] in
            if isDry || hasDaemon { services.look { bootstrap.run() } } else { services.openGated { bootstrap.run() } }
        }
        try turn()
        // In this order: whoever gets the bootstrap's lock wants the town's.
        townLock = nil
        withExtendedLifetime(lock) {}
        if let refusal { throw refusal }
        return failure
    }

    /// Before the town is made.
    private func holdNewTown() -> TownLock.Outcome {
        let outcome = TownLock.takeNew(configuration.town.root, having: townLock)
        // A daemon of ours that has the town asks for no more than that we do it.
        if case .taken(let pid?) = outcome, pid == daemon { return .daemons }
        refusal = note(outcome, "bootstrap: ")
        return outcome
    }

    /// Keeps what came of an attempt to lock the town, and says what is to be said.
    ///
    /// - Returns: Exit 75, if somebody else looks after it.
    private func note(_ outcome: TownLock.Outcome, _ lead: String) -> DaemonFailure? {
        let root = configuration.town.root
        if case .held(let lock) = outcome { townLock = lock }
        if let warning = TownLock.warning(outcome, root), warning != townWarning {
            townWarning = warning
            services.log.warning("\(warning)")
        }
        guard case .taken(let pid) = outcome else { return nil }
        return DaemonFailure(code: 75, message: lead + TownLock.refusal(root, pid))
    }

    /// The daemon that serves our runtime directory.
    private var daemon: Int32? {
        do throws(FileReadError) {
            return try Holders.lockHolder(LockFile.path(runtime: configuration.paths.runtime))
        } catch { return nil }
    }

    /// Ends the town: the gt daemon, every session, tmux, dolt.
    ///
    /// - Parameter onStep: Called for each, with what could not be ended.
    /// - Returns: What could not be ended.
    public func stop(onStep: @escaping (_ what: String, _ problem: String?) -> Void) throws(DaemonFailure) -> [String] {
        // A daemon with other folders would start all of it again. Nobody else keeps a town from being ended.
        let outcome = TownLock.take(configuration.town.root)
        let refusal = note(outcome, "")
        if case .taken(let pid) = outcome, pid.map(TownLock.isGasclawd) ?? true, let refusal { throw refusal }
        defer { townLock = nil }
        var problems: [String] = []
        // Also a Ctrl-C must not leave half a town.
        onSignal = {}
        // In the loop: what is done at once must not stop it before it runs.
        loop.atEndOfTurn { [self] in
            services.clear { [self] in
                services.look { [self] in
                    services.halt()
                    TownStop(services, group: nil, endsOrphans: false, log: services.log, onStep: onStep).run {
                        [self] found in
                        problems = found
                        services.forget()
                        loop.stop()
                    }
                }
            }
        }
        try turn()
        return problems
    }

    private func turn() throws(DaemonFailure) {
        do throws(SystemError) { try loop.run() } catch {
            throw DaemonFailure(code: 70, message: "\(error)")
        }
    }

    // MARK: - Steps that are not gt's

    private func accounts() -> (BootstrapStep.Result, String) {
        guard !isReadOnly else {
            return given.toWrite.isEmpty
                ? (.skipped, "no variable gives a key") : (.would, "write keys of variables that no account has yet")
        }
        let folder = AccountFolder(directory: configuration.accounts, baseURL: configuration.agent.baseURL)
        let outcome = given.write(to: folder)
        controller = OfflineKeys.controller(configuration, store: store, program: toolbox.claude, at: Timestamp.now)
        return (BootstrapStep.Result(rawValue: outcome.result) ?? .failed, outcome.detail)
    }

    /// Claude Code's own files, and the links through which agents start.
    private func client(isDry: Bool) -> (BootstrapStep.Result, String) {
        let approvals = controller.pool.sorted.map { $0.key.revealApproval() }
        var problem: String?
        let files = ClientFiles(
            directory: configuration.agent.configDirectory,
            bypassesPermissions: configuration.agent.bypassesPermissions
        ) { problem = $0 }
        // The mayor is started from here, with no daemon that would take its folder's question away.
        let root = Self.canonical(configuration.town.root)
        let trusted = [root, root.appending("mayor")].map { shownText($0.bytes) }
        let isComplete = files.isComplete(for: approvals, trusted: trusted)
        let place = configuration.agent.configDirectory.shown
        if isDry { return isComplete ? (.skipped, "\(place) is in order") : (.would, "write \(place)") }
        do throws(SystemError) {
            try makeLinks()
            try writeLaunchValues()
        } catch {
            return (.failed, "what agents start by cannot be made: \(error)")
        }
        if isComplete { return (.skipped, "\(place) is in order") }
        for folder in trusted { files.trust(folder) }
        files.approve(approvals)
        return problem.map { (.failed, $0) } ?? (.done, "\(place) is in order")
    }

    /// With links followed, as far as the path exists.
    private static func canonical(_ path: FilePath) -> FilePath {
        do throws(SystemError) { return try Syscalls.realPath(path) } catch {
            guard path != "/", let name = path.lastComponent else { return path }
            return canonical(path.removingLastComponent()).appending(name)
        }
    }

    private func makeLinks() throws(SystemError) {
        let launcher = LauncherFile(
            socket: ControlClient.socketPath(runtime: configuration.paths.runtime), state: store.directory,
            program: toolbox.claude)
        // A package's links are there already; what they lead to is the daemon's to say.
        if installedLinks != nil { return }
        try Links.make(bin: store.bin, launcher: launcher.json, at: LauncherFile.path(bin: store.bin))
    }

    /// An agent that starts while no daemon answers takes its key from here.
    private func writeLaunchValues() throws(SystemError) {
        let path = LauncherFile.fallback(state: store.directory)
        guard let values = controller.launchValues?.json, ServicePlace.read(path) != values.encoded() + [10] else {
            return
        }
        try store.write(values, to: path)
    }
}
