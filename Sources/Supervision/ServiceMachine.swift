// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Timekeeping

/// One service: what it is, what is wanted of it, and since when. Its methods change it and say what to do.
struct ServiceMachine: Sendable, Hashable {
    enum State: Hashable, Sendable {
        case down
        case starting(attempt: UInt64)
        case up
        /// It ended, and somebody else may bring it back until then.
        ///
        /// - Parameter isDeath: It was not ended on purpose.
        case mending(until: Timestamp, isDeath: Bool)
        case backoff(until: Timestamp)
        case parked(until: Timestamp)
        case stopping(next: AfterStop)
    }
    enum AfterStop: Hashable, Sendable {
        case nothing
        case start
        /// It was of no use any more: the next attempt waits its time.
        case backoff(reason: String)
    }

    let name: ServiceName
    private(set) var state: State
    private(set) var since: Timestamp
    private(set) var isWanted = true
    private(set) var process: ServiceProcess?
    private(set) var restarts = 0
    private(set) var detail = ""
    var obstacle: Obstacle?
    /// Since when it is wanted and not up.
    private(set) var missingSince: Timestamp?
    /// It was parked, and has not been up since.
    private(set) var wasParked = false
    private var backoff: Backoff
    /// It is parked only because somebody else has what it needs.
    private var isBlocked = false
    private var wasTried = false
    private var nextAttempt: UInt64 = 1
    private var actions: [ServiceAction] = []

    init(_ name: ServiceName, saved: JSONValue?, _ policy: RestartPolicy, at now: Timestamp) {
        self.name = name
        state = .down
        since = now
        missingSince = now
        backoff = Backoff(saved?["backoff"], policy)
        isWanted = saved?["wanted"]?.string != "down"
        if !isWanted { missingSince = nil }
        // What a file says is counted on from: no number may be near the last one.
        restarts = min(max(0, saved?["restarts"]?.integer ?? 0), 1 << 40)
        wasTried = saved?["tried"]?.bool ?? false
        detail = saved?["detail"]?.string ?? ""
        // Whether it is still blocked costs nothing to find out.
        if saved?["blocked"]?.bool == true { return }
        if isWanted, let retry = saved?["retry"]?.integer.map({ Timestamp(microseconds: Int64($0)) }), retry > now {
            // The clock may have been set: nobody waits longer than the longest wait.
            if backoff.isParked {
                state = .parked(until: min(retry, now + policy.parkedRetry))
                wasParked = true
            } else {
                state = .backoff(until: min(retry, now + policy.delayMax))
            }
        }
    }

    /// The process that an earlier life of ours left, if it lives.
    static func process(in saved: JSONValue?) -> ServiceProcess? {
        guard let pid = saved?["pid"]?.integer, let start = saved?["start"]?.integer, pid > 1, start >= 0 else {
            return nil
        }
        return ServiceProcess(pid: Int32(truncatingIfNeeded: pid), startTime: UInt64(start))
    }

    var json: JSONValue {
        var object: JSONObject = [
            "wanted": isWanted ? "up" : "down", "restarts": JSONValue(restarts), "tried": .bool(wasTried),
            "backoff": backoff.json, "blocked": .bool(isBlocked), "detail": .string(detail),
            "pid": process.map { JSONValue($0.pid) } ?? .null,
            "start": process.map { JSONValue($0.startTime) } ?? .null,
        ]
        object["retry"] = retryAt.map { JSONValue($0.microseconds) } ?? .null
        return .object(object)
    }

    var isUp: Bool { state == .up }

    var retryAt: Timestamp? {
        switch state {
        case .backoff(let until), .parked(let until): until
        default: nil
        }
    }

    /// When its state changes by itself; nil: only something that happens changes it.
    func nextWake(_ policy: RestartPolicy, isBlocked: Bool) -> [Timestamp] {
        var times: [Timestamp] = []
        switch state {
        case .mending(let until, _), .backoff(let until), .parked(let until): if !isBlocked { times.append(until) }
        case .up: if backoff.failures > 0 { times.append(since + policy.stableAfter) }
        case .down, .starting, .stopping: break
        }
        if let missingSince { times.append(missingSince + policy.patience) }
        return times
    }

