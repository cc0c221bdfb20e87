// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import Configuration
import ControlAPI
import Glibc
import JSON
import LinuxSys
import Secrets
import SystemPackage

struct Gasclawd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gasclawd",
        abstract: "Keeps a Gas Town's agents supplied with working API keys.",
        discussion: """
            Use only keys that were issued to you or your organization under terms that allow your use.

            The configuration is the file after --config, else $GASCLAWD_CONFIG, else /etc/gasclawd/gasclawd.toml, else
            ~/.config/gasclawd/gasclawd.toml, else defaults. Times are shown in UTC.
            """, version: "gasclawd \(gasclawdVersion)",
        subcommands: [
            RunCommand.self, StopCommand.self, BootstrapCommand.self, StatusCommand.self, EventsCommand.self,
            KeysCommand.self, AgentsCommand.self, ServicesCommand.self, BeadsCommand.self, CheckCommand.self,
            DoctorCommand.self, HookCommand.self, ReloadCommand.self, VersionCommand.self, CatalogCommand.self,
            ManualCommand.self,
        ])
}

/// Why a command failed, and with which code of contract A it ends.
struct CommandFailure: Error {
    let code: Int32
    let lines: [String]

    init(code: Int32, _ message: String) {
        self.code = code
        lines = ["gasclawd: \(message)"]
    }

    /// For errors that stand on lines of their own, each with its place.
    init(code: Int32, lines: [String]) {
        self.code = code
        self.lines = lines
    }
}

enum CommandLineTool {
    static func run() -> Int32 {
        do {
            var command = try Gasclawd.parseAsRoot()
            try command.run()
            return 0
        } catch let failure as CommandFailure {
            // A path that was typed may hold a key too.
            for line in failure.lines { Output.error(Redactor().redact(line, lengthMax: 16 << 10)) }
            return failure.code
        } catch {
            let code = Gasclawd.exitCode(for: error)
            if code == .success {
                Output.write(Gasclawd.fullMessage(for: error) + "\n")
                return 0
            }
            if let code = error as? ExitCode { return code.rawValue }
            // It quotes what was typed, and people paste keys.
            Output.error(Redactor().redact(usageError(Gasclawd.message(for: error)), lengthMax: 16 << 10))
            return code == .validationFailure ? 64 : 70
        }
    }

    /// The command that was called, without the program's name: `keys list`; empty where it is none.
    static var called: String { calledCommand().names.joined(separator: " ") }

    /// Only names of commands are taken, so that nothing else that was typed gets through.
    private static func calledCommand() -> (names: [String], isGroup: Bool) {
        var names: [String] = []
        var command: any ParsableCommand.Type = Gasclawd.self
        for argument in CommandLine.arguments.dropFirst() {
            guard let next = command.configuration.subcommands.first(where: { $0._commandName == argument }) else {
                break
            }
            names.append(argument)
            command = next
        }
        return (names, !command.configuration.subcommands.isEmpty)
    }

    /// What the parser says, in the form of all errors.
    private static func usageError(_ message: String) -> String {
        let (names, isGroup) = calledCommand()
        let unexpected = "Unexpected argument "
        // The parser begins with a capital letter.
        let why =
            isGroup && message.hasPrefix(unexpected)
            ? "there is no command \(message.dropFirst(unexpected.count))"
            : message.prefix(1).lowercased() + message.dropFirst()
        let hint = (["gasclawd"] + names + ["--help shows what there is"]).joined(separator: " ")
        return "gasclawd: \(names.isEmpty ? "usage" : called): \(why) (\(hint))"
    }
}

enum Output {
    /// Writes to standard output; a reader that went away ends us quietly.
    static func write(_ text: String) { write(1, text) }
    static var isTerminal: Bool { isatty(1) == 1 }
    static func error(_ line: String) { write(2, line + "\n") }

    struct Size {
        var rows: Int
        var columns: Int
    }
    /// Of the terminal that standard output is; nil where it is none. One that does not tell is as large as can be.
    static var terminalSize: Size? {
        guard isTerminal else { return nil }
        var size = winsize()
        guard ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0, size.ws_col > 0 else {
            return Size(rows: .max, columns: .max)
        }
        return Size(rows: Int(size.ws_row), columns: Int(size.ws_col))
    }

    private static func write(_ descriptor: Int32, _ text: String) {
        do throws(SystemError) { try Syscalls.writeAll(descriptor, Array(text.utf8)) } catch {
            exit(error.errno == .brokenPipe ? 0 : 1)
        }
    }
}

