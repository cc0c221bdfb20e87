// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import ControlAPI
import Daemon
import GasTown
import Glibc
import JSON
import LinuxSys
import Secrets
import SystemPackage
import Timekeeping

/// What the checks look at. It only reads: no check changes a file, starts a server or sends a signal.
final class Examination {
    let configuration: Configuration
    /// The file that it was read from.
    let path: FilePath?
    let own: ConfigurationEnvironment
    let toolbox: Toolbox
    let redactor: Redactor
    /// Where the daemon answers.
    let socket: FilePath
    /// What `gasclawd status` says; nil where no daemon answers.
    let status: JSONValue?
    /// Where the system's own files are; another folder in tests.
    let system: FilePath
    let isProbing: Bool
    /// The folder of the links that agents are started by, and the file that leads a launcher to its daemon.
    let bin: FilePath
    let launcherFile: FilePath
    let now = Timestamp.now
    private let loop: EventLoop

    init(
        _ configuration: Configuration, path: FilePath?, own: ConfigurationEnvironment, socket: FilePath,
        isProbing: Bool, system: FilePath = "/"
    ) throws(SystemError) {
        self.configuration = configuration
        self.path = path
        self.own = own
        self.socket = socket
        self.isProbing = isProbing
        self.system = system
        (bin, launcherFile) = Self.links(state: configuration.paths.state, home: own.variables["HOME"])
        toolbox = Toolbox(configuration, bin: bin, own: own, version: "")
        redactor = OfflineKeys.redactor(configuration)
        loop = try EventLoop()
        do throws(ControlClientError) {
            status = try ControlClient(socket: socket).request("GET", "/v1/status", timeout: .seconds(3))
        } catch {
            status = nil
        }
    }

    /// Whose town it is: the daemon's user, or the owner of its state; nil where there is neither.
    lazy var townUser: UInt32? =
        status?["pid"]?.integer.flatMap { ProcessTable.userID(of: Int32(clamping: $0)) }
        ?? stat(configuration.paths.state)?.owner

    /// Whether it is somebody else's: gt and Claude Code would look into our own folders, not into theirs.
    var isAnothers: Bool { townUser.map { $0 != CurrentProcess.userID } ?? false }

    var town: FilePath { configuration.town.root }
    /// The town's own files are there.
    var isInstalled: Bool { Syscalls.exists(town.appending("mayor/town.json")) }

    /// Those of a package where they lead to us, unless another daemon of this user is behind them.
    private static func links(state: FilePath, home: String?) -> (bin: FilePath, file: FilePath) {
        let own = state.appending("bin")
        do throws(SystemError) {
            let executable = try CurrentProcess.executable()
            let installed = LauncherFile.installedFolder(of: executable)
            guard let home, home.hasPrefix("/"),
                try Syscalls.realPath(installed.appending("claude")) == executable
            else { return (own, LauncherFile.path(bin: own)) }
            let file = LauncherFile.path(home: FilePath(home))
            if let behind = LauncherFile(at: file), behind.state != state { return (own, LauncherFile.path(bin: own)) }
            return (installed, file)
        } catch {
            // No package brought links.
            return (own, LauncherFile.path(bin: own))
        }
    }

    // MARK: - Programs

    struct Call {
        var words: [String]
        /// Variables over those that our children get.
        var variables: [String: String] = [:]
        var directory: FilePath?
        var input: [UInt8]?
    }

    /// What came of a call; a message where it could not be made.
    typealias Outcome = Result<CommandResult, SystemError>

    /// How long a program may take.
    static let timeout = Duration.seconds(10)

    /// Runs programs at the same time, so that those that hang cost their time once.
    func run(_ calls: [Call]) -> [Outcome] {
        var outcomes = [Outcome?](repeating: nil, count: calls.count)
        var left = calls.count
        for (index, call) in calls.enumerated() {
            do throws(SystemError) {
                let names = call.variables.keys.map { "\($0)=" }
                let kept = toolbox.environment.filter { entry in !names.contains { entry.hasPrefix($0) } }
                try Command.run(
                    call.words, input: call.input, environment: kept + call.variables.map { "\($0.key)=\($0.value)" },
                    directory: call.directory, timeout: Self.timeout, on: loop
                ) { [loop] result in
                    outcomes[index] = .success(result)
                    left -= 1
                    if left == 0 { loop.stop() }
                }
            } catch {
                outcomes[index] = .failure(error)
                left -= 1
            }
        }
        if left > 0 {
            do throws(SystemError) { try loop.run() } catch {
                return outcomes.map { $0 ?? .failure(error) }
            }
        }
        return outcomes.map { $0 ?? .failure(SystemError(call: "run", errno: .noChildProcess)) }
    }

    func run(_ call: Call) -> Outcome {
        run([call]).first ?? .failure(SystemError(call: "run", errno: .noChildProcess))
    }

    /// The absolute path of a program.
    func find(_ name: String) -> String? {
        toolbox.folders.map { "\($0)/\(name)" }.first {
            $0.hasPrefix("/") && Syscalls.isExecutable(FilePath($0)) && !Syscalls.isDirectory(FilePath($0))
        }
    }

    // MARK: - Files

    /// What a file holds: nothing where there is none, or why it cannot be read.
    enum Content {
        case absent
        case unusable(String)
        case json(JSONValue)

        var json: JSONValue? { if case .json(let value) = self { value } else { nil } }
    }

