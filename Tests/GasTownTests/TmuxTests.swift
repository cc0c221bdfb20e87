// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import GasTown

@Suite struct TmuxTests {
    private let tmux = TmuxCommands(program: "/usr/bin/tmux", socket: "/tmp/tmux-0/gt-abc")
    private let hooks = PaneHooks(entries: [
        PaneHooks.Entry(level: .window, index: 0, command: "run-shell \"gt revive ; x\""),
        PaneHooks.Entry(level: .pane, index: 3, command: "kill-pane"),
    ])

    /// The single commands of a call, without the part that all have.
    private func commands(_ call: [String]) -> [[String]] {
        #expect(Array(call.prefix(4)) == ["/usr/bin/tmux", "-u", "-S", "/tmp/tmux-0/gt-abc"])
        return call.dropFirst(4).split(separator: ";").map(Array.init)
    }

    @Test func allCommandsGoToTheTownsServer() {
        for call in [
            tmux.inspect(pane: "%1"), tmux.setHooksAside(pane: "%1", hooks: hooks),
            tmux.respawn(pane: "%1", hooks: hooks),
            tmux.restoreHooks(pane: "%1", hooks: hooks), tmux.setGlobalPath("/b:/bin"), tmux.globalPath(),
        ] {
            #expect(!commands(call).isEmpty)
        }
    }

    @Test func thePaneIsKeptBeforeItsHooksAreSetAside() {
        let list = commands(tmux.setHooksAside(pane: "%7", hooks: hooks))
        #expect(list.first == ["set-option", "-w", "-t", "%7", "remain-on-exit", "on"])
        #expect(list.contains(["set-hook", "-p", "-u", "-t", "%7", "pane-died"]))
        #expect(list.last?.starts(with: ["set-hook", "-w", "-t", "%7", "pane-died[0]"]) == true)
        let windowOnly = PaneHooks(entries: [hooks.entries[0]])
        #expect(!commands(tmux.setHooksAside(pane: "%7", hooks: windowOnly)).contains { $0.contains("-p") })
    }

    @Test func theStoredCommandRunsBeforeTheHooksAreBack() {
        let list = commands(tmux.respawn(pane: "%7", hooks: hooks))
        #expect(
            list == [
                ["respawn-pane", "-k", "-t", "%7"], ["set-hook", "-w", "-u", "-t", "%7", "pane-died"],
                ["set-hook", "-w", "-t", "%7", "pane-died[0]", "run-shell \"gt revive ; x\""],
                ["set-hook", "-p", "-t", "%7", "pane-died[3]", "kill-pane"],
            ])
        #expect(commands(tmux.restoreHooks(pane: "%7", hooks: hooks)) == Array(list.dropFirst()))
    }

    @Test func whatInspectPrintsIsRead() throws {
        let report = try #require(
            PaneReport(
                """
                hq-mayor\t4242\t0\t99
                pane-died[0] run-shell "gt revive ; x"
                pane-exited[0] display-message no
                pane level
                pane-died[3] kill-pane
                """))
        #expect(report.session == "hq-mayor")
        #expect(report.pid == 4242)
        #expect(report.server == 99)
        #expect(!report.isDead)
        #expect(report.hooks == hooks)
    }

    @Test func aDeadPaneWithoutHooksIsRead() throws {
        let report = try #require(PaneReport("a b:c\t7\t1\t9\npane-died\npane level\n"))
        #expect(report == PaneReport("a b:c\t7\t1\t9"))
        #expect(report.isDead)
        #expect(report.hooks.entries.isEmpty)
    }

    @Test func ourOwnHookIsNotTakenForTheTowns() throws {
        let aside = commands(tmux.setHooksAside(pane: "%7", hooks: hooks)).last ?? []
        let report = try #require(PaneReport("s\t1\t0\t9\n\(aside[4]) \(aside[5])\npane level\n"))
        #expect(report.hooks.entries.isEmpty)
    }

    @Test(arguments: [
        "", "\n", "s", "s\t1", "s\tx\t0\t9", "s\t99999999999\t0\t9", "a\tb\t1\t0\t9", "s\t1\t0", "s\t1\t0\tx",
        "no server running on /tmp/x",
    ])
    func whatIsNoReportIsNone(_ output: String) { #expect(PaneReport(output) == nil) }

    @Test(arguments: [
        "pane-died[", "pane-died[x] y", "pane-died[0]", "pane-died[99999999999999999999] y", "pane-died[0",
    ])
    func aHookThatIsNotUnderstoodIsPassedOver(_ line: String) throws {
        #expect(try #require(PaneReport("s\t1\t0\t9\n\(line)")).hooks.entries.isEmpty)
    }
}
