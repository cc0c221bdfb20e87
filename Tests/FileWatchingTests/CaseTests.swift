// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import LinuxSys
import SystemPackage
import Testing

/// The table of docs/reliability.md that names a test for each case.
struct CaseTests {
    private static let root = FilePath(#filePath).removingLastComponent().removingLastComponent()
        .removingLastComponent()

    private func text(_ path: FilePath) throws -> String {
        String(decoding: try RegularFile.read(path, limit: 1 << 20).bytes, as: UTF8.self)
    }

    /// All of our tests and scripts as one text, and the names of the scripts.
    private func tests(in folder: FilePath) throws -> (code: String, scripts: Set<String>) {
        var code = ""
        var scripts: Set<String> = []
        let directory = try Syscalls.open(folder, flags: Syscalls.directory)
        for bytes in try Syscalls.names(inDirectory: directory.raw) {
            let name = String(decoding: bytes, as: UTF8.self)
            let path = folder.appending(name)
            if Syscalls.isDirectory(path) {
                let inside = try tests(in: path)
                code += inside.code
                scripts.formUnion(inside.scripts)
            } else if name.hasSuffix(".swift") {
                code += try text(path)
            } else if name.hasSuffix(".txt") {
                scripts.insert(name)
            }
        }
        return (code, scripts)
    }

    @Test func eachCaseOfTheDocumentationHasItsTests() throws {
        let page = try text(Self.root.appending("docs/reliability.md"))
        let rows = page.split(separator: "\n").drop { $0 != "| case | script or test |" }.dropFirst(2)
            .prefix { $0.hasPrefix("|") }
        #expect(rows.count == 25)
        let (code, scripts) = try tests(in: Self.root.appending("Tests"))
        for row in rows {
            let cells = row.split(separator: "|")
            let names = try #require(cells.last).split(separator: "`").filter { $0.first?.isLetter == true }
            #expect(!names.isEmpty, "\(row)")
            for name in names {
                let isThere = name.hasSuffix(".txt") ? scripts.contains(String(name)) : code.contains("func \(name)(")
                #expect(isThere, "\(name)")
            }
        }
    }
}
