// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// What a script does to files.
extension Runner {
    func change(_ command: String, _ arguments: [String]) throws {
        func name(_ index: Int) throws -> FilePath {
            guard index < arguments.count else { throw failure("\(command) needs another name") }
            return path(arguments[index])
        }
        func text(_ index: Int) -> [UInt8] {
            Array(arguments.dropFirst(index).joined(separator: " ").utf8)
        }
        switch command {
        case "mkdir": try Syscalls.makeDirectories(try name(0), mode: 0o755)
        case "write": try write(try name(0), O_TRUNC, text(1))
        case "append": try write(try name(0), O_APPEND, text(1))
        case "save":
            // As careful programs do: beside it, then in its place.
            let temporary = FilePath(bytes: try name(0).bytes + Array(".tmp".utf8))
            try write(temporary, O_TRUNC, text(1))
            try Syscalls.rename(temporary, to: try name(0))
        case "mv": try Syscalls.rename(try name(0), to: try name(1))
        case "swap": try Syscalls.exchange(try name(0), try name(1))
        case "ln": try Syscalls.link(try name(1), to: FilePath(bytes: unescaped(arguments[0])))
        case "hardlink":
            try check("link", try name(0).withPlatformString { a in try name(1).withPlatformString { link(a, $0) } })
        case "rm": remove(try name(0))
        case "chmod":
            try check("chmod", try name(1).withPlatformString { chmod($0, mode_t(arguments[0], radix: 8) ?? 0) })
        case "mkfifo": try check("mkfifo", try name(0).withPlatformString { mkfifo($0, 0o600) })
        case "mmap": try writeThroughMemory(try name(0), text(1))
        case "folders": try makeFolders(below: try name(0), Int(arguments[1]) ?? 0)
        case "overflow": try overflow(try name(0))
        case "as": try become(arguments.first == "nobody" ? 65534 : 0)
        case "setting": try set(try name(0), text(1))
        default: try mounting(command, arguments)
        }
    }

    private func mounting(_ command: String, _ arguments: [String]) throws {
        switch command {
        case "tmpfs": try mount("none", path(arguments[0]), "tmpfs", 0, nil)
        case "bind": try mount(path(arguments[0]).string, path(arguments[1]), "none", UInt(MS_BIND), nil)
        case "overlay":
            let words = zip(["lowerdir", "upperdir", "workdir"], arguments).map { "\($0)=\(path($1).string)" }
            try mount("none", path(arguments[3]), "overlay", 0, words.joined(separator: ","))
        case "umount": try check("umount", umount2(path(arguments[0]).string, 0))
        default: throw failure("what is \(command)?")
        }
    }

    private func check(_ call: String, _ result: Int32) throws {
        guard result == 0 else { throw failure("\(call): \(Errno(rawValue: errno))") }
    }

    private func write(_ path: FilePath, _ flags: Int32, _ text: [UInt8]) throws {
        let file = try Syscalls.open(path, flags: O_WRONLY | O_CREAT | flags, mode: 0o644)
        try Syscalls.writeAll(file.raw, text)
    }

    private func writeThroughMemory(_ path: FilePath, _ text: [UInt8]) throws {
        let file = try Syscalls.open(path, flags: O_RDWR)
        let area = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file.raw, 0)
        guard let area, area != MAP_FAILED else { throw failure("mmap: \(Errno(rawValue: errno))") }
        text.withUnsafeBytes { area.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(area), byteCount: $0.count) }
        msync(area, 4096, Int32(MS_SYNC))
        munmap(area, 4096)
    }

    private func makeFolders(below base: FilePath, _ count: Int) throws {
        try Syscalls.makeDirectories(base, mode: 0o755)
        // A FilePath takes more time to make than a folder.
        let prefix = base.string + "/"
        for number in 0..<count {
            try check("mkdir", mkdir(prefix + "\(number)", 0o755))
            if number % 100 == 0 { try write(base.appending("\(number)/config.toml"), O_TRUNC, [0x78]) }
        }
    }

    /// Fills the kernel's queue while nobody reads it, with two files in turn: equal events that follow each other would
    /// be merged.
    private func overflow(_ base: FilePath) throws {
        let bytes = try RegularFile.read("/proc/sys/fs/inotify/max_queued_events", limit: 100).bytes
        let length = Int(String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)) ?? 16384
        guard length <= 1 << 20 else { throw Forbidden(what: "a queue of \(length) events takes too long to fill") }
        let names = ["0", "100"].map { base.appending("\($0)/config.toml").string }
        for _ in 0..<(length / 2 + 200) {
            for name in names {
                let file = open(name, O_WRONLY)
                guard file >= 0 else { throw failure("open: \(Errno(rawValue: errno))") }
                close(file)
            }
        }
    }

    private func set(_ path: FilePath, _ text: [UInt8]) throws {
        do {
            let file = try Syscalls.open(path, flags: O_WRONLY)
            try Syscalls.writeAll(file.raw, text)
        } catch { throw Forbidden(what: "\(error)") }
    }

    private func mount(_ source: String, _ target: FilePath, _ type: String, _ flags: UInt, _ data: String?) throws {
        let result = target.withPlatformString { place in
            data.map { Glibc.mount(source, place, type, flags, $0) } ?? Glibc.mount(source, place, type, flags, nil)
        }
        guard result == 0 else {
            let error = Errno(rawValue: errno)
            guard error == .notPermitted || error == .permissionDenied || error.rawValue == ENODEV else {
                throw failure("mount: \(error)")
            }
            throw Forbidden(what: "mount \(type): \(error)")
        }
        noteMount(target)
    }

    /// Whose rights this process's file accesses have (setfsuid(2), which Swift's module of the C library lacks).
    private func become(_ user: UInt32) throws {
        guard geteuid() == 0 else { throw Forbidden(what: "only root can become another user") }
        typealias Call = @convention(c) (UInt32) -> Int32
        guard let address = dlsym(nil, "setfsuid") else { throw failure("no setfsuid") }
        _ = unsafeBitCast(address, to: Call.self)(user)
    }
}

/// Removes a file or a folder with all that is in it; links are not followed.
func remove(_ path: FilePath) {
    if unlink(path.string) == 0 || errno == ENOENT { return }
    do throws(SystemError) { try empty(Syscalls.open(path, flags: Syscalls.directory | O_NOFOLLOW)) } catch {
        // It was gone already.
    }
    rmdir(path.string)
}

private func empty(_ folder: borrowing Descriptor) throws(SystemError) {
    var folders: [[UInt8]] = []
    try Syscalls.eachEntry(of: folder.raw) { name, kind in
        name.withCString { entry in
            if kind != .directory, unlinkat(folder.raw, entry, 0) == 0 { return }
            if kind == .directory || kind == nil { folders.append(name) }
        }
    }
    for name in folders {
        try empty(Syscalls.open(name: name, flags: Syscalls.directory | O_NOFOLLOW, in: folder.raw))
        name.withCString { _ = unlinkat(folder.raw, $0, AT_REMOVEDIR) }
    }
}

extension [UInt8] {
    fileprivate func withCString(_ body: (UnsafePointer<CChar>) -> Void) {
        (map { CChar(bitPattern: $0) } + [0]).withUnsafeBufferPointer { $0.baseAddress.map(body) }
    }
}
