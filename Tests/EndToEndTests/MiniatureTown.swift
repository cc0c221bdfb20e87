// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// How long anything may take before a test says that it does not happen.
let patience = Duration.seconds(180)

/// Why a test cannot go on.
struct TownError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// An API key that opens nothing.
struct CanaryKey: Hashable {
    let text = townsim.MiniatureTown.newKey()
    var id: String { keyIdentifier(text) }
    /// What no other key has.
    var randomPart: String { String(text.dropFirst("sk-kimi-".count)) }
    /// The account's file that holds it.
    var file: String { townsim.MiniatureTown.account(key: text) }
}

/// A town with key files in a folder of its own, the daemon over it, and agents in tmux; all real processes.
///
/// Ports come from the kernel and the tmux server is named after the folder, so towns do not meet.
final class MiniatureTown {
    let directory: String
    let keys: [CanaryKey]
    private var daemon: Int32?
    private var streams: [EventStream] = []
    private var others: [Int32] = []
    /// The folder is another user's, as whom the daemon runs.
    private var isNobodys = false
    /// More variables for everything that is started from now on.
    var variables: [String: String] = [:]
    /// Words before the daemon's command line.
    var wrapper: [String] = []

    /// Of the town's folder; who changes it configures it anew.
    var name = "town"
    var root: String { "\(directory)/\(name)" }
    var accounts: String { directory + "/accounts" }
    var bin: String { directory + "/bin" }
    var state: String { directory + "/state" }
    var runtime: String { directory + "/run" }
    var socket: String { runtime + "/control.sock" }
    var configDirectory: String { directory + "/claude" }
    var configuration: String { directory + "/gasclawd.toml" }
    var launcher: String { state + "/bin/claude" }
    var log: String { directory + "/gasclawd.log" }

    /// The folder of the programs that were built with this test.
    static let products: String = directoryName(Disk.realPath("/proc/self/exe"))
    static var gasclawd: String { products + "/gasclawd" }

    /// - Parameters:
    ///   - keys: How many accounts there are, called 1, 2, ….
    ///   - agent: More lines for `[agent]`.
    ///   - sections: More of the configuration.
    fileprivate init(keys: Int, agent: String, sections: String) throws {
        // Short, for the socket's address and the length of gt's commands.
        directory = try TemporaryFolder.make("gct").string
        self.keys = (0..<keys).map { _ in CanaryKey() }
        let result = try Program.run([Self.products + "/townsim", "town", directory], environment: environment)
        guard result.status.isSuccess else { throw TownError("townsim town: \(text(result.errors))") }
        try Disk.makeDirectories(directory + "/h")
        Disk.removeTree(accounts)
        try Disk.makeDirectories(accounts, mode: 0o700)
        for (index, key) in self.keys.enumerated() { try write(key, to: "\(index + 1)") }
        try configure(agent: agent, sections: sections)
    }

    /// Everything that a program of the town gets: nothing of whoever runs the test.
    var environment: [String] {
        var all = [
            "PATH": "\(bin):/usr/local/bin:/usr/bin:/bin", "HOME": directory + "/h", "LANG": "C.UTF-8",
            "SHELL": "/bin/sh", "TERM": "screen", "TOWNSIM_HOME": directory + "/home", "TOWNSIM_TURN_MS": "100",
            "TOWNSIM_RETRY_MS": "1", "CLAUDE_CODE_MAX_RETRIES": "1", "XDG_RUNTIME_DIR": directory,
        ]
        all.merge(variables) { _, new in new }
        return all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }

    // MARK: - Files

    func accountFile(_ account: String) -> String { "\(accounts)/\(account)/config.toml" }

    /// Puts a key into an account's file as an editor does it: by rename.
    func write(_ key: CanaryKey, to account: String) throws {
        try Disk.makeDirectories("\(accounts)/\(account)", mode: 0o700)
        try Disk.replace(accountFile(account), Array(key.file.utf8))
    }

    func configure(agent: String = "", sections: String = "") throws {
        try Disk.replace(
            configuration,
            Array(
                """
                [town]
                root = "\(root)"
                path = ["\(bin)"]
                [accounts]
                directory = "\(accounts)"
                [agent]
                program = "\(bin)/claude"
                config_dir = "\(configDirectory)"
                sandboxed = "yes"
                \(agent)
                [paths]
                state = "\(state)"
                runtime = "\(runtime)"
                \(sections)
                \(sections.contains("[services]") ? "" : "[services]\nmanage = []")

                """.utf8))
    }

