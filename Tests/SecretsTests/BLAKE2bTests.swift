// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import Secrets

@Suite struct BLAKE2bTests {
    /// RFC 7693, appendix A.
    @Test func theExampleOfTheRFCHasItsDigest() {
        #expect(
            BLAKE2b.hex(Array("abc".utf8), length: 64)
                == "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                + "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923")
    }

    /// The unkeyed half of the self-test in RFC 7693, appendix E: a hash of hashes over many lengths.
    @Test func manyLengthsHaveTheirDigests() {
        func sequence(_ length: Int, seed: UInt32) -> [UInt8] {
            var a: UInt32 = 0xDEAD_4BAD &* seed
            var b: UInt32 = 1
            return (0..<length).map { _ in
                let t = a &+ b
                a = b
                b = t
                return UInt8(truncatingIfNeeded: t >> 24)
            }
        }
        var all: [UInt8] = []
        for length in [20, 32, 48, 64] {
            for size in [0, 3, 128, 129, 255, 1024] {
                all += BLAKE2b.digest(sequence(size, seed: UInt32(size)), length: length)
            }
        }
        #expect(BLAKE2b.hex(all, length: 32) == Self.selfTest)
    }

    /// From Python's hashlib over the same bytes.
    private static let selfTest = "681f345ad53c6360214ea500fd259edddbca775f605fad81b9b189d6d88e15c6"

    /// Python: `hashlib.blake2b(bytes(i % 251 for i in range(n)), digest_size=6)`.
    @Test(arguments: [
        (0, "ddd9c40767f9"), (1, "95f5a175ef30"), (3, "988330333822"), (127, "edf253244472"), (128, "600484e5acd7"),
        (129, "be7f99cecb31"), (255, "4472adef4dee"), (256, "b23fb0e6da08"), (257, "4bef217417e3"),
        (1000, "4b07fb93e5f5"),
    ])
    func sixBytesAreADigestOfTheirOwn(_ size: Int, _ hex: String) {
        let message = (0..<size).map { UInt8($0 % 251) }
        #expect(BLAKE2b.hex(message, length: 6) == hex)
        #expect(!BLAKE2b.hex(message, length: 64).hasPrefix(hex), "not the first six of a longer one")
    }
}