    /// Whether it is to be started now, but for obstacles and what it waits for.
    func isDue(at now: Timestamp) -> Bool {
        guard isWanted else { return false }
        switch state {
        case .down: return true
        case .mending(let until, _), .backoff(let until), .parked(let until): return until <= now
        case .starting, .up, .stopping: return false
        }
    }

    func isMissing(at now: Timestamp, _ policy: RestartPolicy) -> Bool {
        missingSince.map { now - $0 >= policy.patience || now < $0 } ?? false
    }

    mutating func takeActions() -> [ServiceAction] {
        defer { actions = [] }
        return actions
    }

    // MARK: - Changes

    private mutating func enter(_ new: State, _ now: Timestamp, _ detail: String = "") {
        state = new
        isBlocked = false
        since = now
        self.detail = detail
        if case .parked = new { wasParked = true } else if isUp || !isWanted { wasParked = false }
        if isUp || !isWanted { missingSince = nil } else if missingSince == nil { missingSince = now }
        actions.append(.persist)
    }

    private mutating func tell(_ kind: ServiceNews.Kind, pid: Int32? = nil, status: String? = nil, _ detail: String) {
        actions.append(
            .tell(
                ServiceNews(
                    kind: kind, name: name, pid: pid ?? process?.pid, status: status, nextRetryAt: retryAt,
                    detail: detail)))
    }

    mutating func begin(_ now: Timestamp) {
        if wasTried { restarts += 1 }
        wasTried = true
        let attempt = nextAttempt
        nextAttempt += 1
        process = nil
        enter(.starting(attempt: attempt), now)
        tell(.starting, "")
        actions.append(.start(name, attempt: attempt))
    }

    mutating func answered(_ attempt: UInt64, _ process: ServiceProcess, _ detail: String, _ now: Timestamp) {
        guard state == .starting(attempt: attempt) else { return }
        take(process, detail, now)
    }

    mutating func found(_ process: ServiceProcess, _ detail: String, _ now: Timestamp) {
        switch state {
        case .starting, .stopping: return
        case .up:
            guard process != self.process else { return }
            self.process = process
            self.detail = detail
            actions += [.watch(name, process), .persist]
        case .mending(_, let isDeath):
            if isDeath { restarts += 1 }
            take(process, detail, now)
        case .backoff, .parked:
            restarts += 1
            take(process, detail, now)
        case .down: take(process, detail, now)
        }
    }

    private mutating func take(_ process: ServiceProcess, _ detail: String, _ now: Timestamp) {
        wasTried = true
        self.process = process
        enter(.up, now, detail)
        actions.append(.watch(name, process))
        tell(.up, detail)
    }

    mutating func failed(
        _ attempt: UInt64, _ reason: String, _ now: Timestamp, _ policy: RestartPolicy, _ random: inout SplitMix64
    ) {
        guard state == .starting(attempt: attempt) else { return }
        retreat(reason, now, policy, &random)
    }

    /// Stands by until whoever has what it needs is gone, or the time of a parked one has come.
    mutating func blocked(_ attempt: UInt64, _ reason: String, _ now: Timestamp, _ policy: RestartPolicy) {
        guard state == .starting(attempt: attempt) else { return }
        process = nil
        enter(.parked(until: now + policy.parkedRetry), now, reason)
        isBlocked = true
        tell(.parked, reason)
    }

    mutating func unblocked(_ now: Timestamp) {
        guard isBlocked, case .parked = state else { return }
        enter(.down, now)
    }

    /// Waits before the next attempt.
    private mutating func retreat(
        _ reason: String, _ now: Timestamp, _ policy: RestartPolicy, _ random: inout SplitMix64
    ) {
        process = nil
        switch backoff.failed(at: now, policy, using: &random) {
        case .retry(let until):
            enter(.backoff(until: until), now, reason)
            tell(.backoff, reason)
        case .park(let until):
            enter(.parked(until: until), now, reason)
            tell(.parked, reason)
        }
    }