    /// What the endpoint answers to a key from now on: the name of one of townsim's faults.
    func fail(_ key: CanaryKey, with fault: String) throws {
        try Disk.replace("\(directory)/home/faults/\(key.id)", Array((fault + "\n").utf8))
    }

    func mend(_ key: CanaryKey) { Disk.remove("\(directory)/home/faults/\(key.id)") }

    // MARK: - Commands

    /// Runs gasclawd to its end with this town's configuration.
    @discardableResult
    func gasclawd(_ arguments: String..., environment changed: [String]? = nil) throws -> CommandResult {
        try Program.run(
            [Self.gasclawd] + arguments + ["--config", configuration], environment: changed ?? environment,
            directory: directory)
    }

    /// Runs a program that the town needs; its failure ends the test.
    @discardableResult
    func demand(_ arguments: String..., directory: String? = nil) throws -> String {
        let found = bin + "/" + (arguments.first ?? "")
        let words = [Disk.exists(found) ? found : arguments.first ?? ""] + arguments.dropFirst()
        let result = try Program.run(words, environment: environment, directory: directory ?? self.directory)
        guard result.status.isSuccess else {
            throw TownError("\(arguments.joined(separator: " ")): \(result.status): \(text(result.errors))")
        }
        return text(result.output)
    }

    /// The answer to `status --json`, nil while no daemon answers.
    func status() throws -> JSONValue? {
        let result = try gasclawd("status", "--json")
        guard result.status.isSuccess else { return nil }
        return try JSONValue(parsing: result.output)
    }

    /// Gives the folder to nobody, as whom the daemon runs from now on. For what the kernel lets root do.
    func becomeNobodys() throws {
        try demand("chown", "-R", "65534:65534", directory)
        isNobodys = true
    }

    /// A copy of the program that everybody can run, wherever the build folder lies.
    func readableProgram() throws -> String {
        let copy = directory + "/gasclawd"
        if !Disk.exists(copy) { try demand("install", "-m", "0755", Self.gasclawd, copy) }
        return copy
    }

    // MARK: - The town and its agents

    /// `gt install`, a repository and a rig `project`.
    func install() throws {
        try demand("gt", "install", root, "--git", "--dolt-port", String(Dolt.freePort()))
        try demand("git", "init", "-q", "--bare", directory + "/repo.git")
        try demand("gt", "rig", "add", "project", "file://\(directory)/repo.git", directory: root)
    }

    /// Starts a crew worker and waits until it works.
    ///
    /// Clients write over each other's `.claude.json` (transcripts/README.md, "rewrites"), so that a folder's trust can
    /// get lost before its own client has read it; whoever meets the question then starts the worker once more.
    func startCrew(_ name: String, attempts: Int = 3) throws -> Agent {
        let agent = Agent(session: "pr-crew-\(name)", directory: "\(root)/project/crew/\(name)")
        try demand("gt", "crew", "start", "project/\(name)", "--agent", "kimi-claude", directory: root)
        var isDead = false
        try eventually("\(name) to work") {
            if try requests().contains(where: { $0.directory == agent.directory }) { return true }
            isDead = try tmux("display-message", "-p", "-t", agent.session, "#{pane_dead}").hasPrefix("1")
            return isDead
        }
        guard isDead else { return agent }
        let screen = try tmux("capture-pane", "-p", "-t", agent.session)
        guard attempts > 1, screen.contains("Quick safety check") else { throw TownError("\(name) ended: \(screen)") }
        return try startCrew(name, attempts: attempts - 1)
    }

    var tmuxSocket: String {
        get throws { "/tmp/tmux-\(getuid())/" + (try Tmux(GtTown(root: root)).socket) }
    }

    @discardableResult
    func tmux(_ arguments: String...) throws -> String {
        let result = try Program.run(
            ["/usr/bin/env", "tmux", "-u", "-S", try tmuxSocket] + arguments, environment: environment)
        guard result.status.isSuccess else { throw TownError("tmux \(arguments): \(text(result.errors))") }
        return text(result.output)
    }

