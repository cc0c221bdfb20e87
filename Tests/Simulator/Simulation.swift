// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import Glibc
import JSON
import KeyPool
import Secrets
import Synchronization
import Timekeeping

import Controller

/// The same numbers in every run (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func pick<Value>(_ values: [Value]) -> Value { values[below(values.count)] }
    mutating func oneIn(_ count: Int) -> Bool { below(count) == 0 }
}

/// What must hold and did not.
struct Violation: Error, CustomStringConvertible {
    let rule: String
    let detail: String
    var description: String { "\(rule): \(detail)" }
}

/// An agent's process, whatever the controller knows of it.
struct SimulatedAgent {
    let process: ProcessName
    let session: String
    let pane: String
    let directory: String
    var conversation: ConversationID
}

/// A life of the daemon: the controller with its pool, a clock that is not to be trusted, files, agents, performers that
/// take their time or fail, and crashes. A seed decides everything.
struct Simulation {
    var controller: Controller
    var random: SplitMix
    var now = Timestamp(secondsSinceEpoch: 1_795_000_000)
    /// As what was written down last was; its text is made only when somebody reads it.
    private(set) var written: Controller?
    /// What a crash leaves.
    var disk: JSONValue? { written?.snapshot }
    var rules = Rules()
    var agents: [ProcessName: SimulatedAgent] = [:]
    /// Performers that are at work: when they are done, and with what.
    var work: [(due: Timestamp, input: Work)] = []
    /// What each account's file held when it was last understood; nil: the file is gone since then.
    var files: [String: (keys: [String], goneSince: Timestamp?)] = [:]
    var answers: [ReplyToken: Result<LeaseAnswer, ControlError>] = [:]
    var askers: [ReplyToken: SimulatedAgent] = [:]
    var settings = Simulation.defaults
    let plantedFault: PlantedFault?
    private var serial: UInt64 = 0
    private var digests = 0
    var isCalm = false

    enum Work {
        case reload(ReloadOrder)
        case probe(ProbeOrder)
        case look(PanePlace)
        case park(Bool)
    }

    static let town = "/workspace/gt"
    static var defaults: Settings {
        Settings(
            townRoot: town,
            launch: Settings.Launch(
                baseURL: "https://api.kimi.com/coding/", configDirectory: "/c", program: nil, isSandboxed: false,
                bypassesPermissions: true, environment: []), bin: "/bin", settingsDirectory: "/s",
            resumePrompt: "Go on.", cooldown: .seconds(300), isRolling: true, patience: .seconds(600))
    }

    init(seed: UInt64, plantedFault: PlantedFault? = nil) throws {
        random = SplitMix(state: seed)
        self.plantedFault = plantedFault
        settings.strategy = random.oneIn(3) ? .spread : .leastRecentlyUsed
        settings.isProbed = random.oneIn(2)
        controller = Controller(settings: settings, configPath: nil, state: nil, at: now)
        controller.plantedFault = plantedFault
        for number in 1...(1 + random.below(4)) {
            let name = "\(number)"
            try write(name, number == 1 ? [name, "1b"] : [name])
        }
        try feed(.started)
    }

    // MARK: - Inputs and effects

    /// What happens is printed, for a seed that is looked into.
    static let isTracing = getenv("SIMULATION_TRACE") != nil

    mutating func feed(_ input: Input, crashesBeforeSaving: Bool = false) throws {
        let before = controller
        let effects = controller.handle(input, at: now)
        if Self.isTracing {
            Self.trace("\(now.rfc3339) \("\(input)".prefix(200))")
            for effect in effects {
                if case .emit(let event) = effect { Self.trace("    \(event.type) \(event.fields.map { "\($0)" })") }
            }
        }
        var mustPersist = false
        for effect in effects {
            switch effect {
            case .persist: mustPersist = plantedFault != .forgetsToSave || serial % 16 != 0
            case .answerLease(let token, let result):
                // On disk before it is answered.
                if mustPersist { written = controller }
                answer(token, result)
            case .reload(let order): work.append((now + delay(), .reload(order)))
            case .probe(let order): work.append((now + delay(), .probe(order)))
            case .look(let place, _): work.append((now + delay(), .look(place)))
            case .park(let isStop): work.append((now + delay(), .park(isStop)))
            default: break
            }
        }
        if mustPersist && !crashesBeforeSaving { written = controller }
        // What is gone for good has no last good keys any more.
        let known = controller.pool.accountNames
        for (name, file) in files where file.goneSince != nil && !known.contains(name) { files[name] = nil }
        guard !crashesBeforeSaving else { return }
        try rules.check(self, before: before, effects: effects, input: input)
    }

    /// How long a performer takes: mostly not long, sometimes very.
    private mutating func delay() -> Duration {
        isCalm ? .milliseconds(200) : .milliseconds([5, 50, 400, 3000, 12_000, 45_000][random.below(6)])
    }

    private mutating func answer(_ token: ReplyToken, _ result: Result<LeaseAnswer, ControlError>) {
        answers[token] = result
        guard let agent = askers.removeValue(forKey: token), case .success(let lease) = result else { return }
        var started = agent
        if let resumed = lease.resume.flatMap(ConversationID.init) { started.conversation = resumed }
        agents[agent.process] = started
    }

