// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import LinuxSys
import Supervision
import SystemPackage
import Testing

@testable import Daemon

@Suite struct ReadOnceTests {
    @Test func contentTellsAndIsRemembered() throws {
        let folder = try TemporaryFolder()
        try folder.put("mayor/daemon.json", "{}")
        let process = ServiceProcess(pid: 7, startTime: 8)
        let made = ReadOnce(process: process, digests: ReadOnce.digests(in: folder.path))
        let read = try #require(ReadOnce(made.json))
        #expect(read == made && read.process == process)
        for path in ["mayor/daemon.json", "settings/agents.json"] { #expect(read.isCurrent(path, in: folder.path)) }
        try folder.put("mayor/daemon.json", "{ }")
        try folder.put("settings/agents.json", "{}")
        for path in ["mayor/daemon.json", "settings/agents.json"] { #expect(!read.isCurrent(path, in: folder.path)) }
        try folder.put("mayor/daemon.json", "{}")
        #expect(read.isCurrent("mayor/daemon.json", in: folder.path))
    }

    @Test func whatIsNotOursIsNotTaken() {
        #expect(ReadOnce(nil) == nil)
        #expect(ReadOnce(["pid": 7, "start": -1, "files": [:]]) == nil)
        #expect(ReadOnce(["pid": 0, "start": 1, "files": [:]]) == nil)
        #expect(ReadOnce(["pid": 7, "start": 1]) == nil)
    }
}
