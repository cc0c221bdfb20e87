// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import Timekeeping

/// `reload.park`: the town stands still while no key is ready.
///
/// That it is our stop is written in gt's own file, so a crash forgets nothing: a stop that says something else is
/// somebody's, and stays.
struct Parking: Sendable {
    enum State: Sendable {
        case idle
        /// gt is at work.
        case calling
        /// We have stopped the town for this time without a key; somebody who thaws it has the last word.
        case done
    }
    var state = State.idle
    var failures = 0
    var notBefore: Timestamp?
}

extension Controller {
    /// The reason that `gt estop` is given.
    public static let parkReason = "gasclawd: no key is ready"

    /// Whether the stop that is on is ours.
    private var isParked: Bool { isStopped && stopNote?.reason == Self.parkReason }

    mutating func advanceParking(_ now: Timestamp) {
        guard parking.state != .calling, !isEnding else { return }
        if let due = parking.notBefore, due > now { return }
        let isWanted = settings.isParking && !pool.hasReadyKey(at: now)
        if !isWanted, isParked {
            call(isStop: false)
        } else if !isWanted {
            parking.state = .idle
        } else if parking.state == .idle, !isStopped {
            call(isStop: true)
        }
    }

    private mutating func call(isStop: Bool) {
        parking.state = .calling
        parking.notBefore = nil
        effects.append(.park(isStop))
    }

    mutating func parked(_ isStop: Bool, _ failure: String?, _ now: Timestamp) {
        guard parking.state == .calling else { return }
        guard let failure else {
            parking.failures = 0
            parking.state = isStop ? .done : .idle
            return
        }
        parking.failures += 1
        parking.state = .idle
        parking.notBefore = now + Backoff.delay(after: parking.failures, using: &numbers)
        effects.append(.note("gt \(isStop ? "estop" : "thaw") failed: \(redactor.redact(failure))"))
    }
}
