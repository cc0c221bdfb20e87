// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc
import Timekeeping

extension Timestamp {
    /// The wall clock now.
    public static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }
}

/// An alarm at an instant of the wall clock. It also rings when somebody sets the clock (TFD_TIMER_CANCEL_ON_SET,
/// timerfd_create(2)), so that nothing that ends "at 14:05" is missed or sleeps through a jump.
public final class WallAlarm {
    private let clock: Descriptor
    private var armedAt: Timestamp?

    /// - Parameters:
    ///   - handler: Called on the loop's thread; the alarm is then off until it is set again.
    ///   - loop: Where it rings.
    public init(on loop: EventLoop, handler: @escaping () -> Void) throws(SystemError) {
        clock = Descriptor(
            owning: try Syscalls.check("timerfd_create") {
                timerfd_create(CLOCK_REALTIME, Int32(TFD_CLOEXEC | TFD_NONBLOCK))
            })
        // Weak, for an earlier handler of the same turn may drop it.
        _ = try loop.watch(clock.raw, for: .reading) { [weak self] in
            guard let self else { return }
            var expirations: UInt64 = 0
            withUnsafeMutableBytes(of: &expirations) { buffer in
                // ECANCELED says that the clock was set; either way the owner looks at the time anew.
                _ = Glibc.read(clock.raw, buffer.baseAddress, buffer.count)
            }
            // After a jump of the clock the kernel's timer still runs.
            set(nil)
            handler()
        }
    }

    /// Rings at that instant, at once if it is past; nil turns the alarm off.
    public func set(_ instant: Timestamp?) {
        guard instant != armedAt else { return }
        armedAt = instant
        var setting = itimerspec()
        if let instant {
            let micros = max(1, instant.microseconds)
            setting.it_value.tv_sec = Int(micros / 1_000_000)
            setting.it_value.tv_nsec = Int(micros % 1_000_000 * 1000)
        }
        let flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
        timerfd_settime(clock.raw, Int32(flags), &setting, nil)
    }
}
