// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc

/// An open file descriptor with one owner; it is closed when the owner goes.
public struct Descriptor: ~Copyable, Sendable {
    /// The number, valid as long as this value lives. Never close it.
    public let raw: Int32

    /// Takes over a number that the kernel just gave.
    public init(owning raw: Int32) { self.raw = raw }

    deinit {
        // close(2): the descriptor is gone even if EINTR or EIO is reported; there is nothing to repeat.
        _ = Glibc.close(raw)
    }

    /// Gives the number away without closing it.
    public consuming func release() -> Int32 {
        let number = raw
        discard self
        return number
    }
}