    func json(_ path: FilePath, limit: Int = 64 << 20) -> Content {
        do throws(FileReadError) {
            let bytes = try RegularFile.read(path, limit: limit).bytes
            do throws(JSONError) { return .json(try JSONValue(parsing: bytes)) } catch { return .unusable("\(error)") }
        } catch {
            return error.isAbsence ? .absent : .unusable("\(error)")
        }
    }

    /// A small file's text; nil where it cannot be read.
    func text(_ path: FilePath) -> String? {
        do throws(FileReadError) {
            return String(decoding: try RegularFile.read(path, limit: 4 << 20).bytes, as: UTF8.self)
        } catch {
            return nil
        }
    }

    /// A file of the system, by its absolute name.
    func systemFile(_ name: String) -> FilePath { system.pushing(FilePath(String(name.drop { $0 == "/" }))) }

    /// The names in a folder in order, without those that begin with a point.
    func names(_ folder: FilePath) -> [FilePath] {
        do throws(SystemError) {
            let opened = try Syscalls.open(folder, flags: Syscalls.directory)
            return try Syscalls.names(inDirectory: opened.raw).filter { $0.first != UInt8(ascii: ".") }
                .sorted { $0.lexicographicallyPrecedes($1) }.map { folder.entry($0) }
        } catch {
            return []
        }
    }

    func stat(_ path: FilePath) -> FileStatus? {
        do throws(SystemError) { return try Syscalls.status(of: path) } catch { return nil }
    }

    // MARK: - Processes

    struct Process {
        let pid: Int32
        let name: String
        let words: [String]
        let user: UInt32?

        /// The program that its first word names.
        var program: String? { words.first.map(Self.lastName) }

        /// A word's last component. Not by way of FilePath: a word can be a whole script, and a FilePath that checks itself
        /// (in debug builds) takes a time over `//` that grows with the square of its length.
        static func lastName(_ word: String) -> String {
            String(word[(word.lastIndex(of: "/").map(word.index(after:)) ?? word.startIndex)...])
        }
    }

    /// The processes of the machine.
    lazy var processes: [Process] = ProcessTable.all().compactMap { pid in
        guard let status = ProcessTable.status(of: pid), status.isAlive else { return nil }
        let words = (text(FilePath("/proc/\(pid)/cmdline")) ?? "").split(separator: "\0").map(String.init)
        return Process(
            pid: pid, name: String(decoding: status.name, as: UTF8.self), words: words,
            user: stat(FilePath("/proc/\(pid)"))?.owner)
    }

    func process(_ pid: Int32) -> Process? { processes.first { $0.pid == pid } }

    /// The names of a process's variables; nil where they cannot be read. Their values are never looked at.
    func variableNames(of pid: Int32) -> Set<String>? {
        ProcessTable.environment(of: pid).map { entries in
            Set(entries.map { String(decoding: $0.prefix { $0 != UInt8(ascii: "=") }, as: UTF8.self) })
        }
    }

    // MARK: - tmux

    /// The town's tmux server.
    struct Tmux {
        let socket: String
        var panes: [Pane] = []
        /// Names and values of what new panes get; only PATH's value is kept.
        var variableNames: Set<String> = []
        var path: String?
        /// Why it did not answer.
        var problem: String?
        /// Nobody listens on the socket that is there.
        var isStale = false
        var isRunning: Bool { problem == nil && !isStale }
    }

    struct Pane {
        let session: String
        let pid: Int32
        let isDead: Bool
        let directory: String
    }

    /// nil where there is no server, or no tmux to ask it with.
    lazy var tmux: Tmux? = askTmux()

    private func askTmux() -> Tmux? {
        let socket = TownSocket.path(root: town, userID: townUser ?? CurrentProcess.userID)
        guard let program = toolbox.tmux, Syscalls.exists(FilePath(socket)) else { return nil }
        var tmux = Tmux(socket: socket)
        let format = "#{session_name}\t#{pane_pid}\t#{pane_dead}\t#{pane_current_path}"
        let outcomes = run([
            Call(words: [program, "-u", "-S", socket, "list-panes", "-a", "-F", format]),
            Call(words: [program, "-u", "-S", socket, "show-environment", "-g"]),
        ])
        switch outcomes[0] {
        case .success(let result) where result.status.isSuccess:
            tmux.panes = String(decoding: result.output, as: UTF8.self).split(separator: "\n").compactMap(Self.pane)
        case .success(let result):
            let said = String(decoding: result.errors, as: UTF8.self)
            if said.contains("no server running") || said.contains("error connecting") {
                tmux.isStale = true
            } else {
                tmux.problem =
                    result.timedOut ? "no answer within \(Self.timeout.brief)" : shownText(result.errors.prefix(200))
            }
        case .failure(let error): tmux.problem = "\(error)"
        }
        if case .success(let result) = outcomes[1], result.status.isSuccess {
            for line in String(decoding: result.output, as: UTF8.self).split(separator: "\n") where !line.hasPrefix("-")
            {
                tmux.variableNames.insert(String(line.prefix { $0 != "=" }))
                if line.hasPrefix("PATH=") { tmux.path = String(line.dropFirst(5)) }
            }
        }
        return tmux
    }

    private static func pane(_ line: Substring) -> Pane? {
        let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
        guard fields.count == 4, let pid = Int32(fields[1]) else { return nil }
        return Pane(session: String(fields[0]), pid: pid, isDead: fields[2] == "1", directory: String(fields[3]))
    }
}
