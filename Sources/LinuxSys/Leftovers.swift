// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import SystemPackage

extension AtomicFile {
    /// Removes what writers left in a directory that were killed between writing a file and putting it in place: nobody
    /// reads it, and nobody else would remove it. Those of processes that still run stay.
    public static func removeLeftovers(in directory: borrowing Descriptor) throws(SystemError) {
        for name in try Syscalls.names(inDirectory: directory.raw) {
            guard let writer = writer(ofTemporary: name), writer != getpid(), kill(writer, 0) != 0,
                Glibc.errno == ESRCH
            else { continue }
            // Another start may do the same.
            (name.map { CChar(bitPattern: $0) } + [0]).withUnsafeBufferPointer { path in
                if let path = path.baseAddress { unlinkat(directory.raw, path, 0) }
            }
        }
    }

    /// Whose temporary file it is, by its name as ``replace(_:with:mode:durable:)`` makes it: `.NAME.gasclawd-PID-RANDOM`.
    static func writer(ofTemporary name: [UInt8]) -> Int32? {
        let text = String(decoding: name, as: UTF8.self)
        let parts = text.split(separator: ".gasclawd-", omittingEmptySubsequences: false)
        guard text.hasPrefix("."), parts.count > 1, let words = parts.last?.split(separator: "-"), words.count == 2,
            let writer = Int32(words[0]), writer > 0,
            words[1].allSatisfy({ $0.isASCII && ($0.isNumber || $0.isLetter) })
        else { return nil }
        return writer
    }
}
