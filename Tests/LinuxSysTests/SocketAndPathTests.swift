// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import SystemPackage
import Testing

@testable import LinuxSys

/// A socket that listens and answers nothing by itself.
private final class Listener {
    let descriptor: Descriptor

    init(_ path: FilePath, backlog: Int32 = 8) throws {
        // Bound through the folder's descriptor: the path may be longer than an address holds.
        let folder = try Syscalls.open(path.removingLastComponent(), flags: Syscalls.pathOnly | O_DIRECTORY)
        descriptor = Descriptor(owning: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = Array("/proc/self/fd/\(folder.raw)/".utf8) + path.lastName
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0, listen(descriptor.raw, backlog) == 0 else {
            throw SystemError(call: "bind", subject: path.shown, errno: Errno(rawValue: errno))
        }
    }

    func accept() -> Descriptor { Descriptor(owning: Glibc.accept(descriptor.raw, nil, nil)) }
}

struct UnixSocketTests {
    @Test func aPathLongerThanAnAddressWorks() throws {
        let folder = try TemporaryFolder()
        let deep = folder.path.appending(String(repeating: "d", count: 120)).appending(
            String(repeating: "e", count: 120))
        try Syscalls.makeDirectories(deep)
        let path = deep.appending("control.sock")
        let listener = try Listener(path)
        let socket = try UnixSocket(connectingTo: path)
        let peer = listener.accept()
        try socket.send(Array("question".utf8))
        var buffer = [UInt8](repeating: 0, count: 100)
        let raw = peer.raw
        #expect(try buffer.withUnsafeMutableBytes { try Syscalls.read(raw, into: $0) } == 8)
        try Syscalls.writeAll(peer.raw, Array("answer".utf8))
        #expect(try socket.receive(until: EventLoop.now + 20_000_000_000) == Array("answer".utf8))
    }

    @Test func nobodyThereIsAnErrorAtOnce() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("s")
        func error() -> Errno? {
            do throws(SystemError) {
                _ = try UnixSocket(connectingTo: path)
                return nil
            } catch {
                return error.errno
            }
        }
        #expect(error() == .noSuchFileOrDirectory)
        do { _ = try Listener(path) }
        #expect(error() == .connectionRefused)
    }

    @Test func aPeerThatDoesNotAcceptIsAnErrorAndNoWait() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("s")
        let listener = try Listener(path, backlog: 0)
        let began = EventLoop.now
        var errors: [Errno] = []
        for _ in 0..<4 where errors.isEmpty {
            do throws(SystemError) {
                let socket = try UnixSocket(connectingTo: path)
                // Kept open by nobody: what waits in the backlog stays there.
                _ = consume socket
            } catch {
                errors.append(error.errno)
            }
        }
        #expect(errors == [.resourceTemporarilyUnavailable])
        #expect(EventLoop.now - began < 20_000_000_000)
        withExtendedLifetime(listener) {}
    }

    @Test func aPeerThatSaysNothingIsGivenUpAtTheDeadlineAndOneThatClosesIsTheEnd() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("s")
        let listener = try Listener(path)
        let socket = try UnixSocket(connectingTo: path)
        var peer: Descriptor? = listener.accept()
        var isLate = false
        do throws(SystemError) { _ = try socket.receive(until: EventLoop.now + 30_000_000) } catch {
            isLate = error.errno == .timedOut
        }
        #expect(isLate)
        peer = nil
        #expect(try socket.receive(until: nil).isEmpty)
        _ = consume peer
    }
}

struct FilePathTests {
    @Test func bytesComeBackAsTheyWere() {
        let bytes = Array("/a/".utf8) + [0xFF, 0x0A, 0xC3, 0x28, 0x20]
        let path = FilePath(bytes: bytes)
        #expect(path.bytes == bytes)
        #expect(path.lastName == [0xFF, 0x0A, 0xC3, 0x28, 0x20])
        #expect(FilePath("/a").entry([0xFF]).bytes == [0x2F, 0x61, 0x2F, 0xFF])
        #expect(FilePath("/").entry([0x61]).bytes == [0x2F, 0x61])
        #expect(FilePath("/").lastName.isEmpty)
        #expect(FilePath("").lastName.isEmpty)
        #expect(FilePath("name").lastName == Array("name".utf8))
        #expect(FilePath(bytes: [0x61, 0, 0x62]).bytes == [0x61])
    }

