// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import SystemPackage

/// A lock on a folder itself: nothing is made in it, every name of it means the same lock, and it ends with its process,
/// however that ends (flock(2)).
public final class FolderLock {
    private let descriptor: Descriptor
    /// Which folder it is: another one may come to have its name.
    public let identity: FileIdentity

    /// Takes the lock.
    ///
    /// - Parameter path: The folder, by whatever name.
    /// - Returns: nil if another process holds it.
    /// - Throws: Where there is no such folder, or its file system knows no locks.
    public init?(_ path: FilePath) throws(SystemError) {
        descriptor = try Syscalls.open(path, flags: Syscalls.directory)
        identity = try Syscalls.status(of: descriptor.raw).identity
        guard try Syscalls.tryLock(descriptor.raw) else { return nil }
    }
}
