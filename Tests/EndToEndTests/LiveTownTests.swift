// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import Testing

@testable import townsim

extension MiniatureTown {
    /// Changes a JSON file of the town in place, as gt and most editors do.
    func edit(_ path: String, _ change: (inout JSONObject) -> Void) throws {
        var object = try Disk.object(root + "/" + path) ?? [:]
        change(&object)
        try Disk.makeDirectories(directoryName(root + "/" + path))
        try Disk.overwrite(root + "/" + path, object)
    }

    /// Another definition of an agent, started through the launcher.
    func define(_ name: String, environment: JSONObject, in object: inout JSONObject) {
        var agents = object["agents"]?.object ?? [:]
        agents[name] = [
            "command": .string(launcher), "args": ["--dangerously-skip-permissions"], "env": .object(environment),
        ]
        object["agents"] = .object(agents)
    }

    func variable(_ name: String, of agent: Agent) throws -> String? {
        let lead = name + "="
        return (ProcessTable.environment(of: try pid(of: agent)) ?? []).map { text($0) }
            .first { $0.hasPrefix(lead) }.map { String($0.dropFirst(lead.count)) }
    }
}

/// The town's own files change while agents are at work.
@Suite(.serialized) struct LiveTownTests {
    @Test func aChangedAgentReachesWhomItConcernsByGtsVerbAndNobodyElse() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let grace = try town.startCrew("grace")
            let events = try town.events()
            let pids = (try town.pid(of: ada), try town.pid(of: grace))
            let before = try town.request("of ada") { $0.pid == pids.0 }
            try town.edit("settings/config.json") { object in
                town.define("careful", environment: ["CARE": "much"], in: &object)
                object["crew_agents"] = ["ada": "careful"]
            }
            let applied = try events.next("config.applied")
            #expect(applied["path"]?.string == town.root + "/settings/config.json")
            let started = try events.next("agent.reload.started")
            #expect(started["session"]?.string == ada.session)
            #expect(started["reason"] == "config")
            #expect(try events.next("agent.reload.finished")["session"]?.string == ada.session)
            #expect(try town.variable("CARE", of: ada) == "much")
            let pid = try town.pid(of: ada)
            #expect(pid != pids.0)
            #expect(try town.pid(of: grace) == pids.1)
            try town.request("of the same conversation") { $0.pid == pid && $0.conversation == before.conversation }
            #expect(
                try Disk.text(town.root + "/logs/town.log")?.contains("[kill] project/crew/ada") == true, "gt did it")

            // Another order and other spaces say the same; what comes behind shows that nothing came of it.
            let object = try #require(try Disk.object(town.root + "/settings/config.json"))
            var turned: JSONObject = [:]
            for member in object.members.reversed() { turned[member.name] = member.value }
            try Disk.overwrite(
                town.root + "/settings/config.json",
                Array((JSONValue.object(turned).line + "\n\n").utf8))
            try town.write(CanaryKey(), to: "9")
            try events.next("key.added") { $0["account"]?.string == "9" }
            kill(try town.daemonPID, SIGHUP)
            #expect(try events.seen("agent.reload.started").count == 1)
        }
    }

    @Test func tornJSONIsToldAndTakenAsSoonAsItIsWhole() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let events = try town.events()
            let pid = try town.pid(of: ada)
            let path = town.root + "/settings/config.json"
            var object = try #require(try Disk.object(path))
            town.define("kimi-claude", environment: ["CARE": "more"], in: &object)
            let whole = JSONValue.object(object).encoded()
            try Disk.overwrite(path, Array(whole.prefix(whole.count / 2)))
            let rejected = try events.next("config.rejected")
            #expect(rejected["path"]?.string == path)
            #expect(rejected["errors"]?.array?.first?.string?.hasPrefix(path + ": ") == true)
            try events.next("daemon.degraded")
            #expect(try town.status()?["town"]?["rejected"]?.array?.count == 1)
            #expect(try town.pid(of: ada) == pid)
            try Disk.overwrite(path, Array(whole))
            try events.next("config.applied")
            try events.next("daemon.ready")
            try events.next("agent.reload.finished")
            #expect(try town.variable("CARE", of: ada) == "more")
        }
    }

    @Test func aPolecatsRigSettingsAndRolesCountAndARigThatJoinsIsWatched() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            try town.demand("git", "init", "-q", "--bare", town.directory + "/two.git")
            try town.demand("gt", "rig", "add", "second", "file://\(town.directory)/two.git", directory: town.root)
            try events.next("config.applied") { $0["path"]?.string?.hasSuffix("mayor/rigs.json") == true }
            try town.demand("gt", "sling", "gt-1", "second", directory: town.root)
            let leased = try events.next("agent.leased")
            #expect(leased["role"] == "polecat")
            let session = try #require(leased["session"]?.string)
            let agent = Agent(session: session, directory: "")
            try Disk.makeDirectories(town.root + "/second/roles")
            try Disk.replace(
                town.root + "/second/roles/polecat.toml", Array("[env]\nPATIENCE = \"1\"\n".utf8))
            let started = try events.next("agent.reload.started")
            #expect(started["session"]?.string == session)
            try events.next("agent.reload.finished")
            try town.edit("second/settings/config.json") { object in
                town.define("quick", environment: ["HASTE": "1"], in: &object)
                object["role_agents"] = ["polecat": "quick"]
            }
            try events.next("agent.reload.started")
            try events.next("agent.reload.finished")
            #expect(try town.variable("HASTE", of: agent) == "1")
        }
    }

    @Test func aStoppedRigAndAParkedOneAreLeftAloneUntilTheyAreNot() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let events = try town.events()
            let pid = try town.pid(of: ada)
            try Disk.overwrite(town.root + "/ESTOP.project", Array("manual\t2026-01-01T00:00:00Z\tbroken build\n".utf8))
            let stop = try events.next("town.estop")
            #expect(stop["rig"] == "project" && stop["reason"] == "broken build")
            try town.gasclawd("keys", "rotate")
            try events.next("key.activated")
            try town.edit(".beads-wisp/config/project.json") { $0["values"] = ["status": "parked"] }
            try eventually("the rig to be parked") { try town.status()?["town"]?["holds"]?.array?.count == 2 }
            Disk.remove(town.root + "/ESTOP.project")
            try events.next("town.thaw")
            #expect(try town.pid(of: ada) == pid)
            #expect(try town.status()?["agents"]?.array?.first?["detail"]?.string?.contains("parked") == true)
            #expect(try events.seen("agent.reload.started").isEmpty)
            Disk.remove(town.root + "/.beads-wisp/config/project.json")
            try events.next("agent.reload.finished")
        }
    }

    @Test func anAgentThatIsKilledComesBackWithItsConversationAndOneThatEndsDoesNot() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let grace = try town.startCrew("grace")
            let events = try town.events()
            let pid = try town.pid(of: ada)
            let before = try town.request("of ada") { $0.pid == pid }
            // gt gives a crew member no hook: nobody but us brings it back.
            try town.demand("gt", "crew", "stop", "project/grace", directory: town.root)
            kill(pid, SIGKILL)
            let started = try events.next("agent.reload.started")
            #expect(started["session"]?.string == ada.session)
            #expect(started["reason"] == "recovered")
            #expect(try events.next("agent.reload.finished")["resumed"] == true)
            let new = try town.pid(of: ada)
            try town.request("of the same conversation") { $0.pid == new && $0.conversation == before.conversation }
            #expect(try events.seen("agent.reload.started").count == 1)
            #expect(try town.status()?["agents"]?.array?.contains { $0["session"]?.string == grace.session } == false)
        }
    }

    @Test func whatGtWritesForItselfIsReportedOrHonoured() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            func put(_ path: String, _ text: String) throws {
                try Disk.makeDirectories(directoryName(town.root + "/" + path))
                try Disk.replace(town.root + "/" + path, Array(text.utf8))
            }
            try put("directives/crew.md", "Be careful.")
            #expect(try events.next("town.changed")["path"]?.string == town.root + "/directives/crew.md")
            try put(
                "daemon/restart_state.json",
                #"{"agents":{"deacon":{"restart_count":5,"crash_loop_since":"2026-01-01T00:00:00Z"}}}"#)
            #expect(try events.next("town.crash_loop")["agent"] == "deacon")
            func holds() throws -> [String] {
                (try town.status()?["town"]?["holds"]?.array ?? []).compactMap(\.string)
            }
            try put("daemon/shutting-down", "")
            try put(".runtime/deacon/paused.json", #"{"paused":true}"#)
            try eventually("both to hold") { try holds().count == 2 }
            #expect(text(try town.gasclawd("status").output).contains("the deacon is paused"))
            Disk.remove(town.root + "/daemon/shutting-down")
            try put(".runtime/deacon/paused.json", #"{"paused":false}"#)
            try eventually("neither to hold") { try holds().isEmpty }
            try put("mayor/town.json", try #require(try Disk.text(town.root + "/mayor/town.json")) + "\n")
            try events.next("town.changed") { $0["path"]?.string?.hasSuffix("mayor/town.json") == true }
        }
    }

    @Test func afterAKillWhileGtRestartsAnAgentItComesUpAllTheSame() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let ada = try town.startCrew("ada")
            let events = try town.events()
            try town.edit("settings/config.json") { object in
                town.define("kimi-claude", environment: ["CARE": "much"], in: &object)
            }
            try events.next("agent.reload.started")
            try town.endDaemon(SIGKILL)
            try town.startDaemon()
            try eventually("the agent to be up with what the file says") {
                guard let agent = try town.status()?["agents"]?.array?.first, agent["running"] == true,
                    agent["pending_reload"]?.isNull == true
                else { return false }
                return try town.variable("CARE", of: ada) == "much"
            }
            #expect(try town.status()?["agents"]?.array?.count == 1)
        }
    }

    @Test func theTownStandsStillWhileNoKeyIsReady() throws {
        try withTown(keys: 1, sections: "[keys]\ncooldown = \"3s\"\n[reload]\npark = true") { town in
            try town.install()
            try town.startDaemon()
            _ = try town.startCrew("ada")
            let events = try town.events()
            try town.fail(town.keys[0], with: "throttled-429")
            try events.next("keys.exhausted")
            #expect(try events.next("town.estop")["reason"] == "gasclawd: no key is ready")
            town.mend(town.keys[0])
            try events.next("key.recovered")
            try events.next("town.thaw")
            #expect(!Disk.exists(town.root + "/ESTOP"))
            try events.next("agent.reload.finished")
        }
    }

    /// Starts an agent as gt does for the roles that it starts by itself: the command in a pane of its own.
    private func start(_ session: String, role: String, command: String, in town: MiniatureTown) throws {
        let directory = "\(town.root)/deacon/\(session)"
        try Disk.makeDirectories(directory)
        try town.tmux(
            "new-session", "-d", "-s", session, "-c", directory, "-e", "GT_ROLE=\(role)", "-e", "GT_SESSION=\(session)")
        try town.tmux("set-option", "-t", session, "remain-on-exit", "on")
        try town.tmux("respawn-pane", "-k", "-t", session, "-c", directory, command)
    }

    @Test func everyRoleIsReloadedInItsPaneAndThoseThatGtCanRestartByItsVerb() throws {
        try withTown { town in
            try town.install()
            try town.startDaemon()
            let events = try town.events()
            for arguments in [
                ["mayor", "start"], ["deacon", "start"], ["witness", "start", "project"],
                ["refinery", "start", "project"], ["crew", "start", "project/ada"], ["sling", "gt-1", "project"],
            ] {
                let result = try Program.run(
                    [town.bin + "/gt"] + arguments, environment: town.environment, directory: town.root)
                #expect(result.status.isSuccess, "\(arguments) \(text(result.errors))")
                try events.next("agent.leased")
            }
            let beacon = "'[GAS TOWN] x <- daemon • now • start'"
            try start(
                "hq-boot", role: "deacon/boot",
                command: "exec \(town.launcher) --dangerously-skip-permissions \(beacon)", in: town)
            try events.next("agent.leased") { $0["role"] == "boot" }
            // A dog's command is the bare word: tmux looks for it in the PATH of whoever calls it, which is gt's daemon
            // with the PATH that we gave it.
            town.variables["PATH"] = "\(town.state)/bin:\(town.bin):/usr/local/bin:/usr/bin:/bin"
            defer { town.variables["PATH"] = nil }
            try start(
                "hq-dog-1", role: "dog/1",
                command: "exec claude --dangerously-skip-permissions --model haiku \(beacon)", in: town)
            try events.next("agent.leased") { $0["role"] == "dog" }
            let roles = ["boot", "crew", "deacon", "dog", "mayor", "polecat", "refinery", "witness"]
            func roleNames(_ events: [JSONValue]) -> [String] { events.compactMap { $0["role"]?.string }.sorted() }
            #expect(roleNames(try events.seen("agent.leased")) == roles)

            try town.gasclawd("keys", "rotate")
            for _ in roles { try events.next("agent.reload.finished") }
            let byKey = try events.seen("agent.reload.finished").filter { $0["reason"] == "key" }
            #expect(roleNames(byKey) == roles)
            let status = try #require(try town.status())
            let active = status["keys"]?["active"]
            #expect(status["agents"]?.array?.allSatisfy { $0["key"] == active } == true)
            #expect(status["agents"]?.array?.count == roles.count)

            // What gt brings back by itself has the key of the day.
            try town.gasclawd("keys", "rotate")
            for _ in roles { try events.next("agent.reload.finished") }
            let mayor = Agent(session: "hq-mayor", directory: "")
            kill(try town.pid(of: mayor), SIGKILL)
            let back = try events.next("agent.leased") { $0["role"] == "mayor" }
            #expect(back["id"] == (try town.status())?["keys"]?["active"])

            try town.edit("settings/config.json") { object in
                town.define("kimi-claude", environment: ["CARE": "much"], in: &object)
            }
            let byVerb = roles.filter { $0 != "boot" && $0 != "dog" }
            for _ in byVerb { try events.next("agent.reload.finished") { $0["reason"] == "config" } }
            #expect(roleNames(try events.seen("agent.reload.finished").filter { $0["reason"] == "config" }) == byVerb)
            #expect(try town.variable("CARE", of: mayor) == "much")
            let list = text(try town.gasclawd("agents", "list").output)
            for word in ["SESSION", "RUNNING", "TURN", "hq-dog-1", "pr-crew-ada", "project"] {
                #expect(list.contains(word), "\(list)")
            }
        }
    }
}
