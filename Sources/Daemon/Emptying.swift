// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import Logging
import SystemPackage

/// Ends all that runs in our service's control group, in the order in which nothing is revived: the gt daemon, then
/// agents and what else there is, then tmux, then dolt. systemd ends the main process alone (KillMode=process), so that
/// agents outlive a crash; when we are told to stop, this is ours to do.
final class Emptying {
    private static let grace = Duration.seconds(5)
    /// A hook may bring an agent back between two looks; after so many there is somebody else who does.
    private static let roundsMax = 8

    private let group: ControlGroup
    private let loop: EventLoop
    private let log: Logger
    private let completion: () -> Void
    private var rounds = 0

    private init(_ group: ControlGroup, on loop: EventLoop, log: Logger, completion: @escaping () -> Void) {
        self.group = group
        self.loop = loop
        self.log = log
        self.completion = completion
    }

    /// - Parameter completion: Called once, on the loop's thread, when nobody but us is in the group.
    static func run(_ group: ControlGroup, on loop: EventLoop, log: Logger, completion: @escaping () -> Void) {
        Emptying(group, on: loop, log: log, completion: completion).next()
    }

    private func next() {
        let others: [ProcessStatus]
        do throws(FileReadError) {
            others = try group.processes().filter { $0 != CurrentProcess.pid }.compactMap(ProcessTable.status(of:))
                .filter(\.isAlive)
        } catch {
            log.warning("who runs in the service's control group is not known", metadata: ["error": "\(error)"])
            return completion()
        }
        guard let rank = others.map(Self.rank).min() else { return completion() }
        rounds += 1
        guard rounds <= Self.roundsMax else {
            log.warning("processes stay in the service's control group", metadata: ["count": "\(others.count)"])
            return completion()
        }
        let due = others.filter { Self.rank($0) == rank }
        var left = due.count
        for process in due {
            TreeTermination.end(process.identity, grace: Self.grace, on: loop) { [self] error in
                if let error {
                    log.warning(
                        "a process cannot be ended", metadata: ["pid": "\(process.identity.pid)", "error": "\(error)"])
                }
                left -= 1
                if left == 0 { next() }
            }
        }
    }

    private static func rank(_ process: ProcessStatus) -> Int {
        let name = String(decoding: process.name, as: UTF8.self)
        if name == "gt" { return 0 }
        if name.hasPrefix("tmux") { return 2 }
        return name == "dolt" ? 3 : 1
    }
}
