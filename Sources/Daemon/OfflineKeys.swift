// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import ControlAPI
import Controller
import JSON
import KeyPool
import LinuxSys
import Secrets
import SystemPackage
import Timekeeping

/// The pool as the files say, for when no daemon runs.
public enum OfflineKeys {
    /// - Returns: What `keys` is in the status.
    public static func list(_ configuration: Configuration, at now: Timestamp) -> JSONValue {
        let store = StateStore(directory: configuration.paths.state)
        // A broken state file is the daemon's to set aside.
        var state: JSONValue?
        do {
            state = try JSONValue(parsing: try RegularFile.read(store.keys, limit: StateStore.lengthMax).bytes)
        } catch {
            state = nil
        }
        var controller = Controller(
            settings: Settings(configuration, store: store, program: nil), configPath: nil, state: state, at: now)
        let paths = accountFiles(in: configuration.accounts)
        for path in paths {
            let name = AccountReader.name(of: path)
            do {
                let bytes = try RegularFile.read(path, limit: AccountFile.lengthMax).bytes
                let file = try AccountFile.read(bytes)
                _ = controller.handle(
                    .accountRead(name: name, path: path.safe, file: file, digest: SHA256.hex(bytes)), at: now)
            } catch let error as FileReadError where error.isAbsence {
                continue
            } catch {
                _ = controller.handle(.accountRejected(name: name, path: path.safe, error: "\(error)"), at: now)
            }
        }
        _ = controller.handle(.started, at: now)
        let report = controller.report(
            Surroundings(version: "", bootID: "", pid: 0, startedAt: now), at: now)
        return report.json["keys"] ?? .null
    }

    private static func accountFiles(in directory: FilePath) -> [FilePath] {
        do throws(SystemError) {
            let folder = try Syscalls.open(directory, flags: Syscalls.directory)
            return try Syscalls.names(inDirectory: folder.raw)
                .filter { $0.first != UInt8(ascii: ".") }.sorted { $0.lexicographicallyPrecedes($1) }
                .map { directory.entry($0).appending("config.toml") }
        } catch {
            return []
        }
    }
}
