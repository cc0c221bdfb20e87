// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc

/// Signals as events of the loop (signalfd(2)).
///
/// Make it before any thread is started: threads inherit the mask, and a signal must find no thread that takes it.
public final class SignalReceiver {
    private let descriptor: Descriptor

    /// Blocks the signals in this thread and calls the handler with each one that arrives.
    public init(
        _ signals: [Int32], on loop: EventLoop, handler: @escaping (Int32) -> Void
    ) throws(SystemError) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        descriptor = Descriptor(
            owning: try Syscalls.check("signalfd") {
                signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK))
            })
        // Weak, for an earlier handler of the same turn may drop it.
        _ = try loop.watch(descriptor.raw, for: .reading) { [weak self] in
            guard let self else { return }
            var info = signalfd_siginfo()
            while withUnsafeMutableBytes(
                of: &info, { Glibc.read(descriptor.raw, $0.baseAddress, $0.count) == $0.count })
            {
                handler(Int32(info.ssi_signo))
            }
        }
    }

    /// Makes a crash a plain death. Swift's runtime would print registers and the memory that they point to, and our
    /// memory holds keys; it would also keep a process alive for a while that systemd's watchdog wants to be gone.
    public static func crashPlainly() {
        for number in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGSEGV, SIGTRAP] { signal(number, SIG_DFL) }
    }

    /// Makes writing to a closed pipe or socket the error EPIPE instead of a death.
    public static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }
}
