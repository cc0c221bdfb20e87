// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import ControlAPI
import ControlServer
import Controller
import GasTown
import JSON
import LinuxSys
import Logging
import Supervision
import SystemPackage
import SystemdKit
import Timekeeping

extension ServicePlace {
    init(_ configuration: Configuration, _ toolbox: Toolbox) {
        self.init(
            files: TownFiles(configuration.town.root), toolbox: toolbox, agent: configuration.agent.name,
            clients: configuration.agent.configDirectory.appending("sessions"),
            doltPort: configuration.services.doltPort)
    }
}

extension Configuration {
    var managedServices: [ServiceName] { services.managed.compactMap { ServiceName(rawValue: $0.rawValue) } }
}

extension Daemon {
    /// While it starts or stops, systemd is told this often that it still does (EXTEND_TIMEOUT_USEC).
    private static let patienceInterval = Duration.seconds(5)

    func startServices() {
        do throws(SystemError) { try Orphans.adopt() } catch {
            log.warning("what services leave behind is not taken in", metadata: ["error": "\(error)"])
        }
        let services = Services(
            managed: configuration.managedServices, place: ServicePlace(configuration, toolbox), store: store,
            loop: loop, log: log, owner: owner, townMemory: townMemory)
        self.services = services
        askForPatience()
        isBootstrappedByOther = true
        whenNobodyBootstraps { [unowned self] in
            services.recall()
            services.clear { [unowned self] in
                isBootstrappedByOther = false
                startBootstrap()
                services.open()
                planTurnEnd()
            }
        }
    }

    /// Waits for the end of a `gasclawd bootstrap`, and keeps others from beginning.
    private func whenNobodyBootstraps(then next: @escaping () -> Void) {
        let isOurs = configuration.town.isBootstrapped
        // Also where we bring no town into being: the one that is there is not whole yet.
        let isTheirs = townHolder.map { $0.identity.pid == LockFile.holder(of: store.bootstrapLock) } ?? false
        guard isOurs || isTheirs, bootstrapLock == nil else { return next() }
        func again() { if !isStopping { whenNobodyBootstraps(then: next) } }
        do throws(SystemError) {
            bootstrapLock = try LockFile(store.bootstrapLock)
            if bootstrapLock != nil {
                // It had the town too.
                holdTown()
                if !isOurs { bootstrapLock = nil }
                return isStopping ? () : next()
            }
            if let holder = LockFile.holder(of: store.bootstrapLock).flatMap(ProcessTable.status(of:))?.identity {
                log.notice("gasclawd bootstrap runs already: it is waited for", metadata: ["pid": "\(holder.pid)"])
                otherBootstrap = try ProcessHandle(holder, on: loop) { [unowned self] in
                    otherBootstrap = nil
                    again()
                }
                if otherBootstrap != nil { return }
            }
            // It has not written who it is, or has just ended.
            loop.schedule(after: .milliseconds(200)) { again() }
        } catch {
            log.warning("nobody can be kept from a bootstrap beside ours", metadata: ["error": "\(error)"])
            next()
        }
    }

    private var owner: Services.Owner {
        Services.Owner(
            emit: { [unowned self] event in
                emit(event)
                // What failed without it may succeed now.
                if event.type == "service.up", event["name"]?.string == "dolt" { retryBootstrap() }
            }, onChange: { [unowned self] in planTurnEnd() },
            takeLine: { [unowned self] identifier, line in
                let text = controller.redactor.redact(bytes: line)
                if !text.isEmpty { options.writeChildLine(identifier, text) }
            },
            leasedMayor: { [unowned self] in
                controller.leases.values.first { $0.session == TownCommands.mayorSession && !$0.isNested }.map {
                    ProcessIdentity(pid: $0.process.pid, startTime: $0.process.startTime)
                }
            },
            isMayorReloading: { [unowned self] in controller.isBeingReloaded(TownCommands.mayorSession) },
            redact: { [unowned self] in controller.redactor.redact($0) })
    }

    /// Brings the town into being, as far as it is not; what fails is said, and keys are looked after all the same.
    func startBootstrap() {
        guard configuration.town.isBootstrapped, !isStopping, !isBootstrappedByOther else { return }
        guard bootstrap?.isRunning != true else {
            isBootstrapDue = true
            return
        }
        isBootstrapDue = false
        cancelBootstrap()
        whenNobodyBootstraps { [unowned self] in beginBootstrap() }
    }

