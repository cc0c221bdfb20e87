// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// Makes text from outside fit to be shown: known keys, and what looks like one, are replaced, and what could
/// deceive a reader's eye or terminal is taken out (contract F).
public struct Redactor: Sendable {
    /// Every 8 consecutive bytes of the random part of a known key.
    private var fragments: Set<UInt64> = []

    /// The longest text that comes out, in bytes.
    public static let lengthMax = 500
    /// No more of a text than this is looked at, in bytes: what is beyond could not be shown anyway.
    private static let inputMax = 64 << 10

    public init(keys: some Sequence<Key> = []) {
        for key in keys { add(key) }
    }

    /// Hides one key more.
    public mutating func add(_ key: Key) {
        // An array of its own: a slice keeps the indices of what it was cut from.
        let random = Array(Self.randomPart(of: key))
        guard random.count >= 8 else { return }
        for start in 0...(random.count - 8) { fragments.insert(Self.packed(random[start..<(start + 8)])) }
    }

    /// The text on one line, with `[key]` for keys and `[id]` for account numbers.
    public func redact(_ text: String) -> String { redact(text, lengthMax: Self.lengthMax) }

    /// - Parameters:
    ///   - text: What somebody else said.
    ///   - lengthMax: In bytes; what people typed themselves is told in full.
    public func redact(_ text: String, lengthMax: Int) -> String {
        var bytes = Array(hidingKeys(in: Self.withoutTricks(text)).utf8)
        if bytes.count > lengthMax {
            bytes.removeLast(bytes.count - (lengthMax - 3))
            // Not inside a character: continuation bytes are 10xxxxxx.
            while let last = bytes.last, last & 0xC0 == 0x80 { bytes.removeLast() }
            if let last = bytes.last, last >= 0xC0 { bytes.removeLast() }
            bytes.append(contentsOf: "…".utf8)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The whole text as it is but for keys, for what is printed as JSON, which has its own escapes.
    public func hidingKeys(in text: String) -> String {
        let bytes = Array(text.utf8)
        var hidden = [Bool](repeating: false, count: bytes.count)
        hideFragments(bytes, &hidden)
        hidePrefixed("sk-", 16, bytes, &hidden)
        hidePrefixed("ak-", 1, bytes, &hidden)
        hidePrefixed("org-", 1, bytes, &hidden)
        return Self.shown(text, bytes, hidden)
    }

    /// The text but for what only a key of ours can be: names that look like one are somebody's names.
    public func hidingOurKeys(in text: String) -> String {
        guard text.utf8.count >= 8 else { return text }
        let bytes = Array(text.utf8)
        var hidden = [Bool](repeating: false, count: bytes.count)
        hideFragments(bytes, &hidden)
        return Self.shown(text, bytes, hidden)
    }

    private static func shown(_ text: String, _ bytes: [UInt8], _ hidden: [Bool]) -> String {
        guard hidden.contains(true) else { return text }
        var output: [UInt8] = []
        var position = 0
        while position < bytes.count {
            guard hidden[position] else {
                output.append(bytes[position])
                position += 1
                continue
            }
            while position < bytes.count && hidden[position] { position += 1 }
            output.append(contentsOf: "[key]".utf8)
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// The same for bytes that need not be UTF-8.
    public func redact(bytes: some Collection<UInt8>) -> String {
        redact(String(decoding: bytes.prefix(Self.inputMax), as: UTF8.self))
    }

    // MARK: - What is hidden

    /// What of a key is not the same for everybody: behind `sk-`, or behind a second word as in `sk-kimi-`.
    static func randomPart(of key: Key) -> ArraySlice<UInt8> {
        let bytes = Array(key.reveal().utf8)
        var rest = bytes[3...]
        for word in ["kimi-", "ant-", "proj-"] where rest.starts(with: word.utf8) {
            rest = rest.dropFirst(word.utf8.count)
        }
        return rest.count >= 8 ? rest : bytes[3...]
    }

    private func hideFragments(_ bytes: [UInt8], _ hidden: inout [Bool]) {
        guard !fragments.isEmpty, bytes.count >= 8 else { return }
        var window: UInt64 = 0
        for (position, byte) in bytes.enumerated() {
            window = window << 8 | UInt64(byte)
            guard position >= 7, fragments.contains(window) else { continue }
            for index in (position - 7)...position { hidden[index] = true }
        }
        // The constant beginning and the rest of the word belong to the same key.
        var position = 0
        while position < bytes.count {
            guard hidden[position] else {
                position += 1
                continue
            }
            var start = position
            while start > 0, Self.isKeyCharacter(bytes[start - 1]) {
                start -= 1
                hidden[start] = true
            }
            while position < bytes.count, hidden[position] || Self.isKeyCharacter(bytes[position]) {
                hidden[position] = true
                position += 1
            }
        }
    }

    private func hidePrefixed(_ prefix: String, _ lengthMin: Int, _ bytes: [UInt8], _ hidden: inout [Bool]) {
        let prefix = Array(prefix.utf8)
        var position = 0
        while position + prefix.count <= bytes.count {
            guard bytes[position...].starts(with: prefix), Self.isBeginning(position, bytes) else {
                position += 1
                continue
            }
            var end = position + prefix.count
            while end < bytes.count, Self.isKeyCharacter(bytes[end]) { end += 1 }
            if end - position - prefix.count >= lengthMin {
                for index in position..<end { hidden[index] = true }
            }
            position = end
        }
    }

    /// Whether a word begins here: not within another one (`task-force`), but behind what stands for a character
    /// (`\n` and `\u003d` in JSON, `%3D` in a URL), and always where only a key goes on like this.
    private static func isBeginning(_ position: Int, _ bytes: [UInt8]) -> Bool {
        guard position > 0, isWordCharacter(bytes[position - 1]) else { return true }
        if vendors.contains(where: { bytes[position...].starts(with: $0) }) { return true }
        func stands(_ sign: Character, _ distance: Int) -> Bool {
            position >= distance && bytes[position - distance] == sign.asciiValue
        }
        if stands("\\", 2) { return true }
        let digits = bytes[..<position].suffix(4).reversed().prefix { isHexadecimal($0) }.count
        return digits >= 2 && stands("%", 3) || digits >= 4 && stands("u", 5) && stands("\\", 6)
    }

    private static let vendors = ["sk-kimi-", "sk-ant-", "sk-proj-"].map { Array($0.utf8) }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...70).contains(byte) || (97...102).contains(byte)
    }

    private static func packed(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    private static func isWordCharacter(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
    }

    private static func isKeyCharacter(_ byte: UInt8) -> Bool {
        isWordCharacter(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }

    // MARK: - Tricks

    /// Without terminal escapes, control and format characters; line ends and tabs become spaces.
    private static func withoutTricks(_ text: String) -> String {
        // Most of what comes is plain.
        if text.utf8.count <= inputMax, text.utf8.allSatisfy({ (32...126).contains($0) }) { return text }
        var output = String.UnicodeScalarView()
        var scalars =
            text.utf8.count > inputMax
            ? String(decoding: text.utf8.prefix(inputMax), as: UTF8.self).unicodeScalars[...]
            : text.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            switch scalar {
            case "\u{1B}": skipEscape(&scalars)
            case "\u{9B}": skipControlSequence(&scalars)
            case "\n", "\t", "\r": output.append(" ")
            default:
                switch scalar.properties.generalCategory {
                case .control, .format, .privateUse, .surrogate, .lineSeparator, .paragraphSeparator: break
                default: output.append(scalar)
                }
            }
        }
        return String(output)
    }

    /// ECMA-48: CSI up to its final byte, OSC and other strings up to BEL or ST, else one character.
    private static func skipEscape(_ scalars: inout Substring.UnicodeScalarView) {
        switch scalars.popFirst() {
        case "[": skipControlSequence(&scalars)
        case "]", "P", "X", "^", "_":
            while let scalar = scalars.popFirst(), scalar != "\u{7}", scalar != "\u{9C}" {
                if scalar == "\u{1B}" {
                    if scalars.first == "\\" { scalars.removeFirst() }
                    return
                }
            }
        default: break
        }
    }

    private static func skipControlSequence(_ scalars: inout Substring.UnicodeScalarView) {
        while let scalar = scalars.popFirst() { if (0x40...0x7E).contains(scalar.value) { return } }
    }
}
