// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CToml

public enum TOML {
    /// Reads a TOML 1.0 document.
    ///
    /// - Returns: The document's table; members in the order of the file.
    public static func parse(_ bytes: [UInt8]) throws(TOMLError) -> TOMLValue {
        if let zero = bytes.firstIndex(of: 0) {
            throw TOMLError(message: "a zero byte: this is no text", position: place(of: zero, in: bytes))
        }
        let builder = Builder()
        var line: UInt32 = 0
        var column: UInt32 = 0
        let code = bytes.withUnsafeBytes { buffer in
            // An empty array has no address; toml++ wants one.
            let start = buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
            return ctoml_parse(
                start, buffer.count, Unmanaged.passUnretained(builder).toOpaque(),
                { context, item in
                    guard let context, let item else { return }
                    Unmanaged<Builder>.fromOpaque(context).takeUnretainedValue().take(item.pointee)
                }, &line, &column)
        }
        guard code == 0, let root = builder.root else {
            throw TOMLError(
                message: "this is not valid TOML",
                position: TOMLPosition(line: max(1, Int(line)), column: max(1, Int(column))))
        }
        return root
    }

    private static func place(of offset: Int, in bytes: [UInt8]) -> TOMLPosition {
        let before = bytes[..<offset]
        let line = before.count { $0 == 10 } + 1
        let column = offset - (before.lastIndex(of: 10).map { $0 + 1 } ?? 0) + 1
        return TOMLPosition(line: line, column: column)
    }
}

/// Puts the items that the C side tells one by one together again.
private final class Builder {
    private struct Open {
        let item: ctoml_item
        let name: String
        var elements: [TOMLValue] = []
        var members: [TOMLMember] = []
    }

    private var stack: [Open] = []
    private(set) var root: TOMLValue?

    func take(_ item: ctoml_item) {
        switch item.kind {
        case CTOML_TABLE, CTOML_ARRAY: stack.append(Open(item: item, name: text(item.name, item.name_length)))
        case CTOML_END:
            guard let closed = stack.popLast() else { return }
            let content: TOMLValue.Content =
                closed.item.kind == CTOML_TABLE ? .table(closed.members) : .array(closed.elements)
            add(content, closed.item, closed.name)
        case CTOML_STRING: add(.string(text(item.text, item.text_length)), item, text(item.name, item.name_length))
        case CTOML_INTEGER: add(.integer(item.integer), item, text(item.name, item.name_length))
        case CTOML_FLOAT: add(.float(item.real), item, text(item.name, item.name_length))
        case CTOML_BOOLEAN: add(.boolean(item.integer != 0), item, text(item.name, item.name_length))
        default: add(.time(text(item.text, item.text_length)), item, text(item.name, item.name_length))
        }
    }

    private func add(_ content: TOMLValue.Content, _ item: ctoml_item, _ name: String) {
        let value = TOMLValue(
            content: content, position: TOMLPosition(line: Int(item.line), column: Int(item.column)))
        guard !stack.isEmpty else {
            root = value
            return
        }
        if stack[stack.count - 1].item.kind == CTOML_TABLE {
            let position = TOMLPosition(line: Int(item.name_line), column: Int(item.name_column))
            stack[stack.count - 1].members.append(TOMLMember(name: name, namePosition: position, value: value))
        } else {
            stack[stack.count - 1].elements.append(value)
        }
    }

    private func text(_ start: UnsafePointer<CChar>?, _ length: Int) -> String {
        guard let start else { return "" }
        return String(decoding: UnsafeRawBufferPointer(start: start, count: length), as: UTF8.self)
    }
}
