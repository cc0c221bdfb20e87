// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import ControlAPI
import ControlServer
import Controller
import FileWatching
import GasTown
import JSON
import KeyPool
import LinuxSys
import LogFollowing
import Logging
import Secrets
import SystemPackage
import Timekeeping

extension Daemon {
    private enum Spec {
        static let config = "config"
        static let sessions = "sessions"
        static let probe = "probe"
        static let notes = "launches"
        static let town = "town"
        static let client = ["client-state", "client-settings"]
        static let socket = "socket"
    }

    func startWatching() {
        let watcher = FileWatcher(on: loop, budget: watchBudget, onTrouble: { [unowned self] in planTurnEnd() }) {
            [unowned self] reports in
            for report in reports { look(report) }
            planTurnEnd()
        }
        self.watcher = watcher
        reloader = Reloader(
            loop: loop, store: store, tmux: toolbox.tmux, environment: toolbox.environment,
            holdBack: { [unowned self] identity in holdText(identity) }
        ) { [unowned self] id, outcome in
            switch outcome {
            case .done: handle(.reloadPerformed(id: id, failure: nil))
            case .failed(let why): handle(.reloadPerformed(id: id, failure: why))
            case .putOff(let why): handle(.reloadPutOff(id: id, why: why))
            }
            finishIfStopping()
        }
        reloader?.recover(
            store.read(store.asides) { [log] in log.warning("\($0)") },
            mayRespawn: !Syscalls.exists(configuration.town.root.appending("ESTOP")) && !isTownAway)
        followed = FollowedFiles(
            saved: store.read(store.offsets) { [log] in log.warning("\($0)") }, on: loop
        ) { [unowned self] path, error in
            if let error {
                log.warning("a log cannot be read", metadata: ["path": "\(path.safe)", "error": "\(error)"])
            } else {
                log.notice("a log can be read again", metadata: ["path": "\(path.safe)"])
            }
            planTurnEnd()
        }
        watchClient()
        watchAccounts()
        watchTown()
        watchTools()
        if let path = options.configPath {
            configDigest = digest(of: path)
            _ = watcher.add(.file(path, id: Spec.config, purpose: "configuration"))
        }
        _ = watcher.add(.file(Probe.path(configuration.paths.runtime), id: Spec.probe, purpose: "probe"))
        _ = watcher.add(
            WatchSpec(
                id: Spec.notes, base: store.directory.appending("launches"), pattern: [.affix("", ".json")],
                purpose: "launchers' notes"))
    }

    func watchSocket(_ path: FilePath) { _ = watcher?.add(.file(path, id: Spec.socket, purpose: "control socket")) }

    func watchAccounts() {
        accounts?.close()
        let directory = configuration.accounts
        let accounts = AccountReader(
            directory: directory, on: loop, budget: watchBudget, onTrouble: { [unowned self] in planTurnEnd() }
        ) { [unowned self] name, path, outcome in
            switch outcome {
            case .mended: log.notice("a key file is in order again", metadata: ["path": "\(path.safe)"])
            case .read(let file, let digest):
                warnIfReadable(path)
                handle(.accountRead(name: name, path: path.safe, file: file, digest: digest))
            case .rejected(let error): handle(.accountRejected(name: name, path: path.safe, error: error))
            case .gone: handle(.accountGone(name: name))
            }
        }
        self.accounts = accounts
        accounts.start()
    }

    private func warnIfReadable(_ path: FilePath) {
        do throws(SystemError) {
            guard try Syscalls.status(of: path).mode & 0o077 != 0 else { return }
            log.warning("others can read this key file (chmod 600)", metadata: ["path": "\(path.safe)"])
        } catch {
            // It is gone again, which is told as what it is.
        }
    }

