// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Secrets
import Testing
import Timekeeping

@testable import Controller

/// An agent of a test.
struct Agent {
    let process: ProcessName
    let session: String
    let directory: String
    let pane: String?
    let conversation: ConversationID
}

/// A controller with a clock that the test moves, and a record of all that it wanted done.
struct Harness {
    var controller: Controller
    var now = Harness.start
    /// The effects of the last input.
    var last: [Effect] = []
    var events: [Event] = []
    /// What a look at any pane shows.
    var pane = PaneState.dead(status: nil)
    private var serial: UInt64 = 0
    private var answers: [ReplyToken: Result<LeaseAnswer, ControlError>] = [:]
    private var rotations: [ReplyToken: Result<String, ControlError>] = [:]

    static let start = Timestamp(secondsSinceEpoch: 1_795_000_000)
    static let town = "/workspace/gt"

    static var settings: Settings {
        Settings(
            townRoot: town,
            launch: Settings.Launch(
                baseURL: "https://default/", configDirectory: "/c", program: nil, isSandboxed: false,
                bypassesPermissions: true, environment: []), bin: "/bin", settingsDirectory: "/s",
            resumePrompt: "Go on.", cooldown: .seconds(300), isRolling: true, patience: .seconds(600))
    }

    /// - Parameter keys: So many accounts with a key each, named from 1.
    init(keys: Int = 0, state: JSONValue? = nil, at now: Timestamp = Harness.start, isStarted: Bool = true) throws {
        self.now = now
        controller = Controller(settings: Self.settings, configPath: "/etc/g.toml", state: state, at: now)
        for number in 0..<keys { try set("\(number + 1)", ["\(number + 1)"]) }
        if isStarted { feed(.started) }
    }

    // MARK: - Inputs

