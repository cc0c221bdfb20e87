// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// gt's own way to start an agent anew, which builds its command from the town's files (gt-contract.md section 1).
public enum RestartVerb {
    /// The arguments behind `gt`; nil where gt has no verb for the role.
    ///
    /// `gt rig restart` is none of them, for it ends polecats and does not start them again (gt: cmd/rig.go:272-295),
    /// and neither is `gt handoff`, which builds the command from the caller's environment (gt: cmd/handoff.go:740-769).
    /// For boot and dogs gt has nothing: it starts both for one task each, and then with what the files say.
    public static func arguments(for identity: AgentIdentity) -> [String]? {
        func worker(_ noun: String) -> [String]? {
            guard let rig = name(identity.rig), let worker = name(identity.name) else { return nil }
            return [noun, "restart", "\(rig)/\(worker)"]
        }
        return switch identity.role {
        // cmd/mayor.go:389-402
        case .mayor: ["mayor", "restart"]
        // cmd/deacon.go:776-800
        case .deacon: ["deacon", "restart"]
        // cmd/witness.go:334-359
        case .witness: name(identity.rig).map { ["witness", "restart", $0] }
        // cmd/refinery.go:528-558
        case .refinery: name(identity.rig).map { ["refinery", "restart", $0] }
        // cmd/crew_lifecycle.go:410-551
        case .crew: worker("crew")
        // cmd/session.go:507-558: polecats only
        case .polecat: worker("session")
        case .boot, .dog, .overseer, .other: nil
        }
    }

    /// The agent's own word for where it is becomes an argument: only what cannot be anything else.
    private static func name(_ text: String?) -> String? { text.flatMap { AgentIdentity.isName($0) ? $0 : nil } }
}