    /// The process in the pane of an agent's session.
    func pid(of agent: Agent) throws -> Int32 {
        guard let pid = Int32(try tmux("display-message", "-p", "-t", agent.session, "#{pane_pid}").filter(\.isNumber))
        else { throw TownError("\(agent.session) has no process") }
        return pid
    }

    /// The requests that agents have sent, in their order.
    func requests() throws -> [AgentRequest] {
        (try Disk.read(directory + "/home/requests.jsonl") ?? []).split(separator: 10).compactMap(AgentRequest.init)
    }

    /// Waits for a request.
    @discardableResult
    func request(
        _ what: String, after count: Int = 0, where matches: (AgentRequest) -> Bool
    ) throws -> AgentRequest {
        var found: AgentRequest?
        try eventually("a request: \(what)") {
            found = try requests().dropFirst(count).first(where: matches)
            return found != nil
        }
        guard let found else { throw TownError("no request: \(what)") }
        return found
    }

    // MARK: - The daemon

    var daemonPID: Int32 {
        get throws {
            guard let daemon else { throw TownError("no daemon runs") }
            return daemon
        }
    }

    /// Starts `gasclawd run` and waits until it answers and has registered its agents where there is a town.
    ///
    /// Where there is no town it makes none, and services are left alone, unless the test says otherwise.
    func startDaemon(_ given: [String: String] = [:], isReady: Bool = true) throws {
        var more = given
        if more["GASCLAWD_TOWN_BOOTSTRAP"] == nil, !Disk.exists(root + "/mayor/town.json") {
            more["GASCLAWD_TOWN_BOOTSTRAP"] = "false"
        }
        let changes = more.map { "\($0.key)=\($0.value)" }
        let kept = environment.filter { entry in !more.keys.contains { entry.hasPrefix($0 + "=") } }
        var words = [Self.gasclawd, "run", "--config", configuration]
        if isNobodys {
            let change = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
            words = ["/usr/bin/env"] + change + [try readableProgram()] + words.dropFirst()
        }
        daemon = try Program.start(
            wrapper + words, environment: kept + changes, directory: directory, output: directory + "/gasclawd.out",
            errors: log)
        guard isReady else { return }
        try eventually("the daemon to answer") {
            guard isDaemonAlive else { throw TownError("gasclawd ended: \(try logTail())") }
            guard let state = try status()?["state"]?.string else { return false }
            return state != "starting"
        }
        guard Disk.exists(root + "/mayor/town.json") else { return }
        try eventually("the registration") {
            guard let bytes = try Disk.read(root + "/settings/config.json") else { return false }
            do throws(JSONError) {
                return try JSONValue(parsing: bytes)["default_agent"]?.string == "kimi-claude"
            } catch { return false }
        }
    }

    /// It has ended by itself.
    func forgetDaemon() { daemon = nil }

    var isDaemonAlive: Bool { daemon.map(Program.isAlive) ?? false }

    /// Sends a signal and waits for the end.
    @discardableResult
    func endDaemon(_ signal: Int32 = SIGTERM) throws -> LinuxSys.ExitStatus {
        let pid = try daemonPID
        kill(pid, signal)
        daemon = nil
        let status = try waitForEnd(of: pid)
        for stream in streams { try stream.end() }
        streams = []
        return status
    }

    /// Starts a program beside the daemon; it is ended with the town.
    func start(_ arguments: [String], name: String? = nil, output: String, directory: String? = nil) throws -> Int32 {
        let pid = try Program.start(
            arguments, name: name, environment: environment, directory: directory ?? self.directory, output: output,
            errors: output + ".err")
        others.append(pid)
        return pid
    }

    /// Follows what happens from now on, or from a number on.
    func events(since: Int = 0) throws -> EventStream {
        let stream = try EventStream(self, since: since, number: streams.count)
        streams.append(stream)
        return stream
    }

    func logTail() throws -> String { String((try Disk.text(log) ?? "").suffix(2000)) }

    // MARK: - The end

