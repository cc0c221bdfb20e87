// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import Glibc
import LinuxSys
import SystemPackage

/// What a large town and the end of the daemon cost.
extension Bench {
    /// The daemon on an empty town, and on one with many folders in its root, in a rig and in a rig's worktree.
    func measureTown(folders: Int, rounds: Int) throws {
        _ = try putKey(account: 1)
        try Syscalls.makeDirectories(FilePath("\(largeTown)/mayor"))
        for (name, text) in [
            ("rigs", #"{"type":"rigs","version":1,"rigs":{"project":{"git_url":"file:///project"}}}"#),
            ("town", #"{"type":"town","version":2,"name":"bench"}"#),
        ] {
            try AtomicFile.replace(
                FilePath("\(largeTown)/mayor/\(name).json"), with: Array(text.utf8), durable: false)
        }
        try configure(town: largeTown)
        let empty = try daemonOnTown(rounds)
        for number in 0..<folders {
            let place =
                switch number % 10 {
                case 0: ""
                case 1, 2, 3: "project/"
                default: "project/refinery/rig/"
                }
            try Syscalls.makeDirectories(FilePath("\(largeTown)/\(place)d\(number / 1000)/\(number)"))
        }
        let full = try daemonOnTown(rounds)
        note(
            "a town with \(folders) folders / an empty one: READY=1 after, median (ms)",
            "\(short(full.ready)) / \(short(empty.ready))", budget: "as for an empty one, 100")
        note(
            "the same: memory resident (MB)", "\(short(full.memory)) / \(short(empty.memory))",
            budget: "as for an empty one")
        note("the same: watches", "\(full.watches) / \(empty.watches)", budget: "as for an empty one")
    }

    private func daemonOnTown(_ rounds: Int) throws -> (ready: Double, memory: Double, watches: Int) {
        var samples = Samples(name: "")
        var memory: [Double] = []
        var watches = 0
        for _ in 0..<rounds {
            let socket = try NotifySocket("\(root)/notify")
            var variables = environment
            variables["NOTIFY_SOCKET"] = "\(root)/notify"
            let start = EventLoop.now
            let child = try Child(
                [gasclawd, "run", "--config", "\(root)/gasclawd.toml"], environment: variables, errors: "\(root)/log")
            while !(try socket.receive().contains("READY=1")) {}
            samples.values.append(EventLoop.now - start)
            usleep(300_000)
            let cost = ProcessCost([child.pid])
            memory.append(Double(cost.residentKilobytes) / 1024)
            watches = cost.watches
            child.end()
            socket.remove()
        }
        return (samples.percentile(0.5), memory.sorted()[memory.count / 2], watches)
    }

    /// Numbered lines of a log, each a sighting, over ends of the daemon by SIGKILL: which are lost, which come twice;
    /// and `tail -F`, started anew as often.
    func measureKills(_ kills: Int) throws {
        _ = try putKey(account: 1)
        try Syscalls.makeDirectories(FilePath("\(root)/town/logs"))
        let path = FilePath("\(root)/town/logs/numbered.log")
        let file = try Syscalls.open(path, flags: O_WRONLY | O_CREAT | O_APPEND)
        var ours: [Int: Int] = [:]
        var theirs: [Int: Int] = [:]
        var number = 0
        func count(_ lines: [String], into counts: inout [Int: Int]) {
            for line in lines {
                guard let start = line.firstRange(of: "quota exceeded: line ")?.upperBound else { continue }
                if let number = Int(line[start...].prefix { $0.isNumber }) { counts[number, default: 0] += 1 }
            }
        }
        func write(_ rounds: Int, _ take: () -> Void = {}) throws {
            for _ in 0..<rounds {
                number += 1
                try Syscalls.writeAll(file.raw, Array("quota exceeded: line \(number)\n".utf8))
                usleep(10_000)
                take()
            }
        }
        for round in 0...kills {
            try start(following: "sighting", waits: false)
            let tail = try Child(["/usr/bin/tail", "-n", "0", "-F", path.string], environment: environment)
            var lines = LineReader(tail.output)
            var own = reader
            func take(_ milliseconds: Int32) -> Bool {
                guard var events = own else { return false }
                var polls = [
                    pollfd(fd: events.isAtEnd ? -1 : events.descriptor, events: Int16(POLLIN), revents: 0),
                    pollfd(fd: lines.isAtEnd ? -1 : lines.descriptor, events: Int16(POLLIN), revents: 0),
                ]
                guard poll(&polls, 2, milliseconds) > 0 else { return false }
                if polls[0].revents != 0 { count(events.take(), into: &ours) }
                if polls[1].revents != 0 { count(lines.take(), into: &theirs) }
                own = events
                return true
            }
            usleep(300_000)
            try write(200) { while take(0) {} }
            if round == kills {
                let end = EventLoop.now + 4_000_000_000
                while EventLoop.now < end { _ = take(200) }
            } else if let daemon {
                kill(daemon.pid, SIGKILL)
                kill(tail.pid, SIGKILL)
                // What was told before its end has been told.
                while take(100) {}
            }
            tail.end()
            stop()
            // While nobody follows.
            if round < kills { try write(50) }
        }
        func result(_ counts: [Int: Int]) -> String {
            "\((1...number).count { counts[$0] == nil }), \(counts.values.reduce(0) { $0 + $1 - 1 })"
        }
        note(
            "\(number) numbered lines, the daemon killed \(kills) times: lost, doubled; `tail -F` likewise",
            "\(result(ours)); \(result(theirs))", budget: "0 lost; doubled: those of 2 s")
    }
}