    private func beginBootstrap() {
        guard let services, bootstrap?.isRunning != true else { return }
        let bootstrap = Bootstrap(
            services: services, configuration: configuration, mode: .supervised,
            helpers: Bootstrap.Helpers(
                accounts: options.givenKeys.toWrite.isEmpty ? { (.skipped, "no variable gives a key") } : nil,
                claude: { [unowned self] in
                    surroundings.clientProblem.map { (.failed, $0) }
                        ?? (.skipped, "\(configuration.agent.configDirectory.shown) is kept in order")
                },
                holdTown: { [unowned self] in holdNewTown() }),
            onStep: { [unowned self] step in
                // What we wrote ourselves is read when we are done.
                if step.name == "register", step.result != .skipped { readTown([.settings], .registration) }
                emit(.bootstrapStep(step.name, result: step.result.rawValue, took: step.took, detail: step.detail))
            },
            completion: { [unowned self] failure in
                surroundings.bootstrapProblem = failure
                bootstrapLock = nil
                planBootstrap()
                planTurnEnd()
                if isBootstrapDue { startBootstrap() }
            })
        self.bootstrap = bootstrap
        bootstrap.run()
    }

    private func askForPatience() {
        guard surroundings.isStarting || isStopping else { return }
        report(notifier.send([.extendTimeout(Self.patienceInterval * 4)]), of: "EXTEND_TIMEOUT_USEC")
        loop.schedule(after: Self.patienceInterval) { [unowned self] in askForPatience() }
    }

    /// Ready is said when it is true: the way from kernel to loop works, and what is wanted is up or known not to be.
    func becomeReady() {
        guard surroundings.isStarting, isProbed, !isStopping, bootstrap?.isRunning != true,
            !isBootstrappedByOther,
            services?.isSettled != false
        else { return }
        surroundings.isStarting = false
        let status = status
        lastDetail = status.detail
        report(notifier.send([.ready, .status(status.detail)]), of: "READY")
        planListing()
    }

    /// A status line while it starts: who is waited for.
    func publishStart(_ report: StatusReport) {
        let line = "starting: \(report.detail)"
        guard line != lastDetail else { return }
        lastDetail = line
        self.report(notifier.send([.status(line)]), of: "STATUS")
    }

    func serveService(_ name: String, _ wish: String, _ call: ControlCall) {
        guard let services, let wish = ServiceWish(rawValue: wish), !isStopping else {
            return call.reply(.failure(ControlError(code: "stopping", message: "gasclawd is stopping")))
        }
        services.request(name, wish) { result in
            switch result {
            case .success(let value): call.reply(.value(value))
            case .failure(let error): call.reply(.failure(error))
            }
        }
    }

    /// What a service writes itself at its start it has written so soon after it was up.
    private static let settlingTime = Duration.seconds(5)

    /// Starts a service anew that has read a file for the last time.
    func restartService(_ name: String, changed path: String, mayBeItsOwn: Bool) {
        guard let services, let service = ServiceName(rawValue: name),
            let item = services.supervisor.item(service), item.isWanted
        else { return }
        // One that is on its way up may have read it, too.
        let starting =
            services.attempts[service] == nil ? nil : services.daemonChild.map { ServiceProcess($0.identity) }
        guard let process = services.supervisor.process(of: service) ?? starting else { return }
        guard services.supervisor.isUp(service) || process == starting else { return }
        let file = configuration.town.root.appending(path)
        if mayBeItsOwn, isOlder(file, than: item.since + Self.settlingTime) { return }
        if let readOnce = services.readOnce, readOnce.process == process {
            if readOnce.isCurrent(path, in: configuration.town.root) { return }
        } else if let started = ProcessTable.startedAt(ProcessIdentity(process)),
            isOlder(file, than: started)
        {
            return
        }
        if let why = services.supervisor.refusalOfRestart(service) {
            return log.warning("\(path) has changed, and \(name) is not restarted for it: \(why)")
        }
        log.notice("\(name) is restarted: \(path) has changed, and it reads it only once")
        // Not from inside the decision that asked for it.
        loop.atEndOfTurn { services.handle(.wanted(service, .restart)) }
    }

    /// A change that we learn of late: whoever was started after it has read it. The time of modification says nothing,
    /// for a file that is moved here keeps it.
    private func isOlder(_ path: FilePath, than start: Timestamp) -> Bool {
        do throws(SystemError) {
            let file = try Syscalls.status(of: path)
            let link = try Syscalls.status(of: path, followingLinks: false)
            return Timestamp(microseconds: max(file.changed, link.changed) / 1000) <= start
        } catch {
            return false
        }
    }

    /// Ends the whole town, then us.
    func endTown(group: ControlGroup?, completion: @escaping (_ problems: [String]) -> Void) {
        guard let services else { return completion([]) }
        askForPatience()
        services.halt { [self] in
            TownStop(services, group: group, endsOrphans: true, log: log, limit: stopTimeLeft).run { problems in
                services.forget()
                completion(problems)
            }
        }
    }
}