    func watchClient() {
        guard let watcher, let followed else { return }
        let client = ClientFiles(
            directory: configuration.agent.configDirectory,
            bypassesPermissions: configuration.agent.bypassesPermissions, hook: failureHook
        ) { [unowned self] problem in
            guard surroundings.clientProblem != problem else { return }
            surroundings.clientProblem = problem
            if let problem { log.error("\(problem)") }
        }
        self.client = client
        client.approve(controller.pool.sorted.map { $0.key.revealApproval() })
        transcripts?.close()
        transcripts = Transcripts(projects: client.projects, files: followed, watcher: watcher) {
            [unowned self] row, folder, conversation in
            handle(.transcript(row, folder: folder, conversation: conversation))
        }
        _ = watcher.add(.file(client.state, id: Spec.client[0], purpose: "the client's files"))
        _ = watcher.add(.file(client.settings, id: Spec.client[1], purpose: "the client's files"))
        for path in watcher.add(
            WatchSpec(
                id: Spec.sessions, base: client.sessions, pattern: [.affix("", ".json")],
                purpose: "the client's sessions"))
        {
            readSession(path)
        }
        followTranscripts(isAdopted: !isProbed)
    }

    /// What `agent.hooks` wants in the client's settings.
    private var failureHook: FailureHook? {
        guard configuration.agent.hasHooks else { return nil }
        return FailureHook(
            program: store.bin.appending("gasclawd").string,
            socket: ControlClient.socketPath(runtime: configuration.paths.runtime).string)
    }

    func watchTown() {
        guard let watcher else { return }
        let root = configuration.town.root
        locateTown()
        _ = watcher.add(.file(root.appending("mayor/town.json"), id: Spec.town, purpose: "town"))
        watchTownFiles()
    }

    private func locateTown() {
        holdTown()
        do throws(SystemError) {
            handle(.townLocated(shownText(try Syscalls.realPath(configuration.town.root).bytes)))
        } catch {
            // There is no town yet; it is looked for again when it appears.
        }
    }

    /// Follows the folders of the leases, but not before the keys are known: a row about an unknown key would count for
    /// nobody, and what it says of it could not be redacted.
    func followTranscripts(isAdopted: Bool) {
        guard controller.isStarted else { return }
        let folders = Dictionary(controller.leases.values.map { ($0.slug, $0.since) }) { min($0, $1) }
        transcripts?.follow(folders, isAdopted: isAdopted)
    }

    /// Follows the town's logs, but not before the keys are known: a line about an unknown key could not be redacted.
    func followLogs() {
        guard controller.isStarted, let watcher, let followed else { return }
        if logs == nil {
            logs = Logs(
                files: followed, watcher: watcher, on: loop,
                onMatch: { [unowned self] match in
                    handle(
                        .logLine(
                            LogSighting(
                                rule: match.rule, cause: match.cause.flatMap(Cause.init(rawValue:)), text: match.text,
                                time: match.arrived)))
                },
                onTownEvent: { [unowned self] line in
                    if let event = TownEvent.read(line) { handle(.townEvent(event)) }
                },
                onProblem: { [unowned self] path, problem in
                    log.error("\(problem)", metadata: ["path": "\(path.safe)"])
                    surroundings.ruleProblem = problem
                    emit(.watch("degraded", path: path.safe, detail: problem))
                })
        }
        logs?.follow(root: configuration.town.root, rules: configuration.logRules)
        if logs?.switchedOff.isEmpty == true { surroundings.ruleProblem = nil }
    }

    private func look(_ report: WatchReport) {
        switch report.spec {
        case Spec.config: planConfiguration()
        case Spec.sessions: if report.exists { readSession(report.path) }
        case Spec.probe: probeCameBack()
        case Spec.notes: if report.exists { adoptNote(report.path) }
        case Spec.town:
            locateTown()
            let wasAway = controller.holds.contains(.away)
            noteTown()
            if !wasAway, !isTownAway { handle(.townChanged(path: report.path.safe)) }
            if report.exists, bootstrap?.isRunning != true { startBootstrap() }
        case Spec.client[0], Spec.client[1]: client?.check()
        case Spec.socket: if !report.exists { restoreSocket() }
        case let spec where isOfTown(spec): lookAtTown(report)
        case let spec where isOfBootstrap(spec): lookAtBootstrap(report)
        default:
            if Transcripts.isOurs(report.spec) { transcripts?.changed(report.path) }
            if Logs.isOurs(report.spec) { logs?.changed(report.path, of: report.spec) }
        }
    }

