// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import LinuxSys
import SystemPackage
import Testing

@testable import Daemon

@Suite struct EventRingTests {
    private func withFolder(_ body: (FilePath) throws -> Void) throws {
        let folder = try TemporaryFolder()
        try withExtendedLifetime(folder) { try body(folder.path) }
    }

    private func record(_ number: Int) -> [UInt8] {
        Array("{\"seq\":\(number),\"text\":\"\(String(repeating: "x", count: number % 97))\"}".utf8)
    }

    @Test func whatAProcessLeftWithoutAnEndIsThere() throws {
        try withFolder { folder in
            let path = folder.appending("ring")
            let first = try EventRing(path, size: 4096)
            #expect(first.leftover.isEmpty)
            for number in 0..<10 { first.append(record(number)) }
            #expect(try EventRing(path, size: 4096).leftover == (0..<10).map(record))
        }
    }

    @Test func afterAnEndInOrderThereIsNothingToTell() throws {
        try withFolder { folder in
            let path = folder.appending("ring")
            let first = try EventRing(path, size: 4096)
            for number in 0..<10 { first.append(record(number)) }
            first.close()
            #expect(try EventRing(path, size: 4096).leftover.isEmpty)
        }
    }

    @Test func theOldestMakeRoomAndTheRestIsWhole() throws {
        try withFolder { folder in
            let path = folder.appending("ring")
            for rounds in [50, 51, 200, 1000] {
                let ring = try EventRing(path, size: 2048)
                for number in 0..<rounds { ring.append(record(number)) }
                let left = try EventRing(path, size: 2048).leftover
                #expect(!left.isEmpty)
                #expect(left == ((rounds - left.count)..<rounds).map(record))
                #expect(left.reduce(0) { $0 + $1.count + 8 } <= 2048)
            }
        }
    }

    @Test func rubbishInTheFileIsNoRecordAndNoCrash() throws {
        try withFolder { folder in
            let path = folder.appending("ring")
            var generator = SystemRandomNumberGenerator()
            for _ in 0..<50 {
                let ring = try EventRing(path, size: 1024)
                for number in 0..<30 { ring.append(record(number)) }
                let file = try MappedFile(path, count: 1024)
                for _ in 0..<20 {
                    // Not the first line, which says that it is a ring at all.
                    let place = Int.random(in: 32..<1024, using: &generator)
                    file.write([UInt8.random(in: 0...255, using: &generator)], at: place)
                }
                let whole = Set((0..<30).map(record))
                for left in try EventRing(path, size: 1024).leftover { #expect(whole.contains(left)) }
            }
        }
    }

    @Test func aRecordLargerThanTheRingIsLeftOut() throws {
        try withFolder { folder in
            let path = folder.appending("ring")
            let ring = try EventRing(path, size: 1024)
            ring.append([UInt8](repeating: 65, count: 5000))
            ring.append(record(1))
            #expect(try EventRing(path, size: 1024).leftover == [record(1)])
        }
    }
}
