// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import Logging
import SystemPackage

/// Ends all that is still in our service's control group after ``TownStop``, in the same order. systemd ends the main
/// process alone (KillMode=process), so that agents outlive a crash; when we are told to stop, this is ours to do.
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

    /// Whether systemd stops us only to start us again, as after an upgrade: its job says so while we end.
    ///
    /// - Parameter completion: Called once; where systemd cannot be asked it is a stop.
    static func isRestart(
        of group: ControlGroup, environment: [String], on loop: EventLoop, completion: @escaping (Bool) -> Void
    ) {
        let unit = shownText(group.path.lastName)
        let isUsers = group.path.string.contains("/user@")
        do throws(SystemError) {
            try Command.run(
                ["/usr/bin/systemctl"] + (isUsers ? ["--user"] : [])
                    + ["list-jobs", "--no-legend", "--plain", "--no-pager", unit],
                environment: environment, timeout: .seconds(3), on: loop
            ) { result in
                // `72 gasclawd.service restart running` (systemctl(1), list-jobs).
                let lines = String(decoding: result.output, as: UTF8.self).split(separator: "\n")
                completion(
                    lines.contains { line in
                        let words = line.split(separator: " ")
                        return words.contains(Substring(unit)) && words.contains("restart")
                    })
            }
        } catch {
            completion(false)
        }
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
