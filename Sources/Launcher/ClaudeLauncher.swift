// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// Called as `claude`: gets a key from the daemon and becomes the real client. The pid stays the same, and nothing of
/// ours runs any more.
public struct ClaudeLauncher {
    private let arguments: LaunchArguments
    private var environment: LaunchEnvironment
    private let file: LauncherFile
    private let directory: FilePath
    private let program: RealProgram

    /// How long the daemon may take (contract G).
    private static let leaseTimeout = Duration.seconds(1)
    /// How long it is waited for a first key.
    private static let keyTimeout = Duration.seconds(61)

    /// Becomes the real client. Returns only if that failed, with the exit code.
    ///
    /// - Parameters:
    ///   - arguments: argv, the program's name included.
    ///   - defaults: Where the daemon is if no file beside the link says so.
    public static func run(_ arguments: [[UInt8]], defaults: () -> LauncherFile?) -> Int32 {
        CurrentProcess.setDumpable(false)
        do throws(LaunchFailure) {
            let launcher = try ClaudeLauncher(arguments, defaults: defaults)
            return try launcher.launch()
        } catch {
            LauncherMessage.write(error.message)
            return error.code
        }
    }

    private init(_ arguments: [[UInt8]], defaults: () -> LauncherFile?) throws(LaunchFailure) {
        self.arguments = LaunchArguments(Array(arguments.dropFirst()))
        environment = LaunchEnvironment(CurrentProcess.environment)
        let ourselves: FilePath
        do throws(SystemError) {
            ourselves = try CurrentProcess.executable()
            directory = try Syscalls.linkTarget("/proc/self/cwd")
        } catch {
            throw LaunchFailure(code: 70, message: "\(error)")
        }
        program = RealProgram(ourselves: ourselves, path: environment["PATH"] ?? "", home: environment["HOME"])
        var found: LauncherFile?
        if let name = arguments.first, let bin = Self.bin(of: name, environment: environment, ourselves: ourselves) {
            found = LauncherFile(at: Self.file(bin: bin, home: environment["HOME"], ourselves: ourselves))
        }
        if let socket = environment["GASCLAWD_SOCKET"], socket.hasPrefix("/") {
            let state = found?.state ?? FilePath(socket).removingLastComponent()
            found = LauncherFile(socket: FilePath(socket), state: state, program: found?.program)
        }
        guard let file = found ?? defaults() else {
            throw LaunchFailure(
                code: 78,
                message: "this link belongs to no gasclawd (start it with gasclawd run, or set GASCLAWD_SOCKET)")
        }
        self.file = file
    }

    /// The folder that our link was called in: from the name if that is a path, else from the PATH.
    private static func bin(of name: [UInt8], environment: LaunchEnvironment, ourselves: FilePath) -> FilePath? {
        if name.first == UInt8(ascii: "/") { return FilePath(bytes: name).removingLastComponent() }
        for entry in (environment["PATH"] ?? "").split(separator: ":") where entry.hasPrefix("/") {
            let candidate = FilePath(String(entry)).appending("claude")
            do throws(SystemError) {
                if try Syscalls.realPath(candidate) == ourselves { return FilePath(String(entry)) }
            } catch {
                continue
            }
        }
        return nil
    }

    /// Where the daemon has left the way to it. Links that a package installed serve every user, so theirs is in the home.
    private static func file(bin: FilePath, home: String?, ourselves: FilePath) -> FilePath {
        do throws(SystemError) {
            if let home, home.hasPrefix("/"), try Syscalls.realPath(bin) == LauncherFile.installedFolder(of: ourselves)
            {
                return LauncherFile.path(home: FilePath(home))
            }
        } catch {
            // A folder that cannot be resolved is taken by its name.
        }
        return LauncherFile.path(bin: bin)
    }

    // MARK: - The launch

