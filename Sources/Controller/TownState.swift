// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import Timekeeping

/// A file of the town as it was just read.
public struct TownReading: Sendable {
    public enum Content: Sendable {
        /// nil: there is none.
        case bytes([UInt8]?)
        /// Why it cannot be read: what was read before stays in force.
        case unreadable(String)
    }
    public let file: TownFile
    /// For messages.
    public let path: String
    public let content: Content

    public init(file: TownFile, path: String, content: Content) {
        self.file = file
        self.path = path
        self.content = content
    }
}

/// Where a set of readings comes from.
public enum TownReadingSource: Sendable {
    /// A town that was not looked at before.
    case first
    /// Something in it changed.
    case change
    /// We changed it: agents registered through our launcher are what they were.
    case registration
}

/// What makes gt leave agents alone, and us too: nobody is started anew until it is gone.
public enum TownHold: Sendable, Hashable {
    /// `ESTOP` (gt: estop/estop.go:80-109).
    case stop
    /// `ESTOP.<rig>`.
    case rigStop(String)
    /// `.beads-wisp/config/<rig>.json` says parked or docked (gt: wisp/config.go:17-49).
    case parked(String)
    /// `.runtime/deacon/paused.json` (gt: daemon/daemon.go:1247-1261).
    case deaconPaused
    /// `daemon/shutting-down`: `gt down` is at work (gt: cmd/down.go:107-133).
    case shuttingDown
    /// `mayor/town.json` is missing where it was: the volume is not mounted, or the folder has another name.
    case away

    /// For people.
    public var text: String {
        switch self {
        case .stop: "the town is stopped (ESTOP; gt thaw ends it)"
        case .rigStop(let rig): "rig \(rig) is stopped (ESTOP.\(rig); gt thaw --rig \(rig) ends it)"
        case .parked(let rig): "rig \(rig) is parked"
        case .deaconPaused: "the deacon is paused"
        case .shuttingDown: "the town is being shut down (daemon/shutting-down)"
        case .away: "the town's folder is not there"
        }
    }
}

extension Controller {
    // MARK: - What agents are started with

    mutating func readTown(_ readings: [TownReading], _ source: TownReadingSource, _ now: Timestamp) {
        let old = town
        var changed: [TownReading] = []
        for reading in readings {
            do throws(TownFileError) {
                switch reading.content {
                case .unreadable(let why): throw TownFileError(why)
                case .bytes(let bytes):
                    let isChanged = try town.take(bytes, of: reading.file)
                    let wasRejected = rejectedTown.removeValue(forKey: reading.file) != nil
                    if isChanged || wasRejected { changed.append(reading) }
                }
            } catch {
                let shown = redactor.redact("\(reading.path): \(error)")
                guard rejectedTown[reading.file]?.error != shown else { continue }
                rejectedTown[reading.file] = StatusReport.Rejected(path: reading.path, error: shown)
                effects.append(.emit(.configRejected(path: reading.path, errors: [shown])))
            }
        }
        if town.rigs != old.rigs {
            for rig in old.rigs.keys where town.rigs[rig] == nil {
                town.remove(rig: rig)
                rejectedTown = rejectedTown.filter { $0.key.rig != rig }
            }
            effects.append(.rigsChanged)
        }
        guard isStarted else { return }
        switch source {
        case .first: break
        case .registration:
            for lease in leases.values where lease.settingsDigest == old.effective(for: lease.identity).digest {
                leases[lease.process]?.settingsDigest = town.effective(for: lease.identity).digest
            }
        case .change:
            if town != old { generation += 1 }
            for reading in changed {
                effects.append(.emit(.configApplied(path: reading.path, generation: generation)))
            }
            for reading in changed where reading.file.needsDaemonRestart && town != old {
                // First: what it starts from now on, it starts as the files say (gt: config/agents.go:549-586).
                effects.append(
                    .restartService(
                        "daemon", changed: reading.file.path,
                        mayBeItsOwn: reading.file == .daemon && town.addsOnlyToDaemon(of: old)))
                break
            }
        }
        reconcileTown(now)
    }

