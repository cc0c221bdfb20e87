// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

/// An absolute path as bytes: what a walk names files by. A `FilePath` is brought into its normal form each time one is
/// made, which is more work than the calls that are made on the file.
struct BytePath: Hashable {
    let bytes: [UInt8]

    init(_ path: FilePath) { bytes = path.bytes }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// An entry of this directory.
    func entry(_ name: [UInt8]) -> BytePath {
        var joined: [UInt8] = []
        joined.reserveCapacity(bytes.count + 1 + name.count)
        joined += bytes
        if bytes.last != UInt8(ascii: "/") { joined.append(UInt8(ascii: "/")) }
        joined += name
        return BytePath(bytes: joined)
    }

    var path: FilePath { FilePath(bytes: bytes) }
}
