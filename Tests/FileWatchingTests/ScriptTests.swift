// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import LinuxSys
import SystemPackage
import Testing

/// The scripts beside this file: commands on the left, on the right what must be reported of them.
@Suite struct ScriptTests {
    enum Place {
        /// As we are.
        case here
        /// With users and mounts of its own, so that limits and mounts concern nobody else (unshare(1)).
        case namespaces

        var words: [String] {
            switch self {
            case .here: []
            case .namespaces:
                ["/usr/bin/unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "--"]
            }
        }
    }

    private static let folder = FilePath(#filePath).removingLastComponent().appending("Scripts")
    private static let interpreter: String? = {
        do {
            return try Syscalls.realPath("/proc/self/exe").removingLastComponent().appending("watchscript").string
        } catch {
            return nil
        }
    }()

    static let names: [String] = {
        do {
            let directory = try Syscalls.open(folder, flags: Syscalls.directory)
            return try Syscalls.names(inDirectory: directory.raw).map { String(decoding: $0, as: UTF8.self) }
                .filter { $0.hasSuffix(".txt") }.sorted()
        } catch {
            return []
        }
    }()

    static let plain = names.filter { !$0.hasPrefix("namespace-") }
    static let inNamespaces = names.filter { $0.hasPrefix("namespace-") }

    private static func run(_ words: [String]) throws -> CommandResult {
        let loop = try EventLoop()
        var result: CommandResult?
        try Command.run(
            words, environment: ["PATH=/usr/bin:/bin"] + TemporaryFolder.variables, timeout: .seconds(480), on: loop
        ) {
            result = $0
            loop.stop()
        }
        try loop.run()
        return try #require(result)
    }

    /// Whether this machine lets us have namespaces of our own.
    static let hasNamespaces: Bool = {
        do { return try run(Place.namespaces.words + ["/bin/true"]).status.isSuccess } catch { return false }
    }()

    private func check(_ name: String, in place: Place) throws {
        let result = try Self.run(
            place.words + [try #require(Self.interpreter), Self.folder.appending(name).string])
        // This machine does not let us do what the script needs.
        if result.status == .exited(77) { try Test.cancel("\(name): \(shownText(result.errors))") }
        #expect(result.status.isSuccess, "\(name): \(shownText(result.errors))")
    }

    @Test(arguments: plain) func whatTheScriptDoesIsReported(_ name: String) throws { try check(name, in: .here) }

    @Test(.enabled(if: hasNamespaces, "unshare(1) is not allowed here"), arguments: inNamespaces)
    func whatTheScriptDoesInNamespacesOfItsOwnIsReported(_ name: String) throws { try check(name, in: .namespaces) }

    @Test func thereAreScripts() { #expect(Self.plain.count > 10 && Self.inNamespaces.count > 2) }
}
