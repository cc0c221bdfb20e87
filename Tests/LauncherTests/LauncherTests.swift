// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import Fixtures
import GasTown
import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import Launcher

/// Which program stands behind ours.
struct RealProgramTests {
    private let folder: TemporaryFolder
    private let ours: FilePath

    init() throws {
        folder = try TemporaryFolder("gcl")
        ours = try folder.put("own/gasclawd", "#!", mode: 0o755)
    }

    private func find(_ path: String, home: String? = nil, configured: String? = nil) -> String {
        let program = RealProgram(ourselves: ours, path: path, home: home)
        return switch program.find(configured: configured) {
        case .program(let path): path.string
        case .anotherLauncher(let path): "launcher \(path.string)"
        case .nothing: "nothing"
        }
    }

    @Test func ourOwnLinksArePassedOver() throws {
        try folder.link("a/claude", to: ours)
        try folder.link("b/claude", to: folder.path.appending("a/claude"))
        let real = try folder.put("c/claude", "#!", mode: 0o755)
        let path = ["a", "b", "c"].map { folder.path.appending($0).string }.joined(separator: ":")
        #expect(find(path) == real.string)
    }

    @Test func whatCannotBeRunIsPassedOver() throws {
        try folder.put("plain/claude", "#!", mode: 0o644)
        try Syscalls.makeDirectories(folder.path.appending("folder/claude"))
        try folder.link("dangling/claude", to: "/nowhere/at/all")
        try folder.link("loop/claude", to: "claude")
        let real = try folder.put("real/claude", "#!", mode: 0o755)
        let names = ["plain", "folder", "dangling", "loop", "missing", "real"]
        #expect(find(names.map { folder.path.appending($0).string }.joined(separator: ":")) == real.string)
    }

    @Test func onlyAbsoluteFoldersCount() throws {
        #expect(find("::.:relative:") == "nothing")
    }

    @Test func anotherGasclawdIsKnownByItsName() throws {
        let other = try folder.put("other/gasclawd", "#!", mode: 0o755)
        try folder.link("x/claude", to: other)
        #expect(find(folder.path.appending("x").string).hasPrefix("launcher "))
    }

    @Test func theUsersOwnInstallationComesLast() throws {
        let local = try folder.put(".claude/local/claude", "#!", mode: 0o755)
        #expect(find("/nowhere", home: folder.path.string) == local.string)
        let real = try folder.put("real/claude", "#!", mode: 0o755)
        #expect(find(folder.path.appending("real").string, home: folder.path.string) == real.string)
    }

    @Test func theConfiguredOneIsTheOnlyOne() throws {
        try folder.put("real/claude", "#!", mode: 0o755)
        let path = folder.path.appending("real").string
        let configured = try folder.put("special", "#!", mode: 0o755)
        #expect(find(path, configured: configured.string) == configured.string)
        #expect(find(path, configured: "/nowhere/claude") == "nothing")
        #expect(find(path, configured: ours.string) == "nothing", "it would be a loop")
    }
}

/// A start while no daemon answers.
struct FallbackLaunchTests {
    private let folder: TemporaryFolder
    private var state: FilePath { folder.path.appending("state") }

    init() throws {
        folder = try TemporaryFolder("gcl")
        try Syscalls.makeDirectories(folder.path.appending("state"))
    }

    private func values() -> String {
        let answer = LeaseAnswer(
            baseURL: "https://api.example/", credential: "sk-kimi-0123456789abcdefghijklmnop", keyID: "0123456789ab",
            environment: [], configDirectory: folder.path.appending("claude").string, program: nil, isSandboxed: false,
            bin: "/bin", settingsDirectory: folder.path.appending("settings").string, bypassesPermissions: true,
            townRoot: folder.path.appending("town").string, resume: nil, resumePrompt: "Go on.")
        return answer.json.line
    }

