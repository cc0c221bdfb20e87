// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage
import Testing

@testable import Daemon

struct AccountNameTests {
    private func name(_ folder: [UInt8]) -> String {
        AccountReader.name(of: FilePath("/accounts").entry(folder).appending("config.toml"))
    }

    @Test(arguments: ["1", "work", "größe", "日本", "a b"]) func anAccountIsCalledLikeItsFolder(_ folder: String) {
        #expect(name(Array(folder.utf8)) == folder)
    }

    /// Texts that are composed otherwise are equal, and bytes that are no text are shown escaped.
    @Test func noTwoFoldersAreOneAccount() {
        let folders: [[UInt8]] = [
            Array("gr\u{F6}\u{DF}e".utf8), Array("gro\u{308}\u{DF}e".utf8), [0xFF], Array("\\xff".utf8),
            Array("\u{212B}".utf8), Array("\u{C5}".utf8), Array("A\u{30A}".utf8), Array("\u{1112}\u{1161}".utf8),
            Array("\u{D558}".utf8),
        ]
        #expect(Set(folders.map(name)).count == folders.count)
        #expect(name([0xFF]) == "\\xff")
    }
}
