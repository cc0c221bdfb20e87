// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Secrets
import Timekeeping

/// What decides: (state, input, now) → effects.
///
/// It reads no clock and touches nothing, so a whole life of the daemon can be replayed in a test.
public struct Controller: Sendable {
    public internal(set) var settings: Settings
    public internal(set) var pool: KeyPool
    /// Living agents with a key, by process.
    public internal(set) var leases: [ProcessName: Lease] = [:]
    /// Grows with each applied change of keys or configuration.
    public internal(set) var generation = 0
    /// Accounts whose file cannot be used, by name.
    var rejected: [String: StatusReport.Rejected] = [:]
    public internal(set) var redactor = Redactor()
    /// When the active key became it; an older row cannot be about it.
    var activatedAt: Timestamp
    var config: StatusReport.Config
    /// All accounts have been read once.
    public private(set) var isStarted = false
    /// The time of the last input: all that was due then has been done.
    var handledUpTo = Timestamp(microseconds: .min)
    /// What predecessors knew has been taken in, or looked for in vain.
    public private(set) var hasImported = false
    /// What the town's files say of agents.
    public internal(set) var town = TownConfiguration()
    /// Files of the town that cannot be used.
    var rejectedTown: [TownFile: StatusReport.Rejected] = [:]
    public internal(set) var holds: Set<TownHold> = []
    /// Agents that gt has given up.
    var crashLoops: Set<String> = []
    /// What the town's emergency stop says of itself.
    var stopNote: EmergencyStop?
    var parking = Parking()
    var isEnding = false
    /// The town's root with links followed, where it exists.
    var canonicalRoot: String?

    // Sightings
    var seen = SeenRows()
    var twins = SightingTwins()
    /// Rules for log lines that had their effect on the active key, by activation.
    var firedRules: Set<String> = []
    var probes = Probes()
    var lastEffect: [String: Timestamp] = [:]
    var deferred: [ProcessName: DeferredSighting] = [:]
    var rotations: [Timestamp] = []

    // Launches and reloads
    var waiting: [WaitingLaunch] = []
    var tickets: [PanePlace: ResumeTicket] = [:]
    var reload: RunningReload?
    var revivals: [PanePlace: Revival] = [:]
    /// Sessions that gt was to bring back and did not.
    var returns: [String: Return] = [:]
    /// Conversations of agents that gt brings back, by session: their panes are new.
    var sessionTickets: [String: ResumeTicket] = [:]
    var deaths: [PanePlace: Deaths] = [:]
    /// When a tmux server died under its sessions, by its socket.
    var lostServers: [String: Timestamp] = [:]
    var numbers: SeededNumbers
    var nextReloadID: UInt64 = 1

    /// The pool's keys, and those that were in it: agents still hold and show them.
    private var knownKeys: [KeyID: Key] = [:]
    private static let formerKeysMax = 256
    /// Processes that took the fall-back file's values, by their own word.
    var noted: Set<ProcessName> = []
    var unmanaged: [ProcessName: UnmanagedAgent] = [:]

    /// For the simulator alone.
    package var plantedFault: PlantedFault? { didSet { pool.plantedFault = plantedFault } }

    var effects: [Effect] = []

    /// - Parameters:
    ///   - settings: What of the configuration counts here.
    ///   - configPath: For the status; nil: defaults alone.
    ///   - now: The time that it is.
    ///   - state: What an earlier process left; leases in it are taken up with ``adopt(_:)``.
    ///   - seed: Of everything that is left to chance.
    public init(settings: Settings, configPath: String?, state: JSONValue?, at now: Timestamp, seed: UInt64 = 0) {
        self.settings = settings
        pool = KeyPool(cooldown: settings.cooldown, strategy: settings.strategy)
        numbers = SeededNumbers(seed: seed)
        if let state { pool.restore(state) }
        tickets = ResumeTicket.read(state?["resumes"]).filter { $0.value.expires > now }
        activatedAt = now
        config = StatusReport.Config(path: configPath, loadedAt: now, errors: [])
        probes = Probes(state?["probes"])
        hasImported = state?["imported"]?.bool ?? false
        if let state { restorePlans(state, at: now) }
        cutFuture(now)
    }

    /// The leases that an earlier process wrote down.
    public static func leases(in state: JSONValue) -> [Lease] {
        (state["leases"]?.array ?? []).compactMap(Lease.init)
    }

    /// Takes up a lease whose process is still alive.
    public mutating func adopt(_ lease: Lease) { leases[lease.process] = lease }

