// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import KeyPool

/// A whole life of the daemon from a seed.
package enum Life {
    /// Lives the life, and lets it come to rest.
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
            return (nil, types)
        } catch {
            return ("seed \(seed), step \(step): \(error) (SEED=\(seed) make simulate runs it again)", types)
        }
    }
}
