// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage
import Testing

/// What the program loads is a decision, and not what a package happens to pull in.
@Suite struct LinkageTests {
    /// The libraries of a program, by name (ldd(1)).
    private func libraries(of program: String) throws -> [String] {
        let loop = try EventLoop()
        var output = ""
        try Command.run(
            ["/usr/bin/ldd", program], environment: ["PATH=/usr/bin:/bin"], timeout: .seconds(60), on: loop
        ) { result in
            output = String(decoding: result.output, as: UTF8.self)
            loop.stop()
        }
        try loop.run()
        return output.split(separator: "\n").compactMap { $0.split(separator: " ").first.map(String.init) }
    }

    @Test func fullFoundationIsNotLinked() throws {
        let names = try libraries(of: MiniatureTown.gasclawd)
        #expect(names.contains { $0.contains("libsystemd") }, "\(names)")
        for name in names {
            #expect(!name.contains("libFoundation.so") && !name.contains("libFoundationNetworking"), "\(name)")
            #expect(!name.contains("_FoundationICU") && !name.contains("FoundationInternationalization"), "\(name)")
        }
    }
}
