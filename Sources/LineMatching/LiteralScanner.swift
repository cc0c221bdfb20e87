// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc

/// Finds the next place of one of several literals in a buffer, at the speed of memory.
///
/// A rare byte of a literal is looked for with memchr(3), which takes as many bytes at a time as the processor can; only
/// where it stands another rare one and then the rest are compared.
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
            let common = bytes[first]
            // Where its case does not count, both forms of a letter are looked for, each once.
            let forms = folds[first] == 0 ? [common] : [common, common & ~0x20]
            var places = [Int](repeating: -1, count: forms.count)
            var place = position
            while place <= last {
                for (index, form) in forms.enumerated() where places[index] < place {
                    let from = start + place + first
                    if let found = memchr(from, Int32(form), last - place + 1) {
                        places[index] = place + UnsafeRawPointer(from).distance(to: UnsafeRawPointer(found))
                    } else {
                        places[index] = Int.max
                    }
                }
                place = places[0]
                if places.count == 2 { place = min(place, places[1]) }
                guard place <= last else { return count }
                if start[place + second] | folds[second] == bytes[second], isHere(start + place) { return place }
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
