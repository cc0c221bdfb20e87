// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import LinuxSys
import SystemPackage

/// The settings files that a start has to look at.
enum AgentSettings {
    enum Problem: Error, CustomStringConvertible {
        case unreadable(String)
        var description: String { if case .unreadable(let text) = self { text } else { "" } }
    }

    /// The caller's `--settings`: a file, or JSON itself.
    static func given(_ argument: [UInt8]?, directory: FilePath) throws(Problem) -> JSONValue? {
        guard let argument, !argument.isEmpty else { return nil }
        let isText = argument.first { $0 != 32 && $0 != 10 && $0 != 9 } == UInt8(ascii: "{")
        do {
            if isText { return try JSONValue(parsing: argument) }
            let path = directory.pushing(FilePath(bytes: argument))
            return try JSONValue(parsing: try RegularFile.read(path, limit: ClaudeSettings.lengthMax).bytes)
        } catch {
            throw .unreadable("--settings: \(isText ? "the text" : shownText(argument)): \(error)")
        }
    }

    /// What in the project's own files, and in the caller's, could take the key elsewhere.
    static func unsafeNames(directory: FilePath, given: JSONValue?) -> [String] {
        var found = (given.map(ClaudeSettings.unsafeNames) ?? []).filter { $0 != "env.ANTHROPIC_BASE_URL" }
            .map { "--settings: \($0)" }
        for name in ClaudeSettings.projectFiles {
            let path = directory.appending(name)
            do {
                let value = try JSONValue(parsing: try RegularFile.read(path, limit: ClaudeSettings.lengthMax).bytes)
                found += ClaudeSettings.unsafeNames(in: value).map { "\(path.shown): \($0)" }
            } catch let error as FileReadError where error.isAbsence {
                continue
            } catch {
                // Too large for us, or broken in our eyes alone: the client may understand what we do not.
                found.append("\(path.shown): \(error)")
            }
        }
        return found
    }

    /// Writes the settings with the endpoint pinned.
    ///
    /// - Returns: The file, named after its content, so that starts at the same time do not disturb each other.
    static func pin(_ settings: JSONValue, in directory: FilePath) throws(SystemError) -> FilePath {
        let bytes = settings.encoded()
        // FNV-1a: a name, not a protection.
        let hash = bytes.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        let path = directory.appending(String(hash, radix: 16) + ".json")
        do throws(FileReadError) {
            if try RegularFile.read(path, limit: ClaudeSettings.lengthMax).bytes == bytes { return path }
        } catch {
            // Absent or not ours as it is: it is written below.
        }
        try Syscalls.makeDirectories(directory)
        try AtomicFile.replace(path, with: bytes, durable: false)
        return path
    }

    /// A path to the program whose last name is `claude`: gt knows its agents by the name of their process.
    static func named(_ program: FilePath, in directory: FilePath) throws(SystemError) -> FilePath {
        guard program.lastName != Array("claude".utf8) else { return program }
        let folder = directory.appending("program")
        let link = folder.appending("claude")
        do throws(SystemError) {
            if try Syscalls.linkTarget(link) == program { return link }
        } catch {
            // Absent: it is made below.
        }
        try Syscalls.makeDirectories(folder)
        let temporary = folder.appending(".claude.\(CurrentProcess.pid)")
        try Syscalls.link(temporary, to: program)
        try Syscalls.rename(temporary, to: link)
        return link
    }
}
