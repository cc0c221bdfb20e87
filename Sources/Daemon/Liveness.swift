// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import ControlAPI
import Controller
import GasTown
import Glibc
import LinuxSys
import Logging
import SystemPackage
import SystemdKit
import Timekeeping

/// A file that is written and must come back through kernel, watch and loop.
struct Probe {
    private(set) var latency: Duration?
    private var writtenAt: Int64?
    private var counter = 0

    static func path(_ runtime: FilePath) -> FilePath { runtime.appending("probe") }

    /// - Returns: What to write.
    mutating func begin() -> [UInt8] {
        counter += 1
        writtenAt = EventLoop.now
        return Array("\(counter)\n".utf8)
    }

    /// - Returns: Whether it was waited for.
    mutating func cameBack() -> Bool {
        guard let start = writtenAt else { return false }
        writtenAt = nil
        latency = .nanoseconds(EventLoop.now - start)
        return true
    }
}

extension Daemon {
    /// A watchdog that wants more than this cannot be meant, and feeding it would take the processor.
    private static let feedingMin = Duration.milliseconds(50)

    var isRootWithoutSandbox: Bool {
        CurrentProcess.userID == 0 && !controller.settings.launch.isSandboxed
            && controller.settings.launch.bypassesPermissions
    }

    /// Begins to prove that the loop works; the first proof makes the daemon ready.
    func startLiveness() {
        surroundings.isRootWithoutSandbox = isRootWithoutSandbox
        touchProbe()
        guard let interval = Watchdog.interval() else { return }
        feed(every: max(interval / 2, Self.feedingMin))
    }

    private func feed(every interval: Duration) {
        loop.schedule(after: interval) { [unowned self] in
            touchProbe()
            feed(every: interval)
        }
    }

    func touchProbe() {
        do throws(SystemError) {
            try AtomicFile.replace(
                Probe.path(configuration.paths.runtime), with: probe.begin(), durable: false)
        } catch {
            surroundings.watchProblem = "the probe cannot be written: \(error)"
            restoreSocket()
        }
    }

    /// The probe went the whole way: only now the watchdog is fed.
    func probeCameBack() {
        guard probe.cameBack() else { return }
        surroundings.watchProblem = nil
        report(notifier.send([.watchdog]), of: "WATCHDOG")
        guard !isProbed else { return }
        isProbed = true
        findUnmanaged()
        planTurnEnd()
    }

    // MARK: - Tools

    func lookForTools() {
        if toolbox.tmux == nil { log.warning("tmux is not found: agents cannot be started anew (town.path, PATH)") }
        if toolbox.claude == nil {
            log.warning("claude is not found: agents cannot start (install Claude Code, or set agent.program)")
        }
        let socket = TownSocket.path(root: configuration.town.root, userID: CurrentProcess.userID)
        if Syscalls.exists(FilePath(socket)) { offerPath(socket) }
    }

    /// Puts our links first in the PATH of a tmux server with agents of ours: for dogs and presets, which gt starts by
    /// the bare word.
    func offerPath(_ socket: String) {
        guard let tmux = toolbox.tmux else { return }
        let commands = TmuxCommands(program: tmux, socket: socket)
        let bin = store.bin.string
        do throws(SystemError) {
            try Command.run(
                commands.globalPath(), environment: toolbox.environment, timeout: .seconds(10), on: loop
            ) { [unowned self] result in
                let text = String(decoding: result.output.prefix { $0 != 10 }, as: UTF8.self)
                guard result.status.isSuccess, text.hasPrefix("PATH="), !text.hasPrefix("PATH=\(bin):") else { return }
                setPath(commands.setGlobalPath("\(bin):\(text.dropFirst(5))"))
            }
        } catch {
            log.warning("tmux cannot be called", metadata: ["error": "\(error)"])
        }
    }

    private func setPath(_ arguments: [String]) {
        do throws(SystemError) {
            try Command.run(
                arguments, environment: toolbox.environment, timeout: .seconds(10), on: loop
            ) { [log] result in
                if !result.status.isSuccess { log.warning("tmux did not take the PATH: \(result.status)") }
            }
        } catch {
            log.warning("tmux cannot be called", metadata: ["error": "\(error)"])
        }
    }

    func setLogLevel(_ level: Configuration.LogLevel) { options.setLogLevel(level) }
}