/// The options of every command.
struct CommonOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("The configuration file.", valueName: "file"), completion: .file())
    var config: String?

    @Option(name: .long, help: ArgumentHelp("The daemon's control socket.", valueName: "path"), completion: .file())
    var socket: String?

    /// Where the daemon's socket is: commands need no more of the configuration than its `[paths]` (contract H).
    func client(followsMoves: Bool = true) throws -> ControlClient {
        if let socket {
            return ControlClient(socket: FilePath(socket))
        }
        if let named = CurrentProcess.environmentValue("GASCLAWD_SOCKET"), named.hasPrefix("/") {
            return ControlClient(socket: FilePath(named))
        }
        do {
            let client = ControlClient(socket: ControlClient.socketPath(runtime: try paths().runtime))
            if followsMoves, client.isAbsent, let other = try clientOfMovedSocket() { return other }
            return client
        } catch let refused as CommandFailure where refused.code == 78 {
            guard let client = try clientOfDefaultSocket() ?? clientOfMovedSocket() else { throw refused }
            return client
        }
    }

    /// A file that is no TOML, or gone, does not say where the daemon is that was started with it; the default socket is
    /// tried (contract E). Another daemon is not mistaken for it: what was meant for one town must not stop another.
    ///
    /// - Returns: nil where no daemon answers that has this file.
    private func clientOfDefaultSocket() throws -> ControlClient? {
        let environment = ConfigurationEnvironment.current
        guard let file = ConfigurationFile.find(option: config, environment: environment).path else { return nil }
        let runtime: FilePath
        do throws(ConfigurationErrors) {
            runtime = try Configuration.loadPaths(nil, path: "", environment: environment).runtime
        } catch { return nil }
        let client = ControlClient(socket: ControlClient.socketPath(runtime: runtime))
        return client.belongs(to: try ConfigurationSource.absolute(file).shown, timeout: .seconds(5)) ? client : nil
    }

    /// The daemon listens where the file sent it when it started: the file may say something else by now, or nothing.
    ///
    /// - Returns: nil where no daemon is found that has this file.
    private func clientOfMovedSocket() throws -> ControlClient? {
        let environment = ConfigurationEnvironment.current
        guard let file = ConfigurationFile.find(option: config, environment: environment).path else { return nil }
        // Whoever names folders by variables means those.
        guard !["STATE", "RUNTIME"].contains(where: { environment.variables["GASCLAWD_PATHS_\($0)"] != nil }) else {
            return nil
        }
        let path = try ConfigurationSource.absolute(file).shown
        // Where launchers find it, as far as that is not moved too.
        var launchers = environment.variables["HOME"].map { [LauncherFile.path(home: FilePath($0))] } ?? []
        do { launchers.insert(LauncherFile.path(bin: try self.paths().state.appending("bin")), at: 0) } catch {
            // The file does not say.
        }
        var sockets = launchers.compactMap { LauncherFile(at: $0)?.socket }
        // A daemon keeps its runtime directory open. Only root is told by the kernel.
        for pid in ProcessTable.all() where Self.isGasclawd(pid) {
            sockets += Holders.targets(of: pid).filter(Syscalls.isDirectory).map(ControlClient.socketPath(runtime:))
        }
        for socket in sockets where Syscalls.exists(socket) {
            let client = ControlClient(socket: socket)
            if client.belongs(to: path, timeout: .seconds(1)) { return client }
        }
        return nil
    }

    private static func isGasclawd(_ pid: Int32) -> Bool {
        guard pid != CurrentProcess.pid, let words = ProcessTable.arguments(of: pid), let program = words.first else {
            return false
        }
        return program.split(separator: "/").last == "gasclawd" && words.contains("run")
    }

    func paths() throws -> Configuration.Paths {
        let environment = ConfigurationEnvironment.current
        let found = ConfigurationFile.find(option: config, environment: environment)
        let bytes = try ConfigurationSource.read(found.path, isExplicit: found.isExplicit)
        do throws(ConfigurationErrors) {
            return try Configuration.loadPaths(bytes, path: found.path?.shown ?? "", environment: environment)
        } catch {
            throw CommandFailure(code: 78, lines: error.errors.map(\.description))
        }
    }

    /// Each setting with the origin of its value.
    func explain() throws -> (path: FilePath?, settings: [EffectiveSetting]) {
        let environment = ConfigurationEnvironment.current
        let found = ConfigurationFile.find(option: config, environment: environment)
        let bytes = try ConfigurationSource.read(found.path, isExplicit: found.isExplicit)
        do throws(ConfigurationErrors) {
            return (
                found.path, try Configuration.explain(bytes, path: found.path?.shown ?? "", environment: environment)
            )
        } catch {
            throw CommandFailure(code: 78, lines: error.errors.map(\.description))
        }
    }

    func configuration() throws -> (value: Configuration, path: FilePath?) {
        let environment = ConfigurationEnvironment.current
        let found = ConfigurationFile.find(option: config, environment: environment)
        let bytes = try ConfigurationSource.read(found.path, isExplicit: found.isExplicit)
        let value: Configuration
        do throws(ConfigurationErrors) {
            value = try Configuration.load(bytes, path: found.path?.shown ?? "", environment: environment)
        } catch {
            throw CommandFailure(code: 78, lines: error.errors.map(\.description))
        }
        return (value, try found.path.map(ConfigurationSource.absolute))
    }
}