    private func readSession(_ path: FilePath) {
        do throws(FileReadError) {
            let bytes = try RegularFile.read(path, limit: SessionFile.lengthMax).bytes
            guard let file = SessionFile.read(bytes, name: path.lastName) else { return }
            handle(.session(file))
            if isProbed { findUnmanaged(file) }
        } catch {
            // The client removes it when it ends; what it says is a help only.
        }
    }

    /// Looks for clients in the town that hold no key of ours.
    func findUnmanaged() {
        guard let sessions = client?.sessions, Syscalls.isDirectory(sessions) else { return }
        do throws(SystemError) {
            let folder = try Syscalls.open(sessions, flags: Syscalls.directory)
            for name in try Syscalls.names(inDirectory: folder.raw) where SessionFile.pid(ofName: name) != nil {
                readSession(sessions.entry(name))
            }
        } catch {
            // The folder is a help only, and it is watched: what comes is read.
        }
    }

    private func findUnmanaged(_ file: SessionFile) {
        guard let directory = file.directory, let status = ProcessTable.status(of: file.pid), status.isAlive else {
            return
        }
        let process = ProcessName(pid: status.identity.pid, startTime: status.identity.startTime)
        guard controller.leases[process] == nil else { return }
        let environment = LaunchEnvironment(ProcessTable.environment(of: file.pid) ?? [])
        let session = environment["GT_SESSION"].flatMap { $0.isEmpty ? nil : $0 } ?? "pid-\(file.pid)"
        handle(
            .unmanagedFound(
                UnmanagedAgent(
                    process: process, session: session,
                    identity: AgentIdentity(
                        role: environment["GT_ROLE"], rig: environment["GT_RIG"], session: session),
                    directory: directory, isBusy: file.isBusy, since: Timestamp.now,
                    hasOurMark: environment["GASCLAWD_LAUNCHER"] != nil)))
    }

    // MARK: - Configuration

    /// An editor may save in several steps: the file is read when it has been quiet for a moment.
    private func planConfiguration() {
        if let configTimer { loop.cancel(configTimer) }
        configTimer = loop.schedule(after: configuration.reload.settle) { [unowned self] in
            configTimer = nil
            loadConfiguration()
        }
    }

    private func digest(of path: FilePath) -> String? {
        do throws(FileReadError) { return SHA256.hex(try RegularFile.read(path, limit: 1 << 20).bytes) } catch {
            return nil
        }
    }

    /// Answers `gasclawd reload`, at once or when the agents are back.
    func reload(_ call: ControlCall, wait: Duration?) {
        let answer: ReloadAnswer
        switch reload() {
        case .failure(let refusal): return call.reply(refusal.reply)
        case .success(let value): answer = value
        }
        guard let wait, controller.hasPendingReloads else { return call.reply(.value(.object(answer.json))) }
        let serial = call.serial
        let timer = loop.schedule(after: wait) { [unowned self] in
            guard let waiter = reloadWaiters.removeValue(forKey: serial) else { return }
            waiter.call.reply(
                .failure(
                    ControlError(
                        code: "busy",
                        message: "not all agents are back after \(wait.brief) (gasclawd status shows them)")))
        }
        reloadWaiters[serial] = ReloadWaiter(call: call, answer: answer, timer: timer)
    }

    /// Answers those who wait for the agents, when all are back or are to be left as they are.
    func answerReloadWaiters() {
        guard !reloadWaiters.isEmpty, !controller.hasPendingReloads else { return }
        for waiter in reloadWaiters.values {
            loop.cancel(waiter.timer)
            waiter.call.reply(waiter.answer.reply(waiter.outcomes))
        }
        reloadWaiters = [:]
    }

    /// Keeps in mind what those who wait are to be told.
    func noteReload(_ event: Event) {
        let isFailure = event.type == "agent.reload.failed"
        guard !reloadWaiters.isEmpty, isFailure || event.type == "agent.reload.finished",
            let session = event["session"]?.string
        else { return }
        let why = isFailure ? event["detail"]?.string ?? "it failed" : nil
        for serial in reloadWaiters.keys { reloadWaiters[serial]?.outcomes.updateValue(why, forKey: session) }
    }