    static func trace(_ line: String) { _ = (line + "\n").withCString { Glibc.write(2, $0, strlen($0)) } }

    mutating func token() -> ReplyToken {
        serial += 1
        return ReplyToken(serial: serial)
    }

    // MARK: - Files

    static func keyText(_ name: String) -> String { "sk-kimi-SIMULATED\(name)RkVn9Xb4Tm6Wc1Yd8Jf3" }
    static func id(_ name: String) -> KeyID? {
        // The digests took a quarter of all time.
        ids.withLock { known in
            if let id = known[name] { return id }
            let id = Key(keyText(name))?.id
            known[name] = id
            return id
        }
    }

    private static let ids = Mutex<[String: KeyID]>([:])

    mutating func write(_ account: String, _ keys: [String]) throws {
        digests += 1
        let entries = keys.compactMap { Key(Self.keyText($0)) }.map { AccountKey(key: $0, baseURL: nil) }
        if keys.isEmpty {
            // A file without a key is like no file.
            if let old = files[account], old.goneSince == nil { files[account] = (old.keys, now) }
        } else {
            files[account] = (keys, nil)
        }
        guard plantedFault != .losesEdits || digests % 8 != 0 else { return try feed(.woke) }
        try feed(
            .accountRead(
                name: account, path: "/a/\(account)", file: AccountFile(keys: entries), digest: "\(digests)"))
    }

    mutating func remove(_ account: String) throws {
        if let old = files[account], old.goneSince == nil { files[account] = (old.keys, now) }
        try feed(.accountGone(name: account))
    }

    mutating func damage(_ account: String) throws {
        if let old = files[account] { files[account] = (old.keys, nil) }
        try feed(.accountRejected(name: account, path: "/a/\(account)", error: "not valid TOML"))
    }

    // MARK: - Agents

    mutating func launch(pane: String, session: String? = nil) throws {
        let token = token()
        let name = session ?? "s\(pane.dropFirst())"
        let digits = String(serial)
        guard
            let conversation = ConversationID(
                "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits)
        else { return }
        let agent = SimulatedAgent(
            process: ProcessName(pid: Int32(1000 + serial), startTime: 7), session: name, pane: pane,
            directory: "\(Self.town)/\(name)", conversation: conversation)
        askers[token] = agent
        let request = LeaseRequest(
            pid: agent.process.pid, pane: pane, tmuxSocket: "/tmp/tmux", session: name, role: nil,
            directory: agent.directory, mayWait: random.oneIn(2))
        try feed(.leaseRequested(request, process: agent.process, token: token))
        guard let started = agents[agent.process] else { return }
        // Its first rows tell which conversation it is.
        now = now + .milliseconds(3)
        try feed(
            .transcript(
                .turnBegan(session: started.conversation, time: now), folder: Self.folder(started.directory),
                conversation: started.conversation))
    }

    static func folder(_ directory: String) -> String {
        switch ProjectSlug(directory: directory) {
        case .exact(let name), .prefix(let name): name
        }
    }

    mutating func end(_ process: ProcessName) throws {
        agents[process] = nil
        try feed(.processExited(process))
    }

    func occupant(of pane: String) -> SimulatedAgent? { agents.values.first { $0.pane == pane } }

    /// An agent's last row, and sometimes its hook too.
    mutating func fail(_ agent: SimulatedAgent, _ text: String, _ status: Int, at time: Timestamp) throws {
        serial += 1
        let row: JSONValue = [
            "type": "assistant", "isApiErrorMessage": true, "uuid": .string("row-\(serial)"),
            "timestamp": .string(time.rfc3339), "sessionId": .string(agent.conversation.text),
            "cwd": .string(agent.directory), "apiErrorStatus": JSONValue(status),
            "message": ["content": [["type": "text", "text": .string(text)]]],
        ]
        let hook = HookSighting(
            conversation: agent.conversation, directory: agent.directory, text: text, status: status, errorType: nil,
            ancestors: random.oneIn(3) ? [] : [agent.process])
        let isHookFirst = random.oneIn(4)
        if isHookFirst { try feed(.hook(hook)) }
        if let row = TranscriptRow.read(row.encoded()) {
            try feed(.transcript(row, folder: Self.folder(agent.directory), conversation: agent.conversation))
        }
        if !isHookFirst, random.oneIn(4) { try feed(.hook(hook)) }
    }

    // MARK: - Crashes

    /// The process is killed and started anew with what was on disk.
    mutating func crash() throws {
        let saved = disk
        work = []
        askers = [:]
        // Nobody sees it when the clock is set now.
        if random.oneIn(4) {
            let jump = Duration.seconds(random.pick([-7200, -60, 60, 7200]))
            now = now + jump
            for (name, file) in files { files[name]?.goneSince = file.goneSince.map { $0 + jump } }
        }
        controller = Controller(settings: settings, configPath: nil, state: saved, at: now)
        controller.plantedFault = plantedFault
        rules.restarted(self)
        for lease in saved.map(Controller.leases) ?? [] {
            if agents[lease.process] != nil {
                controller.adopt(lease)
            } else {
                controller.adoptEnded(lease, at: now)
            }
        }
        for (name, file) in files.sorted(by: { $0.key < $1.key }) {
            guard file.goneSince == nil else {
                files[name] = nil
                continue
            }
            try write(name, file.keys)
        }
        try feed(.started)
    }
}
