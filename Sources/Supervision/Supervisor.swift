// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Timekeeping

/// A fault that the simulator switches on, to show that it finds such ones. Never set in the product; those without a
/// word there are the simulator's own.
package enum ServiceFault: String, Sendable, CaseIterable {
    /// A service is started though an attempt to start it goes on.
    case startsTwice
    /// A parked service is not tried again.
    case staysParked
    /// Who stopped it by hand is forgotten by a restart.
    case forgetsStop
    /// It is tried again sooner than may be.
    case hurries
    /// What has changed is not always written.
    case forgetsToSave
    /// What waits is not moved when the clock is set.
    case ignoresSetClock
}

/// Decides when services are started and stopped: (state, input, now) → actions.
///
/// It reads no clock and touches nothing. A service is started when the ones before it are up; the end or restart of
/// one never touches another.
public struct Supervisor: Sendable {
    public let policy: RestartPolicy
    private var machines: [ServiceName: ServiceMachine] = [:]
    private var random: SplitMix64
    private var saved: JSONValue?
    private var isOpen = false
    /// For the simulator alone.
    package var plantedFault: ServiceFault?

    /// - Parameters:
    ///   - managed: In the order of their start.
    ///   - policy: How restarts are spread.
    ///   - now: The time that it is.
    ///   - saved: What an earlier process left.
    ///   - seed: For the jitter.
    public init(
        managed: [ServiceName], saved: JSONValue?, policy: RestartPolicy = RestartPolicy(), seed: UInt64,
        at now: Timestamp
    ) {
        self.policy = policy
        self.saved = saved
        random = SplitMix64(seed: seed)
        manage(managed, now)
    }

    /// The processes that an earlier life left; whether they live is for the performer to see.
    public static func processes(in saved: JSONValue?) -> [ServiceName: ServiceProcess] {
        var result: [ServiceName: ServiceProcess] = [:]
        for name in ServiceName.allCases {
            result[name] = ServiceMachine.process(in: saved?["services"]?[name.rawValue])
        }
        return result
    }

    /// What has to survive a restart.
    public var snapshot: JSONValue {
        var services = JSONObject()
        for name in managed { services[name.rawValue] = machines[name]?.json }
        return ["version": 1, "services": .object(services)]
    }

    /// For the simulator: whether another one would write down the same. It is no if it is not sure.
    package func isSurelyWritten(like other: Supervisor) -> Bool { machines == other.machines }

    /// What is kept up, in the order of the start.
    public var managed: [ServiceName] { machines.keys.sorted() }

    public mutating func handle(_ input: ServiceInput, at now: Timestamp) -> [ServiceAction] {
        switch input {
        case .managed(let names): manage(names, now)
        case .opened: isOpen = true
        case .obstacle(let name, let obstacle): machines[name]?.obstacle = obstacle
        case .wanted(let name, let wish): machines[name]?.want(wish, now)
        case .found(let name, let process, let detail): machines[name]?.found(process, detail, now)
        case .answered(let name, let attempt, let process, let detail):
            machines[name]?.answered(attempt, process, detail, now)
        case .failed(let name, let attempt, let reason):
            machines[name]?.failed(attempt, reason, now, policy, &random)
        case .blocked(let name, let attempt, let reason): machines[name]?.blocked(attempt, reason, now, policy)
        case .unblocked(let name): machines[name]?.unblocked(now)
        case .exited(let name, let process, let status, let isExpected):
            machines[name]?.exited(process, status, isExpected: isExpected, now, policy, &random)
        case .unhealthy(let name, let process, let reason): machines[name]?.unhealthy(process, reason, now)
        case .stopped(let name, let problem): machines[name]?.stopped(problem, now, policy, &random)
        case .woke: break
        case .clockSet(let jump): for name in managed { machines[name]?.clockSet(by: jump) }
        }
        var actions: [ServiceAction] = []
        // What an earlier process wrote of its processes is no longer so.
        if case .opened = input { actions.append(.persist) }
        for name in managed {
            machines[name]?.pass(now, policy)
            if isOpen, let machine = machines[name], isDue(machine, now), blocker(of: name) == nil {
                machines[name]?.begin(now)
            }
            actions += machines[name]?.takeActions() ?? []
        }
        return actions
    }

    private func isDue(_ machine: ServiceMachine, _ now: Timestamp) -> Bool {
        switch (plantedFault, machine.state) {
        case (.startsTwice, .starting): true
        case (.staysParked, .parked): false
        default: machine.isDue(at: now)
        }
    }

    private mutating func manage(_ names: [ServiceName], _ now: Timestamp) {
        for name in ServiceName.allCases {
            if !names.contains(name) {
                machines[name] = nil
            } else if machines[name] == nil {
                machines[name] = ServiceMachine(name, saved: saved?["services"]?[name.rawValue], policy, at: now)
            }
        }
        // What was known of a service that is taken out and put back later is old by then.
        saved = nil
    }

    /// Why a service is not started though it is wanted.
    private func blocker(of name: ServiceName) -> String? {
        if let obstacle = machines[name]?.obstacle { return obstacle.reason }
        return firstMissing(before: name).map { "waits for \($0.rawValue)" }
    }

