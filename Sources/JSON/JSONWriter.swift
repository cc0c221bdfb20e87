// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

extension JSONValue {
    /// The value as one line of JSON without spaces.
    public var line: String { String(decoding: encoded(), as: UTF8.self) }

    /// The value as bytes, on one line, or indented by two spaces with a line end at the end, as the programs
    /// write whose files are merged here.
    public func encoded(indented: Bool = false) -> [UInt8] {
        var output: [UInt8] = []
        write(into: &output, indentation: indented ? 0 : nil)
        if indented { output.append(10) }
        return output
    }

    private func write(into output: inout [UInt8], indentation: Int?) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .number(let text): output.append(contentsOf: text.utf8)
        case .string(let text): writeString(text, into: &output)
        case .array(let elements):
            writeList(elements.count, "[", "]", into: &output, indentation) { index, output, inner in
                elements[index].write(into: &output, indentation: inner)
            }
        case .object(let object):
            let members = object.members
            writeList(members.count, "{", "}", into: &output, indentation) { index, output, inner in
                writeString(members[index].name, into: &output)
                output.append(UInt8(ascii: ":"))
                if inner != nil { output.append(32) }
                members[index].value.write(into: &output, indentation: inner)
            }
        }
    }
}

private func writeList(
    _ count: Int, _ open: String, _ close: String, into output: inout [UInt8], _ indentation: Int?,
    element: (Int, inout [UInt8], Int?) -> Void
) {
    output.append(contentsOf: open.utf8)
    let inner = indentation.map { $0 + 2 }
    for index in 0..<count {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        breakLine(inner, into: &output)
        element(index, &output, inner)
    }
    if count > 0 { breakLine(indentation, into: &output) }
    output.append(contentsOf: close.utf8)
}

private func breakLine(_ indentation: Int?, into output: inout [UInt8]) {
    guard let indentation else { return }
    output.append(10)
    output.append(contentsOf: repeatElement(32, count: indentation))
}

private func writeString(_ text: String, into output: inout [UInt8]) {
    let digits = Array("0123456789abcdef".utf8)
    output.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(contentsOf: [UInt8(ascii: "\\"), byte])
        case 10: output.append(contentsOf: "\\n".utf8)
        case 13: output.append(contentsOf: "\\r".utf8)
        case 9: output.append(contentsOf: "\\t".utf8)
        case 0..<32, 127:
            output.append(contentsOf: "\\u00".utf8)
            output.append(contentsOf: [digits[Int(byte >> 4)], digits[Int(byte & 15)]])
        default: output.append(byte)
        }
    }
    output.append(UInt8(ascii: "\""))
}
