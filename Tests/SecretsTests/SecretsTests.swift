// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import Secrets

@Suite struct SHA256Tests {
    /// FIPS 180-4's examples and short messages of NIST's CAVP (SHA256ShortMsg).
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
    ]) func theStandardsExamplesCome(message: String, digest: String) {
        #expect(SHA256.hex(Array(message.utf8)) == digest)
    }

    @Test func theMillionthLetterCountsToo() {
        let message = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
        #expect(SHA256.hex(message) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test func bytesAreHashedAndNotCharacters() {
        #expect(
            SHA256.hex([0xbd] as [UInt8]) == "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b")
        #expect(
            SHA256.hex([0xc9, 0x8c, 0x8e, 0x55] as [UInt8])
                == "7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504")
    }

    @Test func lengthsAroundABlockDiffer() {
        let digests = (50...70).map { SHA256.hex([UInt8](repeating: 0, count: $0)) }
        #expect(Set(digests).count == digests.count)
        #expect(digests[14] == "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b", "64 zero bytes")
    }
}

@Suite struct KeyTests {
    private let text = "sk-kimi-Canary1234567890abcdefghijklmnopqrstuvwxyzABCDEF"

    @Test func nothingThatPrintsAKeyShowsMoreThanItsID() throws {
        let key = try #require(Key(text))
        var dumped = ""
        dump(key, to: &dumped)
        dump([["k": key]], to: &dumped)
        let shown = ["\(key)", String(describing: key), String(reflecting: key), "\([key])", "\(["a": key])", dumped]
        for output in shown {
            #expect(!output.contains("Canary"))
            #expect(!output.contains("sk-"))
        }
        #expect("\(key)" == "Key(\(key.id))")
        var mirrored: [Any] = []
        for child in Mirror(reflecting: key).children { mirrored.append(child.value) }
        #expect(mirrored.isEmpty)
    }

    @Test func theIDIsTheBeginningOfTheDigest() throws {
        let key = try #require(Key(text))
        #expect(key.id.text == String(SHA256.hex(Array(text.utf8)).prefix(12)))
        #expect(KeyID(text: key.id.text) == key.id)
    }

    @Test func onlyRevealGivesTheKey() throws {
        let key = try #require(Key(text))
        #expect(key.reveal() == text)
        #expect(key.revealApproval() == String(text.suffix(20)))
    }

    @Test func equalTextsAreOneKey() throws {
        #expect(Key(text) == Key(text))
        #expect(Key(text) != Key(text + "x"))
        #expect(Set([Key(text), Key(text), Key(text + "x")]).count == 2)
    }

    @Test(arguments: ["", "sk-", "SK-abc", "ak-abc", " sk-abc", "sk-a b", "sk-a\nb", "sk-é", "sk-a\u{7f}", "sk-a\u{0}"])
    func whatIsNoKeyIsRefused(text: String) {
        #expect(Key(text) == nil)
    }

    @Test func theLongestKeyIsTakenAndOneMoreCharacterIsNot() {
        #expect(Key("sk-" + String(repeating: "a", count: Key.lengthMax - 3)) != nil)
        #expect(Key("sk-" + String(repeating: "a", count: Key.lengthMax - 2)) == nil)
    }

    @Test(arguments: ["", "0123456789a", "0123456789abc", "0123456789aB", "0123456789ag", "０123456789ab"])
    func whatIsNoIDIsRefused(text: String) {
        #expect(KeyID(text: text) == nil)
    }
}
