// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

extension EventLoop {
    /// Runs a shell script to its end.
    func shell(
        _ script: String, input: [UInt8]? = nil, timeout: Duration = .seconds(20), outputMax: Int = 1 << 20
    ) throws -> CommandResult {
        var result: CommandResult?
        try Command.run(
            ["/bin/sh", "-c", script], input: input, environment: ["PATH=/usr/bin:/bin"], timeout: timeout,
            outputMax: outputMax, on: self
        ) { result = $0 }
        try run(within: .seconds(60)) { result != nil }
        return try #require(result)
    }
}

extension CommandResult {
    var text: String { String(decoding: output, as: UTF8.self) }
}

/// The number in the text's first line.
func pid(in text: String) throws -> Int32 {
    try #require(Int32(text.prefix { $0 != "\n" }), "a number in \(text)")
}
