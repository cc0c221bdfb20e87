// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import Fixtures
import JSON
import LinuxSys
import SystemPackage
import Testing
import Timekeeping

@testable import Doctor

@Suite struct DoctorTests {
    @Test func aGoodTownHasNoFindingAndNothingIsChanged() throws {
        let patient = try Patient()
        let before = try patient.contents()
        let diagnosis = try patient.diagnose()
        let findings = diagnosis.checks.filter(\.verdict.isFinding)
        #expect(findings.isEmpty, "\(findings)")
        #expect(try patient.contents() == before)
        let ids = diagnosis.checks.map(\.id)
        #expect(Set(ids).count == ids.count)
        #expect(diagnosis.json["ok"]?.bool == true && diagnosis.json["findings"]?.integer == 0)
    }

    @Test func whatIsWorstComesFirstAndEachFindingSaysHowItIsMended() throws {
        let patient = try Patient()
        try patient.remove("bin/bd")
        try patient.write("accounts/1/config.toml", "[providers.k]\napi_key = \"\(Patient.key)\"\n", mode: 0o644)
        let diagnosis = try patient.diagnose()
        #expect(diagnosis.checks.prefix(1).map(\.verdict) == [.failed])
        let ranks = diagnosis.checks.map(\.verdict.rank)
        #expect(ranks == ranks.sorted())
        let lines = diagnosis.text.split(separator: "\n")
        #expect(lines[0].hasPrefix("failed ") && lines[0].contains("tools.bd"))
        #expect(lines[1].contains("→ "))
        for check in diagnosis.json["checks"]?.array ?? [] {
            let isFinding = ["failed", "warning"].contains(check["verdict"]?.string)
            #expect(isFinding == (check["fix"]?.string != nil), "\(check)")
            for name in ["id", "title", "verdict", "evidence"] { #expect(check[name]?.string != nil) }
        }
    }

    @Test func everyCheckStandsInTheManual() throws {
        var root = FilePath(#filePath)
        for _ in 0..<3 { root.removeLastComponent() }
        let manual = String(
            decoding: try RegularFile.read(root.appending("docs/troubleshooting.md"), limit: 1 << 20).bytes,
            as: UTF8.self)
        var ids = Set(try Patient().diagnose(isProbing: true).checks.map(\.id))
        ids.formUnion(["tools.go", "tools.curl"])
        for id in ids.sorted() { #expect(manual.contains("`\(id)`"), "\(id)") }
    }

    @Test func toolsThatAreMissingOldBrokenOrHangingAreFound() throws {
        for ailment in [
            Ailment("tools.gt", .failed, "not found") { try $0.remove("bin/gt") },
            Ailment("tools.bd", .failed, "0.57 is needed") { try $0.program("bd", "echo bd version 0.49.6") },
            Ailment("tools.dolt", .warning, "tells no version") { try $0.program("dolt", "echo what; exit 1") },
            Ailment("tools.tmux", .failed, "3.2 is needed") { try $0.program("tmux", "echo tmux 3.1c") },
            Ailment("tools.git", .failed, "not found") { try $0.remove("bin/git") },
            Ailment("tools.claude", .failed, "no client but ours") { try $0.remove("bin/claude") },
            Ailment("tools.git-identity", .failed, "user.email") {
                try $0.program(
                    "git", "case $4 in user.email) exit 1;; user.name) echo n;; *) echo git version 2.1;; esac")
            },
            Ailment("tools.process-tools", .failed, "ps") { try $0.remove("bin/ps") },
            Ailment("tools.process-tools", .failed, "ss and lsof") { try $0.remove("bin/ss") },
            Ailment("tools.go", .warning, "not found") { try $0.remove("bin/gt") },
            Ailment("tools.curl", .failed, "not found") { patient in
                patient.configure = { $0.alerts = [.init(events: ["key.cooled"], receiver: .url("https://h/"))] }
            },
            Ailment("tools.gt", .failed, "cannot be run") { try $0.write("bin/gt", "\u{7F}ELF?", mode: 0o755) },
        ] { try ailment.test() }
    }

    @Test func aHangingToolIsEndedAndNoneWaitsForAnother() throws {
        let patient = try Patient()
        try patient.program("dolt", "/bin/sleep 600")
        // Each ends when the other one has begun: one after the other they would both run out of time.
        for (name, other) in [("gt", "bd"), ("bd", "gt")] {
            let meet = "while [ ! -e \(patient.directory)/\(other).here ]; do /bin/sleep 0.05; done"
            try patient.program(name, ": > \(patient.directory)/\(name).here; \(meet); echo \(name) version 1.0.1")
        }
        let diagnosis = try patient.diagnose()
        func verdict(_ id: String) -> Check.Verdict? { diagnosis.checks.first { $0.id == id }?.verdict }
        #expect(verdict("tools.gt") == .ok && verdict("tools.bd") == .ok && verdict("tools.dolt") == .failed)
        #expect(diagnosis.checks.contains { $0.id == "tools.dolt" && $0.evidence.contains("no version within 10s") })
    }

    /// Anybody can run a script of that length. FilePath in debug builds takes minutes over it.
    @Test func aNeighboursLongCommandLineIsReadLikeAnyOther() throws {
        let patient = try Patient()
        let script = "sleep 600; : " + String(repeating: "https://a//b//c ", count: 7500)
        let loop = try EventLoop()
        let neighbour = try Command.run(
            ["/bin/sh", "-c", script, "gt", "daemon", "run", "/opt/gasclaw"], environment: ["PATH=/usr/bin:/bin"],
            directory: "/", timeout: .seconds(600), on: loop
        ) { _ in }
        let diagnosis = try patient.diagnose()
        #expect(diagnosis.checks.first { $0.id == "migration.gasclaw" }?.verdict == .ok)
        neighbour.end()
        #expect(try loop.run { !neighbour.isRunning })
    }

    @Test func troubleOfTheTownIsFound() throws {
        for ailment in [
            Ailment("town.folder", .failed, "is not there") { patient in
                patient.configure = { $0.town.root = FilePath(patient.directory + "/none") }
            },
            Ailment("town.folder", .failed, "is no folder") { patient in
                patient.configure = { $0.town.root = FilePath(patient.directory + "/bin/gt") }
            },
            Ailment("town.installed", .failed, "no mayor/town.json") { try $0.remove("town/mayor/town.json") },
            Ailment("town.installed", .failed, "mayor/town.json:") { try $0.write("town/mayor/town.json", "{") },
            Ailment("town.rigs", .failed, "its folder is not there") {
                try $0.write("town/mayor/rigs.json", #"{"rigs":{"project":{},"gone":{}}}"#)
            },
            Ailment("town.rigs", .failed, "mine is not registered") { patient in
                patient.configure = { $0.town.rigs = [.init(name: "mine", url: "/src/mine")] }
            },
            Ailment("town.rigs", .failed, "mayor/rigs.json:") { try $0.write("town/mayor/rigs.json", "[") },
            Ailment("town.switches", .warning, "ESTOP: all agents") { try $0.write("town/ESTOP", "manual\tx\ty\n") },
            Ailment("town.switches", .warning, "ESTOP of project") { try $0.write("town/ESTOP.project", "") },
            Ailment("town.switches", .warning, "the deacon is paused") {
                try $0.write("town/.runtime/deacon/paused.json", #"{"paused":true}"#)
            },
            Ailment("town.switches", .warning, "shutting down") { try $0.write("town/daemon/shutting-down", "") },
            Ailment("town.crash-loops", .failed, "deacon") {
                try $0.write(
                    "town/daemon/restart_state.json",
                    #"{"agents":{"deacon":{"crash_loop_since":"2026-11-01T00:00:00Z"}}}"#)
            },
            Ailment("town.strays", .warning, "settings/config.json") {
                try $0.write("system/settings/config.json", "{}")
            },
            Ailment("dolt.health", .failed, "read-only") {
                try $0.write("town/daemon/DOLT_UNHEALTHY", #"{"reason":"read-only","detail":"disk"}"#)
            },
            Ailment("dolt.port-agreement", .warning, "3310") { patient in
                patient.configure = { $0.services.doltPort = 3310 }
            },
            Ailment("dolt.answer", .failed, "nobody listens") { patient in
                patient.configure = { $0.services.managed = [.dolt] }
            },
            Ailment("daemon.running", .failed, "not running") { patient in
                patient.configure = { $0.services.managed = [.daemon] }
            },
            Ailment("daemon.running", .failed, "pid 4194303, which is gone") { patient in
                patient.configure = { $0.services.managed = [.daemon] }
                try patient.write("town/daemon/state.json", #"{"running":true,"pid":4194303}"#)
            },
            Ailment("mayor.running", .failed, "not running") { patient in
                patient.configure = { $0.services.managed = [.mayor] }
            },
            Ailment("daemon.supervisors", .warning, "gastown-daemon.service is enabled") { patient in
                patient.configure = { $0.services.managed = [.daemon] }
                try patient.write("home/.config/systemd/user/default.target.wants/gastown-daemon.service", "[Unit]")
            },
        ] { try ailment.test() }
    }

    @Test func agentsThatGoPastTheLauncherAreFound() throws {
        for ailment in [
            Ailment("agents.default", .failed, "claude, not kimi-claude") {
                try $0.write("town/settings/config.json", #"{"default_agent":"claude"}"#)
            },
            Ailment("agents.launcher", .failed, "does not know") {
                try $0.write("town/settings/config.json", #"{"default_agent":"kimi-claude"}"#)
            },
            Ailment("agents.launcher", .failed, "claude, not /") {
                try $0.write(
                    "town/settings/config.json",
                    #"{"default_agent":"kimi-claude","agents":{"kimi-claude":{"command":"claude"}}}"#)
            },
            Ailment("agents.default", .failed, "settings/config.json:") {
                try $0.write("town/settings/config.json", "{")
            },
            Ailment("agents.roles", .warning, "witness: gemini") { patient in
                try patient.write(
                    "town/settings/config.json",
                    #"{"default_agent":"kimi-claude","role_agents":{"witness":"gemini","mayor":"kimi-claude"}}"#)
            },
            Ailment("agents.links", .failed, "cannot start through it") { try $0.remove("state/bin/claude") },
            Ailment("agents.links", .failed, "which is no gasclawd") {
                try $0.remove("state/bin/claude")
                try $0.link("state/bin/claude", to: $0.bin + "/gt")
            },
            Ailment("agents.links", .failed, "look for the daemon at /else") {
                try $0.write("state/launcher.json", #"{"socket":"/else/control.sock","state":"/x"}"#)
            },
            Ailment("agents.settings", .failed, "env.ANTHROPIC_BASE_URL") {
                try $0.write("town/project/crew/x/.claude/settings.json", #"{"env":{"ANTHROPIC_BASE_URL":"http://h"}}"#)
            },
            Ailment("secrets.hooks", .warning, "/bin/tell") {
                try $0.write(
                    "town/mayor/.claude/settings.json",
                    #"{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"/bin/tell","args":["x"]}]}]}}"#)
            },
            Ailment("secrets.town-files", .failed, "agents.kimi-claude.env.ANTHROPIC_API_KEY") {
                try $0.write(
                    "town/settings/config.json",
                    #"{"agents":{"kimi-claude":{"env":{"ANTHROPIC_API_KEY":"\#(Patient.key)"}}}}"#)
            },
            Ailment("secrets.town-files", .failed, "mayor/daemon.json: env.X") {
                try $0.write("town/mayor/daemon.json", #"{"env":{"X":"\#(Patient.key)"}}"#)
            },
        ] { try ailment.test() }
    }

    @Test func argumentsThatSomebodyAddedToTheAgentAreFine() throws {
        let patient = try Patient()
        try patient.write(
            "town/settings/config.json",
            #"""
            {"default_agent":"kimi-claude",
             "agents":{"kimi-claude":{"command":"\#(patient.state)/bin/claude","args":["--verbose"],"env":{"A":"b"}}}}
            """#)
        #expect(try patient.diagnose().findings == 0)
    }

    @Test func eachQuestionThatStopsAnAgentIsFound() throws {
        func without(_ name: String, in file: String) -> (Patient) throws -> Void {
            { patient in
                let path = "claude/\(file)"
                let text = String(
                    decoding: try RegularFile.read(FilePath("\(patient.directory)/\(path)"), limit: 1 << 20).bytes,
                    as: UTF8.self)
                try patient.write(path, text.replacing(name, with: "other"))
            }
        }
        for ailment in [
            Ailment("dialogs.files", .failed, "is not there") { try $0.remove("claude/.claude.json") },
            Ailment("dialogs.files", .failed, ".claude.json:") { try $0.write("claude/.claude.json", "{\"a\":") },
            Ailment("dialogs.files", .failed, "settings.json:") { try $0.write("claude/settings.json", "nothing") },
            Ailment("dialogs.files", .warning, "others can read") {
                chmodFile("\($0.directory)/claude/.claude.json", 0o644)
            },
            Ailment("dialogs.onboarding", .failed, "welcome", without("hasCompletedOnboarding", in: ".claude.json")),
            Ailment("dialogs.key-approval", .failed, "open for", without("approved", in: ".claude.json")),
            Ailment("dialogs.key-approval", .failed, "refused for") {
                try $0.write(
                    "claude/.claude.json",
                    #"{"customApiKeyResponses":{"approved":[],"rejected":["\#(Patient.key.suffix(20))"]}}"#)
            },
            Ailment("dialogs.resume", .warning, "resumed", without("resumeReturnDismissed", in: ".claude.json")),
            Ailment("dialogs.permissions", .failed, "disableAutoMode", without("disableAutoMode", in: "settings.json")),
            Ailment("dialogs.permissions", .failed, "defaultMode", without("bypassPermissions", in: "settings.json")),
            Ailment(
                "dialogs.permissions", .failed, "skipDangerous",
                without("skipDangerousModePermissionPrompt", in: "settings.json")),
            Ailment("dialogs.permissions", .failed, "defaultMode") { try $0.remove("claude/settings.json") },
        ] { try ailment.test() }
    }

    @Test func troubleWithKeysIsFound() throws {
        for ailment in [
            Ailment("keys.folder", .failed, "is not there") { patient in
                patient.configure = { $0.accounts = FilePath(patient.directory + "/none") }
            },
            Ailment("keys.files", .failed, "no key:") { try $0.remove("accounts/1/config.toml") },
            Ailment("keys.files", .warning, "2/config.toml") { try $0.write("accounts/2/config.toml", "[providers") },
            // All of them, and not the first alone.
            Ailment("keys.files", .warning, "2/config.toml: the file is empty; ") {
                try $0.write("accounts/2/config.toml", "")
                try $0.write("accounts/3/config.toml", "[providers")
            },
            Ailment("keys.files", .warning, "it holds no key") { try $0.write("accounts/2/config.toml", "a = 1\n") },
            Ailment("keys.modes", .warning, "others can read") { chmodFile("\($0.accounts)/1/config.toml", 0o640) },
            Ailment("keys.state", .warning, "others can look into") { chmodFile($0.state, 0o755) },
            Ailment("keys.state", .failed, "launch.json") { try $0.write("state/launch.json", "{}", mode: 0o644) },
            Ailment("keys.state", .warning, "set aside") { try $0.write("state/keys.json.corrupt", "x") },
        ] { try ailment.test() }
    }

    @Test func limitsOfTheMachineAreFound() throws {
        for ailment in [
            Ailment("machine.inotify-watches", .failed, "the town needs") {
                try $0.write("system/proc/sys/fs/inotify/max_user_watches", "8\n")
            },
            Ailment("machine.inotify-instances", .failed, "gasclawd needs 2") {
                try $0.write("system/proc/sys/fs/inotify/max_user_instances", "1\n")
            },
            Ailment("machine.inotify-queue", .warning, "overflows") {
                try $0.write("system/proc/sys/fs/inotify/max_queued_events", "16\n")
            },
            Ailment("machine.journal", .failed, "records are lost") { try $0.folder("system/run/systemd/system") },
            Ailment("service.socket", .failed, "is no socket") { try $0.write("run/control.sock", "") },
            Ailment("alerts.receivers", .failed, "is not there") { patient in
                patient.configure = { $0.alerts = [.init(events: ["key.cooled"], receiver: .command(["/no/such"]))] }
            },
            Ailment("config.variables", .warning, "BD_ROOT") { $0.variables["BD_ROOT"] = "/x" },
        ] { try ailment.test() }
        guard CurrentProcess.userID == 0 else { return }
        try Ailment("machine.root", .failed, "without a sandbox") { patient in
            patient.configure = { $0.agent.sandboxed = .no }
        }.test()
    }

    @Test func theUnitsStateIsRead() throws {
        func systemctl(_ properties: String) -> (Patient) throws -> Void {
            { patient in
                try patient.folder("system/run/systemd/system")
                let lines = properties.split(separator: " ").map { "echo \($0)" }.joined(separator: "; ")
                try patient.program("systemctl", "[ \"$1\" = --user ] && exit 1; \(lines)")
            }
        }
        let good = "LoadState=loaded KillMode=process PrivateTmp=no UnitFileState=enabled "
        for ailment in [
            Ailment("service.unit", .failed, "exit-code", systemctl(good + "ActiveState=failed Result=exit-code")),
            Ailment(
                "service.unit", .failed, "though it is enabled", systemctl(good + "ActiveState=inactive SubState=dead")),
            Ailment(
                "service.unit", .warning, "has not read it", systemctl(good + "ActiveState=active NeedDaemonReload=yes")
            ),
            Ailment(
                "service.unit-settings", .warning, "KillMode=mixed",
                systemctl("LoadState=loaded KillMode=mixed ActiveState=active")),
            Ailment(
                "service.unit-settings", .warning, "PrivateTmp=yes",
                systemctl("LoadState=loaded KillMode=process PrivateTmp=yes ActiveState=active")),
        ] { try ailment.test() }
        let patient = try Patient()
        try systemctl("LoadState=not-found ActiveState=inactive")(patient)
        #expect(try patient.diagnose().checks.first { $0.id == "service.unit" }?.verdict == .skipped)
    }

    @Test func aProbeTellsWhichKeyIsRejected() throws {
        let patient = try Patient()
        // It gets the key on its standard input and answers as curl's write-out does.
        try patient.program("curl", "/bin/cat > \(patient.directory)/asked; printf 401")
        let diagnosis = try patient.diagnose(isProbing: true)
        let check = try #require(diagnosis.checks.first { $0.id == "keys.probe" })
        #expect(check.verdict == .failed && check.evidence.contains("rejected (401)"))
        let asked = String(
            decoding: try RegularFile.read(FilePath(patient.directory + "/asked"), limit: 1 << 16).bytes, as: UTF8.self)
        #expect(asked.contains("url = \"https://api.kimi.com/coding/v1/models\""))
        try patient.program("curl", "/bin/cat > /dev/null; exit 7")
        #expect(try patient.diagnose(isProbing: true).checks.first { $0.id == "keys.probe" }?.verdict == .warning)
        try patient.program("curl", "/bin/cat > /dev/null; printf 200")
        #expect(try patient.diagnose(isProbing: true).checks.first { $0.id == "keys.probe" }?.verdict == .ok)
    }

    @Test func aRefusedConfigurationIsTheOneFinding() {
        let diagnosis = Doctor.refused(["gasclawd.toml:1:2: bad"])
        #expect(diagnosis.findings == 1 && diagnosis.text.contains("gasclawd.toml:1:2: bad"))
        #expect(diagnosis.text.hasSuffix("1 finding in 1 check (docs/troubleshooting.md explains each by its name)\n"))
        // One a line.
        let lines = Doctor.refused(["a.toml:1:2: bad", "a.toml:3:4: worse"]).text.split(separator: "\n")
        #expect(lines[0].hasSuffix(" a.toml:1:2: bad") && lines[1].hasSuffix("  a.toml:3:4: worse"))
    }
}

@Suite struct PieceTests {
    @Test(arguments: [
        ("gt version 1.0.1", "1.0.1"), ("tmux 3.3a", "3.3"), ("2.1.330 (Claude Code)", "2.1.330"),
        ("git version 2.39.5", "2.39.5"), ("bd version v0.57.0-rc1 (x)", "0.57.0"),
        ("dolt version 1.59.10\n", "1.59.10"),
    ])
    func versionsAreFoundInWhatProgramsPrint(_ text: String, _ version: String) {
        #expect(Version(in: text)?.description == version)
    }

    @Test func versionsAreComparedByNumber() {
        #expect(Version(0, 9) < Version(0, 57) && Version(3, 2) == Version(3, 2, 0) && Version(1, 0) < Version(1, 0, 1))
        #expect(Version(in: "no version") == nil)
    }
}

private func chmodFile(_ path: String, _ mode: UInt32) {
    do throws(SystemError) {
        let file = try Syscalls.open(
            FilePath(path), flags: Syscalls.isDirectory(FilePath(path)) ? Syscalls.directory : 0)
        try Syscalls.setMode(file.raw, mode)
    } catch { Issue.record("\(error)") }
}
