// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage

/// `townsim demo`: a whole miniature town with gasclawd over it, a live view, a key that runs out, and proof that the
/// conversations went on with another key.
final class Demo {
    private let gasclawd: String
    private let seconds: Int?
    private let town: MiniatureTown
    private let loop: EventLoop
    private var daemonPID: Int32?
    private var eventsPID: Int32?
    private var receiver: SignalReceiver?
    private var record: DemoRecord
    private var view: DemoView
    private var isAskingStatus = false
    private var hasLostDaemon = false

    static func run(_ arguments: [String]) throws(Failure) -> Int32 {
        let words = Words(arguments, valued: ["--gasclawd", "--seconds"])
        guard let program = words.value("--gasclawd") else {
            throw Failure("usage: townsim demo --gasclawd PATH [--seconds N]", status: 64)
        }
        guard let found = Environment.find(program) else { throw Failure("townsim demo: no such program: \(program)") }
        let seconds = (words.value("--seconds") ?? Environment.value("DEMO_SECONDS")).flatMap { Int($0) }
        return try Demo(gasclawd: Environment.absolute(found), seconds: seconds).run()
    }

    private init(gasclawd: String, seconds: Int?) throws(Failure) {
        self.gasclawd = gasclawd
        self.seconds = seconds
        var template = Array("\(Environment.value("TMPDIR") ?? "/tmp")/gasclawd-demo.XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw Failure("townsim demo: mkdtemp: \(Errno(rawValue: errno))") }
        town = MiniatureTown(at: Disk.realPath(String(cString: made)))
        record = DemoRecord(events: town.directory + "/events.jsonl", requests: town.home + "/requests.jsonl")
        view = DemoView(isTerminal: Terminal.isTerminal(1))
        do throws(SystemError) { loop = try EventLoop() } catch { throw Failure("\(error)") }
    }

    private func run() throws(Failure) -> Int32 {
        var problem: Failure?
        do throws(Failure) {
            // From here on a Ctrl-C ends the demo in order, also while it is being set up.
            do throws(SystemError) {
                receiver = try SignalReceiver([SIGINT, SIGTERM, SIGHUP], on: loop) { [unowned self] _ in
                    loop.stop()
                }
            } catch { throw Failure("\(error)") }
            try setUp()
            try watch()
        } catch { problem = error }
        view.close()
        tearDown()
        let missing = record.missing
        if problem == nil, missing.isEmpty {
            Terminal.say("Seen: a key cooled, another was activated, and the same conversations went on with it.")
            Disk.removeTree(town.directory)
            return 0
        }
        if let problem { Terminal.complain("townsim demo: \(problem.message)") }
        for sentence in missing { Terminal.complain("townsim demo: not seen: \(sentence)") }
        Terminal.complain("townsim demo: everything is kept in \(town.directory) (gasclawd.log, events.jsonl)")
        return 1
    }

    // MARK: - Setting up

    /// What our children get: nothing of the caller's keys, agents or tmux.
    private var environment: [String] {
        var changes: [String: String?] = [
            "PATH": "\(town.bin):\(Environment.value("PATH") ?? "/usr/local/bin:/usr/bin:/bin")",
            "TOWNSIM_HOME": town.home, "TOWNSIM_TURN_MS": Environment.value("TOWNSIM_TURN_MS") ?? "1000",
        ]
        for entry in Environment.all {
            guard let equals = entry.firstIndex(of: "=") else { continue }
            let name = String(entry[..<equals])
            let isForeign = ["ANTHROPIC_", "GT_", "GASCLAWD_", "CLAUDE", "BD_", "BEADS_", "GASTOWN_", "KIMI_", "TMUX"]
                .contains { name.hasPrefix($0) }
            if isForeign || name == "DOLT_PORT" || name == "LOG_LEVEL" { changes.updateValue(nil, forKey: name) }
        }
        return Environment.with(changes)
    }

    private func setUp() throws(Failure) {
        view.say("A miniature town is built in \(town.directory)")
        try town.make()
        view.say("gasclawd starts, makes the town and starts its services")
        daemonPID = try Program.start(
            [gasclawd, "run", "--config", town.configuration], environment: environment, directory: town.directory,
            output: town.directory + "/gasclawd.out", errors: town.directory + "/gasclawd.log")
        try waitFor("gasclawd to be ready", seconds: 90) { () throws(Failure) in
            let state = try status()?["state"]?.string
            return state == "ready"
        }
        for name in ["ada", "grace"] { try gt("crew", "start", "project/\(name)", "--agent", "kimi-claude") }
    }

    private func gt(_ arguments: String..., in directory: String? = nil) throws(Failure) {
        let result = try command(["gt"] + arguments, in: directory ?? town.root)
        guard result.status.isSuccess else {
            throw Failure("gt \(arguments.joined(separator: " ")): \(shownText(result.errors.prefix(500)))")
        }
    }

    private func command(_ arguments: [String], in directory: String) throws(Failure) -> CommandResult {
        // Our own links, not what the caller's PATH may hold.
        let program = arguments.first.map { "\(town.bin)/\($0)" } ?? ""
        try stopIfInterrupted()
        return try Program.run(
            [program] + arguments.dropFirst(), environment: environment, directory: directory, timeout: .seconds(200))
    }

    private func waitFor(
        _ what: String, seconds: Int, _ condition: () throws(Failure) -> Bool
    ) throws(Failure) {
        let isThere = try Waiting.until(.seconds(seconds)) { () throws(Failure) in
            if let daemonPID, !Program.isAlive(daemonPID) {
                throw Failure("gasclawd ended while the demo waited for \(what)")
            }
            try stopIfInterrupted()
            return try condition()
        }
        guard isThere else {
            let detail = try status()?["detail"]?.string ?? "no answer"
            throw Failure("waited \(seconds) s for \(what) (\(detail))")
        }
    }

    /// A Ctrl-C before the loop runs waits in the kernel (the signals are blocked for signalfd).
    private func stopIfInterrupted() throws(Failure) {
        var pending = sigset_t()
        sigpending(&pending)
        for signal in [SIGINT, SIGTERM, SIGHUP] where sigismember(&pending, signal) == 1 {
            throw Failure("interrupted")
        }
    }

    private func status() throws(Failure) -> JSONValue? {
        let result = try Program.run(
            [gasclawd, "status", "--config", town.configuration, "--json"], environment: environment,
            timeout: .seconds(10))
        do throws(JSONError) { return try JSONValue(parsing: result.output) } catch { return nil }
    }

    // MARK: - Watching

    private func watch() throws(Failure) {
        eventsPID = try Program.start(
            [gasclawd, "events", "--follow", "--json", "--config", town.configuration], environment: environment,
            directory: town.directory, output: record.eventsPath, errors: town.directory + "/events.err")
        loop.schedule(after: .zero) { [unowned self] in tick() }
        loop.schedule(after: .seconds(5)) { [unowned self] in exhaustActiveKey() }
        loop.schedule(after: .seconds(10)) { [unowned self] in replaceKey() }
        if let seconds { loop.schedule(after: .seconds(seconds)) { [unowned self] in loop.stop() } }
        do throws(SystemError) { try loop.run() } catch { throw Failure("\(error)") }
        if hasLostDaemon { throw Failure("gasclawd ended by itself") }
    }

    /// About twice a second: ask gasclawd, read what is new, draw.
    private func tick() {
        loop.schedule(after: .milliseconds(500)) { [unowned self] in tick() }
        if let daemonPID, !Program.isAlive(daemonPID) {
            hasLostDaemon = true
            return loop.stop()
        }
        guard !isAskingStatus else { return }
        isAskingStatus = true
        do throws(SystemError) {
            try Command.run(
                [gasclawd, "status", "--config", town.configuration, "--json"], environment: environment,
                timeout: .seconds(5), on: loop
            ) { [unowned self] result in
                isAskingStatus = false
                do throws(JSONError) { record.status = try JSONValue(parsing: result.output) } catch { return }
                record.readNew()
                view.draw(record)
            }
        } catch { isAskingStatus = false }
    }

    /// The active key reaches its 5-hour limit.
    private func exhaustActiveKey() {
        guard let id = record.status?["keys"]?["active"]?.string else {
            loop.schedule(after: .milliseconds(500)) { [unowned self] in exhaustActiveKey() }
            return
        }
        record.exhaustedKey = id
        perform("key \(id) has reached its 5-hour limit: watch the agents go on with another") { () throws(Failure) in
            try Disk.replace("\(town.home)/faults/\(id)", Array("quota-5h-403\n".utf8))
        }
    }

    /// The account in use gets a new key by an atomic rename, as an editor would do it: all agents move.
    private func replaceKey() {
        let keys = record.status?["keys"]
        let items = keys?["items"]?.array ?? []
        let active = items.first { $0["id"]?.string == keys?["active"]?.string }?["account"]?.string ?? "3"
        let path = town.accountFile(active)
        perform("account \(active) was given a new key in its file: watch the agents move") { () throws(Failure) in
            try Disk.replace(path, Array(MiniatureTown.account(key: MiniatureTown.newKey()).utf8))
        }
        view.say("Now it is your turn: change the key in this file, and watch:")
        view.say(path)
    }

    private func perform(_ notice: String, _ body: () throws(Failure) -> Void) {
        do throws(Failure) {
            try body()
            view.say(notice)
        } catch { view.say("failed: \(error.message)") }
    }

    // MARK: - The end

    private func tearDown() {
        record.readNew()
        if let eventsPID { _ = Program.end(eventsPID, SIGTERM, within: .seconds(5)) }
        do throws(Failure) {
            let stop = try Program.run(
                [gasclawd, "stop", "--config", town.configuration], environment: environment, timeout: .seconds(100))
            if !stop.status.isSuccess { Terminal.complain("townsim demo: \(shownText(stop.errors.prefix(500)))") }
        } catch { Terminal.complain("townsim demo: \(error.message)") }
        if let daemonPID, Program.isAlive(daemonPID) {
            Terminal.complain("townsim demo: gasclawd lives on after gasclawd stop")
            _ = Program.end(daemonPID, SIGKILL, within: .seconds(5))
        }
    }
}