    private func firstMissing(before name: ServiceName) -> ServiceName? {
        managed.first { other in
            guard other < name, let machine = machines[other] else { return false }
            return machine.isWanted && !machine.isUp
        }
    }

    /// When it has to be asked again though nothing happened.
    public func nextWake(after now: Timestamp) -> Timestamp? {
        guard isOpen else { return nil }
        return managed.compactMap { name in
            machines[name]?.nextWake(policy, isBlocked: blocker(of: name) != nil).filter { $0 > now }.min()
        }.min()
    }

    // MARK: - What is to be seen

    public func process(of name: ServiceName) -> ServiceProcess? { machines[name]?.process }
    public func isUp(_ name: ServiceName) -> Bool { machines[name]?.isUp ?? false }

    public func items(at now: Timestamp) -> [ServiceItem] { managed.compactMap { item($0) } }

    public func item(_ name: ServiceName) -> ServiceItem? {
        guard let machine = machines[name] else { return nil }
        var detail = machine.detail
        var state: String
        switch machine.state {
        case .down: state = "down"
        case .starting: state = "starting"
        case .mending(_, let isDeath):
            // Who keeps us from starting it keeps gt from it too.
            state = isHeldBack(machine) ? "down" : "starting"
            if !isHeldBack(machine), isDeath { detail += "; it may be brought back" }
        case .up: state = "up"
        case .backoff: state = "backoff"
        case .parked: state = "parked"
        case .stopping: state = "stopping"
        }
        if machine.isWanted, state == "down" || machine.retryAt != nil {
            if case .absent = machine.obstacle { state = "absent" }
            if let blocker = blocker(of: name) { detail = detail.isEmpty ? blocker : "\(blocker); before: \(detail)" }
        }
        if machine.isUp, !machine.isWanted, detail.isEmpty { detail = "somebody else has started it" }
        return ServiceItem(
            name: name, isWanted: machine.isWanted, state: state, pid: machine.process?.pid,
            restarts: machine.restarts, since: machine.since, nextRetryAt: machine.retryAt, detail: detail)
    }

    private func isHeldBack(_ machine: ServiceMachine) -> Bool {
        switch machine.obstacle {
        case .absent, .held: true
        case .waiting, nil: false
        }
    }

    /// Why a service that lives, or is about to, must not be ended for a restart: it could not be started again. nil:
    /// it could, or there is nothing to end.
    public func refusalOfRestart(_ name: ServiceName) -> String? {
        guard let machine = machines[name] else { return nil }
        switch machine.state {
        case .up, .starting, .mending: break
        case .down, .backoff, .parked, .stopping: return nil
        }
        if isHeldBack(machine) { return machine.obstacle?.reason }
        guard let other = firstMissing(before: name), let before = machines[other] else { return nil }
        switch before.state {
        case .backoff, .parked: return "\(other.rawValue) is not up"
        case .down: return isOnItsWay(other) ? nil : "\(other.rawValue) is not up"
        case .starting, .mending, .stopping, .up: return nil
        }
    }

    /// Whether a service that is down will be started: it waits for one before it that is not in trouble.
    public func isOnItsWay(_ name: ServiceName) -> Bool {
        guard let machine = machines[name], machine.isWanted, machine.state == .down else { return false }
        switch machine.obstacle {
        case .absent, .held: return false
        case .waiting: return true
        case nil: break
        }
        guard isOpen, let other = firstMissing(before: name), let before = machines[other] else { return true }
        switch before.state {
        case .starting, .mending, .stopping: return true
        case .down: return isOnItsWay(other)
        case .up, .backoff, .parked: return false
        }
    }

    /// The first service that is wanted and in trouble: parked, absent, or not up for a minute (contract C).
    public func problem(at now: Timestamp) -> String? {
        for name in managed {
            guard let machine = machines[name], let item = item(name), isTrouble(machine, now) else { continue }
            let why = item.detail.isEmpty ? "" : ": \(item.detail)"
            switch item.state {
            case "parked", "absent": return "\(name.rawValue) is \(item.state)\(why)"
            default: return "\(name.rawValue) is not up (\(item.state))\(why)"
            }
        }
        return nil
    }

    private func isTrouble(_ machine: ServiceMachine, _ now: Timestamp) -> Bool {
        guard machine.isWanted, !machine.isUp else { return false }
        // One that is tried again is in trouble until it is up.
        if machine.wasParked { return true }
        if case .absent = machine.obstacle { return true }
        return machine.isMissing(at: now, policy)
    }

    /// Whether all that is wanted is up, or known not to be soon.
    public func isSettled(at now: Timestamp) -> Bool {
        managed.allSatisfy { name in
            guard let machine = machines[name], machine.isWanted, !machine.isUp else { return true }
            if isTrouble(machine, now) { return true }
            switch machine.obstacle {
            case .absent, .held: return true
            case .waiting: return false
            case nil: break
            }
            // Whoever waits for one in trouble is not up soon either.
            return firstMissing(before: name).flatMap { machines[$0] }.map { isTrouble($0, now) } ?? false
        }
    }
}
