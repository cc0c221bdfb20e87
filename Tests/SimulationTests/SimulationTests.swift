// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import KeyPool
import Simulator
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
        ] {
            #expect(types.contains(type), "\(type)")
        }
    }

    @Test(arguments: PlantedFault.allCases) func aPlantedFaultIsFound(_ fault: PlantedFault) {
        let rules: [PlantedFault: String] = [
            .keepsCoolingKey: "no cooling key is active while one is ready",
            .leavesStalled: "each stalled session is resumed once a key is ready",
            .shortensCooldown: "a cooldown is never shortened",
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
}
