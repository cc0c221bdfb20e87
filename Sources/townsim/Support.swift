// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc
import JSON
import LinuxSys
import Secrets
import SystemPackage
import Timekeeping

/// The last component of a path.
func baseName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? "" }

/// The path without its last component; `.` where there is none.
func directoryName(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// A random UUID (version 4) in lower case.
func newUUID() -> String {
    var bytes = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    let digits = Array("0123456789abcdef")
    var text = ""
    for (index, byte) in bytes.enumerated() {
        if [4, 6, 8, 10].contains(index) { text.append("-") }
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return text
}

/// The first 12 hexadecimal digits of a key's SHA-256, the only form in which a key is shown.
func keyIdentifier(_ key: String) -> String { String(SHA256.hex(Array(key.utf8)).prefix(12)) }

extension Timestamp {
    /// RFC 3339 with milliseconds, as Claude Code writes it.
    var milliseconds: String { String(rfc3339.dropLast(4)) + "Z" }
    /// RFC 3339 with whole seconds, as gt writes it.
    var seconds: String { String(rfc3339.prefix(19)) + "Z" }
}

/// The environment of this process.
enum Environment {
    static func value(_ name: String) -> String? {
        CurrentProcess.environmentValue(name).flatMap { $0.isEmpty ? nil : $0 }
    }

    static func milliseconds(_ name: String, default fallback: Int) -> Duration {
        .milliseconds(value(name).flatMap { Int($0) } ?? fallback)
    }

    /// All of it as `NAME=value`.
    static var all: [String] { CurrentProcess.environment.map { String(decoding: $0, as: UTF8.self) } }

    /// All of it with some variables set or, with nil, left out.
    static func with(_ changes: [String: String?]) -> [String] {
        let kept = all.filter { entry in !changes.keys.contains { entry.hasPrefix("\($0)=") } }
        return kept + changes.sorted { $0.key < $1.key }.compactMap { name, value in value.map { "\(name)=\($0)" } }
    }

    static var home: String { value("HOME") ?? "/" }

    static var currentDirectory: String {
        guard let buffer = getcwd(nil, 0) else { return "/" }
        defer { free(buffer) }
        return String(cString: buffer)
    }

    /// A path made absolute.
    static func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : FilePath(currentDirectory).pushing(FilePath(path)).lexicallyNormalized().string
    }

    /// The private folder of the miniature: `$TOWNSIM_HOME`, else `home` beside the folder of the link that was
    /// started (where `townsim town` puts it), else `~/.townsim`.
    static var townsimHome: String {
        if let home = value("TOWNSIM_HOME") { return home }
        if let started = startedPath {
            let beside = directoryName(directoryName(absolute(started))) + "/home"
            if Syscalls.isDirectory(FilePath(beside + "/faults")) { return beside }
        }
        return home + "/.townsim"
    }

    /// The path that was given to execve, not yet followed to the program behind the link: AT_EXECFN of
    /// getauxval(3), which Swift does not import, so it is read from where the kernel shows it.
    private static var startedPath: String? {
        var entries = [UInt](repeating: 0, count: 128)
        do throws(SystemError) {
            let file = try Syscalls.open("/proc/self/auxv", flags: O_RDONLY)
            let read = entries.withUnsafeMutableBytes { Glibc.read(file.raw, $0.baseAddress, $0.count) }
            guard read > 0 else { return nil }
        } catch { return nil }
        for position in stride(from: 0, to: entries.count - 1, by: 2) where entries[position] == UInt(AT_EXECFN) {
            return UnsafePointer<CChar>(bitPattern: entries[position + 1]).map { String(cString: $0) }
        }
        return nil
    }

    /// The program's own file.
    static func ownProgram() throws(Failure) -> String {
        do throws(SystemError) { return try CurrentProcess.executable().string } catch { throw Failure("\(error)") }
    }

    /// The first executable of that name on a PATH.
    static func find(_ name: String, path: String? = nil) -> String? {
        if name.contains("/") { return Syscalls.isExecutable(FilePath(name)) ? name : nil }
        let folders = (path ?? value("PATH") ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":")
        return folders.map { "\($0)/\(name)" }.first { Syscalls.isExecutable(FilePath($0)) }
    }
}

/// Files, with errors that end the command.
enum Disk {
    static let limit = 64 << 20

    /// The bytes of a file, nil where there is none.
    static func read(_ path: String) throws(Failure) -> [UInt8]? {
        do throws(FileReadError) {
            return try RegularFile.read(FilePath(path), limit: limit).bytes
        } catch {
            if error.isAbsence { return nil }
            throw Failure("\(path): \(error)")
        }
    }

    static func text(_ path: String) throws(Failure) -> String? {
        try read(path).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The JSON of a file, nil where there is none.
    static func json(_ path: String) throws(Failure) -> JSONValue? {
        guard let bytes = try read(path) else { return nil }
        do throws(JSONError) { return try JSONValue(parsing: bytes) } catch { throw Failure("\(path):\(error)") }
    }

    static func object(_ path: String) throws(Failure) -> JSONObject? { try json(path)?.object }

    /// Puts a file in place by temporary file and rename.
    static func replace(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600) throws(Failure) {
        do throws(SystemError) {
            try AtomicFile.replace(FilePath(path), with: bytes, mode: mode, durable: false)
        } catch { throw Failure("\(error)") }
    }

    static func replace(_ path: String, _ object: JSONObject, mode: UInt32 = 0o600) throws(Failure) {
        try replace(path, JSONValue.object(object).encoded(indented: true), mode: mode)
    }

    /// Writes a file in place: readers can see it torn (gt-contract.md 3a, "write style").
    static func overwrite(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o644) throws(Failure) {
        do throws(SystemError) {
            let file = try Syscalls.open(FilePath(path), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
            try Syscalls.writeAll(file.raw, bytes)
        } catch { throw Failure("\(error)") }
    }

    static func overwrite(_ path: String, _ object: JSONObject, mode: UInt32 = 0o644) throws(Failure) {
        try overwrite(path, JSONValue.object(object).encoded(indented: true), mode: mode)
    }

    /// Appends in one write, so that several writers do not tear each other's lines.
    static func append(_ path: String, _ text: String, mode: UInt32 = 0o600) throws(Failure) {
        do throws(SystemError) {
            let file = try Syscalls.open(FilePath(path), flags: O_WRONLY | O_CREAT | O_APPEND, mode: mode)
            try Syscalls.writeAll(file.raw, Array(text.utf8))
        } catch { throw Failure("\(error)") }
    }

    static func makeDirectories(_ paths: String..., mode: UInt32 = 0o755) throws(Failure) {
        for path in paths {
            do throws(SystemError) {
                try Syscalls.makeDirectories(FilePath(path), mode: mode)
            } catch { throw Failure("\(error)") }
        }
    }

    static func link(_ path: String, to target: String) throws(Failure) {
        remove(path)
        do throws(SystemError) {
            try Syscalls.link(FilePath(path), to: FilePath(target))
        } catch { throw Failure("\(error)") }
    }

    /// Removes a file; one that is not there is fine.
    static func remove(_ path: String) {
        do throws(SystemError) { try Syscalls.unlink(FilePath(path)) } catch {}
    }

    /// Removes a folder with all that is in it; links are removed, not followed.
    static func removeTree(_ path: String) {
        for name in names(path) {
            let entry = "\(path)/\(name)"
            var status: FileStatus?
            do throws(SystemError) { status = try Syscalls.status(of: FilePath(entry), followingLinks: false) } catch {}
            if status?.kind == .directory { removeTree(entry) } else { remove(entry) }
        }
        _ = rmdir(path)
    }

    /// The names in a folder in order; none where it cannot be read.
    static func names(_ path: String) -> [String] {
        do throws(SystemError) {
            let directory = try Syscalls.open(FilePath(path), flags: O_RDONLY | O_DIRECTORY)
            return try Syscalls.names(inDirectory: directory.raw).map { String(decoding: $0, as: UTF8.self) }.sorted()
        } catch { return [] }
    }

    static func exists(_ path: String) -> Bool { Syscalls.exists(FilePath(path)) }
    static func isDirectory(_ path: String) -> Bool { Syscalls.isDirectory(FilePath(path)) }

    static func realPath(_ path: String) -> String {
        do throws(SystemError) { return try Syscalls.realPath(FilePath(path)).string } catch { return path }
    }

    /// Runs a body while nobody else holds the lock file.
    static func locked<Result>(
        _ path: String, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let file: Descriptor
        do throws(SystemError) {
            file = try Syscalls.open(FilePath(path), flags: O_RDWR | O_CREAT)
        } catch { throw Failure("\(error)") }
        while flock(file.raw, LOCK_EX) != 0, errno == EINTR {}
        return try body()
    }
}

/// Other programs.
enum Program {
    /// Runs a program to its end.
    static func run(
        _ arguments: [String], environment: [String]? = nil, directory: String? = nil,
        timeout: Duration = .seconds(180)
    ) throws(Failure) -> CommandResult {
        guard let name = arguments.first, let path = Environment.find(name) else {
            throw Failure("exec: \"\(arguments.first ?? "")\": executable file not found in $PATH")
        }
        do throws(SystemError) {
            let loop = try EventLoop()
            var result: CommandResult?
            try Command.run(
                [path] + arguments.dropFirst(), environment: environment ?? Environment.all,
                directory: directory.map { FilePath($0) }, timeout: timeout, on: loop
            ) {
                result = $0
                loop.stop()
            }
            try loop.run()
            guard let result else { throw SystemError(call: "run", subject: path, errno: .noChildProcess) }
            return result
        } catch { throw Failure("\(error)") }
    }

    /// Starts a program in a session of its own and leaves it; nothing of ours stays open in it.
    ///
    /// - Parameters:
    ///   - log: Where its output goes.
    /// - Returns: Its pid. It is our child as long as we live.
    static func start(
        _ arguments: [String], name: String? = nil, environment: [String]? = nil, directory: String? = nil,
        output: String = "/dev/null", errors: String? = nil
    ) throws(Failure) -> Int32 {
        guard let first = arguments.first, let path = Environment.find(first) else {
            throw Failure("exec: \"\(arguments.first ?? "")\": executable file not found in $PATH")
        }
        do throws(SystemError) {
            let null = try Syscalls.open("/dev/null", flags: O_RDONLY)
            let out = try Syscalls.open(FilePath(output), flags: O_WRONLY | O_CREAT | O_APPEND)
            let err = try Syscalls.open(FilePath(errors ?? output), flags: O_WRONLY | O_CREAT | O_APPEND)
            var pid: Int32 = 0
            let argv = cStrings([name ?? first] + arguments.dropFirst())
            let envp = cStrings(environment ?? Environment.all)
            defer { for pointer in argv + envp { free(pointer) } }
            let code = gcl_spawn(&pid, path, argv, envp, directory ?? ".", null.raw, out.raw, err.raw)
            guard code == 0 else { throw SystemError(call: "posix_spawn", subject: path, errno: Errno(rawValue: code)) }
            return pid
        } catch { throw Failure("\(error)") }
    }

    private static func cStrings(_ strings: [String]) -> [UnsafeMutablePointer<CChar>?] {
        strings.map { strdup($0) } + [nil]
    }

    static func isAlive(_ pid: Int32) -> Bool { ProcessTable.status(of: pid)?.isAlive ?? false }

    /// Sends a signal to exactly the process that has the number now, and says whether it ended within the time.
    static func end(_ pid: Int32, _ signal: Int32, within limit: Duration) -> Bool {
        guard let identity = ProcessTable.status(of: pid)?.identity else { return true }
        kill(pid, signal)
        return Waiting.until(limit) { !ProcessTable.isAlive(identity) }
    }
}

/// Waiting for what no event tells: the real tools poll here too.
enum Waiting {
    static func pause(_ duration: Duration) { usleep(UInt32(clamping: duration.wholeMicroseconds)) }

    /// Asks again every 50 ms until the condition holds or the time is over.
    static func until<Problem: Error>(
        _ limit: Duration, _ condition: () throws(Problem) -> Bool
    ) throws(Problem) -> Bool {
        let start = EventLoop.now
        while true {
            if try condition() { return true }
            if .nanoseconds(EventLoop.now - start) >= limit { return false }
            pause(.milliseconds(50))
        }
    }
}

/// A command line's words: options, and the rest in order.
struct Words {
    var positional: [String] = []
    private var options: [String: String] = [:]
    private var flags: Set<String> = []

    /// - Parameters:
    ///   - valued: Options that take a value, as `--name value` or `--name=value`.
    init(_ arguments: [String], valued: Set<String> = []) {
        var iterator = arguments.makeIterator()
        while let word = iterator.next() {
            guard word.hasPrefix("-"), word.count > 1 else {
                positional.append(word)
                continue
            }
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            if parts.count == 2 {
                options[parts[0]] = parts[1]
            } else if valued.contains(word) {
                options[word] = iterator.next() ?? ""
            } else {
                flags.insert(word)
            }
        }
    }

    func has(_ names: String...) -> Bool { names.contains { flags.contains($0) } }
    func value(_ names: String...) -> String? { names.lazy.compactMap { options[$0] }.first }
    var flagNames: [String] { flags.sorted() }
}
