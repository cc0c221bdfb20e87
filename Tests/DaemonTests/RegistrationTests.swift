// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import Daemon

/// Registering the launcher, with programs that stand in for a gt that does well or badly.
struct RegistrationTests {
    private let folder: TestFolder

    init() throws {
        folder = try TestFolder()
        try folder.write("town/mayor/town.json", "{}")
    }

    /// - Parameter gt: The script's body, nil for no gt at all.
    private func register(gt: String?, command: String = "/state/bin/claude") throws -> Registration.Outcome? {
        let loop = try EventLoop()
        let program = try gt.map { try folder.write("gt", "#!/bin/sh\n\($0)\n", mode: 0o755).string }
        var outcome: Registration.Outcome?
        let registration = Registration(
            loop: loop, root: folder.path.appending("town"), name: "kimi-claude", command: command, gt: program,
            environment: ["PATH=/usr/bin:/bin", "LOG=\(folder.path.appending("calls").string)"]
        ) {
            outcome = $0
            loop.stop()
        }
        // It may be done before the loop begins to turn.
        loop.schedule(after: .seconds(30)) { loop.stop() }
        registration.run()
        if outcome == nil { try loop.run() }
        return outcome
    }

    @Test func theLauncherIsRegisteredInTheTown() throws {
        let outcome = try register(gt: "echo \"$PWD $*\" >> \"$LOG\"")
        #expect(outcome?.result == "done")
        let calls = String(
            decoding: try RegularFile.read(folder.path.appending("calls"), limit: 4096).bytes, as: UTF8.self
        )
        .split(separator: "\n")
        #expect(calls.count == 2)
        #expect(calls.allSatisfy { $0.hasPrefix(folder.path.appending("town").string) })
        #expect(calls.first?.contains("config agent set kimi-claude /state/bin/claude") == true)
        #expect(calls.last?.contains("config default-agent kimi-claude") == true)
    }

    @Test func aTownThatSaysSoAlreadyIsLeftAlone() throws {
        try folder.write(
            "town/settings/config.json",
            #"{"default_agent":"kimi-claude","agents":{"kimi-claude":{"command":"/state/bin/claude"}}}"#)
        let outcome = try register(gt: "exit 9")
        #expect(outcome?.result == "skipped", "\(outcome?.detail ?? "")")
    }

    @Test func aFailureSaysWhichCommandAndWhy() throws {
        let outcome = try register(gt: "echo 'no such agent' >&2; echo more >&2; exit 3")
        #expect(outcome?.result == "failed")
        #expect(outcome?.detail.contains("exit 3: no such agent") == true)
        #expect(outcome?.detail.contains("more") == false)
    }

    @Test func withoutGtOrATownItSaysWhatToDo() throws {
        #expect(try register(gt: nil)?.detail.contains("gt is not found") == true)
        try Syscalls.unlink(folder.path.appending("town/mayor/town.json"))
        let outcome = try register(gt: "exit 1")
        #expect(outcome?.result == "skipped")
        #expect(outcome?.detail.contains("gt install") == true)
    }

    @Test func aCommandThatGtWouldSplitIsRefused() throws {
        #expect(try register(gt: "exit 0", command: "/my state/bin/claude")?.result == "failed")
    }

    @Test func brokenSettingsAreNotOverwritten() throws {
        try folder.write("town/settings/config.json", "{")
        let outcome = try register(gt: "touch \"$LOG\"")
        #expect(outcome?.result == "failed")
        #expect(!Syscalls.exists(folder.path.appending("calls")))
    }
}
