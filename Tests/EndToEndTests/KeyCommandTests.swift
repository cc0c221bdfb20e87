// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing
import Timekeeping

@testable import townsim

/// Keys that come and go by commands, variables, credentials, hooks and the provider's own word.
@Suite(.serialized) struct KeyCommandTests {
    @Test func keysAreAddedAndRemovedWithoutADaemonAndTakenUpByOne() throws {
        try withTown(keys: 1) { town in
            let file = town.directory + "/new-key"
            let key = CanaryKey()
            try Disk.replace(file, Array("  \(key.text)\n\n".utf8))
            let added = try JSONValue(parsing: town.gasclawd("keys", "add", "--file", file, "--json").output)
            #expect(added["added"] == true && added["id"]?.string == key.id && added["account"] == "2")
            let path = try #require(added["path"]?.string)
            #expect(try Syscalls.status(of: FilePath(path)).mode & 0o777 == 0o600)
            #expect(try Syscalls.status(of: FilePath(path).removingLastComponent()).mode & 0o777 == 0o700)
            #expect(try #require(try Disk.text(path)).contains("[providers.kimi-api]"))
            let again = try JSONValue(parsing: town.gasclawd("keys", "add", "--file", file, "--json").output)
            #expect(again["added"] == false && again["account"] == "2")
            let list = try JSONValue(parsing: town.gasclawd("keys", "list", "--json").output)
            #expect(list["total"] == 2)

            // Somebody else's file, with more in it than we would write.
            try Disk.replace(town.accountFile("1"), Array("# mine\n\(town.keys[0].file)".utf8))
            try town.startDaemon()
            let events = try town.events()
            #expect(try town.gasclawd("keys", "remove", key.id).status == .exited(0))
            #expect(try events.next("key.removed")["id"]?.string == key.id)
            #expect(!Disk.exists(path) && !Disk.exists(directoryName(path)))
            #expect(try town.gasclawd("keys", "add", "--file", file, "--account", "zwei").status == .exited(0))
            #expect(try events.next("key.added")["account"] == "zwei")
            #expect(try town.gasclawd("keys", "remove", town.keys[0].id).status == .exited(0))
            #expect(try events.next("key.removed")["id"]?.string == town.keys[0].id)
            #expect(try #require(try Disk.text(town.accountFile("1"))).hasPrefix("# mine\n"), "all else stays")
        }
    }

    @Test func aKeyIsNeverTakenFromTheCommandLineNorQuoted() throws {
        try withTown(keys: 1) { town in
            let key = CanaryKey()
            var findings = Findings([key])
            let before = Disk.names(town.accounts).sorted()
            for arguments in [
                ["keys", "add", key.text], ["keys", "add", "--key", key.text], ["keys", key.text],
                ["keys", "remove", key.text], ["keys", "disable", key.text], ["keys", "add", "--account", key.text],
                ["keys", "add", "--base-url", "https://\(key.text)@host/"], [key.text], ["keys", "explain", key.text],
                ["events", "--type", key.text], ["check", "/\(key.text)"],
            ] {
                let result = try Program.run(
                    [MiniatureTown.gasclawd] + arguments + ["--config", town.configuration],
                    environment: town.environment)
                findings.look(arguments.prefix(2).joined(separator: " "), text(result.output + result.errors))
            }
            #expect(findings.all.isEmpty, "\(findings.all)")
            #expect(Disk.names(town.accounts).sorted().filter { $0 != ".gasclawd.lock" } == before)
        }
    }

    @Test func aKeyInTheWrongPlaceIsNotShownBack() throws {
        try withTown(keys: 1, agent: "", sections: "") { town in
            let key = CanaryKey()
            var findings = Findings([key] + town.keys)
            let good = try #require(try Disk.read(town.configuration))
            let wrong = "[[alerts]]\non = [\"keys.exhausted\"]\ncommand = [\"/bin/echo\", \"\(key.text)\"]\n"
            try Disk.replace(town.configuration, good + Array(wrong.utf8))
            for arguments in [["check"], ["check", "--json"]] {
                let result = try Program.run(
                    [MiniatureTown.gasclawd] + arguments + ["--config", town.configuration],
                    environment: town.environment)
                #expect(result.status.isSuccess)
                findings.look(arguments.joined(separator: " "), text(result.output + result.errors))
            }
            try town.startDaemon()
            let own = town.keys[0].text
            for target in [
                "services/\(own)/start", "keys/\(own)/clear", "events?type=\(own)", "agents/reload", own,
            ] {
                let answer = try town.demand(
                    "curl", "-sS", "--unix-socket", town.directory + "/run/control.sock", "-d",
                    "{\"sessions\":[\"\(own)\"]}", "http://g/v1/\(target)")
                findings.look(target.replacing(own, with: "KEY"), answer)
            }
            #expect(findings.all.isEmpty, "\(findings.all)")
        }
    }

