// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import GasTown

@Suite struct TownLogTests {
    private static let log = Array(
        """
        08:00 [spawn] cut
        2026-01-01 08:00:00 [spawn] project/crew/ada session pr-crew-ada
        2026-01-01 08:00:01 [spawn] project/crew/grace session pr-crew-grace
        2026-01-01 08:00:02 [spawn] mayor session hq-mayor
        2026-01-01 08:00:03 [spawn] project/polecats/nux session pr-nux
        2026-01-01 08:00:04 [kill] project/crew/ada session pr-crew-ada
        2026-01-01 08:00:05 [kill] project/crew/grace session pr-crew-grace
        2026-01-01 08:00:06 [nudge] project/crew/ada a word
        2026-01-01 08:00:07 [spawn] project/crew/grace session pr-crew-grace
        2026-01-01 08:00:08 [done] project/polecats/nux gt-1
        2026-01-01 08:00:09 [kill] other/crew/max [spawn] mayor

        """.utf8)

    @Test(arguments: [
        (AgentIdentity(role: .crew, rig: "project", name: "ada"), true),
        (AgentIdentity(role: .crew, rig: "project", name: "grace"), false),
        (AgentIdentity(role: .mayor, rig: nil), false),
        (AgentIdentity(role: .polecat, rig: "project", name: "nux"), true),
        (AgentIdentity(role: .witness, rig: "project"), false),
        (AgentIdentity(role: .crew, rig: "other", name: "max"), true),
    ])
    func theLastWordOfAnAgentCounts(identity: AgentIdentity, isEnded: Bool) {
        #expect(TownLog.isEnded(identity, in: Self.log) == isEnded)
        #expect(!TownLog.isEnded(identity, in: []))
    }
}
