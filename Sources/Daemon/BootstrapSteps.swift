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

/// What the steps do.
extension Bootstrap {
    // MARK: - Steps

    func install(_ done: @escaping Done) {
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

    func addRig(_ rig: Configuration.Rig, _ done: @escaping Done) {
        let arguments = TownCommands.addRig(rig.name, url: rig.url)
        if isListed(rig.name) { return done(.skipped, "\(rig.name) is a rig of the town") }
        let isMissing = rig.url.hasPrefix("/") && !Syscalls.exists(FilePath(rig.url))
        let absence = "\(rig.url) is not there (set town.rigs or GT_RIG_URL to a repository)"
        guard mode != .dry else {
            return done(.would, wouldCall([arguments]) + (isMissing ? "; but \(absence)" : ""))
        }
        guard let gt = place.toolbox.gt else { return done(.failed, "gt is not found") }
        guard !isMissing else { return done(.failed, "\(rig.name): \(absence)") }
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

    func register(_ done: @escaping Done) {
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

    var isRegistered: Bool {
        let command = Registration.command(configuration, bin: store.bin)
        guard place.isInstalled else { return false }
        if case .success(let calls) = Registration.calls(place, name: configuration.agent.name, command: command) {
            return calls.isEmpty
        }
        return false
    }

    func start(_ name: ServiceName, _ done: @escaping Done) {
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
