// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

@testable import GasTown

/// The rows that a real Claude Code wrote, beside this file.
enum Rows {
    static func lines(_ name: String, here: String = #filePath) throws -> [[UInt8]] {
        let folder = FilePath(here).removingLastComponent().appending("Rows")
        let bytes = try RegularFile.read(folder.appending("\(name).jsonl"), limit: 1 << 20).bytes
        return bytes.split(separator: 10).map(Array.init)
    }

    static func read(_ name: String) throws -> [TranscriptRow] { try lines(name).compactMap { TranscriptRow.read($0) } }

    static func failures(_ name: String) throws -> [TranscriptFailure] {
        try read(name).compactMap { if case .failure(let failure) = $0 { failure } else { nil } }
    }
}

/// An argument or a line as bytes.
func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
