// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Controller
import FileWatching
import LinuxSys
import Logging
import Supervision
import SystemPackage
import Timekeeping

/// A bootstrap that failed is tried again: when what was missing is there, and else after a while.
extension Daemon {
    private static let toolSpec = "tool/"
    private static let sourceSpec = "rig-source/"
    /// A program is written and then made executable.
    private static let settleTime = Duration.milliseconds(200)

    /// Plans the next try, or none if all is as it is to be.
    func planBootstrap() {
        cancelBootstrap()
        watchSources()
        guard surroundings.bootstrapProblem != nil, !isStopping else { return bootstrapDelay.reset() }
        var random = SystemRandomNumberGenerator()
        let wait = bootstrapDelay.next(using: &random)
        surroundings.bootstrapRetryAt = Timestamp.now + wait
        bootstrapTimer = loop.schedule(after: wait) { [unowned self] in
            bootstrapTimer = nil
            retryBootstrap()
        }
        guard let holder = bootstrap?.holder else { return }
        do throws(SystemError) {
            bootstrapHolder = try ProcessHandle(holder, on: loop) { [unowned self] in retryBootstrap() }
        } catch {
            log.debug("the end of pid \(holder.pid) cannot be seen", metadata: ["error": "\(error)"])
        }
    }

    /// Takes back what ``planBootstrap()`` planned.
    func cancelBootstrap() {
        if let bootstrapTimer { loop.cancel(bootstrapTimer) }
        bootstrapTimer = nil
        bootstrapHolder = nil
        surroundings.bootstrapRetryAt = nil
    }

    /// Something that it may have lacked is there.
    func retryBootstrap() {
        guard surroundings.bootstrapProblem != nil, !isStopping, bootstrap?.isRunning != true else { return }
        // Not from inside what tells of it.
        loop.atEndOfTurn { [unowned self] in
            guard surroundings.bootstrapProblem != nil, !isStopping, bootstrap?.isRunning != true else { return }
            findTools()
            startBootstrap()
        }
    }

    // MARK: - What may come

    func isOfBootstrap(_ spec: String) -> Bool { spec.hasPrefix(Self.toolSpec) || spec.hasPrefix(Self.sourceSpec) }

    func lookAtBootstrap(_ report: WatchReport) {
        guard report.exists, toolsTimer == nil else { return }
        toolsTimer = loop.schedule(after: Self.settleTime) { [unowned self] in
            toolsTimer = nil
            findTools()
            retryBootstrap()
        }
    }

    /// The folders of programs that are missing are watched until they are there.
    func watchTools() {
        guard let watcher else { return }
        for (name, found) in [
            ("gt", toolbox.gt), ("dolt", toolbox.dolt), ("tmux", toolbox.tmux), ("claude", toolbox.claude),
        ] {
            for folder in Set(toolbox.folders) where folder.hasPrefix("/") {
                let path = FilePath(folder).appending(name)
                let id = Self.toolSpec + path.string
                watcher.remove(id)
                // Our own links are no programs that could be missing.
                guard found == nil, FilePath(folder) != store.bin else { continue }
                _ = watcher.add(.file(path, id: id, purpose: "\(name), which is missing"))
            }
        }
    }

    /// A repository on this machine that is not there yet.
    private func watchSources() {
        guard let watcher else { return }
        for rig in configuration.town.rigs where rig.url.hasPrefix("/") {
            let id = Self.sourceSpec + rig.name
            watcher.remove(id)
            let path = FilePath(rig.url)
            guard surroundings.bootstrapProblem != nil, !Syscalls.exists(path) else { continue }
            _ = watcher.add(.file(path, id: id, purpose: "the repository of \(rig.name), which is missing"))
        }
    }

    /// Looks again for the programs that we call; whoever waits for one learns of it.
    func findTools() {
        let new = Toolbox(configuration, bin: store.bin, own: options.environment, version: options.version)
        let isSame =
            new.gt == toolbox.gt && new.dolt == toolbox.dolt && new.tmux == toolbox.tmux && new.claude == toolbox.claude
        let isClientSame = new.claude == toolbox.claude
        toolbox = new
        guard !isSame else { return }
        log.notice("the programs that are called are others now")
        reloader?.tmux = new.tmux
        configureAlerting()
        makeLinks()
        // A refused configuration stays refused.
        if !isClientSame, status.config.errors.isEmpty {
            handle(
                .configured(
                    Settings(configuration, store: store, program: new.claude), path: options.configPath?.shown,
                    isChanged: false))
        }
        services?.reconfigure(managed: configuration.managedServices, place: ServicePlace(configuration, new))
        watchTools()
    }
}
