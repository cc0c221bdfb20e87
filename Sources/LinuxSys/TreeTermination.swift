// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc

/// Ends a process with everything that belongs to it: TERM to all, KILL to what is left after the grace, done only
/// when every one of them is gone. Signals go through pidfds, so a number that is used again is never hit.
public final class TreeTermination {
    private let loop: EventLoop
    private var members: [ProcessIdentity: ProcessHandle] = [:]
    /// All that ever belonged to the tree: what they leave behind belongs to it too, also once they have ended.
    private var known: Set<ProcessIdentity>
    /// Members that may not be signalled or held, and why the first of them may not.
    private var spared: Set<ProcessIdentity> = []
    private var problem: SystemError?
    private var timer: EventLoop.Timer?
    private var isKilling = false
    private var completion: ((SystemError?) -> Void)?

    private init(root: ProcessIdentity, loop: EventLoop, completion: @escaping (SystemError?) -> Void) {
        known = [root]
        self.loop = loop
        self.completion = completion
    }

    /// - Parameters:
    ///   - root: The process with its descendants.
    ///   - loop: Where their ends are watched.
    ///   - grace: Time from TERM to KILL.
    ///   - completion: Called once, on the loop's thread and never from inside this call; nil means all are gone,
    ///     an error that all are gone but those which could not be signalled or watched for that reason.
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
        for process in ProcessTable.tree(of: known) {
            let identity = process.identity
            known.insert(identity)
            guard members[identity] == nil, !spared.contains(identity) else { continue }
            attempt(identity) { () throws(SystemError) in
                let handle = try ProcessHandle(identity, on: loop) { [self] in
                    members[identity] = nil
                    memberEnded()
                }
                guard let handle else { return }
                members[identity] = handle
                if !isKilling { try handle.send(signal) }
            }
        }
        if isKilling {
            for (identity, handle) in members {
                attempt(identity) { () throws(SystemError) in try handle.send(signal) }
            }
        }
        if members.isEmpty { finish(problem) }
    }

    /// One member that is beyond our reach (EPERM after a change of user, EMFILE) must not spare the others.
    private func attempt(_ identity: ProcessIdentity, _ body: () throws(SystemError) -> Void) {
        do throws(SystemError) { try body() } catch {
            problem = problem ?? error
            spared.insert(identity)
            members[identity] = nil
        }
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
