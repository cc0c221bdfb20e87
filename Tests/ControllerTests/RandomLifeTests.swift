// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Secrets
import Testing
import Timekeeping

@testable import Controller

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
}

/// A life of the daemon made of random inputs, looked at after each.
private struct RandomLife {
    var harness: Harness
    var random: SplitMix
    var agents: [Agent] = []
    /// The reload that waits for its performer.
    var orders: [ReloadOrder] = []
    var restarts: [RestartOrder] = []
    /// When each key was to be ready again, at the last look.
    var until: [KeyID: Timestamp] = [:]
    var generation = 0

    static let texts: [(String, Int)] = [
        (Say.quota, 403), (Say.week, 403), (Say.throttled, 429), (Say.concurrency, 403), (Say.invalid, 401),
        (Say.invalid, 401),
        (Say.invalid, 401), (Say.overloaded, 429), (Say.unknown, 403), ("Access terminated", 403),
        ("membership benefits", 402),
        ("try again after 9999999 seconds", 429), ("credit balance is too low", 403),
        ("\(Say.week) reset at 2026-11-25T05:00:00Z", 403),
    ]

    init(number: Int) throws {
        random = SplitMix(state: UInt64(number))
        harness = try Harness(isStarted: false)
        for account in 1...Int.random(in: 1...4, using: &random) {
            try harness.set("\(account)", ["\(account)"] + (account == 1 ? ["1b"] : []))
        }
        harness.feed(.started)
        note()
    }

