// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing
import Timekeeping

@testable import Supervision

/// A supervisor with a clock that a test turns, and what it has asked for.
struct Stage {
    var supervisor: Supervisor
    var now: Timestamp
    var actions: [ServiceAction] = []
    private var nextPID: Int32 = 100

    init(_ managed: [ServiceName] = ServiceName.allCases, seed: UInt64 = 1, isOpen: Bool = true) {
        now = Timestamp(secondsSinceEpoch: 1_800_000_000)
        supervisor = Supervisor(managed: managed, saved: nil, seed: seed, at: now)
        if isOpen { handle(.opened) }
    }

    /// - Returns: What this input alone led to.
    @discardableResult
    mutating func handle(_ input: ServiceInput) -> [ServiceAction] {
        let new = supervisor.handle(input, at: now)
        actions += new
        return new
    }

    /// Turns the clock, and gives every wake-up that falls due.
    mutating func pass(_ duration: Duration) {
        let end = now + duration
        while let wake = supervisor.nextWake(after: now), wake <= end {
            now = wake
            handle(.woke)
        }
        now = end
        handle(.woke)
    }

    mutating func newProcess() -> ServiceProcess {
        nextPID += 1
        return ServiceProcess(pid: nextPID, startTime: UInt64(nextPID) * 7)
    }

    /// The attempt that is going on.
    func attempt(_ name: ServiceName) -> UInt64? {
        actions.reversed().lazy.compactMap { action -> UInt64? in
            if case .start(name, let attempt) = action { attempt } else { nil }
        }.first
    }

    func starts(_ name: ServiceName) -> Int {
        actions.count { if case .start(name, _) = $0 { true } else { false } }
    }

    /// The attempt that is going on succeeds.
    mutating func answer(_ name: ServiceName) {
        let process = newProcess()
        handle(.answered(name, attempt: attempt(name) ?? 0, process, detail: ""))
    }

    mutating func fail(_ name: ServiceName, _ reason: String = "no") {
        handle(.failed(name, attempt: attempt(name) ?? 0, reason: reason))
    }

    mutating func kill(_ name: ServiceName, isExpected: Bool = false) {
        guard let process = supervisor.process(of: name) else { return }
        handle(.exited(name, process, status: "signal 9", isExpected: isExpected))
    }

    func state(_ name: ServiceName) -> String { supervisor.item(name)?.state ?? "none" }
    func detail(_ name: ServiceName) -> String { supervisor.item(name)?.detail ?? "" }
    func news(_ name: ServiceName) -> [String] {
        actions.compactMap { action in
            if case .tell(let news) = action, news.name == name { news.kind.rawValue } else { nil }
        }
    }

    /// All three up.
    static func up(_ managed: [ServiceName] = ServiceName.allCases) -> Stage {
        var stage = Stage(managed)
        for name in managed.sorted() { stage.answer(name) }
        return stage
    }
}
