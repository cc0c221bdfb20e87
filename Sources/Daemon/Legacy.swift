// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Controller
import JSON
import KeyPool
import LinuxSys
import Logging
import SystemPackage

extension Daemon {
    /// Takes in what the predecessors knew, once: at the first start with this state directory.
    func findLegacy() {
        guard !controller.hasImported, let home = options.environment.home else { return }
        for name in [".gasclaw", ".claude-kimigas"] {
            let path = FilePath(home).appending(name).appending("key-rotation.json")
            do {
                let bytes = try RegularFile.read(path, limit: LegacyState.lengthMax).bytes
                if let legacy = LegacyState(try JSONValue(parsing: bytes), path: path.safe) {
                    handle(.legacyFound(legacy))
                }
            } catch let error as FileReadError where error.isAbsence {
                continue
            } catch {
                // Theirs took a broken file for an empty one too.
                log.notice(
                    "a predecessor's state is not understood and is left alone",
                    metadata: ["path": "\(path.safe)", "error": "\(error)"])
            }
        }
    }
}
