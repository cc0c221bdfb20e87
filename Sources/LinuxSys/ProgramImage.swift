// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc
import SystemPackage

/// This process itself.
public enum CurrentProcess {
    public static var pid: Int32 { getpid() }
    public static var userID: UInt32 { getuid() }

    /// pid and start time.
    public static var identity: ProcessIdentity {
        ProcessTable.status(of: getpid())?.identity ?? ProcessIdentity(pid: getpid(), startTime: 0)
    }

    /// The words that we were started with, as bytes.
    public static var arguments: [[UInt8]] {
        var words: [[UInt8]] = []
        var pointer = CommandLine.unsafeArgv
        while let word = pointer.pointee {
            words.append(Array(UnsafeRawBufferPointer(start: word, count: strlen(word))))
            pointer += 1
        }
        return words
    }

    /// The environment as `NAME=value` in bytes; entries need not be UTF-8.
    public static var environment: [[UInt8]] {
        guard let start = gcl_environ() else { return [] }
        var entries: [[UInt8]] = []
        var position = 0
        while let entry = start[position] {
            entries.append(Array(UnsafeRawBufferPointer(start: entry, count: strlen(entry))))
            position += 1
        }
        return entries
    }

    /// The value of an environment variable, nil if it is unset or not UTF-8.
    public static func environmentValue(_ name: String) -> String? {
        guard let value = getenv(name) else { return nil }
        return String(validatingCString: value)
    }

    /// Takes a variable out of our own environment. Call it before another thread is started (setenv(3)).
    public static func removeFromEnvironment(_ name: String) { unsetenv(name) }

    /// Takes a variable out of our own environment and overwrites its value where the kernel put it, so that
    /// `/proc/<pid>/environ` does not show it either. Call it before another thread is started, and only for what was
    /// there at the start.
    ///
    /// - Returns: The value's bytes; nil if it was not set.
    public static func takeFromEnvironment(_ name: String) -> [UInt8]? {
        guard let start = gcl_environ() else { return nil }
        let lead = Array(name.utf8) + [UInt8(ascii: "=")]
        var found: [UInt8]?
        var position = 0
        // A name can be there twice: getenv(3) takes the first.
        while let entry = start[position] {
            position += 1
            let length = strlen(entry)
            guard length >= lead.count, memcmp(entry, lead, lead.count) == 0 else { continue }
            var value = UnsafeMutableRawBufferPointer(start: entry, count: length)[lead.count...]
            if found == nil { found = Array(value) }
            for index in value.indices { value[index] = 0 }
        }
        if found != nil { unsetenv(name) }
        return found
    }

    /// The program's own file, with links followed.
    public static func executable() throws(SystemError) -> FilePath { try Syscalls.linkTarget("/proc/self/exe") }

    /// Without it the memory of this process is neither dumped nor readable by other processes of the same user.
    public static func setDumpable(_ isDumpable: Bool) { _ = gcl_set_dumpable(isDumpable ? 1 : 0) }

    /// Replaces this process by a program; the pid stays. Returns only if that failed.
    ///
    /// - Parameters:
    ///   - program: Its file.
    ///   - arguments: argv as bytes, the first included.
    ///   - environment: `NAME=value` as bytes.
    public static func become(
        _ program: FilePath, arguments: [[UInt8]], environment: [[UInt8]]
    ) -> SystemError {
        func pointers(_ strings: [[UInt8]]) -> [UnsafeMutablePointer<CChar>?] {
            strings.map { bytes in strdup(bytes.map { CChar(bitPattern: $0) } + [0]) } + [nil]
        }
        let argv = pointers(arguments)
        let envp = pointers(environment)
        defer { for pointer in argv + envp { free(pointer) } }
        var none = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, nil)
        signal(SIGPIPE, SIG_DFL)
        program.withPlatformString { _ = execve($0, argv, envp) }
        return SystemError(call: "execve", subject: program.shown, errno: Syscalls.currentErrno)
    }
}

/// A file that says who holds a place; the lock ends with its process, however it ends.
public final class LockFile {
    private let descriptor: Descriptor

    /// Takes the lock and writes our pid into the file.
    ///
    /// - Returns: nil if another process holds it.
    public init?(_ path: FilePath) throws(SystemError) {
        descriptor = try Syscalls.open(path, flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
        guard try Syscalls.tryLock(descriptor.raw) else { return nil }
        do throws(SystemError) {
            _ = try Syscalls.check("ftruncate", path) { ftruncate(descriptor.raw, 0) }
            try Syscalls.writeAll(descriptor.raw, Array("\(getpid())\n".utf8))
        } catch {
            // A full disk: the lock holds all the same, and who has it is for people alone.
        }
    }

    /// The pid that the holder wrote, nil if it cannot be read.
    public static func holder(of path: FilePath) -> Int32? {
        do throws(FileReadError) {
            let bytes = try RegularFile.read(path, limit: 64).bytes
            return Int32(String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self))
        } catch {
            return nil
        }
    }
}