    /// Compares what each agent was started with to what gt would start now.
    mutating func reconcileTown(_ now: Timestamp) {
        // What is missing says nothing.
        guard !holds.contains(.away) else { return }
        for lease in leases.values.sorted(by: { $0.process.pid < $1.process.pid }) where !lease.isNested {
            let process = lease.process
            let digest = town.effective(for: lease.identity).digest
            guard let known = lease.settingsDigest else {
                // It was started while we were away, or by an older version of us.
                leases[process]?.settingsDigest = digest
                effects.append(.persist)
                continue
            }
            guard known != digest else {
                if lease.pending?.isByVerb == true { changeBack(process) }
                continue
            }
            guard RestartVerb.arguments(for: lease.identity) != nil else {
                leases[process]?.settingsDigest = digest
                effects.append(.persist)
                effects.append(
                    .note(
                        "\(lease.session) is left alone: gt has no verb that restarts it, and starts it anew by itself")
                )
                continue
            }
            guard settings.isRolling, lease.pending?.isByVerb != true else { continue }
            let former = lease.pending
            var pending = former ?? Lease.Pending(reason: .config, since: now, notBefore: now)
            pending.former = former?.reason
            pending.reason = .config
            pending.isByVerb = true
            leases[process]?.pending = pending
            effects.append(.persist)
        }
    }

    /// The files say again what the agent was started with, before its turn came.
    private mutating func changeBack(_ process: ProcessName) {
        guard reload?.process != process else { return }
        if let former = leases[process]?.pending?.former {
            leases[process]?.pending?.reason = former
            leases[process]?.pending?.former = nil
            leases[process]?.pending?.isByVerb = false
        } else {
            leases[process]?.pending = nil
        }
        effects.append(.persist)
    }

    /// Another town, or none: nothing of the old one counts.
    mutating func forgetTown() {
        town = TownConfiguration()
        rejectedTown = [:]
        holds = []
        stopNote = nil
        crashLoops = []
    }

    // MARK: - What holds agents back

    mutating func setHold(_ hold: TownHold, _ isOn: Bool, _ note: EmergencyStop?) {
        let isNews = hold == .stop && isOn && note != nil && note != stopNote
        if hold == .stop { stopNote = isOn ? note ?? stopNote : nil }
        guard holds.contains(hold) != isOn || isNews else { return }
        if isOn { holds.insert(hold) } else { holds.remove(hold) }
        switch hold {
        case .stop: effects.append(.emit(stopEvent(isOn, rig: nil, note)))
        case .rigStop(let rig): effects.append(.emit(stopEvent(isOn, rig: rig, note)))
        case .parked, .deaconPaused, .shuttingDown, .away:
            effects.append(.note(isOn ? hold.text : "no longer: \(hold.text)"))
        }
    }

    private func stopEvent(_ isOn: Bool, rig: String?, _ note: EmergencyStop?) -> Event {
        .town(
            isOn ? "estop" : "thaw", rig: rig, trigger: note.map { redactor.redact($0.trigger) },
            reason: note.map { redactor.redact($0.reason) })
    }

    /// The town's emergency stop: nobody is started anew until it is gone.
    public var isStopped: Bool { holds.contains(.stop) }

    /// Why an agent is not to be started anew now; nil: it may be.
    public func hold(on identity: AgentIdentity) -> TownHold? {
        if holds.isEmpty || plantedFault == .ignoresStop { return nil }
        var reasons: [TownHold] = [.away, .stop, .shuttingDown]
        if let rig = identity.rig { reasons += [.rigStop(rig), .parked(rig)] }
        // Boot looks after the deacon: it would bring it back.
        if identity.role == .deacon || identity.role == .boot { reasons.append(.deaconPaused) }
        return reasons.first(where: holds.contains)
    }

    // MARK: - What gt reports

    mutating func readRestartState(_ state: RestartState) {
        for agent in state.crashLoops.sorted() where !crashLoops.contains(agent) {
            effects.append(.emit(.crashLoop(agent: redactor.redact(agent))))
        }
        crashLoops = state.crashLoops
    }

    mutating func readTownEvent(_ event: TownEvent) {
        // gt's pruner writes the file anew, and what was read before comes again (gt: krc/krc.go:192-369).
        guard seen.insert("town \(event.identity)") else { return }
        effects.append(
            .emit(
                .townDeath(
                    event.kind.rawValue, at: event.time.map(redactor.redact), actor: redactor.redact(event.actor),
                    payload: redactor.redact(event.payload))))
    }
}

extension TownFile {
    /// The rig that it belongs to.
    var rig: String? {
        switch self {
        case .settings, .presets, .rigs, .daemon, .role: nil
        case .rigSettings(let rig), .rigPresets(let rig), .rigRole(let rig, _): rig
        }
    }
}
