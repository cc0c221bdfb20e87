// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// Finds the next place of one of several literals in a buffer, at the speed of memory.
///
/// Two rare bytes of a literal are looked for at their distance, sixteen places at a time; only where both stand the
/// rest is compared.
struct LiteralScanner {
    private struct Needle {
        let bytes: [UInt8]
        /// 0x20 where the byte is a letter whose case does not count.
        let folds: [UInt8]
        /// The two bytes that are looked for.
        let first: Int
        let second: Int

        init(_ bytes: [UInt8], ignoresCase: Bool) {
            self.bytes = bytes
            folds = bytes.map { ignoresCase && $0 >= 0x61 && $0 <= 0x7A ? 0x20 : 0 }
            let rarest = bytes.indices.sorted { (Self.frequency(bytes[$0]), $0) < (Self.frequency(bytes[$1]), $1) }
            first = rarest[0]
            second = rarest.count > 1 ? rarest[1] : rarest[0]
        }

        /// How common a byte is in logs, roughly; only the order counts.
        private static func frequency(_ byte: UInt8) -> Int {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "e"), UInt8(ascii: "t"), UInt8(ascii: "a"), UInt8(ascii: "o"),
                UInt8(ascii: "i"), UInt8(ascii: "n"), UInt8(ascii: "s"), UInt8(ascii: "r"):
                4
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "\""): 3
            case UInt8(ascii: "a")...UInt8(ascii: "z"): 2
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): 1
            default: 1
            }
        }

        private func isHere(_ place: UnsafePointer<UInt8>) -> Bool {
            for index in bytes.indices where place[index] | folds[index] != bytes[index] { return false }
            return true
        }

        /// The first place at or behind a position; the buffer's length if there is none.
        func next(_ start: UnsafePointer<UInt8>, from position: Int, count: Int) -> Int {
            let last = count - bytes.count
            guard position <= last else { return count }
            var place = position
            let a = SIMD16<UInt8>(repeating: bytes[first])
            let b = SIMD16<UInt8>(repeating: bytes[second])
            let foldA = SIMD16<UInt8>(repeating: folds[first])
            let foldB = SIMD16<UInt8>(repeating: folds[second])
            let raw = UnsafeRawPointer(start)
            let reach = max(first, second) + 16
            while place + reach <= count {
                let x = (raw + place + first).loadUnaligned(as: SIMD16<UInt8>.self) | foldA
                let y = (raw + place + second).loadUnaligned(as: SIMD16<UInt8>.self) | foldB
                // Both comparisons as bits: their sum is zero exactly where both are equal.
                let difference = (x ^ a) | (y ^ b)
                let equal = unsafeBitCast(difference .== 0, to: SIMD2<UInt64>.self)
                if equal.x | equal.y != 0 {
                    for offset in 0..<16 where difference[offset] == 0 {
                        guard place + offset <= last else { return count }
                        if isHere(start + place + offset) { return place + offset }
                    }
                }
                place += 16
            }
            while place <= last {
                if isHere(start + place) { return place }
                place += 1
            }
            return count
        }
    }

    private let needles: [Needle]

    init(_ literals: [RequiredLiterals]) {
        needles = literals.flatMap { literal in
            literal.runs.map { Needle($0, ignoresCase: literal.ignoresCase) }
        }
    }

    /// A pass over one buffer, front to back: each literal's next place is looked for once.
    struct Pass {
        fileprivate var places: [Int] = []
    }

    /// The first place of a literal at or behind a position, nil if there is none. A pass is asked with growing
    /// positions.
    func next(_ buffer: UnsafeRawBufferPointer, from position: Int, _ pass: inout Pass) -> Int? {
        guard let base = buffer.baseAddress else { return nil }
        let start = base.assumingMemoryBound(to: UInt8.self)
        if pass.places.isEmpty { pass.places = [Int](repeating: -1, count: needles.count) }
        var nearest = buffer.count
        for index in needles.indices {
            if pass.places[index] < position {
                pass.places[index] = needles[index].next(start, from: position, count: buffer.count)
            }
            nearest = min(nearest, pass.places[index])
        }
        return nearest < buffer.count ? nearest : nil
    }
}
