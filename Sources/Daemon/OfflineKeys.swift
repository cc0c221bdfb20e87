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
    /// - Returns: What `keys` and `agents` are in the status; the agents are those of the state file that still live.
    public static func list(
        _ configuration: Configuration, at now: Timestamp
    ) -> (keys: JSONValue, agents: [JSONValue]) {
        let report = controller(configuration, at: now).report(
            Surroundings(version: "", bootID: "", pid: 0, startedAt: now), at: now)
        return (report.json["keys"] ?? .null, report.json["agents"]?.array ?? [])
    }

    /// What hides the keys that the files hold.
    package static func redactor(_ configuration: Configuration) -> Redactor {
        controller(configuration, at: .now).redactor
    }

    /// What decides, with the accounts and the state that the files hold.
    ///
    /// - Parameter program: The real client.
    static func controller(
        _ configuration: Configuration, store given: StateStore? = nil, program: String? = nil, at now: Timestamp
    ) -> Controller {
        let store = given ?? StateStore(directory: configuration.paths.state)
        // A broken state file is the daemon's to set aside.
        var state: JSONValue?
        do {
            state = try JSONValue(parsing: try RegularFile.read(store.keys, limit: StateStore.lengthMax).bytes)
        } catch {
            state = nil
        }
        var controller = Controller(
            settings: Settings(configuration, store: store, program: program), configPath: nil, state: state, at: now)
        for lease in state.map(Controller.leases) ?? [] where Daemon.isAlive(lease.process) { controller.adopt(lease) }
        let paths = AccountFolder.files(in: configuration.accounts)
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
        return controller
    }
}
