// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import GasTown

@Suite struct TownConfigurationTests {
    private static let mayor = AgentIdentity(role: .mayor, rig: nil)
    private static let witness = AgentIdentity(role: .witness, rig: "red")
    private static let max = AgentIdentity(role: .crew, rig: "red", name: "max")
    private static let joe = AgentIdentity(role: .crew, rig: "red", name: "joe")

    private func town(_ files: [(TownFile, String)]) throws -> TownConfiguration {
        var town = TownConfiguration()
        for (file, text) in files { _ = try town.take(bytes(text), of: file) }
        return town
    }

    @Test func withoutAnyFileItIsClaudeWithItsOwnArguments() {
        let agent = TownConfiguration().effective(for: Self.mayor)
        #expect(agent.name == "claude")
        #expect(agent.command == "claude")
        #expect(agent.arguments == ["--dangerously-skip-permissions"])
        #expect(agent.isClaude)
    }

    /// The layers from the weakest to the strongest: each one wins over all before it.
    @Test func eachLayerWinsOverTheOnesBelow() throws {
        let names = ["default", "rig", "role", "rigrole", "crew", "worker"]
        let agents = names.map { #""\#($0)":{"command":"/bin/\#($0)"}"# }.joined(separator: ",")
        func settings(_ level: Int) -> [(TownFile, String)] {
            var town = [#""agents":{\#(agents)}"#]
            var rig: [String] = []
            if level >= 1 { town.append(#""default_agent":"default""#) }
            if level >= 2 { rig.append(#""agent":"rig""#) }
            if level >= 3 { town.append(#""role_agents":{"crew":"role"}"#) }
            if level >= 4 { rig.append(#""role_agents":{"crew":"rigrole"}"#) }
            if level >= 5 { town.append(#""crew_agents":{"max":"crew"}"#) }
            if level >= 6 { rig.append(#""worker_agents":{"max":"worker"}"#) }
            return [
                (.settings, "{\(town.joined(separator: ","))}"),
                (.rigSettings(rig: "red"), "{\(rig.joined(separator: ","))}"),
            ]
        }
        for (index, name) in names.enumerated() {
            #expect(try town(settings(index + 1)).effective(for: Self.max).command == "/bin/\(name)")
        }
        // What is another's does not count.
        let all = try town(settings(6))
        #expect(all.effective(for: Self.joe).name == "rigrole")
        #expect(all.effective(for: Self.witness).name == "rig")
        #expect(all.effective(for: Self.mayor).name == "default")
        #expect(all.effective(for: AgentIdentity(role: .crew, rig: "blue", name: "max")).name == "crew")
    }

    @Test func aDefinitionIsTheRigsThenTheTownsThenThePresets() throws {
        var files: [(TownFile, String)] = [(.settings, #"{"default_agent":"a"}"#)]
        #expect(try town(files).effective(for: Self.witness).command == "claude", "a name that nobody knows")
        files.append((.presets, #"{"agents":{"a":{"command":"1"}}}"#))
        #expect(try town(files).effective(for: Self.witness).command == "1")
        files.append((.rigPresets(rig: "red"), #"{"agents":{"a":{"command":"2"}}}"#))
        #expect(try town(files).effective(for: Self.witness).command == "2")
        files[0].1 = #"{"default_agent":"a","agents":{"a":{"command":"3"}}}"#
        #expect(try town(files).effective(for: Self.witness).command == "3")
        files.append((.rigSettings(rig: "red"), #"{"agents":{"a":{"command":"4"}}}"#))
        #expect(try town(files).effective(for: Self.witness).command == "4")
        #expect(try town(files).effective(for: Self.mayor).command == "3")
    }

    @Test func aChosenNameWithoutADefinitionIsPassedOver() throws {
        let town = try town([
            (.settings, #"{"default_agent":"good","role_agents":{"mayor":"ghost"},"agents":{"good":{"command":"g"}}}"#)
        ])
        #expect(town.effective(for: Self.mayor).name == "good")
    }

    @Test func noArgumentsAndNoneNamedAreTwoThings() throws {
        func arguments(_ entry: String) throws -> [String] {
            try town([(.settings, #"{"default_agent":"a","agents":{"a":\#(entry)}}"#)])
                .effective(for: Self.mayor).arguments
        }
        #expect(try arguments(#"{"command":"claude"}"#) == ["--dangerously-skip-permissions"])
        #expect(try arguments(#"{"command":"claude","args":null}"#) == ["--dangerously-skip-permissions"])
        #expect(try arguments(#"{"command":"claude","args":[]}"#) == [])
    }

    @Test func anAgentsVariablesWinOverTheRolesAndTheRigsRoleOverTheTowns() throws {
        let town = try town([
            (.settings, #"{"default_agent":"a","agents":{"a":{"env":{"A":"agent"}}}}"#),
            (.role("witness"), "[env]\nA = 'town'\nB = 'town'\nC = 'town'\n[health]\nping = '1m'\n"),
            (.rigRole(rig: "red", role: "witness"), "[env]\nA = 'rig'\nB = 'rig'\n"),
        ])
        #expect(town.effective(for: Self.witness).environment == ["A": "agent", "B": "rig", "C": "town"])
        #expect(town.effective(for: Self.mayor).environment == ["A": "agent"])
    }

    @Test func aDogIsAlwaysTheSame() throws {
        let dog = AgentIdentity(role: .dog, rig: nil, name: "1")
        let town = try town([
            (
                .settings,
                #"{"default_agent":"a","role_agents":{"dog":"a"},"agents":{"a":{"command":"x","env":{"A":"1"}}}}"#
            ),
            (.role("dog"), "[env]\nB = '2'\n"),
        ])
        #expect(town.effective(for: dog).digest == TownConfiguration().effective(for: dog).digest)
    }

    @Test func spacesAndOrderAreNoChange() throws {
        var town = TownConfiguration()
        let text = #"{"default_agent":"a","agents":{"a":{"command":"x","env":{"A":"1","B":"2"},"x":{"p":1,"q":2}}}}"#
        let other = """
            {
              "agents" : { "a" : { "x":{"q":2,"p":1}, "env":{"B":"2","A":"1"}, "command":"x" } },
              "default_agent":"\\u0061", "cli_theme": "dark", "operational": {"x": 1}
            }
            """
        #expect(try town.take(bytes(text), of: .settings))
        let before = town.effective(for: Self.mayor).digest
        #expect(try !town.take(bytes(other), of: .settings))
        #expect(town.effective(for: Self.mayor).digest == before)
        #expect(try !town.take(bytes(other), of: .settings))
    }

    @Test(
        arguments: [
            #"{"agents":{"a":{"command":"y"}}}"#, #"{"agents":{"a":{"command":"x","args":["-v"]}}}"#,
            #"{"agents":{"a":{"command":"x","env":{"A":"1"}}}}"#, #"{"role_effort":{"mayor":"high"}}"#,
            #"{"agents":{"a":{"command":"x","exec_wrapper":["box"]}}}"#, #"{"default_agent":"claude"}"#,
        ])
    func whatChangesTheCommandLineChangesTheDigest(_ more: String) throws {
        let base = #"{"default_agent":"a","agents":{"a":{"command":"x"}}}"#
        // Of members with the same name the last one counts.
        let changed = String(base.dropLast()) + "," + more.dropFirst()
        #expect(
            try town([(.settings, base)]).effective(for: Self.mayor).digest
                != town([(.settings, changed)]).effective(for: Self.mayor).digest)
    }

    @Test(
        arguments: [
            "", "{", "[]", "7", #"{"agents":[]}"#, #"{"agents":{"a":7}}"#, #"{"agents":{"a":{"args":"x"}}}"#,
            #"{"agents":{"a":{"args":[1]}}}"#, #"{"agents":{"a":{"env":{"A":1}}}}"#, #"{"default_agent":1}"#,
            #"{"role_agents":{"mayor":[]}}"#,
        ])
    func whatIsInvalidChangesNothing(_ text: String) throws {
        var town = try town([(.settings, #"{"default_agent":"a","agents":{"a":{"command":"x"}}}"#)])
        let before = town
        #expect(throws: TownFileError.self) { _ = try town.take(bytes(text), of: .settings) }
        #expect(town == before)
        #expect(throws: TownFileError.self) { _ = try town.take(bytes("[env\nA=1"), of: .role("mayor")) }
        #expect(town == before)
    }

    @Test func anErrorDoesNotQuoteTheFile() {
        var town = TownConfiguration()
        do throws(TownFileError) {
            _ = try town.take(bytes(#"{"agents":{"a":{"env":{"A":"sk-kimi-QzCANARY"}}"#), of: .settings)
            Issue.record("that is no JSON")
        } catch { #expect(!"\(error)".contains("CANARY")) }
    }

    @Test func rigsAndTheirPrefixesAreLearned() throws {
        let town = try town([(.rigs, #"{"version":1,"rigs":{"red":{"beads":{"prefix":"rd-"}},"blue":{}}}"#)])
        #expect(town.rigs == ["red": "rd", "blue": ""])
        #expect(throws: TownFileError.self) { _ = try self.town([(.rigs, #"{"rigs":{"../x":{}}}"#)]) }
    }

    @Test(
        arguments: [
            (Self.mayor, ["mayor", "restart"]), (AgentIdentity(role: .deacon, rig: nil), ["deacon", "restart"]),
            (Self.witness, ["witness", "restart", "red"]),
            (AgentIdentity(role: .refinery, rig: "red"), ["refinery", "restart", "red"]),
            (Self.max, ["crew", "restart", "red/max"]),
            (AgentIdentity(role: .polecat, rig: "red", name: "nux"), ["session", "restart", "red/nux"]),
            (AgentIdentity(role: .boot, rig: nil), nil), (AgentIdentity(role: .dog, rig: nil, name: "1"), nil),
            (AgentIdentity(role: .witness, rig: nil), nil),
            (AgentIdentity(role: .crew, rig: "red", name: "--all"), nil),
            (AgentIdentity(role: .witness, rig: "-f"), nil),
        ] as [(AgentIdentity, [String]?)])
    func eachRoleHasItsVerb(_ identity: AgentIdentity, _ wanted: [String]?) {
        #expect(RestartVerb.arguments(for: identity) == wanted)
    }
}
