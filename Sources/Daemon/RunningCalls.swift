// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import Logging
import SystemPackage

/// The calls of gt that go on, each written down in a file of its own: they outlive a crash of ours, and what comes next
/// must not do beside them what they are doing.
struct RunningCalls {
    let folder: FilePath
    let log: Logger

    private func file(_ call: ProcessIdentity) -> FilePath { folder.appending("\(call.pid)") }

    /// - Parameter words: For people who look at the file.
    func began(_ call: ProcessIdentity, _ words: [String]) {
        guard let own = ProcessTable.status(of: CurrentProcess.pid)?.identity else { return }
        do throws(SystemError) {
            try Syscalls.makeDirectories(folder)
            let entry: JSONValue = [
                "process": Self.json(call), "caller": Self.json(own), "call": .string(words.joined(separator: " ")),
            ]
            try AtomicFile.replace(file(call), with: entry.encoded() + [10], durable: false)
        } catch {
            log.debug("a call of gt is not written down", metadata: ["error": "\(error)"])
        }
    }

    func ended(_ call: ProcessIdentity) {
        do throws(SystemError) {
            if Syscalls.exists(file(call)) { try Syscalls.unlink(file(call)) }
        } catch {
            log.debug("the note of a call of gt stays", metadata: ["error": "\(error)"])
        }
    }

    /// Calls that live on though whoever made them has ended.
    func leftovers() -> [ProcessIdentity] {
        let names: [[UInt8]]
        do throws(SystemError) {
            let opened = try Syscalls.open(folder, flags: Syscalls.directory)
            names = try Syscalls.names(inDirectory: opened.raw)
        } catch { return [] }
        var left: [ProcessIdentity] = []
        for name in names {
            guard let pid = Int32(String(decoding: name, as: UTF8.self)) else { continue }
            let path = folder.entry(name)
            var entry: JSONValue?
            do throws(JSONError) {
                if let bytes = ServicePlace.read(path) { entry = try JSONValue(parsing: bytes) }
            } catch {
                // Torn by a crash: what it was about is not known.
                entry = nil
            }
            guard let call = Self.identity(entry?["process"]), let caller = Self.identity(entry?["caller"]),
                call.pid == pid, ProcessTable.isAlive(call)
            else {
                ended(ProcessIdentity(pid: pid, startTime: 0))
                continue
            }
            if !ProcessTable.isAlive(caller) { left.append(call) }
        }
        return left
    }

    private static func json(_ process: ProcessIdentity) -> JSONValue {
        ["pid": JSONValue(process.pid), "start": JSONValue(process.startTime)]
    }

    private static func identity(_ value: JSONValue?) -> ProcessIdentity? {
        guard let pid = value?["pid"]?.integer.flatMap(Int32.init(exactly:)), pid > 1,
            let start = value?["start"]?.integer, start >= 0
        else { return nil }
        return ProcessIdentity(pid: pid, startTime: UInt64(start))
    }
}
