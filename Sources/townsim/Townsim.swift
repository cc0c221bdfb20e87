// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// A miniature gt, dolt, bd and claude in one program: the last component of argv[0] says which it is.
///
/// It obeys what was read of the real ones (gt-contract.md, kimi-claude.md, transcripts/README.md) and is never
/// kinder than they are. It knows nothing of gasclawd except in `demo` and in the configuration that `town` writes.
enum Townsim {
    static let tools = ["gt", "dolt", "bd", "claude"]

    static func run(_ arguments: [String]) -> Int32 {
        SignalReceiver.ignoreBrokenPipes()
        let name = arguments.first.map(baseName) ?? "townsim"
        let rest = Array(arguments.dropFirst())
        do throws(Failure) {
            if tools.contains(name) { return try tool(name, rest) }
            if let first = rest.first, tools.contains(first) { return try tool(first, Array(rest.dropFirst())) }
            return try own(rest)
        } catch {
            if !error.message.isEmpty { Terminal.complain(error.message) }
            return error.status
        }
    }

    private static func tool(_ name: String, _ arguments: [String]) throws(Failure) -> Int32 {
        switch name {
        case "gt": try Gt.run(arguments)
        case "dolt": try Dolt.run(arguments)
        case "bd": try Bd.run(arguments)
        default: try Claude.run(arguments)
        }
    }

    private static func own(_ arguments: [String]) throws(Failure) -> Int32 {
        switch arguments.first {
        case "links":
            guard arguments.count == 2 else { throw Failure("usage: townsim links DIR", status: 64) }
            try MiniatureTown.makeLinks(in: arguments[1])
            return 0
        case "town":
            guard arguments.count == 2 else { throw Failure("usage: townsim town DIR", status: 64) }
            try MiniatureTown(at: arguments[1]).make()
            return 0
        case "provider":
            guard arguments.count == 2 else { throw Failure("usage: townsim provider DIR", status: 64) }
            return try Provider.run(home: arguments[1])
        case "demo": return try Demo.run(Array(arguments.dropFirst()))
        default:
            throw Failure(
                """
                usage: townsim links DIR | town DIR | provider DIR | demo --gasclawd PATH [--seconds N]
                       townsim gt|dolt|bd|claude ARGUMENT…   (or a link of that name)
                """, status: 64)
        }
    }
}

/// Why a command ends, and with which exit status.
struct Failure: Error {
    let message: String
    let status: Int32

    init(_ message: String, status: Int32 = 1) {
        self.message = message
        self.status = status
    }
}

/// What goes to the terminal or to whoever reads our output.
enum Terminal {
    static func say(_ text: String) { write(text + "\n", to: 1) }
    static func complain(_ text: String) { write(text + "\n", to: 2) }

    /// Standard input to its end.
    static func readInput() -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(0, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer.prefix(count)
        }
    }

    static func write(_ text: String, to descriptor: Int32 = 1) {
        // A reader that went away is no reason for the program to end otherwise than it would.
        do throws(SystemError) { try Syscalls.writeAll(descriptor, Array(text.utf8)) } catch {}
    }

    /// Of the window, or a usual one where it is not told (ioctl_tty(2), TIOCGWINSZ).
    static var size: (rows: Int, columns: Int) {
        var window = winsize()
        guard ioctl(1, UInt(TIOCGWINSZ), &window) == 0, window.ws_row > 0, window.ws_col > 0 else { return (24, 80) }
        return (Int(window.ws_row), Int(window.ws_col))
    }

    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }
}
