// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc

/// Ends a process with everything that belongs to it: TERM to all, KILL to what is left after the grace, done only
/// when every one of them is gone. Signals go through pidfds, so a number that is used again is never hit.
public final class TreeTermination {
    private let loop: EventLoop
    private let root: ProcessIdentity
    private var members: [ProcessIdentity: ProcessHandle] = [:]
    private var timer: EventLoop.Timer?
    private var isKilling = false
    private var completion: ((SystemError?) -> Void)?

    private init(root: ProcessIdentity, loop: EventLoop, completion: @escaping (SystemError?) -> Void) {
        self.root = root
        self.loop = loop
        self.completion = completion
    }

    /// - Parameters:
    ///   - grace: Time from TERM to KILL.
    ///   - completion: Called once, on the loop's thread and never from inside this call; nil means all are gone.
    public static func end(
        _ root: ProcessIdentity, grace: Duration, on loop: EventLoop, completion: @escaping (SystemError?) -> Void
    ) {
        let termination = TreeTermination(root: root, loop: loop, completion: completion)
        termination.sweep(SIGTERM)
        guard termination.completion != nil else { return }
        termination.timer = loop.schedule(after: grace) {
            termination.timer = nil
            termination.isKilling = true
            termination.sweep(SIGKILL)
        }
    }

    /// Takes in who belongs to the tree now and signals the new ones (when killing: all).
    private func sweep(_ signal: Int32) {
        do throws(SystemError) {
            for process in ProcessTable.tree(of: root) where members[process.identity] == nil {
                let identity = process.identity
                let handle = try ProcessHandle(identity, on: loop) { [self] in
                    members[identity] = nil
                    memberEnded()
                }
                guard let handle else { continue }
                members[identity] = handle
                if !isKilling { try handle.send(signal) }
            }
            if isKilling { for handle in members.values { try handle.send(signal) } }
        } catch {
            finish(error)
        }
        if members.isEmpty { finish(nil) }
    }

    private func memberEnded() {
        guard members.isEmpty else { return }
        // Somebody may have been born meanwhile, or have left its parent: look once more before it is called done.
        sweep(isKilling ? SIGKILL : SIGTERM)
    }

    private func finish(_ error: SystemError?) {
        guard let completion else { return }
        self.completion = nil
        if let timer { loop.cancel(timer) }
        members = [:]
        loop.atEndOfTurn { completion(error) }
    }
}
