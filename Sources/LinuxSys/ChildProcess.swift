// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

internal import CLinuxSys
import Glibc
import SystemPackage

/// How a process ended.
public enum ExitStatus: Hashable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    public var isSuccess: Bool { self == .exited(0) }

    public var description: String {
        switch self {
        case .exited(let code): "exit \(code)"
        case .signalled(let signal): "signal \(signal)"
        }
    }
}

/// What came of a command.
public struct CommandResult: Sendable {
    public let status: ExitStatus
    /// At most the asked number of bytes; the rest was read and thrown away, so that the command never blocked.
    public let output: [UInt8]
    public let errors: [UInt8]
    /// It was ended, with all its descendants, because its time was over.
    public let timedOut: Bool
}

/// A command that runs as our child in a session of its own, watched by pidfd; nothing waits for it.
///
/// This is here and not swift-subprocess because the loop must learn of the end and of the output without another
/// thread, and because a command whose time is over must end as a tree (anchors: survivors of a process group).
public final class Command {
    private let loop: EventLoop
    private let pidfd: Descriptor
    public let identity: ProcessIdentity
    private let outputMax: Int
    private var pipes: [Pipe] = []
    private var input: Input?
    private var watch: EventLoop.Watch?
    private var timer: EventLoop.Timer?
    private var timedOut = false
    private var completion: ((CommandResult) -> Void)?

    /// A pipe's usual capacity (pipe(7)), in bytes.
    private static let bufferSize = 64 << 10
    /// What a pipe holds at most unless root made it larger (/proc/sys/fs/pipe-max-size), in bytes.
    private static let pipeMax = 1 << 20

    private final class Pipe {
        let descriptor: Descriptor
        var watch: EventLoop.Watch?
        var bytes: [UInt8] = []
        init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
    }

    /// What the command reads on its standard input, and how much of it is in the pipe.
    private final class Input {
        let bytes: [UInt8]
        var written = 0
        /// Closed when this goes.
        let descriptor: Descriptor
        var watch: EventLoop.Watch?
        init(_ bytes: [UInt8], owning raw: Int32) {
            self.bytes = bytes
            descriptor = Descriptor(owning: raw)
        }
    }

    /// Starts a command.
    ///
    /// - Parameters:
    ///   - arguments: The first is the program's absolute path, and what it is called with.
    ///   - input: What it reads on its standard input, then the end; nil: the input is empty. Secrets go here, never
    ///     into arguments or environment.
    ///   - environment: All of it, as `NAME=value`.
    ///   - directory: Where it runs.
    ///   - outputMax: Bytes kept of what it writes.
    ///   - loop: Where it is waited for.
    ///   - timeout: Then it and its descendants are ended, TERM first, KILL after 5 s.
    ///   - completion: Called once on the loop's thread.
    /// - Returns: The command, for ``end(then:)``; nobody has to keep it.
    @discardableResult
    public static func run(
        _ arguments: [String], input: [UInt8]? = nil, environment: [String], directory: FilePath? = nil,
        timeout: Duration, outputMax: Int = 1 << 20, on loop: EventLoop,
        completion: @escaping (CommandResult) -> Void
    ) throws(SystemError) -> Command {
        let command = try Command(
            arguments, input: input, environment: environment, directory: directory, outputMax: outputMax, loop: loop)
        command.completion = completion
        do throws(SystemError) {
            // The closures below keep the command alive until it is done.
            for pipe in command.pipes {
                pipe.watch = try loop.watch(pipe.descriptor.raw, for: .reading) { command.drain(pipe) }
            }
            command.feed()
            if let input = command.input {
                // A pipe may hold less than all of it (pipe(7)).
                input.watch = try loop.watch(input.descriptor.raw, for: .writing) { command.feed() }
            }
            command.watch = try loop.watch(command.pidfd.raw, for: .reading) { command.reap() }
        } catch {
            command.stopWatching()
            Self.discard(command.identity.pid)
            throw error
        }
        command.timer = loop.schedule(after: timeout) {
            command.timer = nil
            command.timedOut = true
            command.end()
        }
        return command
    }

    public var isRunning: Bool { completion != nil }

    /// Ends it with all its descendants before its time: TERM first, KILL after 5 s. Its completion is called as ever.
    ///
    /// - Parameter next: Called when all of them are gone.
    public func end(then next: @escaping () -> Void = {}) {
        guard completion != nil else { return next() }
        TreeTermination.end(identity, grace: .seconds(5), on: loop) { _ in next() }
    }

