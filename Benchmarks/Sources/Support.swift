// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import Glibc
import JSON
import LinuxSys
import SystemPackage

func say(_ line: String) {
    do throws(SystemError) { try Syscalls.writeAll(1, Array((line + "\n").utf8)) } catch { exit(1) }
}

struct BenchError: Error, CustomStringConvertible {
    let description: String
}

/// Durations of one kind, in nanoseconds.
struct Samples {
    let name: String
    var values: [Int64] = []

    func percentile(_ share: Double) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return .nan }
        return Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]) / 1e6
    }

    var line: String {
        "\(name.padded(56)) p50 \(percentile(0.5).milliseconds)  p99 \(percentile(0.99).milliseconds)  n \(values.count)"
    }
}

extension Double {
    /// With three decimals, as `0.412 ms`.
    var milliseconds: String {
        let micros = Int((self * 1000).rounded())
        let rest = String(micros % 1000)
        return "\(micros / 1000).\(String(repeating: "0", count: 3 - rest.count))\(rest) ms"
    }
}

extension String {
    func padded(_ length: Int) -> String { self + String(repeating: " ", count: max(0, length - count)) }
}

/// A child with its standard output on a pipe.
final class Child {
    let pid: pid_t
    let output: Int32

    init(_ arguments: [String], environment: [String: String], errors: String = "/dev/null", input: String? = nil)
        throws
    {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw BenchError(description: "pipe failed") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addclose(&actions, ends[0])
        posix_spawn_file_actions_addclose(&actions, ends[1])
        if let input { posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0) }
        posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, arguments[0], &actions, nil, &argv, &envp)
        posix_spawn_file_actions_destroy(&actions)
        close(ends[1])
        guard code == 0 else { throw BenchError(description: "\(arguments[0]) does not start: errno \(code)") }
        self.pid = pid
        output = ends[0]
    }

    func end() {
        kill(pid, SIGTERM)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        close(output)
    }
}

/// Lines from descriptors, with the time at which each arrived.
struct LineReader {
    let descriptor: Int32
    private var rest: [UInt8] = []
    /// Whoever wrote has ended: poll(2) says for ever that there is something.
    private(set) var isAtEnd = false

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// - Returns: What has arrived; call it when poll(2) says that there is something.
    mutating func take() -> [String] {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        guard count > 0 else {
            isAtEnd = true
            return []
        }
        rest += buffer[..<count]
        var lines: [String] = []
        while let end = rest.firstIndex(of: 10) {
            lines.append(String(decoding: rest[..<end], as: UTF8.self))
            rest.removeSubrange(...end)
        }
        return lines
    }

    /// Waits for a line.
    mutating func wait(seconds: Int, for isWanted: (String) -> Bool) throws -> String {
        let deadline = EventLoop.now + Int64(seconds) * 1_000_000_000
        while EventLoop.now < deadline {
            var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 1000) > 0 else { continue }
            if let line = take().first(where: isWanted) { return line }
        }
        throw BenchError(description: "what was waited for did not come")
    }
}

/// Called as `tmux`: writes down when it was called, then becomes the real one.
enum TmuxStamp {
    static func run(_ arguments: [String]) -> Int32 {
        let now = EventLoop.now
        if let file = CurrentProcess.environmentValue("BENCH_STAMPS") {
            let kind = arguments.contains("respawn-pane") ? "respawn" : "other"
            do throws(SystemError) {
                let descriptor = try Syscalls.open(FilePath(file), flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
                try Syscalls.writeAll(descriptor.raw, Array("\(kind) \(now)\n".utf8))
            } catch { return 1 }
        }
        let real = ["/usr/bin/tmux", "/usr/local/bin/tmux", "/bin/tmux"].first { Syscalls.isExecutable(FilePath($0)) }
        guard let real else { return 127 }
        _ = CurrentProcess.become(
            FilePath(real), arguments: CurrentProcess.arguments, environment: CurrentProcess.environment)
        return 126
    }
}

/// Called as `claude`: an agent that does nothing and ends at once when it is told to.
enum IdleAgent {
    static func run() -> Int32 {
        while true { pause() }
    }
}
