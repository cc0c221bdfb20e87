// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import LinuxSys
import Logging
import SystemPackage

/// Where this state has known a whole town, in this life or an earlier one: an empty folder there is a volume that is
/// not mounted, and no place for another town.
final class TownMemory {
    private let store: StateStore
    private let isReadOnly: Bool
    private let log: Logger
    private var roots: [String]?
    /// The oldest are forgotten.
    private static let rootsMax = 64

    init(_ store: StateStore, isReadOnly: Bool = false, log: Logger) {
        self.store = store
        self.isReadOnly = isReadOnly
        self.log = log
    }

    /// Whether there was a whole town.
    func knows(_ root: FilePath) -> Bool { known.contains(root.string) }

    /// Keeps in mind that there is a town, if it is whole.
    func note(_ files: FilePath, at root: FilePath) {
        guard Syscalls.exists(files), !knows(root), !Bootstrap.isInstallationUnfinished(root, store) else { return }
        let all = Array((known + [root.string]).suffix(Self.rootsMax))
        roots = all
        guard !isReadOnly else { return }
        do throws(SystemError) {
            try store.write(["version": 1, "roots": .array(all.map(JSONValue.string))], to: store.towns)
        } catch {
            log.warning("that there is a town is known only until gasclawd ends", metadata: ["error": "\(error)"])
        }
    }

    private var known: [String] {
        if let roots { return roots }
        let saved = store.read(store.towns) { log.warning("\($0)") }
        let found = (saved?["roots"]?.array ?? []).compactMap(\.string)
        roots = found
        return found
    }

    /// What is said of a town that is away.
    static func absence(_ root: FilePath) -> String {
        "\(root.shown) was a town and is not there (mount it or put it back; gasclawd bootstrap makes a new one)"
    }
}

extension Daemon {
    /// A town that was here is not here now: nothing is decided by what is missing.
    var isTownAway: Bool {
        !Syscalls.exists(TownFiles(configuration.town.root).town) && townMemory.knows(configuration.town.root)
    }

    /// The town may have come or gone.
    func noteTown() {
        let root = configuration.town.root
        townMemory.note(TownFiles(root).town, at: root)
        let isAway = isTownAway
        surroundings.townProblem = isAway ? TownMemory.absence(root) : nil
        guard controller.holds.contains(.away) != isAway else { return }
        // The switches first: nobody is started anew who is to stand still.
        if !isAway { lookAtHolds() }
        handle(.held(.away, isAway))
        if !isAway { readWholeTown() }
        services?.refreshObstacles()
        planTurnEnd()
    }
}