    mutating func exited(
        _ ended: ServiceProcess, _ status: String, isExpected: Bool, _ now: Timestamp, _ policy: RestartPolicy,
        _ random: inout SplitMix64
    ) {
        guard process == ended else { return }
        switch state {
        case .up:
            // One that nobody wants is not waited for, whoever had started it.
            if isExpected, isWanted {
                process = nil
                return enter(
                    .mending(until: now + policy.returnTime, isDeath: false), now, "it is being restarted")
            }
            let pid = ended.pid
            process = nil
            tell(.exited, pid: pid, status: status, "")
            guard isWanted else { return enter(.down, now) }
            guard name == .mayor else { return retreat(Self.ending(status), now, policy, &random) }
            // gt's hook or its daemon bring it back at once if they can; but not over and over.
            if case .park(let until) = backoff.failed(at: now, policy, using: &random) {
                enter(.parked(until: until), now, Self.ending(status))
                tell(.parked, Self.ending(status))
            } else {
                enter(
                    .mending(until: now + policy.mendingTime, isDeath: true), now,
                    Self.ending(status))
            }
        case .stopping:
            process = nil
            actions.append(.persist)
        default: return
        }
    }

    /// How nobody's child ended is not known.
    private static func ending(_ status: String) -> String { status == "ended" ? "it ended" : "it ended: \(status)" }

    mutating func unhealthy(_ concerned: ServiceProcess, _ reason: String, _ now: Timestamp) {
        guard isUp, process == concerned else { return }
        enter(.stopping(next: isWanted ? .backoff(reason: reason) : .nothing), now, reason)
        actions.append(.stop(name, process))
    }

    mutating func stopped(
        _ problem: String?, _ now: Timestamp, _ policy: RestartPolicy, _ random: inout SplitMix64
    ) {
        guard case .stopping(let next) = state else { return }
        let pid = process?.pid
        process = nil
        switch next {
        case .nothing:
            enter(.down, now, problem ?? "")
            tell(.stopped, pid: pid, problem ?? "")
        case .start:
            enter(.down, now, problem ?? "")
            tell(.stopped, pid: pid, problem ?? "it is started again")
        case .backoff(let reason): retreat(reason, now, policy, &random)
        }
    }

    // MARK: - By hand

    mutating func want(_ wish: ServiceWish, _ now: Timestamp) {
        isWanted = wish != .stop
        if wish != .stop, !isUp { backoff.reset() }
        switch (wish, state) {
        case (.stop, .stopping): enter(.stopping(next: .nothing), now)
        case (.stop, .up), (.stop, .starting), (.stop, .mending): end(.nothing, now)
        case (.stop, .down), (.stop, .backoff), (.stop, .parked):
            enter(.down, now)
            tell(.stopped, "")
        case (.start, .up): missingSince = nil
        case (.start, .starting): break
        case (.start, .mending), (.start, .down), (.start, .backoff), (.start, .parked): enter(.down, now)
        case (.start, .stopping), (.restart, .stopping): enter(.stopping(next: .start), now)
        case (.restart, .up), (.restart, .starting), (.restart, .mending):
            backoff.reset()
            end(.start, now)
        case (.restart, .down), (.restart, .backoff), (.restart, .parked): enter(.down, now)
        }
        actions.append(.persist)
    }

    private mutating func end(_ next: AfterStop, _ now: Timestamp) {
        let concerned = process
        enter(.stopping(next: next), now)
        actions.append(.stop(name, concerned))
    }

    /// Somebody set the clock: what waits waits as long as it would have.
    mutating func clockSet(by jump: Duration) {
        since = since + jump
        missingSince = missingSince.map { $0 + jump }
        backoff.clockSet(by: jump)
        switch state {
        case .mending(let until, let isDeath): state = .mending(until: until + jump, isDeath: isDeath)
        case .backoff(let until): state = .backoff(until: until + jump)
        case .parked(let until): state = .parked(until: until + jump)
        case .down, .starting, .up, .stopping: break
        }
        actions.append(.persist)
    }

    /// Time has passed.
    mutating func pass(_ now: Timestamp, _ policy: RestartPolicy) {
        if isUp, backoff.failures > 0, now - since >= policy.stableAfter {
            backoff.reset()
            actions.append(.persist)
        }
    }
}