    mutating func step() throws {
        harness.pane =
            [.gone, .alive, .dead(status: nil), .dead(status: nil), .dead(status: 1), .dead(status: 0), .unknown]
            .randomElement(using: &random) ?? .gone
        switch Int.random(in: 0..<24, using: &random) {
        case 0...2:
            let pane = "%\(Int.random(in: 0..<6, using: &random))"
            let (agent, token) = try harness.ask(
                "s\(pane)", pane: Int.random(in: 0..<9, using: &random) == 0 ? "" : pane,
                mayWait: Bool.random(using: &random))
            if case .success = harness.answer(token) { agents.append(agent) }
        case 3...7:
            guard let agent = agents.randomElement(using: &random), let text = Self.texts.randomElement(using: &random)
            else { return }
            let shift = Duration.seconds([-100, -1, 0, 0, 0, 0, 3600].randomElement(using: &random) ?? 0)
            try harness.fail(
                agent, text.0, status: text.1, time: harness.now + shift,
                isSidechain: Int.random(in: 0..<5, using: &random) == 0)
        case 8: if let agent = agents.randomElement(using: &random) { harness.turn(agent, begins: true) }
        case 9: if let agent = agents.randomElement(using: &random) { harness.turn(agent, begins: false) }
        case 10:
            guard let index = agents.indices.randomElement(using: &random) else { return }
            harness.feed(.processExited(agents.remove(at: index).process))
        case 11: harness.feed(.rotationRequested(harness.token()))
        case 12: harness.feed(.stopped(Bool.random(using: &random)))
        case 13: harness.feed(.accountGone(name: "\(Int.random(in: 1...5, using: &random))"))
        case 14:
            let name = "\(Int.random(in: 1...5, using: &random))"
            let keys = [[], [name], [name, "1b"], ["\(name)new"]].randomElement(using: &random) ?? []
            try harness.set(name, keys, digest: "\(Int.random(in: 0..<3, using: &random))")
        case 15:
            harness.feed(.accountRejected(name: "\(Int.random(in: 1...5, using: &random))", path: "/a", error: "x"))
        case 16:
            var settings = Harness.settings
            settings.launch.isSandboxed = Bool.random(using: &random)
            settings.isRolling = Int.random(in: 0..<4, using: &random) > 0
            harness.feed(.configured(settings, path: nil))
        case 17...18: try perform()
        case 19:
            let command = ["a", "b", "c"].randomElement(using: &random) ?? ""
            let text =
                [#"{"agents":{"claude":{"command":"/\#(command)/claude"}}}"#, "{", nil].randomElement(using: &random)
                ?? nil
            harness.write(.settings, text)
        case 20: try performRestart()
        case 21:
            let holds = [TownHold.rigStop("red"), .parked("red"), .deaconPaused, .shuttingDown]
            harness.feed(
                .held(holds.randomElement(using: &random) ?? .stop, Int.random(in: 0..<4, using: &random) == 0))
        default:
            // One look at a time, so that every effect is seen.
            let end = harness.now + .seconds([1, 7, 29, 61, 400, 4000].randomElement(using: &random) ?? 1)
            if let wake = harness.controller.nextWake(after: harness.now), wake <= end {
                harness.now = max(harness.now, wake)
                harness.feed(.woke)
            } else {
                harness.now = end
            }
        }
        note()
    }

    /// The performer comes to its end, in one of the ways in which it can.
    private mutating func perform() throws {
        guard let order = orders.popLast() else { return }
        switch Int.random(in: 0..<4, using: &random) {
        case 0: harness.feed(.reloadPerformed(id: order.id, failure: "no pane"))
        case 1: break
        case 2:
            if let process = order.process { harness.feed(.processExited(process)) }
            note()
            harness.feed(.reloadPerformed(id: order.id, failure: nil))
        default:
            if let process = order.process {
                agents.removeAll { $0.process == process }
                harness.feed(.processExited(process))
                note()
            }
            harness.feed(.reloadPerformed(id: order.id, failure: nil))
            note()
            let (agent, token) = try harness.ask(order.session, pane: order.place.pane)
            if case .success = harness.answer(token) { agents.append(agent) }
        }
    }

    /// gt comes to its end, whatever it has done.
    private mutating func performRestart() throws {
        guard let order = restarts.popLast() else { return }
        let old = agents.first { $0.session == order.session }
        if let old, Bool.random(using: &random) {
            agents.removeAll { $0.process == old.process }
            harness.feed(.processExited(old.process))
            note()
            let (agent, token) = try harness.ask(order.session, pane: "%7\(Int.random(in: 0..<9, using: &random))")
            if case .success = harness.answer(token) { agents.append(agent) }
            note()
        }
        harness.feed(
            .reloadPerformed(id: order.id, failure: Bool.random(using: &random) ? "gt: exit 1" : nil))
    }

    /// What must hold after every input.
    private mutating func note() {
        let controller = harness.controller
        let pool = controller.pool
        let now = harness.now
        var ordered: [ReloadOrder] = []
        var begun = 0
        for effect in harness.last {
            switch effect {
            case .reload(let order):
                ordered.append(order)
                begun += 1
            case .restart(let order):
                restarts = [order]
                begun += 1
                #expect(controller.hold(on: order.identity) == nil)
                #expect(pool.readyCount(at: now) > 0, "nobody is restarted while no key is ready")
            default: break
            }
        }
        #expect(begun <= 1, "one input begins one reload at most")
        if let order = ordered.last {
            #expect(controller.reload?.order == order)
            #expect(controller.hold(on: order.identity) == nil)
            #expect(pool.readyCount(at: now) > 0, "nobody is restarted while no key is ready")
            orders = [order]
        }
        harness.last = []
        if let active = pool.active { #expect(pool.records[active] != nil) }
        if controller.pool.readyCount(at: now) > 0 {
            // Time alone may have made one ready that the controller has not been asked about yet.
            if controller.nextWake(after: now) != now {
                #expect(pool.active.map { pool.isReady($0, at: now) } == true, "the active key is a ready one")
            }
        }
        var present: [KeyID: Timestamp] = [:]
        for record in pool.sorted {
            guard let cooldown = record.memory.cooldown else { continue }
            present[record.id] = cooldown.until
            if let before = until[record.id], before > now { #expect(cooldown.until >= before, "never shortened") }
        }
        until = present
        #expect(controller.generation >= generation)
        generation = controller.generation
        #expect(controller.rotations.count < 200)
    }
}

@Suite struct RandomLifeTests {
    @Test(arguments: 0..<5) func whateverHappensTheRulesHold(_ part: Int) throws {
        var types: Set<String> = []
        for number in (part * 40)..<(part * 40 + 40) {
            var life = try RandomLife(number: number)
            for _ in 0..<300 { try life.step() }
            let events = life.harness.events
            types.formUnion(events.map(\.type))
            #expect(
                events.count { $0.type == "agent.reload.started" }
                    >= events.count { $0.type == "agent.reload.finished" })
            #expect(!"\(events)".contains("CANARY"))
            #expect(!life.harness.controller.snapshot.line.contains("CANARY"))
            // A successor takes everything up, whatever it was.
            let state = try JSONValue(parsing: life.harness.controller.snapshot.encoded())
            var next = try Harness(state: state, at: life.harness.now, isStarted: false)
            for lease in Controller.leases(in: state) { next.controller.adopt(lease) }
            #expect(next.controller.leases.count == life.harness.controller.leases.count)
            next.feed(.started)
        }
        // Lives in which nothing happens would prove nothing.
        for type in [
            "key.added", "key.removed", "key.activated", "key.cooled", "key.disabled", "key.recovered",
            "keys.exhausted", "agent.leased", "agent.stalled", "agent.exited", "agent.reload.started",
            "agent.reload.finished", "agent.reload.failed", "config.applied", "town.estop", "sighting",
        ] {
            #expect(types.contains(type))
        }
    }

    @Test(arguments: [4711, 4712, 4713]) func theSameInputsHaveTheSameEffects(_ number: Int) throws {
        func run() throws -> String {
            var life = try RandomLife(number: number)
            for _ in 0..<300 { try life.step() }
            return "\(life.harness.events)"
        }
        let first = try run()
        #expect(try run() == first)
    }

    @Test func aLeaseIsNeverGivenACoolingKeyWhileAnotherIsReady() throws {
        for number in 1000..<1040 {
            var life = try RandomLife(number: number)
            for _ in 0..<200 {
                let known = Set(life.harness.controller.leases.keys)
                try life.step()
                let harness = life.harness
                guard harness.controller.pool.readyCount(at: harness.now) > 0 else { continue }
                for lease in harness.controller.leases.values
                where !known.contains(lease.process) && lease.since == harness.now {
                    #expect(harness.controller.pool.isReady(lease.key, at: harness.now))
                }
            }
        }
    }
}
