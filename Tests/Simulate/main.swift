// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import Simulator
import Synchronization

// Lives of the deciding core, from seeds that are counted up: `simulate HISTORIES STEPS [SEED]`. With a seed that life
// alone; `simulate HISTORIES STEPS from SEED` begins there.

/// Says it at once, also where the output is a file.
func say(_ text: String) {
    print(text)
    fflush(nil)
}

var words = CommandLine.arguments.dropFirst().map { $0 }
let isRange = words.count == 4 && words[2] == "from"
if isRange { words.remove(at: 2) }
let numbers = words.compactMap { UInt64($0) }
guard numbers.count == words.count, (2...3).contains(numbers.count) else {
    say("usage: simulate HISTORIES STEPS [[from] SEED]")
    exit(64)
}
let steps = Int(numbers[1])
let first = numbers.count == 3 ? numbers[2] : 0
let seeds = first..<(first + (numbers.count == 3 && !isRange ? 1 : numbers[0]))

/// Each worker takes the next seed.
final class Work: Sendable {
    let next: Atomic<UInt64>
    let failures = Mutex<[String]>([])
    init(from first: UInt64) { next = Atomic(first) }
}
let work = Work(from: seeds.lowerBound)
let workers = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
await withTaskGroup(of: Void.self) { group in
    for _ in 0..<workers {
        group.addTask {
            while true {
                let seed = work.next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard seed < seeds.upperBound, work.failures.withLock({ $0.count < 10 }) else { return }
                if let failure = Life.run(seed, steps: steps).failure {
                    work.failures.withLock { $0.append(failure) }
                }
                if (seed + 1) % 1000 == 0 { say("\(seed + 1) histories") }
            }
        }
    }
}
let failures = work.failures.withLock { $0 }
for failure in failures { say(failure) }
say(
    "\(failures.isEmpty ? seeds.count : 0) histories of \(steps) steps: \(failures.isEmpty ? "all rules held" : "FAILED")"
)
exit(failures.isEmpty ? 0 : 1)