    /// Takes note of a lease whose process ended while nobody watched: if gt does not bring it back we do, and if a
    /// restart of it was due, or was going on, it goes on with its conversation whoever brings it back.
    public mutating func adoptEnded(_ lease: Lease, at now: Timestamp) {
        guard let place = lease.place, !lease.isNested else { return }
        planRevival(of: lease, at: place, now)
        guard lease.pending != nil, lease.mayResume else { return }
        tickets[place] = ResumeTicket(conversation: lease.conversation, expires: now + .seconds(60))
        sessionTickets[lease.session] = tickets[place]
    }

    /// Takes note that the tmux server of an agent that ended while nobody watched has died: there is no pane any more,
    /// so it is made anew with gt's verb. Its conversation goes on whoever does that, and how soon.
    ///
    /// - Parameters:
    ///   - lease: What ``adoptEnded(_:at:)`` was told before.
    ///   - now: The time that it is.
    public mutating func adoptLost(_ lease: Lease, at now: Timestamp) {
        guard let place = lease.place, revivals[place] != nil else { return }
        revivals[place]?.isServerLost = true
        guard let conversation = revivals[place]?.conversation, sessionTickets[lease.session] == nil else { return }
        sessionTickets[lease.session] = ResumeTicket(conversation: conversation, expires: now + Self.ticketLife)
    }

    /// What has to survive a restart.
    public var snapshot: JSONValue {
        var object = pool.snapshot.object ?? JSONObject()
        object["version"] = 1
        // What predecessors knew is taken in once.
        object["imported"] = .bool(hasImported)
        object["probes"] = probes.json
        object["resumes"] = ResumeTicket.json(tickets)
        object["leases"] = .array(leases.values.sorted { $0.process.text < $1.process.text }.map(\.json))
        addPlans(to: &object)
        return .object(object)
    }

    /// Draws the consequences of what has happened.
    public mutating func handle(_ input: Input, at now: Timestamp) -> [Effect] {
        effects = []
        handledUpTo = now
        // What the pool has told, not what the clock says: a cooldown that ends now ends a time without a key.
        let wasExhausted = pool.isExhausted
        switch input {
        case .accountRead(let name, let path, let file, let digest):
            readAccount(name, path, file, digest, now)
        case .accountRejected(let name, let path, let error):
            take(pool.accountUnreadable(name, at: now), now)
            rejectAccount(name, path, error)
        case .accountGone(let name):
            rejected[name] = nil
            pool.accountGone(name, at: now)
        case .legacyFound(let legacy): pool.note(legacy)
        case .started:
            start(now)
        case .leaseRequested(let request, let process, let token, let isNested):
            requestLease(request, process, token, isNested, now)
        case .leaseFound(let lease):
            find(lease)
        case .unmanagedFound(let agent):
            findUnmanaged(agent)
        case .leaseWithdrawn(let token):
            waiting.removeAll { $0.token == token }
        case .processExited(let process):
            processExited(process, now)
        case .transcript(let row, let folder, let conversation):
            readRow(row, folder, conversation, now)
        case .hook(let report):
            seeHook(report, now)
        case .logLine(let line):
            seeLogLine(line, now)
        case .probed(let key, let kind, let outcome):
            takeProbe(key, kind, outcome, now)
        case .session(let file):
            readSession(file)
        case .configured(let settings, let path, let isChanged):
            configure(settings, path, isChanged, now)
        case .configurationRejected(let path, let errors):
            rejectConfiguration(path, errors)
        case .rotationRequested(let token):
            rotate(token, now)
        case .keyCommand(let command, let key, let token):
            perform(command, key, token, now)
        case .reloadRequested(let sessions, let token):
            reloadAgents(sessions, token, now)
        case .reloadPerformed(let id, let failure):
            reloadPerformed(id, failure, now)
        case .reloadPutOff(let id, let why): reloadPutOff(id, why, now)
        case .paneSeen(let place, let state): paneSeen(place, state, now)
        case .serverEnded(let socket, let isCrash): serverEnded(socket, isCrash, now)
        case .stopped(let isStopped): setHold(.stop, isStopped, nil)
        case .held(let hold, let isOn, let note): setHold(hold, isOn, note)
        case .townForgotten: forgetTown()
        case .townRead(let readings, let source): readTown(readings, source, now)
        case .parked(let isStop, let failure): parked(isStop, failure, now)
        case .restartState(let state): readRestartState(state)
        case .townEvent(let event): readTownEvent(event)
        case .townChanged(let path): effects.append(.emit(.townChanged(path: redactor.redact(path))))
        case .townLocated(let root): canonicalRoot = root
        case .stopping: isEnding = true
        case .clockSet(let jump): clockSet(by: jump)
        case .woke: break
        }
        // Before all is known nothing is decided.
        guard isStarted else {
            defer { effects = [] }
            return effects
        }
        passTime(now)
        if wasExhausted && !pool.isExhausted && plantedFault != .leavesStalled { resumeStalled(now) }
        answerWaiting(now)
        advanceParking(now)
        advanceReloads(now)
        startProbes(now)
        defer { effects = [] }
        return effects
    }

