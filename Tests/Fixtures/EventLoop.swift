// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys

extension EventLoop {
    /// Runs until the condition holds; a deadline that no working code comes near makes a failure of a hang.
    ///
    /// - Returns: Whether the condition came to hold.
    @discardableResult
    public func run(
        within deadline: Duration = .seconds(60), until condition: @escaping () -> Bool
    ) throws(SystemError) -> Bool {
        var holds = condition()
        if holds { return true }
        let end = schedule(after: deadline) { [unowned self] in stop() }
        func look() {
            holds = condition()
            if holds { stop() } else { schedule(after: .milliseconds(2)) { look() } }
        }
        let first = schedule(after: .milliseconds(1)) { look() }
        try run()
        cancel(end)
        cancel(first)
        return holds
    }
}
