// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import SystemdKit

@Suite struct CredentialsTests {
    /// A folder like the one that systemd makes.
    private func withFolder(_ body: (FilePath, Credentials) throws -> Void) throws {
        let temporary = try TemporaryFolder()
        let folder = temporary.path
        try withExtendedLifetime(temporary) {
            try body(folder, try #require(Credentials { $0 == "CREDENTIALS_DIRECTORY" ? folder.string : nil }))
        }
    }

    @Test func theyAreListedAndReadByName() throws {
        try withFolder { folder, credentials in
            try AtomicFile.replace(folder.appending("kimi-keys"), with: Array("one\ntwo\n".utf8), durable: false)
            try AtomicFile.replace(folder.appending("empty"), with: [], durable: false)
            #expect(try credentials.names() == ["empty", "kimi-keys"])
            #expect(try credentials.read("kimi-keys") == Array("one\ntwo\n".utf8))
            #expect(try credentials.read("empty") == [])
            #expect(try credentials.read("other") == nil)
        }
    }

    @Test func whatIsTooLargeOrNoFileIsAnErrorAndNeverBlocks() throws {
        try withFolder { folder, credentials in
            try AtomicFile.replace(
                folder.appending("big"), with: [UInt8](repeating: 65, count: 65), durable: false)
            #expect(throws: Credentials.Failure.self) { try credentials.read("big", limit: 64) }
            #expect(try credentials.read("big", limit: 65)?.count == 65)
            #expect(mkfifo(folder.appending("pipe").string, 0o600) == 0)
            #expect(throws: Credentials.Failure.self) { try credentials.read("pipe") }
            #expect(mkdir(folder.appending("folder").string, 0o700) == 0)
            #expect(throws: Credentials.Failure.self) { try credentials.read("folder") }
        }
    }

    @Test(arguments: ["", ".", "..", "../x", "a/b", "a:b", "a b", "a\n", "é", String(repeating: "a", count: 256)])
    func whatIsNoNameIsRefused(_ name: String) throws {
        try withFolder { _, credentials in
            #expect(throws: Credentials.Failure.self) { try credentials.read(name) }
        }
    }

    @Test func withoutTheVariableThereAreNone() {
        #expect(Credentials { _ in nil } == nil)
        #expect(Credentials { _ in "" } == nil)
        #expect(Credentials { _ in "relative" } == nil)
    }

    @Test func aFolderThatIsGoneIsSaid() throws {
        let credentials = try #require(Credentials { _ in "/no/such/folder" })
        #expect(throws: Credentials.Failure.self) { try credentials.names() }
        #expect(try credentials.read("kimi-keys") == nil)
    }
}
