// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys

/// Where reading of a file goes on after a restart: which file it was, how far it was read, and what stood there.
public struct Checkpoint: Hashable, Sendable {
    public var file: FileIdentity
    /// Bytes read and acted upon; always the beginning of a line.
    public var offset: Int64
    /// What stood right before the offset. It tells a file that was truncated and has regrown beyond the offset, or another
    /// one on the same inode number, from the one that was read.
    public var marker: Marker
    /// A hash of the last line before the offset, 0 if there was none that counts. By it the place is found again in a
    /// file that was written anew while nobody followed it.
    public var line: UInt64
    /// The files that had the name before and were not quiet for long enough yet, the oldest first.
    public var older: [Checkpoint]

    public init(
        file: FileIdentity, offset: Int64, marker: Marker, line: UInt64 = 0, older: [Checkpoint] = []
    ) {
        self.file = file
        self.offset = offset
        self.marker = marker
        self.line = line
        self.older = older
    }
}

/// Some bytes, of which only a hash is kept: a log line may end in a key.
public struct Marker: Hashable, Sendable {
    /// How many there are, 32 at most; 0: nothing is known of what stood there.
    public let count: Int
    public let hash: UInt64

    public static let countMax = 32

    public init(count: Int = 0, hash: UInt64 = 0) {
        self.count = count
        self.hash = hash
    }

    /// - Parameter bytes: The last ones of them count.
    init(_ bytes: ArraySlice<UInt8>) {
        let last = bytes.suffix(Self.countMax)
        self.init(count: last.count, hash: last.isEmpty ? 0 : lineHash(last))
    }

    func fits(_ bytes: ArraySlice<UInt8>) -> Bool { Marker(bytes) == self }
}

/// Where a follower begins.
public enum StartPosition: Sendable {
    case beginning
    /// What is there now does not matter.
    case end
    /// Where a checkpoint left off if it still fits, else a bounded window before the end: not the beginning, for an
    /// old line must not be taken for a new one.
    case resume(Checkpoint)
}

/// FNV-1a (Fowler, Noll, Vo): the same number for the same line in each run; never 0, which stands for no line.
func lineHash(_ line: ArraySlice<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in line { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    return hash == 0 ? 1 : hash
}
