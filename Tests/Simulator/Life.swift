// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import KeyPool

import Supervision

/// A whole life of the daemon from a seed.
package enum Life {
    /// Lives the life, and lets it come to rest: keys and agents, then services.
    ///
    /// - Returns: What went wrong, with the way to see it again; the types of the events that there were.
    package static func run(
        _ seed: UInt64, steps: Int, fault: PlantedFault? = nil
    ) -> (failure: String?, types: Set<String>) {
        var types: Set<String> = []
        var step = 0
        do {
            var simulation = try Simulation(seed: seed, plantedFault: fault)
            defer { types = simulation.rules.types }
            while step < steps {
                step += 1
                try simulation.step()
            }
            try simulation.comeToRest()
            types = simulation.rules.types
        } catch {
            return (told(seed, step, error), types)
        }
        let services = runServices(seed, steps: steps)
        return (services.failure, types.union(services.types))
    }

    /// The services' part of it.
    package static func runServices(
        _ seed: UInt64, steps: Int, fault: ServiceFault? = nil
    ) -> (failure: String?, types: Set<String>) {
        var types: Set<String> = []
        var step = 0
        do {
            var life = try ServiceLife(seed: seed, fault: fault)
            defer { types = Set(life.rules.kinds.map { "service.\($0)" }) }
            while step < steps {
                step += 1
                try life.step()
            }
            try life.comeToRest()
            types = Set(life.rules.kinds.map { "service.\($0)" })
            return (nil, types)
        } catch {
            return (told(seed, step, error), types)
        }
    }

    private static func told(_ seed: UInt64, _ step: Int, _ error: any Error) -> String {
        "seed \(seed), step \(step): \(error) (SEED=\(seed) make simulate runs it again)"
    }
}