    /// Ends and removes everything, whatever happened before.
    fileprivate func tearDown() {
        for stream in streams { stream.close() }
        for pid in others { if Program.isAlive(pid) { _ = Program.end(pid, SIGKILL, within: .seconds(5)) } }
        if let daemon, !Program.end(daemon, SIGTERM, within: .seconds(20)) {
            Issue.record("gasclawd did not end within 20 s")
            _ = Program.end(daemon, SIGKILL, within: .seconds(5))
        }
        let server: String?
        do { server = try tmuxSocket } catch { server = nil }
        if let server, Disk.exists(server) {
            do { try tmux("kill-server") } catch { /* It has ended by itself. */  }
            Disk.remove(server)
        }
        // dolt, and whatever else was started for this folder and outlived it.
        let isQuiet = Waiting.until(.seconds(10)) {
            let left = Self.processes(of: directory)
            for pid in left { kill(pid, SIGKILL) }
            return left.isEmpty
        }
        if !isQuiet { Issue.record("processes of \(directory) do not end") }
        for pid in others + [daemon].compactMap(\.self) { waitpid(pid, nil, WNOHANG) }
        Self.remove(FilePath(directory))
    }

    /// Removes a folder; names in it are bytes.
    private static func remove(_ folder: FilePath) {
        do throws(SystemError) {
            let opened = try Syscalls.open(folder, flags: Syscalls.directory)
            for name in try Syscalls.names(inDirectory: opened.raw) {
                let entry = folder.entry(name)
                if try Syscalls.status(of: entry, followingLinks: false).kind == .directory {
                    remove(entry)
                } else {
                    try Syscalls.unlink(entry)
                }
            }
        } catch { Issue.record("a town cannot be removed: \(error)") }
        folder.withPlatformString { _ = rmdir($0) }
    }

    /// Processes that were started with the folder in their environment.
    static func processes(of directory: String) -> [Int32] {
        let needle = "TOWNSIM_HOME=\(directory)/"
        return ProcessTable.all().filter { pid in
            pid != getpid() && (ProcessTable.environment(of: pid) ?? []).contains { $0.starts(with: needle.utf8) }
        }
    }
}

/// An agent's place.
struct Agent {
    let session: String
    let directory: String
}

/// A request that an agent sent, as townsim's endpoint saw it.
struct AgentRequest {
    let key: String
    let baseURL: String
    let conversation: String
    let turn: Int
    let pid: Int32
    let directory: String
    let result: String

    init?(_ line: some Collection<UInt8>) {
        let row: JSONValue
        do throws(JSONError) { row = try JSONValue(parsing: line) } catch { return nil }
        guard let key = row["key"]?.string, let session = row["session"]?.string, let turn = row["turn"]?.integer,
            let pid = row["pid"]?.integer, let cwd = row["cwd"]?.string, let result = row["result"]?.string
        else { return nil }
        self.key = key
        baseURL = row["base_url"]?.string ?? ""
        conversation = session
        self.turn = turn
        self.pid = Int32(pid)
        directory = cwd
        self.result = result
    }
}

/// Makes a town, hands it to the body and removes it, also if the body fails.
func withTown(
    keys: Int = 3, agent: String = "", sections: String = "", _ body: (MiniatureTown) throws -> Void
) throws {
    let town = try MiniatureTown(keys: keys, agent: agent, sections: sections)
    defer { town.tearDown() }
    do { try body(town) } catch {
        Issue.record("\(error)\n--- the daemon's log\n\(try town.logTail())")
    }
}

/// Waits until a condition holds.
func eventually(_ what: String, within limit: Duration = patience, _ condition: () throws -> Bool) throws {
    guard try Waiting.until(limit, condition) else { throw TownError("waited \(limit) for \(what)") }
}

/// Waits for the end of a child of ours and takes its status.
func waitForEnd(of pid: Int32, within limit: Duration = patience) throws -> LinuxSys.ExitStatus {
    var status: Int32 = 0
    try eventually("the end of process \(pid)", within: limit) { waitpid(pid, &status, WNOHANG) != 0 }
    return status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .signalled(status & 0x7F)
}

func text(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

/// Writes into a file until its file system is full.
func fill(_ path: String) throws {
    let file = try Syscalls.open(FilePath(path), flags: O_WRONLY | O_CREAT)
    let page = [UInt8](repeating: 0, count: 4096)
    do throws(SystemError) {
        while true { try Syscalls.writeAll(file.raw, page) }
    } catch {
        guard error.errno == .noSpace else { throw error }
    }
}
