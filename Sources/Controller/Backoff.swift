// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// Numbers that look like chance and are the same for the same seed, so that a life can be replayed
/// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
struct SeededNumbers: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// How long to wait before something that failed is tried again: exponential, with full jitter, so that what failed
/// together is not tried together (Brooker: Exponential Backoff And Jitter).
enum Backoff {
    static let shortest = Duration.seconds(1)
    static let longest = Duration.seconds(600)

    /// - Parameter failures: How often it has failed in a row, from 1.
    static func delay(after failures: Int, using numbers: inout SeededNumbers) -> Duration {
        let ceiling = min(longest, .seconds(1 << min(max(failures, 1), 16)))
        let range = shortest.inMilliseconds...ceiling.inMilliseconds
        return .milliseconds(Int64.random(in: range, using: &numbers))
    }
}

extension Duration {
    fileprivate var inMilliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}
