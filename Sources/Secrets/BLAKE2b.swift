// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// BLAKE2b without a key as RFC 7693 describes it, for the names that a predecessor gave to keys in its state file.
///
/// The digest's length goes into the computation: 6 bytes are not the first 6 of a longer digest.
public enum BLAKE2b {
    /// - Parameters:
    ///   - length: Of the digest, in bytes, 1 to 64.
    ///   - message: What is digested.
    public static func digest(_ message: some Collection<UInt8>, length: Int) -> [UInt8] {
        precondition((1...64).contains(length), "RFC 7693, section 2.1")
        let bytes = Array(message)
        var state = initial
        // The parameter block: digest length, no key, fan-out and depth of one (section 2.5).
        state[0] ^= 0x0101_0000 ^ UInt64(length)
        var position = 0
        while bytes.count - position > blockSize {
            position += blockSize
            compress(bytes[(position - blockSize)..<position], total: UInt64(position), isLast: false, into: &state)
        }
        compress(bytes[position...], total: UInt64(bytes.count), isLast: true, into: &state)
        return Array(state.flatMap(littleEndian).prefix(length))
    }

    /// The digest in lowercase hexadecimal digits, two a byte.
    public static func hex(_ message: some Collection<UInt8>, length: Int) -> String {
        digest(message, length: length).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static let blockSize = 128

    /// The words of a block; what is missing at its end is zero (section 3.3).
    private static func words(_ block: ArraySlice<UInt8>) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: 16)
        for (index, byte) in block.enumerated() { words[index / 8] |= UInt64(byte) << (8 * UInt64(index % 8)) }
        return words
    }

    private static func littleEndian(_ word: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
    }

    /// The compression function F (section 3.2).
    ///
    /// - Parameter total: Bytes of the message up to the end of this block.
    private static func compress(_ block: ArraySlice<UInt8>, total: UInt64, isLast: Bool, into state: inout [UInt64]) {
        let m = words(block)
        var v = state + initial
        v[12] ^= total
        if isLast { v[14] = ~v[14] }
        func mix(_ a: Int, _ b: Int, _ c: Int, _ d: Int, _ x: UInt64, _ y: UInt64) {
            func rotate(_ word: UInt64, _ n: UInt64) -> UInt64 { word >> n | word << (64 - n) }
            v[a] = v[a] &+ v[b] &+ x
            v[d] = rotate(v[d] ^ v[a], 32)
            v[c] = v[c] &+ v[d]
            v[b] = rotate(v[b] ^ v[c], 24)
            v[a] = v[a] &+ v[b] &+ y
            v[d] = rotate(v[d] ^ v[a], 16)
            v[c] = v[c] &+ v[d]
            v[b] = rotate(v[b] ^ v[c], 63)
        }
        for round in 0..<12 {
            let s = schedule[round % 10]
            mix(0, 4, 8, 12, m[s[0]], m[s[1]])
            mix(1, 5, 9, 13, m[s[2]], m[s[3]])
            mix(2, 6, 10, 14, m[s[4]], m[s[5]])
            mix(3, 7, 11, 15, m[s[6]], m[s[7]])
            mix(0, 5, 10, 15, m[s[8]], m[s[9]])
            mix(1, 6, 11, 12, m[s[10]], m[s[11]])
            mix(2, 7, 8, 13, m[s[12]], m[s[13]])
            mix(3, 4, 9, 14, m[s[14]], m[s[15]])
        }
        for index in 0..<8 { state[index] ^= v[index] ^ v[index + 8] }
    }

    /// Section 2.6; the same as SHA-512's.
    private static let initial: [UInt64] = [
        0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1,
        0x510e_527f_ade6_82d1, 0x9b05_688c_2b3e_6c1f, 0x1f83_d9ab_fb41_bd6b, 0x5be0_cd19_137e_2179,
    ]

    /// Section 2.7.
    private static let schedule: [[Int]] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ]
}