enum ConfigurationSource {
    static let lengthMax = 1 << 20

    /// - Returns: nil where there is no file and none was named.
    static func read(_ path: FilePath?, isExplicit: Bool) throws -> [UInt8]? {
        guard let path else { return nil }
        do throws(FileReadError) {
            return try RegularFile.read(path, limit: lengthMax).bytes
        } catch {
            if error.isAbsence && !isExplicit { return nil }
            throw CommandFailure(code: 78, "configuration: \(path.shown): \(error) (see --config)")
        }
    }

    /// The daemon watches the file by its absolute name.
    static func absolute(_ path: FilePath) throws -> FilePath {
        if path.isAbsolute { return path }
        do throws(SystemError) {
            return try Syscalls.linkTarget("/proc/self/cwd").pushing(path).lexicallyNormalized()
        } catch {
            throw CommandFailure(code: 70, "configuration: \(error)")
        }
    }
}

extension ControlClient {
    /// Whether nobody listens there.
    var isAbsent: Bool {
        do throws(SystemError) {
            _ = try UnixSocket(connectingTo: socket)
            return false
        } catch {
            return [.noSuchFileOrDirectory, .connectionRefused].contains(error.errno)
        }
    }

    /// Whether a daemon answers that has this configuration file.
    func belongs(to path: String, timeout: Duration) -> Bool {
        do throws(ControlClientError) {
            return try request("GET", "/v1/status", timeout: timeout)["config"]?["path"]?.string == path
        } catch { return false }
    }

    /// Asks, and turns what can go wrong into an exit code.
    func ask(
        _ method: String, _ target: String, body: JSONValue? = nil, timeout: Duration = .seconds(10)
    ) throws -> JSONValue {
        do throws(ControlClientError) {
            return try request(method, target, body: body, timeout: timeout)
        } catch {
            throw Self.failure(error, socket: socket)
        }
    }

    /// What to do belongs to each error; where the daemon names nothing better, a place to look.
    static func withHint(_ message: String, _ hint: String) -> String {
        message.hasSuffix(")") ? message : "\(message) (\(hint))"
    }

    /// It ended, or was killed, while it was listened to.
    static var ended: CommandFailure {
        CommandFailure(code: 69, "\(CommandLineTool.called): the daemon has ended (start it with gasclawd run)")
    }

    static func failure(_ error: ControlClientError, socket: FilePath) -> CommandFailure {
        switch error {
        case .noDaemon(let cause):
            CommandFailure(
                code: 69, "no daemon answers on \(socket.shown): \(cause.errno) (start it with gasclawd run)")
        case .ended: ended
        case .interrupted, .malformed, .unread:
            CommandFailure(code: 69, "\(error) on \(socket.shown) (is that gasclawd's socket? try again)")
        case .refused(let refusal, _):
            CommandFailure(
                code: refusal.code == "busy" ? 75 : 1,
                "\(CommandLineTool.called): \(withHint(refusal.message, "gasclawd status shows how things stand"))")
        }
    }
}

/// Where a launcher finds its daemon when no file beside its link says so.
enum DefaultLauncher {
    /// The control socket that a configuration leads to; nil where it cannot be told.
    static func socket(config: String?) -> FilePath? { find(config: config)?.socket }

    static func find(config: String? = nil) -> LauncherFile? {
        let environment = ConfigurationEnvironment.current
        let found = ConfigurationFile.find(option: config, environment: environment)
        do {
            let bytes = try ConfigurationSource.read(found.path, isExplicit: found.isExplicit)
            let paths = try Configuration.loadPaths(bytes, path: found.path?.shown ?? "", environment: environment)
            return LauncherFile(
                socket: ControlClient.socketPath(runtime: paths.runtime), state: paths.state, program: nil)
        } catch {
            // The launcher says that it belongs to no daemon.
            return nil
        }
    }
}
