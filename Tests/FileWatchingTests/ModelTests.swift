// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import FileWatching

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers in each run.
private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Whatever is done to the tree: who reads what is reported, when it is reported, knows what is there.
struct ModelTests {
    private final class Reader {
        var known: [FilePath: [UInt8]] = [:]

        func look(_ reports: [WatchReport]) {
            for report in reports {
                let contents = Self.contents(of: report.path)
                known[report.path] = contents
                // It may have come or gone since, and then it is reported again.
            }
        }

        static func contents(of path: FilePath) -> [UInt8]? {
            do throws(FileReadError) { return try RegularFile.read(path, limit: 1 << 16).bytes } catch { return nil }
        }
    }

    /// Twelve lives that are always the same, and one that is another each time; `GASCLAWD_SEED` repeats that one.
    static let seeds: [UInt64] = {
        let given = CurrentProcess.environmentValue("GASCLAWD_SEED").flatMap { UInt64($0) }
        return given.map { [$0] } ?? (Array(1...12) + [UInt64.random(in: 1000 ... .max)])
    }()

    @Test(arguments: seeds)
    func aReaderOfTheReportsKnowsTheTree(_ seed: UInt64) throws {
        var random = Generator(state: seed)
        let folder = try TemporaryFolder()
        let loop = try EventLoop()
        let reader = Reader()
        let watcher = FileWatcher(on: loop) { reader.look($0) }
        defer { watcher.close() }
        let base = folder.path.appending("x/accounts")
        func name(_ number: Int) -> String { "x/accounts/\(number)" }
        for path in watcher.add(WatchSpec(id: "a", base: base, pattern: [.visible, .name("config.toml")])) {
            reader.known[path] = Reader.contents(of: path)
        }
        var text = 0
        /// Operations that make no sense in the tree as it is fail, which is as good.
        func attempt(_ action: () throws -> Void) {
            do { try action() } catch is SystemError {} catch { Issue.record("\(error)") }
        }
        for step in 0..<300 {
            let one = Int.random(in: 0..<4, using: &random)
            let two = Int.random(in: 0..<4, using: &random)
            text += 1
            attempt {
                switch Int.random(in: 0..<16, using: &random) {
                case 0...2: try folder.makeDirectory(name(one))
                case 3...4: try folder.write(name(one) + "/config.toml", "\(text)")
                case 5...6:
                    try folder.write(name(one) + "/tmp", "\(text)")
                    try folder.rename(name(one) + "/tmp", name(one) + "/config.toml")
                case 7: folder.remove(name(one) + "/config.toml")
                case 8: folder.remove(name(one))
                case 9: try folder.rename(name(one), name(two))
                case 10: try Syscalls.exchange(folder.path.appending(name(one)), folder.path.appending(name(two)))
                case 11: try folder.link(name(one), to: "\(two)")
                case 12: try folder.link(name(one) + "/config.toml", to: "../\(two)/config.toml")
                case 13:
                    if Bool.random(using: &random) { folder.remove("x") } else { folder.remove("x/accounts") }
                case 14: try folder.rename("x", "away")
                default:
                    if Bool.random(using: &random) {
                        try folder.rename("away", "x")
                    } else {
                        folder.remove("away")
                        try folder.makeDirectory("away/accounts/\(one)")
                        try folder.write("away/accounts/\(one)/config.toml", "\(text)")
                    }
                }
            }
            guard Int.random(in: 0..<4, using: &random) == 0 else { continue }
            let isRight = try loop.run { matches(reader, base) }
            #expect(isRight, "GASCLAWD_SEED=\(seed), step \(step): \(reader.known)")
            if !isRight { return }
        }
        #expect(watcher.polled.isEmpty)
    }

    private func matches(_ reader: Reader, _ base: FilePath) -> Bool {
        (0..<4).allSatisfy { number in
            let path = base.appending("\(number)/config.toml")
            return reader.known[path] == Reader.contents(of: path)
        }
    }
}
