// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import ControlAPI
import GasTown
import JSON
import LinuxSys
import Logging
import Supervision
import SystemPackage
import Timekeeping

/// What came of a step of the bootstrap.
public struct BootstrapStep: Sendable {
    public enum Result: String, Sendable {
        case done, skipped, failed
        /// It would be done, but only that was asked.
        case would
    }
    /// accounts, claude, install, dolt, rig, register, daemon or mayor.
    public let name: String
    public let result: Result
    public let took: Duration
    /// Redacted.
    public let detail: String

    public var json: JSONValue {
        [
            "step": .string(name), "result": .string(result.rawValue),
            "seconds": JSONValue(Double(took.wholeMilliseconds) / 1000), "detail": .string(detail),
        ]
    }
}

/// Brings a town into being: each step only if it is needed, so that it can be run again whatever interrupted it.
final class Bootstrap {
    enum Mode {
        /// As a part of `run`: services are the supervisor's, who tries again what fails.
        case supervised
        /// By itself: what was started is ended again if a step fails.
        case alone
        /// Nothing is done.
        case dry
        /// Beside a running daemon, which has the services.
        case beside
    }

    /// What a step is done with, but for gt: accounts and Claude Code's files are others' to keep.
    struct Helpers {
        /// nil: it was done before, and told.
        var accounts: (() -> (BootstrapStep.Result, String))?
        var claude: () -> (BootstrapStep.Result, String)
        /// Makes the town's folder where it is missing, and locks it.
        var holdTown: () -> TownLock.Outcome
    }

    let services: Services
    let configuration: Configuration
    let store: StateStore
    let mode: Mode
    let helpers: Helpers
    let log: Logger
    private let onBegin: (String) -> Void
    private let onStep: (BootstrapStep) -> Void
    private let completion: (_ failure: String?) -> Void
    private(set) var isRunning = false
    /// It is changing the town's settings.
    var isRegistering = false
    var steps: [Step] = []
    private var startedAt: Int64 = 0
    /// What was started, and how it is ended; the last one first.
    var undos: [(name: String, body: (@escaping () -> Void) -> Void)] = []
    var command: Command?
    var interruption: String?
    /// What failed and does not keep the others from being done.
    private var failures: [String] = []
    /// Whoever has what a failed step needs; its end is worth another try.
    var holder: ProcessIdentity?

    typealias Done = (BootstrapStep.Result, String) -> Void
    struct Step {
        let name: String
        let body: (@escaping Done) -> Void
    }

    init(
        services: Services, configuration: Configuration, mode: Mode, helpers: Helpers,
        onBegin: @escaping (String) -> Void = { _ in }, onStep: @escaping (BootstrapStep) -> Void,
        completion: @escaping (_ failure: String?) -> Void
    ) {
        self.services = services
        self.configuration = configuration
        self.store = services.store
        self.log = services.log
        self.mode = mode
        self.helpers = helpers
        self.onBegin = onBegin
        self.onStep = onStep
        self.completion = completion
    }

    var place: ServicePlace { services.place }

    /// What the bootstrap holds back until its turn comes.
    static let gate = Obstacle.waiting("waits for the bootstrap")

    func run() {
        isRunning = true
        // A town whose agents are registered lives, whatever is added to it meanwhile.
        if mode != .supervised || !isRegistered { services.gate(ServiceName.allCases, Self.gate) }
        steps =
            helpers.accounts.map { accounts in
                [
                    Step(name: "accounts") { done in
                        let (result, detail) = accounts()
                        done(result, detail)
                    }
                ]
            } ?? []
        steps += [
            Step(name: "claude") { [self] done in
                let (result, detail) = helpers.claude()
                done(result, detail)
            },
            Step(name: "install") { [self] in install($0) },
            Step(name: "dolt") { [self] in start(.dolt, $0) },
        ]
        for rig in configuration.town.rigs { steps.append(Step(name: "rig") { [self] in addRig(rig, $0) }) }
        steps += [
            Step(name: "register") { [self] in register($0) },
            Step(name: "daemon") { [self] in start(.daemon, $0) },
            Step(name: "mayor") { [self] in start(.mayor, $0) },
        ]
        // Not from inside the caller.
        services.loop.atEndOfTurn { [self] in next() }
    }

    /// Ends it with what it has started.
    func interrupt(_ why: String) {
        guard isRunning, interruption == nil else { return }
        interruption = why
        command?.end()
        if command == nil, isWaiting { stepDone?(.failed, why) }
    }

    var isWaiting = false
    private var stepDone: Done?

    func next() {
        guard isRunning else { return }
        guard !steps.isEmpty else { return end() }
        let step = steps.removeFirst()
        startedAt = EventLoop.now
        onBegin(step.name)
        var isDone = false
        let done: Done = { [self] result, detail in
            guard !isDone else { return }
            isDone = true
            stepDone = nil
            isRegistering = false
            let outcome = interruption.map { (BootstrapStep.Result.failed, $0) } ?? (result, detail)
            let shown = services.owner.redact(outcome.1)
            onStep(
                BootstrapStep(
                    name: step.name, result: outcome.0, took: .nanoseconds(EventLoop.now - startedAt), detail: shown))
            guard outcome.0 != .failed else { return fail(step.name, shown) }
            services.loop.atEndOfTurn { [self] in next() }
        }
        stepDone = done
        step.body(done)
    }

    func fail(_ step: String, _ detail: String) {
        failures.append("\(step): \(detail)")
        // Agents are registered whatever becomes of a rig or of dolt: whoever starts later starts with a key.
        steps.removeAll { !Self.isIndependent($0.name, of: step, mode) || interruption != nil }
        guard steps.isEmpty else { return services.loop.atEndOfTurn { [self] in next() } }
        end()
    }

    /// Whether a step can be done though one before it failed.
    private static func isIndependent(_ step: String, of failed: String, _ mode: Mode) -> Bool {
        switch failed {
        // What is started by itself is ended again after a failure: it is not started at all.
        case "rig": ["rig", "register"].contains(step) || mode != .alone
        case "dolt": step == "register"
        default: false
        }
    }

    private func end() {
        guard !failures.isEmpty else { return finish(nil) }
        let failure = "the bootstrap failed at \(failures.joined(separator: "; "))"
        undo { [self] in finish(failure) }
    }

    private func undo(_ completion: @escaping () -> Void) {
        guard mode == .alone, let last = undos.popLast() else { return completion() }
        log.notice("undone: \(last.name)")
        last.body { [self] in undo(completion) }
    }

    private func finish(_ failure: String?) {
        isRunning = false
        command = nil
        // A town whose agents are registered can live, whatever else is missing; the supervisor tries what failed.
        if mode == .supervised, let failure, !isRegistered {
            services.gate([.daemon, .mayor], .absent(failure))
            services.gate([.dolt], place.isInstalled ? nil : .absent(failure))
        } else if mode == .supervised {
            services.gate(ServiceName.allCases, nil)
        }
        completion(failure)
    }
}