    private func launch(in directory: String = "town/crew", unsafe: [String] = []) throws -> LeaseAnswer {
        let place = folder.path.appending(directory)
        let request = LeaseRequest(
            pid: getpid(), pane: "%1", tmuxSocket: "/tmp/x", session: "pr-crew-a", role: "project/crew/a",
            rig: "project",
            directory: place.string, conversation: nil, mayResume: true, slug: nil, unsafeSettings: unsafe)
        let file = LauncherFile(socket: folder.path.appending("control.sock"), state: state, program: nil)
        return try FallbackLaunch(file: file, request: request, directory: place).answer()
    }

    private func json(_ path: String) throws -> JSONValue {
        try JSONValue(parsing: try RegularFile.read(folder.path.appending(path), limit: 1 << 20).bytes)
    }

    @Test func theValuesThatTheDaemonWroteLastAreUsedAndANoteIsLeft() throws {
        try folder.put("state/launch.json", values())
        let answer = try launch()
        #expect(answer.keyID == "0123456789ab")
        let note = try json("state/launches/\(getpid()).json")
        #expect(note["key"]?.string == "0123456789ab")
        #expect(note["role"]?.string == "crew")
        #expect(!note.line.contains("abcdefgh"), "no key is in it")
        let state = try json("claude/.claude.json")
        #expect(state["customApiKeyResponses"]?["approved"]?.array == [.string(String(answer.credential.suffix(20)))])
        #expect(state["projects"]?[folder.path.appending("town/crew").string]?["hasTrustDialogAccepted"]?.bool == true)
        #expect(try json("claude/settings.json")["permissions"]?["defaultMode"]?.string == "bypassPermissions")
        for path in ["state/launches/\(getpid()).json", "claude/.claude.json", "claude/settings.json"] {
            #expect(try Syscalls.status(of: folder.path.appending(path)).mode & 0o777 == 0o600, "\(path)")
        }
    }

    @Test func aFolderOutsideOfTheTownIsNotTrusted() throws {
        try folder.put("state/launch.json", values())
        _ = try launch(in: "elsewhere")
        _ = try launch(in: "town-of-somebody")
        #expect(try json("claude/.claude.json")["projects"] == nil)
    }

    @Test(arguments: [UInt32(0o644), 0o640, 0o620, 0o604])
    func aFileThatOthersCanReadOrWriteIsNotTaken(mode: UInt32) throws {
        try folder.put("state/launch.json", values(), mode: mode)
        let failure = #expect(throws: LaunchFailure.self) { try launch() }
        #expect(failure?.code == 78)
        #expect(failure?.message.contains("launch.json") == true)
    }

    @Test(arguments: ["", "{", "[]", "{\"credential\":\"sk-x\"}"])
    func aTornFileIsAsIfThereWereNone(content: String) throws {
        try folder.put("state/launch.json", content)
        let failure = #expect(throws: LaunchFailure.self) { try launch() }
        #expect(failure?.code == 75)
    }

    @Test func aFileThatComesLaterIsWaitedFor() throws {
        let path = try folder.put("new.json", values())
        let loop = try EventLoop()
        // Before or after the launcher begins to wait: it must not matter.
        try Command.run(
            ["/bin/mv", path.string, state.appending("launch.json").string], environment: [], timeout: .seconds(60),
            on: loop
        ) { _ in loop.stop() }
        #expect(try launch().keyID == "0123456789ab")
        try loop.run()
    }

    @Test func withoutAStateDirectoryItSaysWhatToDo() throws {
        rmdir(state.string)
        let failure = #expect(throws: LaunchFailure.self) { try launch() }
        #expect(failure?.code == 75)
        #expect(failure?.message.contains("gasclawd run") == true)
    }

    @Test func settingsThatCouldTakeTheKeyElsewhereStartNothing() throws {
        try folder.put("state/launch.json", values())
        let failure = #expect(throws: LaunchFailure.self) { try launch(unsafe: ["x: env.ANTHROPIC_BASE_URL"]) }
        #expect(failure?.code == 78)
        #expect(!Syscalls.exists(state.appending("launches")))
    }
}

