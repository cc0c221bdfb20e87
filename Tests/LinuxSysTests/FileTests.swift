// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import LinuxSys

struct AtomicFileTests {
    @Test func aReplacedFileIsWholeAndHasItsModeWhateverTheUmask() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("a")
        try AtomicFile.replace(path, with: Array("one".utf8), mode: 0o666)
        #expect(try Syscalls.status(of: path).mode == 0o666)
        try AtomicFile.replace(path, with: Array("two".utf8))
        #expect(try folder.text("a") == "two")
        #expect(try Syscalls.status(of: path).mode == 0o600)
        #expect(try folder.names() == ["a"])
    }

    @Test func aLinkStaysALinkAndItsTargetIsReplacedBesideItself() throws {
        let folder = try TemporaryFolder()
        try Syscalls.makeDirectory(folder.path.appending("real"))
        try folder.write("real/file", "old")
        let link = folder.path.appending("link")
        try Syscalls.link(link, to: "real/file")
        try AtomicFile.replace(link, with: Array("new".utf8))
        #expect(try Syscalls.status(of: link, followingLinks: false).kind == .link)
        #expect(try folder.text("real/file") == "new")
        #expect(try folder.names() == ["link", "real"])
    }

    @Test func whatALinkIsToLeadToIsMadeWhereItLeads() throws {
        let folder = try TemporaryFolder()
        try Syscalls.makeDirectories(folder.path.appending("far/away"))
        try Syscalls.link(folder.path.appending("far/second"), to: "away/file")
        let link = folder.path.appending("link")
        try Syscalls.link(link, to: "far/away/../second")
        try AtomicFile.replace(link, with: Array("made".utf8))
        #expect(try Syscalls.status(of: link, followingLinks: false).kind == .link)
        #expect(try Syscalls.status(of: folder.path.appending("far/second"), followingLinks: false).kind == .link)
        #expect(try folder.text("far/away/file") == "made")
        #expect(try AtomicFile.merge(link, limit: 100) { old in (old ?? []) + Array(" and merged".utf8) })
        #expect(try folder.text("far/away/file") == "made and merged")
    }

    @Test(arguments: ["nowhere/file", "link", "folder"])
    func whereALinkLeadsToNothingThatCanBeWrittenNothingChanges(_ target: String) throws {
        let folder = try TemporaryFolder()
        try Syscalls.makeDirectory(folder.path.appending("folder"))
        let link = folder.path.appending("link")
        try Syscalls.link(link, to: FilePath(target))
        #expect(throws: SystemError.self) { try AtomicFile.replace(link, with: [1]) }
        #expect(throws: (any Error).self) { try AtomicFile.merge(link, limit: 10) { _ in [1] } }
        #expect(try Syscalls.linkTarget(link) == FilePath(target))
        #expect(try folder.names() == ["folder", "link"])
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a file to another user"), arguments: [false, true])
    func aFileOfAnotherUserIsLeftAlone(_ isBehindALink: Bool) throws {
        let folder = try TemporaryFolder()
        try folder.write("theirs", "theirs", mode: 0o666)
        let theirs = folder.path.appending("theirs")
        #expect(theirs.withPlatformString { chown($0, 65534, 65534) } == 0)
        var path = theirs
        if isBehindALink {
            path = folder.path.appending("link")
            try Syscalls.link(path, to: "theirs")
        }
        let before = try Syscalls.status(of: theirs)
        let error = #expect(throws: SystemError.self) { try AtomicFile.replace(path, with: [1]) }
        #expect(error?.errno == .notPermitted)
        #expect(error?.description.contains("it belongs to user 65534") == true)
        let names = try folder.names()
        #expect(throws: SystemError.self) { try AtomicFile.merge(path, limit: 100) { _ in [1] } }
        // What needs no change is no error.
        #expect(try !AtomicFile.merge(path, limit: 100) { _ in nil })
        #expect(try Syscalls.status(of: theirs) == before)
        #expect(try folder.names() == names)
    }

    @Test func aFileThatBecomesAnothersWhileWeWorkGoesBackToItsPlace() throws {
        guard geteuid() == 0 else { return }
        let folder = try TemporaryFolder()
        try folder.write("a", "same")
        let path = folder.path.appending("a")
        #expect(throws: SystemError.self) {
            try AtomicFile.merge(path, limit: 100) { _ in
                // The bytes are the same, the owner is not.
                let result = path.withPlatformString { chown($0, 65534, 65534) }
                return result == 0 ? Array("ours".utf8) : nil
            }
        }
        #expect(try folder.text("a") == "same")
        #expect(try Syscalls.status(of: path).owner == 65534)
        #expect(try folder.names() == ["a"])
    }

    @Test func onlyRegularFilesAreReplaced() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("fifo")
        #expect(path.withPlatformString { mkfifo($0, 0o600) } == 0)
        #expect(throws: SystemError.self) { try AtomicFile.replace(path, with: [1]) }
        #expect(try Syscalls.status(of: path).kind == .fifo)
        #expect(try folder.names() == ["fifo"])
    }

    @Test(arguments: [
        ("write", Errno.noSpace), ("fsync", .ioError), ("rename", .permissionDenied), ("fchmod", .notPermitted),
    ])
    func aFailureLeavesTheOldFileAndNothingElse(_ call: String, _ errno: Errno) throws {
        let folder = try TemporaryFolder()
        try folder.write("a", "old")
        let error = #expect(throws: SystemError.self) {
            try Faults.$plan.withValue({ [call, errno] name, _ in name == call ? errno : nil }) {
                try AtomicFile.replace(folder.path.appending("a"), with: Array("new".utf8))
            }
        }
        #expect(error?.call == call)
        #expect(error?.errno == errno)
        #expect(try folder.text("a") == "old")
        #expect(try folder.names() == ["a"])
    }

    @Test func aNameOfTheGreatestLengthCanBeReplaced() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.entry(Array(repeating: UInt8(ascii: "n"), count: 255))
        try AtomicFile.replace(path, with: [1])
        try AtomicFile.replace(path, with: [2])
        #expect(try RegularFile.read(path, limit: 10).bytes == [2])
    }

    @Test func aNameThatIsNotUTF8CanBeReplaced() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.entry([0xFF, 0x0A, 0x25, 0x20])
        try AtomicFile.replace(path, with: [1])
        #expect(try folder.names() == ["\\xff\\x0a% "])
    }

    @Test func mergeMakesAFileThatIsAbsentAndLeavesOneThatIsRight() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("a")
        #expect(try AtomicFile.merge(path, limit: 100) { old in old == nil ? Array("made".utf8) : nil })
        #expect(try folder.text("a") == "made")
        let before = try Syscalls.status(of: path)
        #expect(try !AtomicFile.merge(path, limit: 100) { old in old == nil ? [] : nil })
        #expect(try Syscalls.status(of: path) == before)
    }

    @Test func aWriterThatComesBetweenReadingAndWritingIsNotOverwritten() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("a")
        try folder.write("a", "1\n")
        var calls = 0
        let isChanged = try AtomicFile.merge(path, limit: 1000) { old in
            calls += 1
            // Another program replaces the file twice while we work on what we read.
            if calls <= 2 { try AtomicFile.replace(path, with: (old ?? []) + Array("theirs \(calls)\n".utf8)) }
            return (old ?? []) + Array("ours\n".utf8)
        }
        #expect(isChanged)
        #expect(try folder.text("a") == "1\ntheirs 1\ntheirs 2\nours\n")
        #expect(try folder.names() == ["a"])
    }

    @Test func aFileThatAppearsOrVanishesBetweenIsTakenAsItIs() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("a")
        var calls = 0
        try AtomicFile.merge(path, limit: 1000) { old in
            calls += 1
            switch calls {
            case 1: try AtomicFile.replace(path, with: Array("theirs\n".utf8))
            case 2: try Syscalls.unlink(path)
            default: break
            }
            return (old ?? []) + Array("ours\n".utf8)
        }
        #expect(try folder.text("a") == "ours\n")
        #expect(calls == 3)
    }

    @Test func whatTheirTextMakesImpossibleLeavesTheirText() throws {
        struct Refusal: Error {}
        let folder = try TemporaryFolder()
        let path = folder.path.appending("a")
        try folder.write("a", "old")
        #expect(throws: Refusal.self) {
            try AtomicFile.merge(path, limit: 1000) { old in
                guard old == Array("old".utf8) else { throw Refusal() }
                try AtomicFile.replace(path, with: Array("theirs".utf8))
                return Array("ours".utf8)
            }
        }
        #expect(try folder.text("a") == "theirs")
        // What we cannot read is not replaced either.
        #expect(throws: FileReadError.tooLarge(limit: 10)) {
            try AtomicFile.merge(path, limit: 10) { old in
                try AtomicFile.replace(path, with: Array(repeating: 0, count: 11))
                return Array("ours".utf8)
            }
        }
        #expect(try RegularFile.read(path, limit: 100).bytes.count == 11)
        #expect(try folder.names() == ["a"])
    }

    @Test func aDirectoryThatTakesThePlaceStays() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("a")
        try folder.write("a", "old")
        let error = #expect(throws: SystemError.self) {
            try AtomicFile.merge(path, limit: 1000) { _ in
                try Syscalls.unlink(path)
                try Syscalls.makeDirectory(path)
                return Array("ours".utf8)
            }
        }
        #expect(error?.errno == .isDirectory)
        #expect(Syscalls.isDirectory(path))
        #expect(try folder.names() == ["a"])
    }

    @Test func aConcurrentWriterLosesNothingAndNeitherDoWe() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("a")
        try folder.write("a", "\n")
        let loop = try EventLoop()
        // The other program holds all its lines and renames the whole file, with what it finds of ours, over and over.
        let script = """
            i=0; mine=
            while [ $i -lt 300 ]; do
                i=$((i+1)); mine="$mine theirs-$i"
                echo "$mine" > \(folder.path.string)/.theirs
                mv \(folder.path.string)/.theirs \(folder.path.string)/a
            done
            """
        var result: CommandResult?
        try Command.run(
            ["/bin/sh", "-c", script], environment: ["PATH=/usr/bin:/bin"], timeout: .seconds(60), on: loop
        ) { result = $0 }
        var merges = 0
        func words(_ bytes: [UInt8]?) -> [String] {
            String(decoding: bytes ?? [], as: UTF8.self).split { $0 == " " || $0 == "\n" }.map(String.init)
        }
        try loop.run(within: .seconds(60)) {
            var base = 0
            do {
                try AtomicFile.merge(path, limit: 1 << 20) { old in
                    base = words(old).count { $0.hasPrefix("theirs") }
                    return Array((words(old) + ["ours-\(merges)"]).joined(separator: " ").utf8)
                }
                merges += 1
            } catch let error as SystemError where error.errno == .resourceTemporarilyUnavailable {
                // It was overtaken too often; then it changed nothing.
            } catch {
                Issue.record("\(error)")
            }
            do {
                // Whatever happened since, no line of theirs that was there is missing.
                let now = try RegularFile.read(path, limit: 1 << 20).bytes
                #expect(words(now).count { $0.hasPrefix("theirs") } >= base)
            } catch {
                Issue.record("\(error)")
            }
            return result != nil
        }
        #expect(result?.status == .exited(0))
        #expect(merges > 0)
        // After the writer's last word nothing overwrites ours.
        try AtomicFile.merge(path, limit: 1 << 20) { Array((words($0) + ["last"]).joined(separator: " ").utf8) }
        let end = words(try RegularFile.read(path, limit: 1 << 20).bytes)
        #expect(end.filter { $0.hasPrefix("theirs") } == (1...300).map { "theirs-\($0)" })
        #expect(end.last == "last")
    }
}