    private func launch() throws(LaunchFailure) -> Int32 {
        if arguments.isPassThrough {
            return try become(findProgram(file.program), arguments: arguments.words, environment: environment)
        }
        let given: JSONValue?
        do throws(AgentSettings.Problem) {
            given = try AgentSettings.given(arguments.settings, directory: directory)
        } catch {
            throw LaunchFailure(code: 78, message: "\(error)")
        }
        let request = makeRequest(unsafe: AgentSettings.unsafeNames(directory: directory, given: given))
        let answer = try lease(request)
        let found = try findProgram(answer.program)
        let pinned: FilePath
        let named: FilePath
        do throws(SystemError) {
            let settings = ClaudeSettings.pinned(base: given, baseURL: answer.baseURL)
            pinned = try AgentSettings.pin(settings, in: FilePath(answer.settingsDirectory))
            named = try AgentSettings.named(found, in: FilePath(answer.settingsDirectory))
        } catch {
            throw LaunchFailure(code: 70, message: "settings for the agent cannot be written: \(error)")
        }
        var resume: (id: ConversationID, prompt: String)?
        if !arguments.choosesConversation, let id = answer.resume.flatMap(ConversationID.init) {
            resume = (id, answer.resumePrompt)
        }
        var environment = environment
        environment.equip(
            baseURL: answer.baseURL, credential: answer.credential, configDirectory: answer.configDirectory,
            shellPrefix: answer.bin + "/agent-shell", isSandboxed: answer.isSandboxed, variables: answer.environment)
        return try become(
            named, arguments: arguments.completed(settings: pinned.bytes, resume: resume), environment: environment)
    }

    private func findProgram(_ configured: String?) throws(LaunchFailure) -> FilePath {
        switch program.find(configured: configured) {
        case .program(let path): return path
        case .anotherLauncher(let path):
            // Ours would call it, and it ours, for ever.
            if environment["GASCLAWD_LAUNCHER"] != nil {
                throw LaunchFailure(
                    code: 70, message: "\(path.shown) is another gasclawd (put only one first in the PATH)")
            }
            return path
        case .nothing:
            throw LaunchFailure(
                code: 78,
                message: configured.map { "claude: \($0) cannot be run (see agent.program in gasclawd.toml)" }
                    ?? "claude: not found in the PATH (install Claude Code, or set agent.program in gasclawd.toml)")
        }
    }

    private func become(
        _ program: FilePath, arguments: [[UInt8]], environment: LaunchEnvironment
    ) throws(LaunchFailure) -> Int32 {
        var environment = environment
        environment.set("GASCLAWD_LAUNCHER", "1")
        let error = CurrentProcess.become(
            program, arguments: [Array("claude".utf8)] + arguments, environment: environment.entries)
        throw LaunchFailure(code: 70, message: "\(error)")
    }

    // MARK: - The lease

    private func makeRequest(unsafe: [String]) -> LeaseRequest {
        let tmux = environment["TMUX"].flatMap { $0.split(separator: ",").first.map(String.init) }
        let pane = environment["TMUX_PANE"]
        var session = environment["GT_SESSION"].flatMap { $0.isEmpty ? nil : $0 }
        if session == nil, let tmux, let pane { session = SessionName.ask(socket: tmux, pane: pane, environment) }
        return LeaseRequest(
            pid: CurrentProcess.pid, pane: pane, tmuxSocket: tmux, session: session, role: environment["GT_ROLE"],
            rig: environment["GT_RIG"], directory: directory.string, conversation: arguments.conversation?.text,
            mayResume: !arguments.choosesConversation, slug: environment["CLAUDE_CODE_PROJECT_DIR_NAME"],
            unsafeSettings: unsafe)
    }

    private func lease(_ request: LeaseRequest) throws(LaunchFailure) -> LeaseAnswer {
        let client = ControlClient(socket: file.socket)
        do throws(ControlClientError) {
            return try answer(client.request("POST", "/v1/leases", body: request.json, timeout: Self.leaseTimeout))
        } catch {
            switch error {
            case .refused(let refusal, _) where refusal.code == "unavailable": break
            case .refused(let refusal, _) where refusal.code != "too_many_clients":
                throw LaunchFailure(code: 78, message: refusal.message)
            case .refused, .noDaemon, .interrupted, .ended, .malformed, .unread: return try fallback(request)
            }
        }
        LauncherMessage.write("waiting for a key (there is none in the pool; add one to the accounts directory)")
        var patient = request
        patient.mayWait = true
        do throws(ControlClientError) {
            return try answer(client.request("POST", "/v1/leases", body: patient.json, timeout: Self.keyTimeout))
        } catch {
            if case .refused = error { throw LaunchFailure(code: 75, message: "no key: \(error) (try again)") }
            // The daemon has ended meanwhile.
            return try fallback(request)
        }
    }

    private func fallback(_ request: LeaseRequest) throws(LaunchFailure) -> LeaseAnswer {
        try FallbackLaunch(file: file, request: request, directory: directory).answer()
    }

    private func answer(_ value: JSONValue) throws(ControlClientError) -> LeaseAnswer {
        guard let answer = LeaseAnswer(value) else { throw .malformed }
        return answer
    }
}

/// Why no agent was started.
struct LaunchFailure: Error {
    let code: Int32
    let message: String
}
