// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import Secrets
import KeyPool
import Timekeeping

import Controller

/// What may happen, and how often.
extension Simulation {
    static let failures: [(text: String, status: Int)] = [
        ("You've reached your 5-hour usage limit. Your quota will reset when the window ends.", 403),
        ("You've reached your weekly (7-day) usage limit.", 403), ("You've reached your monthly usage limit", 403),
        ("We're receiving too many requests at the moment.", 429),
        ("You've reached your concurrent request limit.", 403),
        ("Invalid Authentication", 401), ("Invalid Authentication", 401), ("Access terminated", 403),
        ("membership benefits", 402), ("insufficient balance", 429), ("The engine is currently overloaded", 429),
        ("Words that no rule knows", 403), ("try again after 9999999 seconds", 429), ("try again after 3 seconds", 429),
        ("weekly usage limit: your quota will reset at 2026-11-25T05:00:00Z", 403),
        ("5-hour usage limit: your quota will reset in 2 hours", 403),
    ]

    /// Processes in an order that a seed repeats.
    private var processes: [ProcessName] { agents.keys.sorted { $0.pid < $1.pid } }

    private mutating func anyAgent() -> SimulatedAgent? {
        let all = processes
        return all.isEmpty ? nil : agents[random.pick(all)]
    }

    private mutating func anyKey() -> KeyID? {
        let all = controller.pool.records.keys.sorted()
        return all.isEmpty ? nil : random.pick(all)
    }

    mutating func step() throws {
        switch random.below(32) {
        case 0...3:
            let pane = "%\(random.below(8))"
            if let old = occupant(of: pane) { if random.oneIn(3) { try end(old.process) } else { return } }
            try launch(pane: pane)
        case 4...9:
            guard let agent = anyAgent() else { return }
            let failure = random.pick(Self.failures)
            let shift = Duration.seconds(random.pick([-100, -1, 0, 0, 0, 0, 0, 3600]))
            try fail(agent, failure.text, failure.status, at: now + shift)
        case 10:
            // A storm: every agent at once.
            guard random.oneIn(4) else { return }
            let failure = random.pick(Self.failures)
            for process in processes {
                guard let agent = agents[process] else { continue }
                try fail(agent, failure.text, failure.status, at: now)
            }
        case 11:
            guard let agent = anyAgent() else { return }
            let begins = random.oneIn(2)
            try feed(
                .transcript(
                    begins
                        ? .turnBegan(session: agent.conversation, time: now)
                        : .turnEnded(session: agent.conversation, time: now), folder: Self.folder(agent.directory),
                    conversation: agent.conversation))
        case 12: if let agent = anyAgent() { try end(agent.process) }
        case 13: try feed(.rotationRequested(token()))
        case 14:
            guard let key = anyKey() else { return }
            let command = random.pick([KeyCommand.clear, .disable, .enable, .enable])
            rules.noteCommand(command, key)
            try feed(.keyCommand(command, key: command == .clear && random.oneIn(2) ? nil : key, token()))
        case 15: try feed(.stopped(random.oneIn(3)))
        case 16...17: try editFile()
        case 18: if random.oneIn(4) { try feed(.reloadRequested(sessions: nil, token())) }
        case 19: try changeConfiguration()
        case 20:
            let text = random.pick(Self.failures).text
            let cause = random.pick([Cause.quota, .throttled, .invalid])
            try feed(
                .logLine(LogSighting(rule: "watch.logs[\(random.below(3))]", cause: cause, text: text, time: now)))
        case 21: if random.oneIn(6) { try crash() }
        case 22: if random.oneIn(8) { try crashInTheMiddle() }
        case 23:
            guard random.oneIn(6) else { return }
            try setClock(by: .seconds(random.pick([-31 * 86400, -7200, -60, -1, 1, 60, 7200, 2 * 86400])))
        case 24...27: try finishWork()
        default: try pass(.seconds(random.pick([1, 1, 7, 29, 61, 400, 4000])))
        }
    }

    /// Somebody sets the clock; performers go on as long as they would have.
    private mutating func setClock(by jump: Duration) throws {
        now = now + jump
        for index in work.indices { work[index].due = work[index].due + jump }
        for (name, file) in files { files[name]?.goneSince = file.goneSince.map { $0 + jump } }
        try feed(.clockSet(by: jump))
    }

