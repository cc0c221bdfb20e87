// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import FileWatching
import GasTown
import JSON
import LinuxSys
import LogFollowing
import Logging
import Supervision
import SystemPackage
import Timekeeping

/// The processes of services, and the commands that start and end them.
extension Services {
    // MARK: - Processes

    /// Reports the end of a process, also of one that is no child of ours.
    func watch(_ name: ServiceName, _ process: ServiceProcess) {
        unwatch(name)
        watchHealth(name)
        if name == .daemon, daemonChild?.identity == ProcessIdentity(process) { return }
        do throws(SystemError) {
            let held = try ProcessHandle(ProcessIdentity(process), on: loop) { [unowned self] in
                let status = handles[name]?.status
                exited(name, process, status.map { "\($0)" } ?? "ended")
            }
            guard let held else {
                return loop.atEndOfTurn { [self] in exited(name, process, "ended") }
            }
            handles[name] = held
        } catch {
            log.error("the end of \(name.rawValue) cannot be seen", metadata: ["error": "\(error)"])
        }
    }

    func exited(_ name: ServiceName, _ process: ServiceProcess, _ status: String) {
        handles[name] = nil
        unwatchTimers(name)
        let isExpected = name == .mayor && owner.isMayorReloading()
        handle(.exited(name, process, status: status, isExpected: isExpected))
        if name == .mayor, !isExpected { lookForReturn() }
    }

    func unwatch(_ name: ServiceName) {
        handles[name] = nil
        unwatchTimers(name)
    }

    func unwatchTimers(_ name: ServiceName) {
        if let timer = timers.removeValue(forKey: name) { loop.cancel(timer) }
    }

    func watchHealth(_ name: ServiceName) {
        switch name {
        case .dolt: watchDolt()
        case .daemon: watchHeartbeat()
        case .mayor: break
        }
    }

    // MARK: - Commands

    /// Runs a command of a service with the town as its folder; its output goes to the journal under the identifier.
    func run(
        _ name: ServiceName, _ program: String, _ arguments: [String], timeout: Duration, identifier: String,
        completion: @escaping (_ failure: String?) -> Void
    ) {
        do throws(SystemError) {
            var call: ProcessIdentity?
            let command = try Command.run(
                [program] + arguments, environment: place.environment, directory: place.root, timeout: timeout, on: loop
            ) { [self] result in
                if let call { calls.ended(call) }
                // Another one may run in its place by now.
                if commands[name]?.isRunning == false { commands[name] = nil }
                for bytes in [result.output, result.errors] {
                    for line in bytes.split(separator: 10).suffix(200) { owner.takeLine(identifier, line) }
                }
                let failure = Self.failure(of: arguments, result, tool: FilePath(program).lastName)
                // It may be dolt that is the reason.
                if failure != nil, name != .dolt { checkDolt() }
                completion(failure)
            }
            commands[name] = command
            call = command.identity
            calls.began(command.identity, arguments)
        } catch {
            completion("\(error)")
        }
    }

    /// Why a call failed, in the tool's own words; nil if it did not, as far as its exit code tells.
    static func failure(of arguments: [String], _ result: CommandResult, tool: [UInt8]) -> String? {
        guard !result.status.isSuccess || result.timedOut else { return nil }
        let call = "\(shownText(tool)) \(arguments.joined(separator: " "))"
        if result.timedOut { return "\(call): no answer in its time; it was ended" }
        // The last lines tell why; warnings stand before them.
        let errors = result.errors.isEmpty ? result.output : result.errors
        let words = errors.split(separator: 10).suffix(3).map { shownText($0.prefix(300)) }
        return "\(call): \(result.status)\(words.isEmpty ? "" : ": \(words.joined(separator: " / "))")"
    }

    func endCommand(_ name: ServiceName, then next: @escaping () -> Void) {
        guard let command = commands.removeValue(forKey: name) else { return next() }
        command.end(then: next)
    }
}
