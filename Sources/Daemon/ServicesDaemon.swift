// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import Glibc
import LinuxSys
import LogFollowing
import FileWatching
import Supervision
import SystemPackage

/// The gt daemon: `gt daemon run` in the foreground, our child with an environment of our choice. It outlives us, and
/// its successor of ours takes it up by its process.
extension Services {
    /// From its start to its first heartbeat.
    private static let heartbeatTime = Duration.seconds(60)
    private static let grace = Duration.seconds(5)
    private static let outputMax: Int64 = 1 << 20
    static let daemonIdentifier = "gasclawd-daemon"
    static let gtIdentifier = "gasclawd-gt"

    func adoptDaemon() {
        guard supervisor.managed.contains(.daemon) else { return }
        if let ours = leftover(.daemon), ServicePlace.isDaemon(ours.pid) {
            handle(.found(.daemon, ServiceProcess(ours), detail: ""))
        } else if let other = place.daemon {
            let remark = ServicePlace.strangersDaemon(other.pid)
            log.warning("a gt daemon runs already: \(remark)", metadata: ["pid": "\(other.pid)"])
            handle(.found(.daemon, ServiceProcess(other), detail: remark))
        }
    }

    func startDaemon(_ attempt: UInt64) {
        if let holder = place.daemonLockHolder {
            // Two daemons would revive each other's agents; there is one, so it is looked after.
            if ServicePlace.isDaemon(holder.pid) {
                return answered(.daemon, attempt, holder, ServicePlace.strangersDaemon(holder.pid))
            }
            return blocked(
                .daemon, attempt,
                ServicePlace.Conflict(
                    "\(place.files.daemonLock.shown) is held by \(ServicePlace.shown(holder.pid))", holder.pid))
        }
        guard let gt = place.toolbox.gt else { return failed(.daemon, attempt, "gt is not found") }
        do throws(SystemError) {
            // A file, for a pipe to us would end it when we crash; it is read here line by line, so that a slow journal
            // never holds it up.
            if Syscalls.exists(store.daemonOutput) { try Syscalls.unlink(store.daemonOutput) }
            let output = try Syscalls.open(
                store.daemonOutput, flags: O_WRONLY | O_CREAT | O_APPEND | O_EXCL, mode: 0o600)
            follow(store.daemonOutput, id: Spec.daemonOutput, from: .beginning)
            let digests = ReadOnce.digests(in: place.root)
            var child: Child?
            child = try Child(
                [gt] + TownCommands.runDaemon, environment: place.environment, directory: place.root, output: output,
                on: loop
            ) { [unowned self] status in
                if let ended = child { daemonEnded(ended, status) }
                child = nil
            }
            daemonChild = child
            readOnce = child.map { ReadOnce(process: ServiceProcess($0.identity), digests: digests) }
        } catch {
            return failed(.daemon, attempt, "\(error)")
        }
        deadlines[.daemon] = loop.schedule(after: Self.heartbeatTime) { [unowned self] in
            deadlines[.daemon] = nil
            guard isCurrent(.daemon, attempt) else { return }
            stopDaemon(daemonChild?.identity) { [self] _ in
                failed(.daemon, attempt, "no heartbeat of the gt daemon within \(Self.heartbeatTime.brief)")
            }
        }
    }

    private func daemonEnded(_ child: Child, _ status: ExitStatus) {
        if daemonChild === child { daemonChild = nil }
        readOutput(Spec.daemonOutput)
        if let attempt = attempts[.daemon] {
            let words = lastWords
            failed(.daemon, attempt, "gt daemon run: \(status)\(words.isEmpty ? "" : ": \(words)")")
        } else {
            exited(.daemon, ServiceProcess(child.identity), "\(status)")
        }
    }

    private var lastWords: String {
        let bytes = ServicePlace.read(store.daemonOutput) ?? []
        return bytes.split(separator: 10).suffix(2).map { shownText($0.prefix(300)) }.joined(separator: " / ")
    }

    // MARK: - The heartbeat

    private var heartbeat: DaemonHeartbeat? { ServicePlace.read(place.files.daemonState).flatMap(DaemonHeartbeat.init) }

    /// Its file was written.
    func heartbeatWritten() {
        if let attempt = attempts[.daemon], let child = daemonChild {
            // gt may be a script that starts the real one.
            guard let beat = heartbeat, beat.isRunning,
                beat.pid == child.identity.pid
                    || ProcessTable.tree(of: child.identity).contains(where: { $0.identity.pid == beat.pid })
            else { return }
            return answered(.daemon, attempt, child.identity)
        }
        if supervisor.isUp(.daemon) { watchHeartbeat() }
    }

    /// It has twice its interval for the next one.
    func watchHeartbeat() {
        if let timer = timers[.daemon] { loop.cancel(timer) }
        let interval = ServicePlace.read(place.files.daemonSettings).map { DaemonSettings($0).heartbeat }
        let wait = (interval ?? DaemonSettings.heartbeatDefault) * 2
        let before = heartbeat
        timers[.daemon] = loop.schedule(after: wait) { [unowned self] in
            timers[.daemon] = nil
            guard let process = supervisor.process(of: .daemon) else { return }
            // The file is asked once more: no watch is above suspicion.
            if heartbeat != before { return watchHeartbeat() }
            // Where the town is away there is no file to write.
            guard place.isInstalled else { return watchHeartbeat() }
            handle(.unhealthy(.daemon, process, reason: "no heartbeat for \(wait.brief)"))
        }
    }

    func stopDaemon(_ process: ProcessIdentity?, completion: @escaping (_ problem: String?) -> Void) {
        let known = [process, daemonChild?.identity].compactMap(\.self).first(where: ProcessTable.isAlive)
        guard let target = known ?? place.daemon else { return completion(nil) }
        TreeTermination.end(target, grace: Self.grace, on: loop) { error in
            completion(error.map { "the gt daemon (pid \(target.pid)) cannot be ended: \($0)" })
        }
    }

    // MARK: - What children print

    /// Reads a file that a child writes to, as it grows.
    func follow(_ path: FilePath, id: String, from start: StartPosition) {
        followers[id] = LogFollower(path, from: start)
        _ = watcher?.add(
            WatchSpec(id: id, base: path.removingLastComponent(), pattern: [.name(path.lastName)], use: .log))
        readOutput(id)
    }

    func readOutput(_ id: String) {
        guard let follower = followers[id], !isEnding else { return }
        let identifier = id == Spec.doltLog ? Self.doltIdentifier : Self.daemonIdentifier
        do throws(FileReadError) {
            let hasMore = try follower.read(budget: 256 << 10) { owner.takeLine(identifier, $0) }
            if hasMore { return loop.atEndOfTurn { [weak self] in self?.readOutput(id) } }
        } catch {
            log.debug("a child's output cannot be read", metadata: ["error": "\(error)"])
        }
        if id == Spec.daemonOutput { cutOutput(follower) }
    }

    /// What was read is not kept for ever.
    private func cutOutput(_ follower: LogFollower) {
        guard let read = follower.checkpoint?.offset, read > Self.outputMax else { return }
        do throws(SystemError) {
            let file = try Syscalls.open(store.daemonOutput, flags: O_WRONLY)
            guard try Syscalls.status(of: file.raw).size == read else { return }
            try Syscalls.truncate(file.raw)
        } catch {
            log.debug("the gt daemon's output cannot be cut", metadata: ["error": "\(error)"])
        }
    }
}
