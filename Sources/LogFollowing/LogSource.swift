// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

/// An open file, how far it was read, and what of it is known.
final class LogSource {
    /// A place in a file, and what stands before it.
    struct Position {
        var offset: Int64 = 0
        var marker = Marker()
        var line: UInt64 = 0
    }

    let descriptor: Descriptor
    let identity: FileIdentity
    /// What is before it is done with.
    var position = Position()
    /// The beginning of a line that is longer than a line may be, while it is passed over.
    var skippedFrom: Position?
    var sizeSeen: Int64 = 0
    /// What stands before this place was there at ``markedAt``, in nanoseconds of the monotonic clock.
    var mark: Int64 = 0
    var markedAt: Int64 = 0
    /// When the file was last modified at that time, in nanoseconds since the epoch.
    var modified: Int64 = 0
    var lastGrowth: Int64

    init(_ descriptor: consuming Descriptor, identity: FileIdentity, now: Int64) {
        self.descriptor = descriptor
        self.identity = identity
        lastGrowth = now
    }

    func move(to position: Position) {
        self.position = position
        skippedFrom = nil
        mark = 0
    }

    func size() throws(FileReadError) -> Int64 { try status().size }

    func status() throws(FileReadError) -> FileStatus {
        do throws(SystemError) { return try Syscalls.status(of: descriptor.raw) } catch {
            throw .system(error)
        }
    }

    func bytes(at offset: Int64, count: Int) throws(FileReadError) -> [UInt8] {
        guard count > 0 else { return [] }
        do throws(SystemError) {
            var error: SystemError?
            let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                while filled < count {
                    do throws(SystemError) {
                        let rest = UnsafeMutableRawBufferPointer(
                            UnsafeMutableBufferPointer(rebasing: buffer[filled..<count]))
                        let got = try Syscalls.read(descriptor.raw, at: offset + Int64(filled), into: rest) ?? 0
                        if got == 0 { break }
                        filled += got
                    } catch let problem {
                        error = problem
                        break
                    }
                }
            }
            if let error { throw error }
            return bytes
        } catch {
            throw .system(error)
        }
    }
}
