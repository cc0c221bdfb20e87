// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc

/// Limits of this process (getrlimit(2)).
public enum ResourceLimits {
    /// Raises the number of files that may be open, as far as the hard limit allows; it is never lowered.
    public static func raiseOpenFiles(to wanted: UInt) {
        var limit = rlimit()
        // It can only fail for a bad address.
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        let new = min(rlim_t(wanted), limit.rlim_max)
        guard new > limit.rlim_cur else { return }
        limit.rlim_cur = new
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