    private init(
        _ arguments: [String], input: [UInt8]?, environment: [String], directory: FilePath?, outputMax: Int,
        loop: EventLoop
    ) throws(SystemError) {
        self.loop = loop
        self.outputMax = outputMax
        var (reading, writing) = try Self.pipe()
        let outRead = Descriptor(owning: reading)
        let outWrite = Descriptor(owning: writing)
        (reading, writing) = try Self.pipe()
        let errRead = Descriptor(owning: reading)
        let errWrite = Descriptor(owning: writing)
        if let input {
            (reading, writing) = try Self.pipe(isReadingBlocked: true)
            self.input = Input(input, owning: writing)
        } else {
            reading = try Syscalls.open("/dev/null", flags: O_RDONLY).release()
        }
        let standardInput = Descriptor(owning: reading)
        var pid: Int32 = 0
        let path = arguments.first ?? ""
        let code = withCStrings(arguments) { argv in
            withCStrings(environment) { envp in
                if let directory {
                    directory.withPlatformString {
                        gcl_spawn(&pid, path, argv, envp, $0, standardInput.raw, outWrite.raw, errWrite.raw)
                    }
                } else {
                    gcl_spawn(&pid, path, argv, envp, nil, standardInput.raw, outWrite.raw, errWrite.raw)
                }
            }
        }
        guard code == 0 else {
            throw spawnError(code, program: path, directory: directory)
        }
        // Our unreaped child keeps its number, so the descriptor cannot be another process's.
        let child = pid
        OwnChildren.insert(child)
        do throws(SystemError) {
            pidfd = Descriptor(owning: try Syscalls.check("pidfd_open") { gcl_pidfd_open(child) })
        } catch {
            Self.discard(child)
            throw error
        }
        identity =
            ProcessTable.status(of: pid)?.identity ?? ProcessIdentity(pid: pid, startTime: 0)
        pipes = [Pipe(outRead), Pipe(errRead)]
    }

    /// - Parameter isReadingBlocked: Whose end never blocks is ours: false the one that is read, true the other one.
    private static func pipe(
        isReadingBlocked: Bool = false
    ) throws(SystemError) -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [0, 0]
        _ = try Syscalls.check("pipe2") { gcl_pipe2(&ends, O_CLOEXEC) }
        let ours = ends[isReadingBlocked ? 1 : 0]
        let flags = fcntl(ours, F_GETFL)
        _ = fcntl(ours, F_SETFL, flags | O_NONBLOCK)
        return (ends[0], ends[1])
    }

    /// Writes what the pipe takes; at the end, or when nobody reads any more, the pipe is closed.
    private func feed() {
        guard let input else { return }
        let raw = input.descriptor.raw
        while input.written < input.bytes.count {
            let count = input.bytes.withUnsafeBytes { bytes -> Int? in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[input.written...])
                // EPIPE: it has closed its input, or ended; what it made of that is in its status.
                do throws(SystemError) { return try Syscalls.write(raw, rest) } catch { return 0 }
            }
            guard let count else { return }
            if count == 0 { break }
            input.written += count
        }
        if let watch = input.watch { loop.cancel(watch) }
        input.watch = nil
        self.input = nil
    }

    /// Ends a child that has just begun and that nobody would ever learn the end of.
    private static func discard(_ child: Int32) {
        // Unreaped, so the number is still its own. KILL cannot be put off: the wait is short.
        kill(child, SIGKILL)
        while waitpid(child, nil, 0) < 0 && errno == EINTR {}
        OwnChildren.remove(child)
    }

    /// Takes what is in a pipe, one buffer a call: a command that writes without end must not hold the loop.
    ///
    /// - Returns: How many bytes there were; nil if there are none now or will be none any more.
    @discardableResult
    private func drain(_ pipe: Pipe) -> Int? {
        var buffer = [UInt8](repeating: 0, count: Self.bufferSize)
        let count = buffer.withUnsafeMutableBytes { bytes -> Int? in
            // An error of a pipe's reading end cannot be mended; it counts as its end.
            do throws(SystemError) { return try Syscalls.read(pipe.descriptor.raw, into: bytes) } catch { return 0 }
        }
        guard let count else { return nil }
        if count == 0 {
            if let watch = pipe.watch { loop.cancel(watch) }
            pipe.watch = nil
            return nil
        }
        pipe.bytes.append(contentsOf: buffer.prefix(min(count, outputMax - pipe.bytes.count)))
        return count
    }

    private func stopWatching() {
        for pipe in pipes {
            if let watch = pipe.watch { loop.cancel(watch) }
            pipe.watch = nil
        }
        if let watch = input?.watch { loop.cancel(watch) }
        input = nil
        if let watch { loop.cancel(watch) }
        watch = nil
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    private func reap() {
        var code: Int32 = 0
        var status: Int32 = 0
        guard gcl_reap(pidfd.raw, &code, &status) == 1 else { return }
        OwnChildren.remove(identity.pid)
        // A descendant may keep a pipe open and write to it for ever; what the command itself wrote is in it by now,
        // so it is among the bytes that a pipe holds.
        for pipe in pipes {
            var left = Self.pipeMax
            while left > 0, let count = drain(pipe) { left -= count }
        }
        stopWatching()
        let result = CommandResult(
            status: code == CLD_EXITED ? .exited(status) : .signalled(status), output: pipes[0].bytes,
            errors: pipes[1].bytes, timedOut: timedOut)
        let completion = completion
        self.completion = nil
        completion?(result)
    }
}

/// Calls the body with a null-terminated array of C strings, as execve(2) wants it.
func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers = strings.map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeBufferPointer { buffer in
        // The array has at least its terminator, so there is a base address.
        body(buffer.baseAddress.unsafelyUnwrapped)
    }
}
