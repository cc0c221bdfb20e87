// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// `gt daemon` (gt-contract.md section 1, "daemon").
enum GtDaemon {
    static func run(_ arguments: [String]) throws(Failure) -> Int32 {
        let town = try GtTown.find()
        switch arguments.first {
        case "run": return try GtDaemonProcess(town).run()
        case "start": return try start(town)
        case "stop":
            guard let pid = try runningPID(town) else { throw Failure("daemon is not running") }
            if !Program.end(pid, SIGTERM, within: .milliseconds(500)) {
                _ = Program.end(pid, SIGKILL, within: .seconds(2))
            }
            Terminal.say("✓ Daemon stopped")
            return 0
        case "status":
            // Exit 0 either way.
            if let pid = try runningPID(town) {
                Terminal.say("● Daemon is running (PID \(pid))")
            } else {
                Terminal.say("○ Daemon is not running")
            }
            return 0
        case let command: throw Failure("unknown command \"\(command ?? "")\" for \"gt daemon\"")
        }
    }

    private static func start(_ town: GtTown) throws(Failure) -> Int32 {
        if let pid = try runningPID(town) { throw Failure("daemon already running (PID \(pid))") }
        try Disk.makeDirectories(town.path("daemon"))
        let pid = try Program.start(
            [try Environment.ownProgram(), "daemon", "run"], name: "gt", directory: town.root,
            output: town.path("daemon/daemon.out"))
        let isUp = try Waiting.until(.seconds(3)) { () throws(Failure) in
            try Disk.object(town.path("daemon/state.json"))?["pid"]?.integer == Int(pid)
        }
        guard isUp, Program.isAlive(pid) else {
            throw Failure("daemon failed to start (check logs with 'gt daemon logs')")
        }
        Terminal.say("✓ Daemon started (PID \(pid))")
        return 0
    }

    /// gt's own probe: it takes the daemon's lock for a moment and DELETES daemon.pid if it got it, so that a poll at
    /// the wrong moment makes a starting daemon fail (section 1, daemon).
    static func runningPID(_ town: GtTown) throws(Failure) -> Int32? {
        let lock = town.path("daemon/daemon.lock")
        guard Disk.exists(lock) else { return nil }
        do throws(SystemError) {
            let file = try Syscalls.open(FilePath(lock), flags: O_RDWR | O_CREAT)
            if try Syscalls.tryLock(file.raw) {
                Disk.remove(town.path("daemon/daemon.pid"))
                return nil
            }
        } catch { throw Failure("\(error)") }
        if let pid = try town.pid(inFile: "daemon/daemon.pid") { return pid }
        return try Disk.object(town.path("daemon/state.json"))?["pid"]?.integer.map { Int32($0) }
    }
}

/// The daemon itself: in the foreground, for supervisors; INT and TERM end it, HUP has its default
/// (gt-contract.md section 2, "Signals").
private final class GtDaemonProcess {
    private let town: GtTown
    private let loop: EventLoop
    private let interval = Environment.milliseconds("TOWNSIM_HEARTBEAT_MS", default: 180_000)
    private let started = Timestamp.now
    private var heartbeats = 0
    private var deadSamples = 0
    private var failure: Failure?

    init(_ town: GtTown) throws(Failure) {
        self.town = town
        do throws(SystemError) { loop = try EventLoop() } catch { throw Failure("\(error)") }
    }

    func run() throws(Failure) -> Int32 {
        try Disk.makeDirectories(town.path("daemon"))
        dropIdentity()
        guard try lock() else { throw Failure("daemon already running (lock held by another process)") }
        try serve()
        if let failure { throw failure }
        return 0
    }

    /// Takes the daemon's lock for the rest of the process's life.
    private func lock() throws(Failure) -> Bool {
        do throws(SystemError) {
            let file = try Syscalls.open(FilePath(town.path("daemon/daemon.lock")), flags: O_RDWR | O_CREAT)
            guard try Syscalls.tryLock(file.raw) else { return false }
            _ = file.release()
            return true
        } catch { throw Failure("\(error)") }
    }