    /// What `gasclawd reload` is answered: the new generation and who is to be restarted, or why it was refused.
    @discardableResult
    func reload() -> Result<ReloadAnswer, ReloadRefusal> {
        report(
            notifier.send([.reloading(monotonicMicroseconds: EventLoop.now / 1000)]), of: "RELOADING")
        let before = controller.generation
        loadConfiguration()
        if surroundings.bootstrapProblem != nil || services?.problem != nil {
            // What was missing may be there by now.
            findTools()
            services?.refreshObstacles()
            startBootstrap()
        }
        report(notifier.send([.ready]), of: "READY")
        if controller.generation == before { log.notice("the configuration was read again: nothing has changed") }
        let status = status
        guard status.config.errors.isEmpty else {
            let error = ControlError(
                code: "refused", message: "the configuration is refused: \(status.config.errors.first ?? "")")
            return .failure(
                ReloadRefusal(
                    reply: .valueWithStatus(
                        [
                            "ok": false, "errors": .array(status.config.errors.map(JSONValue.string)),
                            "error": error.json["error"] ?? .null,
                        ], 422)))
        }
        return .success(
            ReloadAnswer(
                generation: status.generation,
                sessions: status.agents.filter { $0.pendingReload != nil }.map(\.session)))
    }

    /// Reads the configuration and puts it into force as a whole, or not at all.
    func loadConfiguration() {
        guard let path = options.configPath else { return }
        let new: Configuration
        let bytes: [UInt8]
        do throws(FileReadError) {
            bytes = try RegularFile.read(path, limit: 1 << 20).bytes
        } catch {
            return handle(.configurationRejected(path: path.shown, errors: ["\(path.shown): \(error)"]))
        }
        guard !bytes.isEmpty else {
            return handle(.configurationRejected(path: path.shown, errors: ["\(path.shown): the file is empty"]))
        }
        do throws(ConfigurationErrors) {
            new = try Configuration.load(bytes, path: path.shown, environment: options.environment)
        } catch {
            return handle(.configurationRejected(path: path.shown, errors: error.errors.map(\.description)))
        }
        guard new.paths == configuration.paths else {
            return handle(
                .configurationRejected(
                    path: path.shown, errors: ["\(path.shown): paths: a change needs a restart of gasclawd"]))
        }
        if new.town.root != configuration.town.root {
            // Another name of the same folder is the same town.
            let outcome = TownLock.take(new.town.root, having: townLock, bootstrap: store.bootstrapLock)
            if case .taken(let pid) = outcome {
                let refusal = TownLock.refusal(new.town.root, pid)
                return handle(
                    .configurationRejected(path: path.shown, errors: ["\(path.shown): town.root: \(refusal)"]))
            }
            if case .absent = outcome { townLock = nil }
            take(outcome, of: new.town.root)
        }
        apply(new, path)
    }

    private func apply(_ new: Configuration, _ path: FilePath) {
        let old = configuration
        configuration = new
        toolbox = Toolbox(new, bin: store.bin, own: options.environment, version: options.version)
        surroundings.isRootWithoutSandbox = isRootWithoutSandbox
        reloader?.tmux = toolbox.tmux
        configureAlerting()
        services?.reconfigure(managed: new.managedServices, place: ServicePlace(new, toolbox))
        if new.log != old.log { setLogLevel(new.log) }
        if new.accounts != old.accounts {
            // Keys of the old folder go, unless the new one has them: the grace covers the change.
            let given = [GivenKeys.credentialAccount, GivenKeys.environmentAccount]
            for name in controller.pool.accountNames where !given.contains(name) { handle(.accountGone(name: name)) }
            watchAccounts()
        }
        if new.agent.configDirectory != old.agent.configDirectory
            || new.agent.bypassesPermissions != old.agent.bypassesPermissions
            || new.agent.hasHooks != old.agent.hasHooks
        {
            watchClient()
        }
        if new.town.root != old.town.root { watchTown() }
        followLogs()
        if new.town != old.town { watchTools() }
        if new.agent != old.agent || new.town != old.town { makeLinks() }
        handle(
            .configured(
                Settings(new, store: store, program: toolbox.claude), path: path.shown, isChanged: new != old))
        if new.town != old.town || new.agent.name != old.agent.name || new.agent.command != old.agent.command {
            startBootstrap()
        }
    }
}
