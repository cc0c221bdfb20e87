// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Supervision
import Timekeeping

/// A life of the supervisor: services that start, fail, die, hang, are stopped by hand and found again; crashes of ours,
/// and a clock that is set.
struct ServiceLife {
    /// Something that goes on and will come to an end.
    enum Work {
        case attempt(UInt64)
        case stop
    }

    var supervisor: Supervisor
    var random: SplitMix
    var now = Timestamp(secondsSinceEpoch: 1_795_000_000)
    /// As what was written down last was; its text is made only when somebody reads it.
    private(set) var written: Supervisor?
    /// What a crash leaves.
    var disk: JSONValue? { written?.snapshot }
    var rules = ServiceRules()
    var work: [ServiceName: (due: Timestamp, work: Work)] = [:]
    var living: [ServiceName: ServiceProcess] = [:]
    /// Whether an attempt to start it can succeed.
    var isPossible: [ServiceName: Bool] = [:]
    var obstacles: Set<ServiceName> = []
    let fault: ServiceFault?
    private var nextPID: Int32 = 100
    private var isCalm = false
    /// What lives has been looked for since we started.
    private(set) var isOpen = false

    init(seed: UInt64, fault: ServiceFault? = nil) throws {
        random = SplitMix(state: seed ^ 0x5E71)
        self.fault = fault
        supervisor = Self.supervisor(nil, seed, now, fault)
        for name in ServiceName.allCases { isPossible[name] = true }
        try feed(.opened)
    }

    private static func supervisor(
        _ saved: JSONValue?, _ seed: UInt64, _ now: Timestamp, _ fault: ServiceFault?
    ) -> Supervisor {
        var policy = RestartPolicy()
        // The rules know the real one.
        if fault == .hurries { policy.delayMin = .milliseconds(1) }
        var supervisor = Supervisor(
            managed: ServiceName.allCases, saved: saved, policy: policy, seed: seed, at: now)
        supervisor.plantedFault = fault
        return supervisor
    }

    // MARK: - Inputs and actions

    mutating func feed(_ input: ServiceInput, crashesBeforeSaving: Bool = false) throws {
        let actions = supervisor.handle(input, at: now)
        if case .opened = input { isOpen = true }
        if Simulation.isTracing { Simulation.trace("\(now.rfc3339) \(input)\n    \(actions)") }
        try rules.note(input, self)
        for action in actions {
            try rules.check(action, self)
            switch action {
            case .start(let name, let attempt): work[name] = (now + delay(), .attempt(attempt))
            case .stop(let name, _): work[name] = (now + delay(), .stop)
            case .persist where !crashesBeforeSaving && (fault != .forgetsToSave || !random.oneIn(16)):
                written = supervisor
            case .watch, .tell, .persist: break
            }
        }
        if !crashesBeforeSaving { try rules.check(self) }
    }

    private mutating func delay() -> Duration {
        isCalm ? .milliseconds(300) : .milliseconds([5, 300, 4000, 40_000][random.below(4)])
    }

    private mutating func newProcess(_ name: ServiceName) -> ServiceProcess {
        nextPID += 1
        let process = ServiceProcess(pid: nextPID, startTime: UInt64(nextPID) * 7)
        living[name] = process
        return process
    }

    // MARK: - What may happen

    mutating func step() throws {
        let name = ServiceName.allCases[random.below(3)]
        switch random.below(24) {
        case 0...2: try end(name, isExpected: false)
        case 3: if name == .mayor { try end(name, isExpected: true) }
        case 4...5: isPossible[name] = random.oneIn(2)
        case 6:
            let wish = random.pick(ServiceWish.allCases + [.start, .start])
            try feed(.wanted(name, wish))
        case 7:
            guard random.oneIn(2) else { return }
            if obstacles.remove(name) == nil { obstacles.insert(name) }
            try feed(.obstacle(name, obstacles.contains(name) ? .held("the town is stopped") : nil))
        case 8:
            // gt was faster, or somebody has started it by hand.
            guard living[name] == nil, work[name] == nil else { return }
            try feed(.found(name, newProcess(name), detail: ""))
        case 9: if let process = living[name], random.oneIn(2) { try feed(.unhealthy(name, process, reason: "deaf")) }
        case 10: try feed(.unblocked(name))
        case 11: if random.oneIn(3) { try crash() }
        case 12:
            guard random.oneIn(4) else { return }
            let jump = Duration.seconds(random.pick([-7200, -60, -1, 1, 60, 7200, 2 * 86400]))
            now = now + jump
            work = work.mapValues { (due: $0.due + jump, work: $0.work) }
            rules.clockSet(by: jump)
            if fault != .ignoresSetClock { try feed(.clockSet(by: jump)) } else { try feed(.woke) }
        case 13...16: try finish(name)
        default: try pass(.seconds(random.pick([1, 1, 7, 29, 61, 400, 4000])))
        }
    }

