// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import Testing

@testable import townsim

/// What the program says of itself, also where nothing else works.
@Suite struct VersionTests {
    private func version(_ arguments: String...) throws -> String {
        let result = try Program.run(
            [MiniatureTown.gasclawd, "version"] + arguments, environment: ["GASCLAWD_CONFIG=/nonexistent"])
        #expect(result.status == .exited(0))
        return text(result.output)
    }

    @Test func programsLearnVersionCommitSwiftAndCommands() throws {
        let answer = try JSONValue(parsing: Array(try version("--json").utf8))
        let number = try #require(answer["version"]?.string)
        #expect(number.split(separator: ".").count == 3)
        #expect(try version() == "gasclawd \(number)\n")
        let commit = try #require(answer["commit"])
        if let commit = commit.string {
            let digits = commit.hasSuffix("+") ? commit.dropLast() : commit[...]
            #expect(digits.count == 40 && digits.allSatisfy(\.isHexDigit), "\(commit)")
        } else {
            #expect(commit.isNull)
        }
        #expect(answer["swift"]?.string?.hasPrefix("6.") == true)
        let features = (answer["features"]?.array ?? []).compactMap(\.string)
        #expect(features == features.sorted())
        for command in ["run", "status", "keys.rotate", "version"] { #expect(features.contains(command)) }
        // What is for makers of packages is no feature.
        #expect(!features.contains { $0.hasPrefix("print-") || $0.hasPrefix("help") })
    }
}
