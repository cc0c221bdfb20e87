// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import KeyPool
import Simulator
import Supervision
import Testing

/// Whole lives of the daemon from a seed. `make simulate` runs 10,000 histories of 1,000 steps; `SEED=n make simulate`
/// runs one again.
@Suite struct SimulationTests {
    /// So many in a plain run of the tests.
    static let histories = 40
    static let steps = 1000
    private static let parts = 4

    private func run(_ seed: UInt64, fault: PlantedFault? = nil) -> (failure: String?, types: Set<String>) {
        Life.run(seed, steps: Self.steps, fault: fault)
    }

    @Test(arguments: 0..<parts) func whateverHappensTheRulesHold(_ part: Int) throws {
        var types: Set<String> = []
        for number in 0..<(Self.histories / Self.parts) {
            let (failure, seen) = run(UInt64(number * Self.parts + part))
            types.formUnion(seen)
            if let failure {
                Issue.record("\(failure)")
                return
            }
        }
        // Lives in which nothing happens would prove nothing.
        for type in [
            "key.added", "key.removed", "key.activated", "key.cooled", "key.disabled", "key.recovered",
            "keys.exhausted", "agent.leased", "agent.stalled", "agent.exited", "agent.reload.started",
            "agent.reload.finished", "agent.reload.failed", "config.applied", "town.estop", "sighting",
            "service.starting", "service.up", "service.exited", "service.backoff", "service.parked", "service.stopped",
        ] {
            #expect(types.contains(type), "\(type)")
        }
    }

    @Test(arguments: PlantedFault.allCases) func aPlantedFaultIsFound(_ fault: PlantedFault) {
        let rules: [PlantedFault: String] = [
            .keepsCoolingKey: "no cooling key is active while one is ready",
            .leavesStalled: "each stalled session is resumed once a key is ready",
            .shortensCooldown: "a cooldown is never shortened",
            .restartsWithoutNeed: "nobody is restarted without need",
            .restartsWithoutKey: "nobody is restarted while no key is ready",
            .losesConversation: "a conversation is kept",
            .ignoresSetClock: "a set clock changes no wait",
            .forgetsToSave: "what is saved is what is in memory",
            .endsCooldownTwice: "a cooldown ends exactly once",
            .ignoresStop: "nobody is restarted while the town stands still",
            .losesEdits: "each accepted edit is in force",
        ]
        for seed in 0..<40 as Range<UInt64> {
            guard let failure = run(seed, fault: fault).failure else { continue }
            #expect(failure.contains(rules[fault] ?? "?"), "\(failure)")
            // And again, from its seed.
            #expect(run(seed, fault: fault).failure == failure)
            return
        }
        Issue.record("\(fault.rawValue) was not found")
    }

    @Test(arguments: ServiceFault.allCases) func aPlantedFaultOfServicesIsFound(_ fault: ServiceFault) {
        let rules: [ServiceFault: [String]] = [
            .startsTwice: ["never two attempts at once"],
            .staysParked: ["what is wanted is up in the end"],
            .forgetsStop: ["what was asked for by hand is remembered", "what was stopped by hand stays down"],
            .hurries: ["a wait is within the policy"],
            .forgetsToSave: ["the services' saved state is what is in memory"],
            .ignoresSetClock: ["a set clock makes no wait longer", "no attempt comes before its time"],
        ]
        for seed in 0..<40 as Range<UInt64> {
            guard let failure = Life.runServices(seed, steps: Self.steps, fault: fault).failure else { continue }
            #expect(rules[fault]?.contains { failure.contains($0) } ?? false, "\(failure)")
            // And again, from its seed.
            #expect(Life.runServices(seed, steps: Self.steps, fault: fault).failure == failure)
            return
        }
        Issue.record("\(fault.rawValue) was not found")
    }
}