    @Test func moreThanOneKeyIsRefusedAndNotGluedTogether() throws {
        try withTown(keys: 0) { town in
            let keys = [CanaryKey(), CanaryKey()]
            for separator in [" ", "\n", "\r", "\t", ":", ",", "\u{2028}"] {
                let file = town.directory + "/two"
                try Disk.replace(file, Array(keys.map(\.text).joined(separator: separator).utf8))
                let result = try town.gasclawd("keys", "add", "--file", file)
                #expect(
                    result.status == .exited(1) && text(result.errors).contains("one key at a time"), "\(separator)")
            }
            #expect(Disk.names(town.accounts).allSatisfy { $0.hasPrefix(".") })
        }
    }

    @Test func twoAtOnceTakeDifferentFolders() throws {
        try withTown(keys: 0) { town in
            let keys = (0..<6).map { _ in CanaryKey() }
            var pids: [Int32] = []
            for (index, key) in keys.enumerated() {
                let file = "\(town.directory)/k\(index)"
                try Disk.replace(file, Array(key.text.utf8))
                pids.append(
                    try town.start(
                        [MiniatureTown.gasclawd, "keys", "add", "--file", file, "--config", town.configuration],
                        output: "\(town.directory)/add.\(index)"))
            }
            for pid in pids { #expect(try waitForEnd(of: pid) == .exited(0)) }
            let list = try JSONValue(parsing: town.gasclawd("keys", "list", "--json").output)
            let accounts = (list["items"]?.array ?? []).compactMap { $0["account"]?.string }
            #expect(accounts.sorted() == ["1", "2", "3", "4", "5", "6"])
        }
    }

    @Test func keysOfVariablesGoToFoldersAndOutOfTheEnvironment() throws {
        try withTown(keys: 1) { town in
            let keys = [CanaryKey(), CanaryKey()]
            let credential = CanaryKey()
            try Disk.makeDirectories(town.directory + "/credentials", mode: 0o700)
            try Disk.replace(
                town.directory + "/credentials/kimi-keys", Array("# mine\n\(credential.text)\nno key\n".utf8))
            try town.startDaemon([
                "GASTOWN_KIMI_KEYS": "\(keys[0].text)::\(town.keys[0].text):nonsense", "KIMI_API_KEYS": keys[1].text,
                "CREDENTIALS_DIRECTORY": town.directory + "/credentials",
            ])
            let items = try #require(try town.status()?["keys"]?["items"]?.array)
            let accounts = Dictionary(
                items.compactMap { item in item["id"]?.string.map { ($0, item["account"]?.string ?? "") } }
            ) { first, _ in first }
            #expect(accounts == [town.keys[0].id: "1", keys[0].id: "2", keys[1].id: "3", credential.id: "credential"])
            for number in 2...3 {
                #expect(try Syscalls.status(of: FilePath(town.accountFile("\(number)"))).mode & 0o777 == 0o600)
            }
            var findings = Findings(keys + [credential])
            // Root may look into it all the same.
            if let environment = ProcessTable.environment(of: try town.daemonPID) {
                findings.look("environment", environment.flatMap { $0 + [10] })
            }
            findings.look("log", try town.logTail())
            #expect(findings.all.isEmpty, "\(findings.all)")
            #expect(try town.logTail().contains("GASTOWN_KIMI_KEYS: entry"))
            // Once more: nothing is written twice, and nothing removed.
            try town.endDaemon()
            try town.startDaemon(["GASTOWN_KIMI_KEYS": keys[0].text])
            #expect(try town.status()?["keys"]?["total"] == 3)
            #expect(Disk.names(town.accounts).filter { !$0.hasPrefix(".") }.count == 3)
        }
    }

    @Test func whatPredecessorsKnewIsTakenInOnce() throws {
        try withTown(keys: 2) { town in
            let now = Double(Timestamp.now.microseconds) / 1e6
            let state = """
                {"last_used":{"\(town.keys[0].id)":\(now - 20)},"rate_limited":{"\(town.keys[0].id)":\(now - 10)}}
                """
            try Disk.makeDirectories(town.directory + "/h/.claude-kimigas")
            try Disk.replace(town.directory + "/h/.claude-kimigas/key-rotation.json", Array(state.utf8))
            try town.startDaemon()
            let events = try town.events()
            let imported = try events.next("keys.imported")
            #expect(imported["count"] == 1)
            #expect(imported["path"]?.string?.hasSuffix("/.claude-kimigas/key-rotation.json") == true)
            #expect(try town.status()?["keys"]?["active"]?.string == town.keys[1].id)
            try town.gasclawd("keys", "clear")
            try town.endDaemon(SIGKILL)
            try town.startDaemon()
            #expect(try town.status()?["keys"]?["ready"] == 2)
            #expect(try town.events().seen("keys.imported").isEmpty)
        }
    }

    @Test func theClientsHookReportsAndIsTakenOutAgain() throws {
        try withTown(agent: "hooks = true") { town in
            try town.install()
            try Disk.makeDirectories(town.configDirectory, mode: 0o700)
            let theirs =
                #"{"hooks":{"StopFailure":[{"hooks":[{"type":"command","command":"theirs"}]}],"Stop":[1]},"x":1}"#
            try Disk.replace(town.configDirectory + "/settings.json", Array(theirs.utf8))
            try town.startDaemon()
            let events = try town.events()
            let ada = try town.startCrew("ada")
            let key = try #require(town.keys.first { $0.id == (try? town.status()?["keys"]?["active"]?.string) })
            try town.fail(key, with: "quota-5h-403")
            // Hook and row of the one failure: one acts, the other was seen.
            let first = try events.next("sighting")
            let second = try events.next("sighting")
            #expect(first["acted"] == true && first["session"]?.string == ada.session)
            #expect(second["acted"] == false && second["why"] == "seen")
            #expect(Set([first["by"]?.string, second["by"]?.string]) == ["hook", "transcript"])
            try events.next("agent.reload.finished")
            #expect(try events.seen("key.cooled").count == 1)

            try town.configure(agent: "hooks = false")
            try eventually("the hook to be gone") {
                let settings = try JSONValue(parsing: try Disk.read(town.configDirectory + "/settings.json") ?? [])
                return settings["hooks"] == (try JSONValue(parsing: Array(theirs.utf8)))["hooks"] && settings["x"] == 1
            }
        }
    }

    @Test func theHookIsSilentAndSucceedsWhateverItGets() throws {
        try withTown(keys: 1) { town in
            for input in ["", "{", "[]", #"{"hook_event_name":"Stop"}"#, #"{"error":"rate_limit"}"#] {
                let file = town.directory + "/input"
                try Disk.replace(file, Array(input.utf8))
                for more in ["", " --socket /nowhere/control.sock", " --bogus"] {
                    let result = try Program.run(
                        ["/bin/sh", "-c", "exec \(MiniatureTown.gasclawd) hook stop-failure\(more) < \(file)"],
                        environment: town.environment)
                    #expect(result.status == .exited(0))
                    #expect(result.output.isEmpty && result.errors.isEmpty)
                }
            }
        }
    }

    @Test func theProviderIsAskedAndItsResetTimeTaken() throws {
        try withTown(keys: 0, sections: "[keys]\nprobe = \"usage\"") { town in
            try town.install()
            let provider = town.directory + "/home"
            _ = try town.start(
                [MiniatureTown.products + "/townsim", "provider", provider], output: town.directory + "/provider.out")
            try eventually("the provider's port") { Disk.exists(provider + "/provider.port") }
            let port = try #require(try Disk.text(provider + "/provider.port")).filter(\.isNumber)
            let keys = [CanaryKey(), CanaryKey()]
            for (index, key) in keys.enumerated() {
                try Disk.makeDirectories("\(town.accounts)/\(index + 1)", mode: 0o700)
                let file = key.file.split(separator: "\n", omittingEmptySubsequences: false).map { line in
                    line.hasPrefix("base_url") ? "base_url = \"http://127.0.0.1:\(port)/coding/v1\"" : String(line)
                }
                try Disk.replace(town.accountFile("\(index + 1)"), Array(file.joined(separator: "\n").utf8))
            }
            try town.startDaemon()
            let events = try town.events()
            _ = try town.startCrew("ada")
            let active = try #require(try town.status()?["keys"]?["active"]?.string)
            let key = try #require(keys.first { $0.id == active })
            try Disk.makeDirectories(provider + "/provider")
            try Disk.replace("\(provider)/provider/\(key.id)", Array("weekly\n".utf8))
            try town.fail(key, with: "quota-weekly-403")
            let sighting = try events.next("sighting") { $0["by"] == "probe" }
            #expect(sighting["acted"] == true && sighting["id"]?.string == key.id)
            #expect(sighting["text"]?.string?.contains("weekly 0 of 100 left") == true)
            // It comes behind the sighting; the one before was for an hour.
            try events.next("key.cooled") { cooled in
                let until = cooled["until"]?.string.flatMap { Timestamp(rfc3339: $0) }
                return (until.map { ($0 - .now).wholeMilliseconds } ?? 0) > 2 * 86_400_000
            }
            let asked = try JSONValue(parsing: (try Disk.read(provider + "/provider.jsonl") ?? []).prefix { $0 != 10 })
            #expect(asked["path"] == "/coding/v1/usages")
            #expect(asked["user_agent"]?.string?.hasPrefix("gasclawd/") == true)
        }
    }
}