    private mutating func end(_ name: ServiceName, isExpected: Bool) throws {
        guard let process = living.removeValue(forKey: name) else { return }
        try feed(.exited(name, process, status: "signal 9", isExpected: isExpected))
    }

    /// What goes on comes to its end, in one of the ways in which it can.
    private mutating func finish(_ name: ServiceName) throws {
        guard let item = work.removeValue(forKey: name) else { return }
        switch item.work {
        case .stop:
            living[name] = nil
            try feed(.stopped(name, problem: random.oneIn(8) ? "something is still there" : nil))
        case .attempt(let attempt):
            if isPossible[name] ?? true {
                try feed(.answered(name, attempt: attempt, newProcess(name), detail: ""))
            } else if random.oneIn(6) {
                try feed(.blocked(name, attempt: attempt, reason: "its port is another's"))
            } else {
                try feed(.failed(name, attempt: attempt, reason: "it does not answer"))
            }
        }
    }

    /// Lets time go by: the supervisor is asked when it wants to be, and what goes on ends.
    mutating func pass(_ duration: Duration) throws {
        let end = now + duration
        for _ in 0..<2000 {
            let wake = supervisor.nextWake(after: now)
            let due = work.min { ($0.value.due, $0.key) < ($1.value.due, $1.key) }
            guard let next = [wake, due?.value.due].compactMap(\.self).min(), next <= end else {
                now = max(now, end)
                return
            }
            now = max(now, next)
            if let due, due.value.due <= now {
                try finish(due.key)
            } else {
                try feed(.woke)
            }
        }
        throw Violation(rule: "one timer, no polling", detail: "the supervisor wakes again and again")
    }

    /// We are killed, and start anew with what was on disk: calls of gt that went on are ended, and what lives is found.
    private mutating func crash() throws {
        if let name = living.keys.sorted().first, random.oneIn(3) {
            let process = living.removeValue(forKey: name)
            if let process {
                try feed(.exited(name, process, status: "signal 9", isExpected: false), crashesBeforeSaving: true)
            }
        }
        // An attempt may have come to its end before it was ended.
        for (name, item) in work.sorted(by: { $0.key < $1.key }) {
            if case .attempt = item.work, isPossible[name] ?? true, living[name] == nil, random.oneIn(2) {
                _ = newProcess(name)
            }
        }
        work = [:]
        obstacles = []
        if random.oneIn(4) { now = now + .seconds(random.pick([-7200, -60, 60, 7200])) }
        let saved = fault == .forgetsStop ? Self.withoutWishes(disk) : disk
        supervisor = Self.supervisor(saved, random.next(), now, fault)
        isOpen = false
        rules.restarted(self)
        for (name, process) in living.sorted(by: { $0.key < $1.key }) {
            try feed(.found(name, process, detail: "taken up"))
        }
        try feed(.opened)
    }

    private static func withoutWishes(_ saved: JSONValue?) -> JSONValue? {
        guard var state = saved?.object, var services = state["services"]?.object else { return saved }
        for name in services.names {
            guard var service = services[name]?.object else { continue }
            service["wanted"] = "up"
            services[name] = .object(service)
        }
        state["services"] = .object(services)
        return .object(state)
    }

    /// Nothing goes wrong any more: what is wanted is up in the end.
    mutating func comeToRest() throws {
        isCalm = true
        for name in ServiceName.allCases {
            isPossible[name] = true
            obstacles.remove(name)
            try feed(.obstacle(name, nil))
        }
        // Longer than the longest wait of each of the three, one after the other.
        try pass(.seconds(3 * 700))
        try rules.checkRest(self)
    }
}