struct RegularFileTests {
    @Test func onlyARegularFileIsRead() throws {
        let folder = try TemporaryFolder()
        #expect(mkfifo(folder.path.appending("fifo").string, 0o600) == 0)
        try Syscalls.link(folder.path.appending("link"), to: "fifo")
        try Syscalls.link(folder.path.appending("dangling"), to: "nowhere")
        try Syscalls.link(folder.path.appending("loop"), to: "loop")
        for name in ["fifo", "link", "."] {
            #expect(throws: FileReadError.notRegular) { try RegularFile.read(folder.path.appending(name), limit: 10) }
        }
        #expect(throws: FileReadError.notRegular) { try RegularFile.read("/dev/null", limit: 10) }
        for (name, isAbsence) in [("dangling", true), ("absent", true), ("fifo/x", true), ("loop", false)] {
            let error = #expect(throws: FileReadError.self) {
                try RegularFile.read(folder.path.appending(name), limit: 10)
            }
            #expect(error?.isAbsence == isAbsence, "\(name)")
        }
    }

    @Test func theLimitIsExact() throws {
        let folder = try TemporaryFolder()
        try folder.write("a", "0123456789")
        #expect(try RegularFile.read(folder.path.appending("a"), limit: 10).bytes.count == 10)
        #expect(throws: FileReadError.tooLarge(limit: 9)) { try RegularFile.read(folder.path.appending("a"), limit: 9) }
        try folder.write("empty", "")
        #expect(try RegularFile.read(folder.path.appending("empty"), limit: 0).bytes.isEmpty)
        // A file whose size is not known before it is read.
        #expect(throws: FileReadError.tooLarge(limit: 4)) { try RegularFile.read("/proc/self/stat", limit: 4) }
        #expect(try RegularFile.read("/proc/self/stat", limit: 4096).bytes.last == 10)
    }

    @Test func anInterruptedOrFailingReadIsNotAnEmptyFile() throws {
        let folder = try TemporaryFolder()
        try folder.write("a", "text")
        #expect(throws: FileReadError.system(SystemError(call: "read", errno: .ioError))) {
            try Faults.$plan.withValue({ call, _ in call == "read" ? .ioError : nil }) {
                try RegularFile.read(folder.path.appending("a"), limit: 10)
            }
        }
    }
}