    @discardableResult mutating func feed(_ input: Input) -> [Effect] {
        let effects = controller.handle(input, at: now)
        last = effects
        for effect in effects {
            switch effect {
            case .emit(let event): events.append(event)
            case .answerLease(let token, let result):
                #expect(answers[token] == nil, "a request is answered once")
                answers[token] = result
            case .answerRotation(let token, let result): rotations[token] = result
            case .look(let place, _):
                let before = last
                last = before + feed(.paneSeen(place, pane))
            default: break
            }
        }
        if let wake = controller.nextWake(after: now) { #expect(wake >= now) }
        return last
    }

    /// Lets time go by: the controller is asked again only when it wants to be.
    mutating func pass(_ seconds: Int) {
        let end = now + .seconds(seconds)
        var count = 0
        while let wake = controller.nextWake(after: now), wake <= end {
            count += 1
            guard count < 10_000 else {
                Issue.record("it wakes again and again")
                break
            }
            now = max(now, wake)
            feed(.woke)
        }
        now = end
    }

    static func text(_ name: String) -> String { "sk-kimi-QzCANARY\(name)RkVn9Xb4Tm6Wc1Yd8Jf3" }
    static func id(_ name: String) throws -> KeyID { try #require(Key(text(name))).id }
    func id(_ name: String) throws -> KeyID { try Self.id(name) }

    mutating func set(_ account: String, _ keys: [String], digest: String = "first", base: String? = nil) throws {
        let entries = try keys.map { AccountKey(key: try #require(Key(Self.text($0))), baseURL: base) }
        let lines = entries.enumerated().map { index, entry in
            "[providers.p\(index)]\napi_key='\(entry.key.reveal())'\n" + (base.map { "base_url='\($0)'\n" } ?? "")
        }
        let file = try AccountFile.read(Array(("#\n" + lines.joined()).utf8))
        feed(.accountRead(name: account, path: "/a/\(account)/config.toml", file: file, digest: digest))
    }

    mutating func token() -> ReplyToken {
        serial += 1
        return ReplyToken(serial: serial)
    }

    /// Asks for a lease; the answer is in ``answer(_:)``.
    mutating func ask(
        _ session: String, pane: String? = nil, role: String? = nil, directory: String? = nil, mayResume: Bool = true,
        unsafe: [String] = [], mayWait: Bool = true
    ) throws -> (agent: Agent, token: ReplyToken) {
        let token = token()
        let pid = Int32(1000 + serial)
        let agent = Agent(
            process: ProcessName(pid: pid, startTime: 77), session: session,
            directory: directory ?? "\(Self.town)/\(session)", pane: pane ?? "%\(serial)",
            conversation: try Self.conversation(Int(serial)))
        let request = LeaseRequest(
            pid: pid, pane: pane == "" ? nil : agent.pane, tmuxSocket: "/tmp/tmux", session: session, role: role,
            directory: agent.directory, mayResume: mayResume, unsafeSettings: unsafe, mayWait: mayWait)
        feed(.leaseRequested(request, process: agent.process, token: token))
        return (agent, token)
    }

    /// Starts an agent that gets its lease at once.
    mutating func launch(
        _ session: String, pane: String? = nil, directory: String? = nil, role: String? = nil, mayResume: Bool = true
    ) throws -> Agent {
        let (agent, token) = try ask(session, pane: pane, role: role, directory: directory, mayResume: mayResume)
        _ = try #require(answer(token)).get()
        return agent
    }

    /// An agent that was started while the daemon was away, with a certain key.
    mutating func find(_ session: String, key: String) throws -> Agent {
        _ = token()
        let agent = Agent(
            process: ProcessName(pid: Int32(1000 + serial), startTime: 77), session: session,
            directory: "\(Self.town)/\(session)", pane: "%\(serial)", conversation: try Self.conversation(Int(serial)))
        let note: JSONValue = [
            "pid": JSONValue(agent.process.pid), "start_time": 77, "session": .string(session),
            "pane": .optional(agent.pane), "tmux_socket": "/tmp/tmux", "cwd": .string(agent.directory),
            "key": .string(try id(key).text), "base_url": "https://default/", "since": .string(now.rfc3339),
            "conversation": .string(agent.conversation.text),
        ]
        feed(.leaseFound(try #require(Lease(note))))
        return agent
    }

    func answer(_ token: ReplyToken) -> Result<LeaseAnswer, ControlError>? { answers[token] }
    func rotation(_ token: ReplyToken) -> Result<String, ControlError>? { rotations[token] }

    static func conversation(_ number: Int) throws -> ConversationID {
        let digits = String(number)
        return try #require(
            ConversationID("00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits))
    }

    /// The last row of a transcript, as a client would write it.
    mutating func row(
        _ text: String, status: Int, session: ConversationID?, directory: String, uuid: String? = nil,
        time: Timestamp? = nil, isSidechain: Bool = false
    ) throws -> TranscriptRow {
        serial += 1
        let row: JSONValue = [
            "type": "assistant", "isApiErrorMessage": true, "uuid": .string(uuid ?? "row-\(serial)"),
            "timestamp": .string((time ?? now).rfc3339), "sessionId": .optional(session?.text),
            "cwd": .string(directory),
            "apiErrorStatus": JSONValue(status), "isSidechain": .bool(isSidechain),
            "message": ["content": [["type": "text", "text": .string(text)]]],
        ]
        return try #require(TranscriptRow.read(row.encoded()))
    }

    mutating func fail(
        _ agent: Agent, _ text: String, status: Int, uuid: String? = nil, time: Timestamp? = nil,
        isSidechain: Bool = false
    ) throws {
        let row = try row(
            text, status: status, session: agent.conversation, directory: agent.directory, uuid: uuid, time: time,
            isSidechain: isSidechain)
        feed(.transcript(row, folder: Self.folder(agent.directory), conversation: agent.conversation))
    }

    mutating func turn(_ agent: Agent, begins: Bool) {
        let row: TranscriptRow =
            begins
            ? .turnBegan(session: agent.conversation, time: now) : .turnEnded(session: agent.conversation, time: now)
        feed(.transcript(row, folder: Self.folder(agent.directory), conversation: agent.conversation))
    }

    static func folder(_ directory: String) -> String {
        switch ProjectSlug(directory: directory) {
        case .exact(let name), .prefix(let name): name
        }
    }

    // MARK: - Reloads

    /// The reload that was ordered by the last input.
    var order: ReloadOrder? {
        for effect in last { if case .reload(let order) = effect { return order } }
        return nil
    }

    /// Performs a reload up to the new agent's lease.
    mutating func perform(_ order: ReloadOrder) throws -> Agent {
        let old = order.process.flatMap { controller.leases[$0] }
        if let process = order.process { feed(.processExited(process)) }
        feed(.reloadPerformed(id: order.id, failure: nil))
        return try launch(order.session, pane: order.place.pane, directory: old?.directory)
    }

    /// gt's restart that was ordered by the last input.
    var restart: RestartOrder? {
        for effect in last { if case .restart(let order) = effect { return order } }
        return nil
    }

    /// Lets gt start an agent anew: the session is made again, in another pane.
    mutating func perform(_ order: RestartOrder, directory: String? = nil, role: String? = nil) throws -> Agent {
        let old = controller.leases.values.first { $0.session == order.session }
        if let old { feed(.processExited(old.process)) }
        let agent = try launch(order.session, directory: directory ?? old?.directory, role: role)
        feed(.reloadPerformed(id: order.id, failure: nil))
        return agent
    }

    /// A file of the town as it is from now on.
    mutating func write(_ file: TownFile, _ text: String?, _ source: TownReadingSource = .change) {
        feed(
            .townRead(
                [
                    TownReading(
                        file: file, path: "\(Self.town)/\(file.path)",
                        content: .bytes(text.map { Array($0.utf8) }))
                ], source))
    }

    /// Performs all that is ordered; the sessions in their order.
    mutating func performAll() throws -> [String] {
        var sessions: [String] = []
        while let order {
            sessions.append(order.session)
            _ = try perform(order)
            guard sessions.count < 100 else { break }
        }
        return sessions
    }

    // MARK: - What is asked

    var types: [String] { events.map(\.type) }
    func all(_ type: String) -> [Event] { events.filter { $0.type == type } }
    func verdict() throws -> String { try #require(all("sighting").last?["why"]?.string) }
    func lease(_ agent: Agent) throws -> Lease { try #require(controller.leases[agent.process]) }
    func isActive(_ name: String) throws -> Bool { controller.pool.active == (try id(name)) }
    func holdsKey(_ agent: Agent, _ name: String) throws -> Bool { try lease(agent).key == id(name) }

    func report(_ change: (inout Surroundings) -> Void = { _ in }) -> StatusReport {
        var surroundings = Surroundings(version: "0", bootID: "b", pid: 1, startedAt: Self.start)
        surroundings.isStarting = false
        surroundings.isTownInstalled = true
        change(&surroundings)
        return controller.report(surroundings, at: now)
    }
}

/// Wordings for a cause.
enum Say {
    static let quota = "You've reached your 5-hour usage limit. Your quota will reset when the window ends."
    static let week = "You've reached your weekly (7-day) usage limit."
    static let throttled = "We're receiving too many requests at the moment."
    static let concurrency = "You've reached your concurrent request limit."
    static let invalid = "Invalid Authentication"
    static let overloaded = "The engine is currently overloaded"
    static let unknown = "Words that no rule knows"
}
