// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import SystemPackage

/// A kernel call that failed: which, on what, and why.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The C function's name.
    public let call: String
    /// What it was called on, as it may be shown: a path with its unprintable bytes escaped, or empty.
    public let subject: String
    public let errno: Errno

    public init(call: String, subject: String = "", errno: Errno) {
        self.call = call
        self.subject = subject
        self.errno = errno
    }

    public var description: String {
        subject.isEmpty ? "\(call): \(errno)" : "\(call) \(subject): \(errno)"
    }
}

extension FilePath {
    /// The path as it may be shown to people: control characters and bytes that are not UTF-8 as `\xNN`.
    public var shown: String { withPlatformString { shownText(of: UnsafeRawPointer($0), count: length) } }

    /// The path's bytes without the terminating zero.
    public var bytes: [UInt8] {
        withPlatformString { Array(UnsafeRawBufferPointer(start: $0, count: length)) }
    }

    /// The bytes of the last component; empty for the root and the empty path.
    public var lastName: [UInt8] {
        let bytes = bytes
        let name = bytes[(bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...]
        return Array(name)
    }

    /// Whether it is a directory's path itself or lies below it, by its text alone.
    public func isWithin(_ directory: FilePath) -> Bool {
        let own = bytes
        let other = directory.bytes
        guard own.starts(with: other) else { return false }
        return own.count == other.count || other.last == UInt8(ascii: "/") || own[other.count] == UInt8(ascii: "/")
    }

    /// The directory that it is in; the working directory for a mere name.
    var directory: FilePath {
        let directory = removingLastComponent()
        return directory.isEmpty ? "." : directory
    }

    /// The path of an entry of this directory.
    public func entry(_ name: [UInt8]) -> FilePath {
        let own = length
        return withPlatformString { start in
            withUnsafeTemporaryAllocation(byteCount: own + name.count + 2, alignment: 1) { space in
                space.copyMemory(from: UnsafeRawBufferPointer(start: start, count: own))
                space[own] = UInt8(ascii: "/")
                UnsafeMutableRawBufferPointer(rebasing: space[(own + 1)...]).copyBytes(from: name)
                space[own + 1 + name.count] = 0
                return space.withMemoryRebound(to: CChar.self) { characters in
                    characters.baseAddress.map { FilePath(platformString: $0) } ?? self
                }
            }
        }
    }

    /// A path from bytes as the kernel gives them; an embedded zero ends it.
    public init(bytes: some Sequence<UInt8>) {
        var characters = bytes.map { CChar(bitPattern: $0) }
        characters.append(0)
        self.init(platformString: characters)
    }
}

/// Text for people from bytes that need not be UTF-8.
public func shownText(_ bytes: some Collection<UInt8>) -> String {
    let array = Array(bytes)
    return array.withUnsafeBytes { buffer in
        buffer.baseAddress.map { shownText(of: $0, count: buffer.count) } ?? ""
    }
}

private func shownText(of start: UnsafeRawPointer, count: Int) -> String {
    let bytes = UnsafeRawBufferPointer(start: start, count: count)
    var text = ""
    var parser = Unicode.UTF8.ForwardParser()
    var iterator = bytes.makeIterator()
    var position = 0
    while true {
        switch parser.parseScalar(from: &iterator) {
        case .emptyInput: return text
        case .valid(let encoded):
            let scalar = Unicode.UTF8.decode(encoded)
            if scalar.properties.generalCategory == .control || isBidiControl(scalar) {
                for byte in encoded { text += escaped(byte) }
            } else {
                text.unicodeScalars.append(scalar)
            }
            position += encoded.count
        case .error(let length):
            for byte in bytes[position..<(position + length)] { text += escaped(byte) }
            position += length
        }
    }
}

/// Characters that reorder what a terminal shows (Unicode TR 9, "Trojan Source").
private func isBidiControl(_ scalar: Unicode.Scalar) -> Bool {
    (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
        || scalar.value == 0x200E || scalar.value == 0x200F || scalar.value == 0x061C
}

private func escaped(_ byte: UInt8) -> String {
    let digits = Array("0123456789abcdef")
    return "\\x\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
}

/// Why a program could not be started.
///
/// posix_spawn(3) has one number for a program and for the folder it is to run in: a missing folder is told as one.
func spawnError(_ code: Int32, program: String, directory: FilePath?) -> SystemError {
    let errno = Errno(rawValue: code)
    if let directory, errno == .noSuchFileOrDirectory || errno == .notDirectory, !Syscalls.isDirectory(directory) {
        return SystemError(call: "chdir", subject: directory.shown, errno: errno)
    }
    return SystemError(call: "posix_spawn", subject: FilePath(program).shown, errno: errno)
}