    /// For the simulator: whether another one would write down the same. It is no if it is not sure.
    package func isSurelyWritten(like other: Controller) -> Bool {
        (pool.isSurelyWritten(like: other.pool) || pool.snapshot == other.pool.snapshot)
            && hasImported == other.hasImported && deferred == other.deferred
            && (leases == other.leases
                || leases.count == other.leases.count
                    && leases.allSatisfy { process, lease in
                        other.leases[process].map { $0 == lease || $0.json == lease.json } ?? false
                    })
    }

    /// For the simulator: the conversation that waits for the next agent in a pane.
    package func conversation(waitingIn place: PanePlace) -> ConversationID? { tickets[place]?.conversation }

    /// When the controller has to be asked again though nothing happened.
    public func nextWake(after now: Timestamp) -> Timestamp? {
        var times = [pool.nextChange(after: now), waiting.map(\.deadline).min(), reload?.deadline].compactMap { $0 }
        times += deferred.values.map(\.due)
        times += revivals.values.map(\.due)
        times += probes.planned.values.map(\.due)
        times += returns.values.map(\.due)
        times += [parking.notBefore].compactMap { $0 }
        times += leases.values.compactMap(mendedBy)
        if isRotationLimited(now) {
            times.append(rotations[rotations.count - Self.rotationsMax] + Self.rotationsWindow)
        }
        if reload == nil && pool.hasReadyKey(at: now) {
            times += leases.values.compactMap { lease in
                guard let pending = lease.pending else { return nil }
                return max(pending.notBefore, isHeldBack(lease) ? pending.since + settings.patience : pending.notBefore)
            }
        }
        // What was due at the last input and is still there waits for something else than time. What fell due since
        // then is due at once.
        return times.filter { $0 > handledUpTo }.min().map { max($0, now) }
    }

    private mutating func find(_ lease: Lease) {
        // A launcher that gave up waiting has told what it really took; our own answer never reached it.
        noted.insert(lease.process)
        unmanaged[lease.process] = nil
        leases[lease.process] = lease
        effects.append(.watch(lease.process))
        effects.append(.leasesChanged)
        effects.append(
            .emit(
                .agent(
                    "leased", session: lease.session, role: lease.identity.role.rawValue, pid: lease.process.pid,
                    id: lease.key.text)))
        effects.append(.persist)
    }

    // MARK: - Accounts

    private mutating func start(_ now: Timestamp) {
        isStarted = true
        hasImported = true
        for process in leases.keys { leases[process]?.cut(at: now) }
        take(pool.open(at: now), now)
        for lease in leases.values.sorted(by: { $0.process.pid < $1.process.pid }) {
            effects.append(.watch(lease.process))
        }
        if !leases.isEmpty { effects.append(.leasesChanged) }
        // Leases of agents that ended while nobody watched are not for the next start.
        effects.append(.persist)
        effects.append(.keysChanged)
        effects.append(.launchValuesChanged)
        restartOrphans(now)
        reconcileTown(now)
    }

    private mutating func readAccount(
        _ name: String, _ path: String, _ file: AccountFile, _ digest: String, _ now: Timestamp
    ) {
        let reason =
            !isStarted ? "start" : pool.accountNames.contains(name) ? "its file was changed" : "its file is new"
        let bases = isStarted ? pool.records.mapValues(\.baseURL) : [:]
        if let remark = file.remark {
            rejectAccount(name, path, remark)
        } else {
            rejected[name] = nil
        }
        let wasExhausted = pool.isExhausted
        let changes = pool.setAccount(name, keys: file.keys, digest: digest, at: now, reason: reason)
        take(changes, now)
        guard isStarted else { return }
        keepAgents(of: changes)
        if wasExhausted && !pool.isExhausted { awaitOtherFiles(now) }
        // Only what moved is put into order: with many accounts this is done for each of them.
        let moved = pool.records.values.filter { record in bases[record.id].map { $0 != record.baseURL } ?? false }
            .sorted { $0.id < $1.id }
        if !moved.isEmpty {
            if changes.isEmpty { generation += 1 }
            effects.append(.launchValuesChanged)
        }
        for record in moved {
            let baseURL = record.baseURL ?? settings.launch.baseURL
            restart(now, .key) { $0.key == record.id && $0.baseURL != baseURL }
        }
        restartOrphans(now)
    }

    private mutating func rejectAccount(_ name: String, _ path: String, _ error: String) {
        let entry = StatusReport.Rejected(path: path, error: redactor.redact(error))
        guard rejected[name] != entry else { return }
        rejected[name] = entry
        effects.append(.emit(.keysRejected(path: path, error: entry.error)))
    }