    @Test(arguments: [
        (Array("/plain/name".utf8), "/plain/name"),
        (Array("/grün/日本/😀".utf8), "/grün/日本/😀"),
        (Array("/new\nline\u{1B}[31m\u{7F}".utf8), "/new\\x0aline\\x1b[31m\\x7f"),
        (Array("/bidi\u{202E}x".utf8), "/bidi\\xe2\\x80\\xaex"),
        (Array("/c1\u{85}".utf8), "/c1\\xc2\\x85"),
        ([0x2F, 0xFF, 0x61], "/\\xffa"),
        ([0x2F, 0xC3, 0x28], "/\\xc3("),
        // A character cut short, a surrogate, one that is too long, and a good one behind.
        ([0x2F, 0xE2, 0x82, 0x61], "/\\xe2\\x82a"),
        ([0x2F, 0xED, 0xA0, 0x80], "/\\xed\\xa0\\x80"),
        ([0x2F, 0xC0, 0xAF, 0xC3, 0xA4], "/\\xc0\\xafä"),
        ([0x2F, 0xFF, 0x0A, 0xF0, 0x9F], "/\\xff\\x0a\\xf0\\x9f"),
    ])
    func whatIsShownHasNoControlsAndHidesNoByte(_ bytes: [UInt8], _ text: String) {
        #expect(FilePath(bytes: bytes).shown == text)
        #expect(shownText(bytes) == text)
    }

    @Test func aLongTextOfBadBytesIsShownWhole() {
        #expect(shownText([UInt8](repeating: 0xFF, count: 30_000)).utf8.count == 120_000)
        #expect(shownText([]) == "")
    }
}

struct FolderTests {
    @Test func allNamesOfAFolderComeAsBytes() throws {
        let folder = try TemporaryFolder()
        let names: [[UInt8]] = [[0xFF], Array("a b%\n".utf8), Array(repeating: 0x6E, count: 255), [0x2E, 0x2E, 0x61]]
        for name in names { _ = try Syscalls.open(folder.path.entry(name), flags: O_CREAT | O_WRONLY) }
        let directory = try Syscalls.open(folder.path, flags: Syscalls.directory)
        for _ in 0..<2 { #expect(Set(try Syscalls.names(inDirectory: directory.raw)) == Set(names)) }
    }

    @Test func entriesOfAFolderComeWithWhatTheyAre() throws {
        let folder = try TemporaryFolder()
        try folder.write("file", "")
        try Syscalls.makeDirectory(folder.path.appending("folder"))
        try Syscalls.link(folder.path.appending("link"), to: "file")
        let directory = try Syscalls.open(folder.path, flags: Syscalls.directory)
        for isReadable in [false, true] {
            var kinds: [String: FileStatus.Kind?] = [:]
            try Syscalls.eachEntry(of: directory.raw, isReadable: isReadable) { name, kind in
                kinds[shownText(name)] = .some(kind)
            }
            // A file system may leave it unsaid.
            #expect(Set(kinds.keys) == ["file", "folder", "link"])
            #expect(kinds["file"] == .some(.regular) || kinds["file"] == .some(nil))
            #expect(kinds["folder"] == .some(.directory) || kinds["folder"] == .some(nil))
            #expect(kinds["link"] == .some(.link) || kinds["link"] == .some(nil))
        }
    }

    @Test func foldersAreMadeWithThoseAboveThem() throws {
        let folder = try TemporaryFolder()
        let deep = folder.path.appending("a/b/c")
        try Syscalls.makeDirectories(deep)
        try Syscalls.makeDirectories(deep)
        #expect(Syscalls.isDirectory(deep))
        try folder.write("file", "")
        #expect(throws: SystemError.self) { try Syscalls.makeDirectories(folder.path.appending("file")) }
        #expect(throws: SystemError.self) { try Syscalls.makeDirectories(folder.path.appending("file/below")) }
    }
}