/// The settings files that a start looks at and writes.
struct AgentSettingsTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder("gcl") }

    @Test func settingsAreGivenAsAFileOrAsText() throws {
        try folder.put("given.json", #"{"a":1}"#)
        #expect(try AgentSettings.given(nil, directory: folder.path) == nil)
        #expect(try AgentSettings.given(Array("given.json".utf8), directory: folder.path)?["a"]?.integer == 1)
        #expect(try AgentSettings.given(folder.path.appending("given.json").bytes, directory: "/")?["a"]?.integer == 1)
        #expect(try AgentSettings.given(Array(" {\"a\":2}".utf8), directory: "/")?["a"]?.integer == 2)
        for bad in ["none.json", "{", ""] where !bad.isEmpty {
            #expect(throws: AgentSettings.Problem.self) {
                try AgentSettings.given(Array(bad.utf8), directory: folder.path)
            }
        }
    }

    @Test func aProjectsSettingsThatConcernTheKeyAreNamed() throws {
        #expect(AgentSettings.unsafeNames(directory: folder.path, given: nil).isEmpty)
        try folder.put(".claude/settings.json", #"{"env":{"ANTHROPIC_AUTH_TOKEN":"x","PATH":"y"},"model":"z"}"#)
        try folder.put(".claude/settings.local.json", #"{"apiKeyHelper":"cat"}"#)
        let names = AgentSettings.unsafeNames(
            directory: folder.path, given: ["env": ["ANTHROPIC_BASE_URL": "x", "CLAUDE_CODE_SHELL_PREFIX": "y"]])
        #expect(names.count == 3, "\(names)")
        // Our own pin is in what we were given when an agent starts an agent.
        #expect(!names.contains { $0.contains("ANTHROPIC_BASE_URL") })
    }

    @Test func aProjectsSettingsThatCannotBeJudgedAreNotTrusted() throws {
        // What one parser refuses another may take, and with it an endpoint.
        try folder.put(".claude/settings.json", #"{"env":{"ANTHROPIC_BASE_URL":"x"},}"#)
        #expect(AgentSettings.unsafeNames(directory: folder.path, given: nil).count == 1)
        let padding = String(repeating: " ", count: ClaudeSettings.lengthMax)
        try folder.put(".claude/settings.json", #"{"env":{"ANTHROPIC_BASE_URL":"x"}}"# + padding)
        #expect(AgentSettings.unsafeNames(directory: folder.path, given: nil).count == 1)
    }

    @Test func thePinWinsAndKeepsWhatWasGiven() throws {
        let settings = ClaudeSettings.pinned(
            base: ["hooks": ["x": 1], "env": ["A": "b", "ANTHROPIC_BASE_URL": "evil"]], baseURL: "https://api.example/")
        let path = try AgentSettings.pin(settings, in: folder.path.appending("settings"))
        #expect(try AgentSettings.pin(settings, in: folder.path.appending("settings")) == path)
        let written = try JSONValue(parsing: try RegularFile.read(path, limit: 1 << 20).bytes)
        #expect(written["hooks"]?["x"]?.integer == 1)
        #expect(written["env"]?["A"]?.string == "b")
        #expect(written["env"]?["ANTHROPIC_BASE_URL"]?.string == "https://api.example/")
        #expect(try Syscalls.status(of: path).mode & 0o777 == 0o600)
        // Somebody wrote over it: it is made again.
        try AtomicFile.replace(path, with: Array("{}".utf8), durable: false)
        #expect(try AgentSettings.pin(settings, in: folder.path.appending("settings")) == path)
        #expect(try RegularFile.read(path, limit: 1 << 20).bytes == settings.encoded())
    }

    @Test func theProcessIsCalledClaude() throws {
        #expect(try AgentSettings.named("/opt/x/claude", in: folder.path) == "/opt/x/claude")
        let link = try AgentSettings.named("/opt/x/cli.js", in: folder.path)
        #expect(link.lastName == Array("claude".utf8))
        #expect(try Syscalls.linkTarget(link) == "/opt/x/cli.js")
        #expect(try AgentSettings.named("/opt/y/cli.js", in: folder.path) == link)
        #expect(try Syscalls.linkTarget(link) == "/opt/y/cli.js")
    }
}