    private mutating func editFile() throws {
        let name = "\(1 + random.below(5))"
        switch random.below(6) {
        case 0: try remove(name)
        case 1: try damage(name)
        case 2: try write(name, [])
        default:
            try write(name, random.pick([[name], [name, "1b"], ["\(name)new"], [name, "\(name)two"]]))
        }
    }

    private mutating func changeConfiguration() throws {
        guard random.oneIn(3) else { return }
        settings.launch.isSandboxed = random.oneIn(2)
        settings.isRolling = !random.oneIn(4)
        settings.isProbed = random.oneIn(2)
        settings.strategy = random.oneIn(3) ? .spread : .leastRecentlyUsed
        try feed(.configured(settings, path: nil))
    }

    /// Something happens, and we are killed before it is on disk.
    private mutating func crashInTheMiddle() throws {
        guard let agent = anyAgent() else { return }
        try feed(.processExited(agent.process), crashesBeforeSaving: true)
        agents[agent.process] = nil
        try crash()
    }

    /// Lets time go by: the controller is asked when it wants to be, and performers come to their ends.
    mutating func pass(_ duration: Duration) throws {
        let end = now + duration
        for _ in 0..<2000 {
            let wake = controller.nextWake(after: now)
            let next = [wake, work.map(\.due).min()].compactMap(\.self).min()
            guard let next, next <= end else {
                now = max(now, end)
                return
            }
            now = max(now, next)
            if let wake, wake <= now {
                try feed(.woke)
            } else {
                try finishWork(dueOnly: true)
            }
        }
        throw Violation(rule: "one timer, no polling", detail: "it wakes again and again")
    }

    /// One performer is done, in one of the ways in which it can be.
    mutating func finishWork(dueOnly: Bool = false) throws {
        guard let index = work.indices.min(by: { work[$0].due < work[$1].due }), !dueOnly || work[index].due <= now
        else { return }
        let item = work.remove(at: index)
        switch item.input {
        case .reload(let order): try perform(order)
        case .probe(let order):
            let outcome: ProbeOutcome =
                switch random.below(4) {
                case 0: .good
                case 1: .refused(CauseRules.classify(text: "Invalid Authentication", status: 401), text: "no")
                default: .nothing("HTTP 500")
                }
            try feed(.probed(order.key.id, order.kind, outcome))
        case .look(let place):
            try feed(
                .paneSeen(place, occupant(of: place.pane) != nil ? .alive : random.pick([.gone, .dead(status: 1)])))
        case .park(let isStop): try feed(.parked(isStop: isStop, failure: nil))
        }
    }

    private mutating func perform(_ order: ReloadOrder) throws {
        switch isCalm ? 9 : random.below(10) {
        case 0: return try feed(.reloadPerformed(id: order.id, failure: "no pane"))
        // It never says anything: the controller gives up waiting.
        case 1: return
        default: break
        }
        if let process = order.process, agents[process] != nil { try end(process) }
        try feed(.reloadPerformed(id: order.id, failure: nil))
        // What comes back does not always come back.
        guard isCalm || !random.oneIn(10) else { return }
        guard occupant(of: order.place.pane) == nil else { return }
        try launch(pane: order.place.pane, session: order.session)
    }

    // MARK: - The end

    /// Nothing goes wrong any more, and a key is ready: all that was left undone is done.
    mutating func comeToRest() throws {
        isCalm = true
        settings.isRolling = true
        try feed(.configured(settings, path: nil))
        try feed(.stopped(false))
        try write("9", ["9"])
        // Rests, backoffs, graces and the damping of rotations are over after two hours; a busy agent's turn too.
        for _ in 0..<3 {
            try pass(.seconds(3600))
            for agent in agents.values.sorted(by: { $0.process.pid < $1.process.pid })
            where controller.leases[agent.process]?.isStalled == false {
                try feed(
                    .transcript(
                        .turnEnded(session: agent.conversation, time: now), folder: Self.folder(agent.directory),
                        conversation: agent.conversation))
            }
        }
        try pass(.seconds(3600))
        try rules.checkRest(self)
        try pass(.seconds(40 * 86400))
        try rules.checkEnd(self)
    }
}
