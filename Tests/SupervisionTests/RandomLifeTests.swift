// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing
import Timekeeping

@testable import Supervision

/// Whatever happens in whatever order, these hold.
@Suite struct RandomServiceLifeTests {
    @Test(arguments: 1...60 as ClosedRange<UInt64>) func invariantsHold(seed: UInt64) throws {
        var life = Life(seed: seed)
        for _ in 0..<400 { try life.step() }
    }
}

private struct Life {
    private var random: SplitMix64
    private var supervisor: Supervisor
    private var now = Timestamp(secondsSinceEpoch: 1_800_000_000)
    /// Attempts that the performer works on.
    private var attempts: [ServiceName: UInt64] = [:]
    private var stops: Set<ServiceName> = []
    private var living: [ServiceName: ServiceProcess] = [:]
    private var obstacles: Set<ServiceName> = []
    private var wanted: [ServiceName: Bool] = [:]
    private var failures: [ServiceName: [Timestamp]] = [:]
    private var nextPID: Int32 = 100

    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        supervisor = Supervisor(managed: ServiceName.allCases, saved: nil, seed: seed, at: now)
        for name in ServiceName.allCases { wanted[name] = true }
        perform(supervisor.handle(.opened, at: now))
    }

    mutating func step() throws {
        let name = ServiceName.allCases[Int.random(in: 0..<3, using: &random)]
        switch Int.random(in: 0..<14, using: &random) {
        case 0, 1, 2: if let attempt = attempts.removeValue(forKey: name) { answer(name, attempt) }
        case 3: if let attempt = attempts.removeValue(forKey: name) { failed(name, attempt) }
        case 4: if let process = living.removeValue(forKey: name) { died(name, process) }
        case 5: if let process = living.removeValue(forKey: name) { died(name, process, isExpected: name == .mayor) }
        case 6: if stops.remove(name) != nil { stopped(name) }
        case 7:
            let wish = ServiceWish.allCases[Int.random(in: 0..<3, using: &random)]
            wanted[name] = wish != .stop
            if wish != .stop { failures[name] = [] }
            handle(.wanted(name, wish))
        case 8:
            let isOn = Bool.random(using: &random)
            if isOn { obstacles.insert(name) } else { obstacles.remove(name) }
            handle(.obstacle(name, isOn ? .held("x") : nil))
        case 9: if living[name] == nil, attempts[name] == nil, !stops.contains(name) { found(name) }
        case 10: if let process = living[name] { handle(.unhealthy(name, process, reason: "x")) }
        case 11:
            // We end and begin again: what lives is found again.
            let saved = try JSONValue(parsing: supervisor.snapshot.encoded())
            attempts = [:]
            stops = []
            obstacles = []
            supervisor = Supervisor(managed: ServiceName.allCases, saved: saved, seed: 7, at: now)
            for (name, process) in living { handle(.found(name, process, detail: "")) }
            handle(.opened)
        default:
            now = now + .seconds(Int64.random(in: 0...400, using: &random))
            handle(.woke)
        }
        check()
    }

    private mutating func newProcess(_ name: ServiceName) -> ServiceProcess {
        nextPID += 1
        let process = ServiceProcess(pid: nextPID, startTime: 1)
        living[name] = process
        return process
    }

    private mutating func answer(_ name: ServiceName, _ attempt: UInt64) {
        handle(.answered(name, attempt: attempt, newProcess(name), detail: ""))
    }
    private mutating func found(_ name: ServiceName) { handle(.found(name, newProcess(name), detail: "")) }
    private mutating func failed(_ name: ServiceName, _ attempt: UInt64) {
        handle(.failed(name, attempt: attempt, reason: "x"))
    }
    private mutating func died(_ name: ServiceName, _ process: ServiceProcess, isExpected: Bool = false) {
        handle(.exited(name, process, status: "exit 1", isExpected: isExpected))
    }
    private mutating func stopped(_ name: ServiceName) {
        living[name] = nil
        handle(.stopped(name, problem: nil))
    }

    private mutating func handle(_ input: ServiceInput) { perform(supervisor.handle(input, at: now)) }

    private mutating func perform(_ actions: [ServiceAction]) {
        for action in actions {
            switch action {
            case .start(let name, let attempt):
                #expect(attempts[name] == nil, "two starts of \(name) at once")
                #expect(living[name] == nil, "a second \(name) is started")
                #expect(!stops.contains(name), "\(name) is started while it is being stopped")
                #expect(wanted[name] == true, "\(name) is started though nobody wants it")
                #expect(!obstacles.contains(name), "\(name) is started against an obstacle")
                for other in ServiceName.allCases where other < name && wanted[other] == true {
                    #expect(supervisor.isUp(other), "\(name) is started before \(other) is up")
                }
                attempts[name] = attempt
            case .stop(let name, let process):
                #expect(!stops.contains(name), "two stops of \(name) at once")
                #expect(process == nil || process == living[name])
                attempts[name] = nil
                stops.insert(name)
            case .watch(let name, let process): #expect(living[name] == process)
            case .tell(let news):
                if let retry = news.nextRetryAt {
                    #expect(retry - now >= .seconds(1) && retry - now <= .seconds(600))
                    #expect(news.kind == .backoff || news.kind == .parked)
                }
            case .persist: break
            }
        }
    }

    private func check() {
        if let wake = supervisor.nextWake(after: now) { #expect(wake > now) }
        for item in supervisor.items(at: now) {
            #expect((item.state == "up") == supervisor.isUp(item.name))
            #expect(item.nextRetryAt == nil || ["backoff", "parked", "absent"].contains(item.state))
            if item.state == "up" { #expect(item.pid == living[item.name]?.pid) }
            // Nothing is forgotten: what is wanted is up, on its way, has a time, or has a reason.
            if item.isWanted, item.state == "down" { #expect(!item.detail.isEmpty, "\(item)") }
        }
    }
}