    /// It acts as nobody's agent: the identity of whoever started it is dropped (section 1, daemon run).
    private func dropIdentity() {
        for name in ["GT_ROLE", "GT_RIG", "GT_CREW", "GT_POLECAT", "GT_SESSION", "GT_AGENT", "BEADS_AGENT_NAME"] {
            CurrentProcess.removeFromEnvironment(name)
        }
        setenv("BD_ACTOR", "daemon", 1)
    }

    private func serve() throws(Failure) {
        let nonce = String(UInt64.random(in: .min ... .max), radix: 16)
        try Disk.replace(town.path("daemon/daemon.pid"), Array("\(getpid())\n\(nonce)".utf8), mode: 0o644)
        // daemon.json's `env` is applied once, and logged in clear (section 2).
        for member in try Disk.object(town.path("mayor/daemon.json"))?["env"]?.object?.members ?? [] {
            guard let value = member.value.string else { continue }
            setenv(member.name, value, 1)
            try log("Set env \(member.name)=\(value) from daemon.json")
        }
        try log("Daemon starting (PID \(getpid()))")
        do throws(SystemError) {
            let receiver = try SignalReceiver([SIGTERM, SIGINT, SIGUSR1, SIGUSR2], on: loop) { [unowned self] signal in
                if signal == SIGTERM || signal == SIGINT { loop.stop() }
            }
            loop.atEndOfTurn { [unowned self] in beat() }
            try loop.run()
            withExtendedLifetime(receiver) {}
        } catch { throw Failure("\(error)") }
        try log("Daemon shutting down")
        try writeState(isRunning: false)
        Disk.remove(town.path("daemon/daemon.pid"))
    }

    private func beat() {
        do throws(Failure) { try heartbeat() } catch {
            // One failed heartbeat does not end the daemon; what cannot even be logged does.
            do throws(Failure) { try log("Error: \(error.message)") } catch {
                failure = error
                return loop.stop()
            }
        }
        loop.schedule(after: interval) { [unowned self] in beat() }
    }

    private func heartbeat() throws(Failure) {
        heartbeats += 1
        try writeState(isRunning: true)
        if town.isStopped { return try log("E-STOP active, skipping agent management") }
        if Disk.exists(town.path("daemon/shutting-down")) { return try log("Shutdown in progress, skipping") }
        try ensureMayor()
        try log("Heartbeat complete (#\(heartbeats))")
    }

    /// A missing mayor is started at once, a session whose agent is gone after three heartbeats; with the daemon's
    /// OWN environment and the default agent (section 2, respawn trap c).
    private func ensureMayor() throws(Failure) {
        let seat = GtSeat(town: town, role: .mayor)
        let tmux = try Tmux(town)
        if try tmux.hasSession(seat.session) {
            if try tmux.isAgentAlive(seat.session) {
                deadSamples = 0
                return
            }
            deadSamples += 1
            guard deadSamples >= 3 else { return }
            try log("Mayor zombie detected (\(deadSamples) cycles), restarting")
            try tmux.end(seat.session)
        }
        deadSamples = 0
        var options = GtSeat.StartOptions(sender: "daemon")
        options.respawns = true
        options.waits = false
        try seat.start(options)
        try log("Mayor started successfully")
    }

    private func writeState(isRunning: Bool) throws(Failure) {
        try Disk.replace(
            town.path("daemon/state.json"),
            [
                "running": .bool(isRunning), "pid": JSONValue(getpid()), "started_at": .string(started.seconds),
                "last_heartbeat": .string(Timestamp.now.seconds), "heartbeat_count": JSONValue(heartbeats),
            ], mode: 0o644)
    }

    /// Go's standard log format (section 3b).
    private func log(_ message: String) throws(Failure) {
        let time = Timestamp.now.seconds
        let day = time.prefix(10).map { $0 == "-" ? "/" : $0 }
        try Disk.append(
            town.path("daemon/daemon.log"), "\(String(day)) \(time.dropFirst(11).prefix(8)) \(message)\n", mode: 0o644)
    }
}