    /// Agents whose key is in no file any more get another one.
    private mutating func restartOrphans(_ now: Timestamp) {
        guard isStarted else { return }
        let held = pool
        restart(now, .key) { !held.holds($0.key) }
    }

    /// Puts changes of the pool into force and tells them.
    mutating func take(_ changes: [PoolChange], _ now: Timestamp) {
        guard !changes.isEmpty else { return }
        generation += 1
        var keysChanged = false
        for change in changes {
            switch change {
            case .added(let id, let account, let reason):
                keysChanged = true
                effects.append(.emit(.key("added", id: id.text, account: account, reason: reason)))
            case .removed(let id, let account, let reason):
                keysChanged = true
                effects.append(.emit(.key("removed", id: id.text, account: account, reason: reason)))
            case .cooled(let id, let account, let cause, let until, let reason):
                effects.append(
                    .emit(
                        .keyOut(
                            "cooled", id: id.text, account: account, cause: cause.rawValue, until: until, reason: reason
                        )))
            case .disabled(let id, let account, let cause, let reason):
                effects.append(
                    .emit(
                        .keyOut(
                            "disabled", id: id.text, account: account, cause: cause.rawValue, until: nil, reason: reason
                        )))
            case .recovered(let id, let account, let reason):
                // Ready again, it may fail again: as after an activation.
                if id == pool.active { firedRules = [] }
                effects.append(.emit(.key("recovered", id: id.text, account: account, reason: reason)))
            case .activated(let id, let account, let reason):
                activatedAt = now
                firedRules = []
                effects.append(.emit(.key("activated", id: id.text, account: account, reason: reason)))
                effects.append(.launchValuesChanged)
            case .exhausted(let until):
                effects.append(.emit(.keysExhausted(until: until)))
            case .imported(let path, let count):
                effects.append(.emit(.keysImported(path: path, count: count)))
            }
        }
        if keysChanged {
            learnKeys(changes)
            effects.append(.keysChanged)
            // Without a key there is no activation that would take the last one out of the launcher's file.
            if pool.active == nil { effects.append(.launchValuesChanged) }
        }
        effects.append(.persist)
    }

    /// Adds what is new alone: a folder with many accounts is read one by one.
    private mutating func learnKeys(_ changes: [PoolChange]) {
        for case .added(let id, _, _) in changes where knownKeys[id] == nil {
            guard let key = pool.records[id]?.key else { continue }
            knownKeys[id] = key
            redactor.add(key)
        }
        guard knownKeys.count > pool.records.count + Self.formerKeysMax else { return }
        knownKeys = pool.records.mapValues(\.key)
        redactor = Redactor(keys: knownKeys.values)
    }

    private mutating func passTime(_ now: Timestamp) {
        let changes = pool.expire(at: now)
        take(changes, now)
        if changes.contains(where: { if case .removed = $0 { true } else { false } }) { restartOrphans(now) }
        applyDeferred(now)
    }

    // MARK: - Configuration and commands

    private mutating func configure(_ new: Settings, _ path: String?, _ isChanged: Bool, _ now: Timestamp) {
        let isSame = new == settings && !isChanged && config.errors.isEmpty
        config = StatusReport.Config(path: path, loadedAt: now, errors: [])
        guard !isSame else { return }
        let old = settings
        settings = new
        pool.cooldown = new.cooldown
        pool.strategy = new.strategy
        if new != old || isChanged { generation += 1 }
        effects.append(.emit(.configApplied(path: path, generation: generation)))
        let isOff = plantedFault == .restartsWithoutNeed
        guard new.launch != old.launch || isOff else { return }
        effects.append(.launchValuesChanged)
        for lease in leases.values where lease.pending?.reason == .config && lease.launch == new.launch {
            // It was changed back before the agent's turn came.
            leases[lease.process]?.pending = nil
            effects.append(.persist)
        }
        // What an adopted lease was started with is not kept; it was an earlier configuration.
        restart(now, .config) { $0.launch != new.launch || isOff }
    }

    private mutating func rejectConfiguration(_ path: String?, _ errors: [String]) {
        let shown = errors.map(redactor.redact)
        guard config.errors != shown else { return }
        config.errors = shown
        effects.append(.emit(.configRejected(path: path, errors: shown)))
    }

    private mutating func rotate(_ token: ReplyToken, _ now: Timestamp) {
        let old = pool.active
        guard let changes = pool.rotate(at: now) else {
            let error = ControlError(
                code: "busy",
                message: pool.records.isEmpty
                    ? "there is no key (add one to the accounts directory)"
                    : "no other key is ready (gasclawd keys list shows when one is)")
            effects.append(.answerRotation(token, .failure(error)))
            return
        }
        take(changes, now)
        restart(now, .key, avoidsKey: true) { $0.key == old }
        effects.append(.answerRotation(token, .success(pool.active?.text ?? "")))
    }
}
