// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import Fixtures
import Glibc
import JSON
import LinuxSys
import LogFollowing
import SystemPackage
import Testing
import Timekeeping

@testable import Daemon

extension TemporaryFolder {
    func json(_ name: String) throws -> JSONValue { try JSONValue(parsing: Array(text(name).utf8)) }
}

/// What is kept on disk.
struct StateTests {
    @Test(arguments: [
        "{}", #"{"version":99,"keys":{}}"#, #"{"version":1,"keys":5}"#, #"{"keys":{}}"#, #"{"version":1}"#, "[1]", "{",
    ])
    func aKeysFileOfAnotherFormIsSetAsideAndNotWrittenOver(_ text: String) throws {
        let folder = try TemporaryFolder()
        let store = StateStore(directory: folder.path)
        try folder.put("keys.json", text)
        var said = ""
        #expect(store.read(store.keys, isUnderstood: StateStore.isKeys) { said = $0 } == nil)
        #expect(said.contains("set aside"))
        #expect(try RegularFile.read(folder.path.appending("keys.json.corrupt"), limit: 999).bytes == Array(text.utf8))
        try folder.put("keys.json", #"{"version":1,"keys":{}}"#)
        #expect(store.read(store.keys, isUnderstood: StateStore.isKeys) { said = $0 } != nil)
    }

    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func theStateDirectoryIsClosedToOthers() throws {
        let store = StateStore(directory: folder.path.appending("a/b/state"))
        try store.open()
        #expect(try Syscalls.status(of: store.directory).mode & 0o777 == 0o700)
        chmod(store.directory.string, 0o755)
        try store.open()
        #expect(try Syscalls.status(of: store.directory).mode & 0o777 == 0o700)
        try store.write(["a": 1], to: store.keys)
        #expect(try Syscalls.status(of: store.keys).mode & 0o777 == 0o600)
        #expect(store.read(store.keys) { Issue.record("\($0)") } == ["a": 1])
    }

    @Test(arguments: ["", "{", "[1]", "null", "{\"a\":1}}", "\u{0}\u{1}"])
    func whatIsNotUnderstoodIsSetAsideAndKept(content: String) throws {
        let store = StateStore(directory: folder.path)
        try folder.put("keys.json", content)
        var remarks: [String] = []
        #expect(store.read(store.keys) { remarks.append($0) } == nil)
        #expect(remarks.count == 1)
        #expect(try folder.names() == ["keys.json.corrupt"])
        #expect(store.read(store.keys) { remarks.append($0) } == nil)
        #expect(remarks.count == 1, "an absent file is no remark")
    }

    @Test func whatAKilledWriterLeftIsRemovedAndNothingElse() throws {
        let store = StateStore(directory: folder.path)
        // No process has a number as large as this one (proc(5), pid_max).
        let dead = Int32.max
        let kept = ["keys.json", ".keys.json.gasclawd-1-abc", ".keys.json.gasclawd-\(dead)", ".x.gasclawd-one-two"]
        for name in kept + [".keys.json.gasclawd-\(dead)-10ej90m", ".offsets.json.gasclawd-\(dead)-a"] {
            try folder.put(name, "{}")
        }
        try store.open()
        #expect(try folder.names() == kept.sorted())
        #expect(store.read(store.keys) { Issue.record("\($0)") } == [:])
    }

    @Test func whatIsNoFileDoesNotStopTheStart() throws {
        let store = StateStore(directory: folder.path)
        #expect(mkfifo(store.keys.string, 0o600) == 0)
        #expect(store.read(store.keys) { _ in } == nil)
        try Syscalls.makeDirectories(store.offsets)
        #expect(store.read(store.offsets) { _ in } == nil)
    }

    @Test func aCheckpointSurvivesItsFileAndNonsenseIsNone() {
        let checkpoint = Checkpoint(
            file: FileIdentity(device: .max, inode: .max), offset: 1 << 40, marker: Marker(count: 32, hash: .max),
            line: .max, older: [Checkpoint(file: FileIdentity(device: 1, inode: 2), offset: 3, marker: Marker())])
        let read = Checkpoint(checkpoint.json)
        #expect(read == checkpoint)
        let nonsense: [JSONValue] = [
            nil, "x", [:], ["device": 1, "inode": 1, "offset": -1, "marker": ["count": 0, "hash": 0]],
            ["device": 1, "inode": 1, "marker": ["count": 0, "hash": 0]],
            ["device": 1, "inode": "x", "offset": 1, "marker": ["count": 0, "hash": 0]],
            ["device": 1, "inode": 1, "offset": 1, "marker": ["count": 33, "hash": 0]],
            ["device": 1, "inode": 1, "offset": 1, "marker": []],
        ]
        for value in nonsense { #expect(Checkpoint(value) == nil, "\(value.line)") }
    }

    @Test func ourLinksLeadToUsAndAreMadeAnewWhereTheyDoNot() throws {
        let bin = folder.path.appending("bin")
        let file = folder.path.appending("launcher.json")
        try Links.make(bin: bin, launcher: ["socket": "/x"], at: file)
        let ourselves = try CurrentProcess.executable()
        for name in ["claude", "agent-shell"] { #expect(try Syscalls.linkTarget(bin.appending(name)) == ourselves) }
        // An older gasclawd's link, and a file in the place of the other.
        try Syscalls.unlink(bin.appending("claude"))
        try Syscalls.link(bin.appending("claude"), to: "/opt/old/gasclawd")
        // The link first: a file is replaced where a link leads, and this one leads to the program that runs here.
        try Syscalls.unlink(bin.appending("agent-shell"))
        try folder.put("bin/agent-shell", "#!/bin/sh\n")
        try Links.make(bin: bin, launcher: ["socket": "/y"], at: file)
        for name in ["claude", "agent-shell"] { #expect(try Syscalls.linkTarget(bin.appending(name)) == ourselves) }
        #expect(try folder.names(in: "bin") == ["agent-shell", "claude", "gasclawd"])
        #expect(try folder.json("launcher.json")["socket"]?.string == "/y")
    }

    @Test func programsAreFoundInOrder() throws {
        try folder.put("a/gt", "x", mode: 0o644)
        try Syscalls.makeDirectories(folder.path.appending("b/gt"))
        let real = try folder.put("c/gt", "#!", mode: 0o755)
        try folder.put("d/gt", "#!", mode: 0o755)
        let folders = ["a", "b", "none", "c", "d"].map { folder.path.appending($0).string }
        #expect(Links.find("gt", in: ["relative", ""] + folders) == real.string)
        #expect(Links.find("bd", in: folders) == nil)
    }
}

/// Claude Code's own files, which it rewrites itself.
struct ClientFilesTests {
    private let folder: TemporaryFolder
    private let files: ClientFiles

    init() throws {
        folder = try TemporaryFolder()
        files = ClientFiles(directory: folder.path.appending("c"), bypassesPermissions: true) { problem in
            if let problem { Issue.record("\(problem)") }
        }
    }

    @Test func approvalsAndTrustAreAddedAndNothingIsLost() throws {
        try folder.put(
            "c/.claude.json",
            #"{"userID":"u","projects":{"/x":{"history":[1]}},"customApiKeyResponses":{"approved":["old"],"rejected":["aaa"]}}"#
        )
        files.approve(["aaa", "bbb"])
        files.trust("/x")
        let state = try folder.json("c/.claude.json")
        #expect(state["userID"]?.string == "u")
        #expect(state["projects"]?["/x"]?["history"]?.array?.count == 1)
        #expect(state["projects"]?["/x"]?["hasTrustDialogAccepted"]?.bool == true)
        #expect(state["customApiKeyResponses"]?["approved"]?.array == ["old", "aaa", "bbb"])
        #expect(state["customApiKeyResponses"]?["rejected"]?.array?.isEmpty == true)
        #expect(try folder.json("c/.credentials.json") == [:])
    }

    @Test func whatTheClientWroteOverIsMendedAndASecondLookChangesNothing() throws {
        files.approve(["aaa"])
        try folder.put("c/.claude.json", #"{"numStartups":7}"#)
        files.check()
        let state = try folder.json("c/.claude.json")
        #expect(state["numStartups"]?.integer == 7)
        #expect(state["customApiKeyResponses"]?["approved"]?.array == ["aaa"])
        let before = try Syscalls.status(of: files.state)
        files.check()
        #expect(try Syscalls.status(of: files.state).identity == before.identity, "it is not written again")
    }

    @Test func aFileThatIsNoJSONIsLeftAloneAndToldOnce() throws {
        var problems: [String?] = []
        let files = ClientFiles(directory: folder.path.appending("c"), bypassesPermissions: true) {
            problems.append($0)
        }
        try folder.put("c/.claude.json", "{ half")
        files.approve(["aaa"])
        #expect(problems.last??.contains(".claude.json") == true || problems.last??.contains("/c") == true)
        #expect(String(decoding: try RegularFile.read(files.state, limit: 100).bytes, as: UTF8.self) == "{ half")
        try folder.put("c/.claude.json", "{}")
        files.check()
        #expect(problems.last == .some(nil))
    }
}