struct LockFileTests {
    @Test func aPlaceHasOneHolderAndItsEndFreesIt() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("lock")
        #expect(LockFile.holder(of: path) == nil)
        try folder.write("lock", "99999999999999\nlonger than what is written now")
        #expect(LockFile.holder(of: path) == nil)
        var lock = try LockFile(path)
        #expect(lock != nil)
        #expect(LockFile.holder(of: path) == CurrentProcess.pid)
        #expect(try folder.text("lock") == "\(CurrentProcess.pid)\n")
        #expect(try LockFile(path) == nil)
        // A child does not keep it.
        let loop = try EventLoop()
        let child = try pid(in: loop.shell("sleep 600 >/dev/null 2>&1 & echo $!").text)
        defer { kill(child, SIGKILL) }
        lock = nil
        // A child that another test is just starting holds a copy of the descriptor until its execve (O_CLOEXEC).
        var again: LockFile?
        #expect(
            try loop.run {
                do throws(SystemError) { again = try LockFile(path) } catch { Issue.record(error) }
                return again != nil
            })
    }

    @Test func aLockThatAnotherProcessHoldsIsRefused() throws {
        let folder = try TemporaryFolder()
        let path = folder.path.appending("lock")
        let loop = try EventLoop()
        let script = "exec 9>\(path.string); flock 9; echo $$ >&9; exec sleep 600"
        var isOver = false
        try Command.run(
            ["/bin/sh", "-c", script], environment: ["PATH=/usr/bin:/bin"], timeout: .seconds(60), on: loop
        ) {
            _ in isOver = true
        }
        #expect(try loop.run { LockFile.holder(of: path) != nil })
        #expect(try LockFile(path) == nil)
        let holder = try #require(LockFile.holder(of: path))
        #expect(kill(holder, SIGKILL) == 0)
        #expect(try loop.run { isOver })
        #expect(try LockFile(path) != nil)
    }

    @Test func aLinkInItsPlaceIsNotFollowed() throws {
        let folder = try TemporaryFolder()
        try folder.write("precious", "text")
        try Syscalls.link(folder.path.appending("lock"), to: "precious")
        #expect(throws: SystemError.self) { try LockFile(folder.path.appending("lock")) }
        #expect(try folder.text("precious") == "text")
    }
}
