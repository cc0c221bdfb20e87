// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Secrets

/// Names a process for good: its number and its start time (proc(5)).
public struct ProcessName: Sendable, Hashable {
    public let pid: Int32
    public let startTime: UInt64

    public init(pid: Int32, startTime: UInt64) {
        self.pid = pid
        self.startTime = startTime
    }

    /// As evidence and state files name a lease.
    public var text: String { "\(pid):\(startTime)" }
}

/// A request that waits for its answer; the performer knows who asked.
public struct ReplyToken: Sendable, Hashable {
    public let serial: UInt64
    public init(serial: UInt64) { self.serial = serial }
}

/// What has happened. Everything that the controller learns comes in here, with the time.
public enum Input: Sendable {
    /// An account's file was read.
    case accountRead(name: String, path: String, file: AccountFile, digest: String)
    /// An account's file cannot be used: what it held before stays.
    case accountRejected(name: String, path: String, error: String)
    /// An account's file is not there.
    case accountGone(name: String)
    /// A predecessor left its state; only before ``started``.
    case legacyFound(LegacyState)
    /// All accounts have been read for the first time, and leases of an earlier process were looked up.
    case started
    /// - Parameter isNested: The process was started by another agent of ours, in whose pane it runs.
    case leaseRequested(LeaseRequest, process: ProcessName, token: ReplyToken, isNested: Bool = false)
    /// An agent was started while we were away; its launcher left a note.
    case leaseFound(Lease)
    /// A client runs in the town that was not started through us.
    case unmanagedFound(UnmanagedAgent)
    /// Whoever waited for a lease has gone.
    case leaseWithdrawn(ReplyToken)
    case processExited(ProcessName)
    /// A row of a transcript. `folder` and `conversation` are from the file's path, which the row cannot forge.
    case transcript(TranscriptRow, folder: String, conversation: ConversationID?)
    /// The client's StopFailure hook.
    case hook(HookSighting)
    /// A line of a log that `[[watch.logs]]` names.
    case logLine(LogSighting)
    /// A provider's answer to a question of ours.
    case probed(KeyID, ProbeKind, ProbeOutcome)
    case session(SessionFile)
    /// - Parameter isChanged: Something else in the configuration is another, which takes effect elsewhere.
    case configured(Settings, path: String?, isChanged: Bool = false)
    case configurationRejected(path: String?, errors: [String])
    case rotationRequested(ReplyToken)
    /// - Parameter key: nil: all, where that makes sense.
    case keyCommand(KeyCommand, key: KeyID?, ReplyToken)
    /// - Parameter sessions: nil: all.
    case reloadRequested(sessions: [String]?, ReplyToken)
    /// The town's emergency stop came or went (gt: `ESTOP`).
    case stopped(Bool)
    /// Something that makes gt leave agents alone came or went.
    case held(TownHold, Bool, EmergencyStop? = nil)
    /// Another town is looked after from now on.
    case townForgotten
    /// Files from which gt learns what agents are started with.
    case townRead([TownReading], TownReadingSource)
    /// gt has stopped or thawed the town for us, or why not.
    case parked(isStop: Bool, failure: String?)
    /// `daemon/restart_state.json`.
    case restartState(RestartState)
    /// A line of `.events.jsonl`.
    case townEvent(TownEvent)
    /// A file of the town that is reported and nothing else.
    case townChanged(path: String)
    /// The town's root with links followed: agents see their folder so.
    case townLocated(String)
    /// We are about to end: nobody is started anew any more.
    case stopping
    /// A reload's respawn was done, or why not.
    case reloadPerformed(id: UInt64, failure: String?)
    /// A reload was put off on its way: the agent has ended, and may not be brought back now.
    case reloadPutOff(id: UInt64, why: String)
    /// What became of a pane whose agent has ended.
    case paneSeen(PanePlace, PaneState)
    /// A tmux server has ended, and all its sessions with it.
    ///
    /// - Parameter isCrash: A signal ended it; nil: nobody knows.
    case serverEnded(socket: String, isCrash: Bool?)
    /// A time that was asked for has come.
    case woke
    /// Somebody set the clock.
    ///
    /// - Parameter by: How far; negative: back.
    case clockSet(by: Duration)
}

/// What can be done to a key by hand.
public enum KeyCommand: String, Sendable, CaseIterable { case clear, disable, enable }

/// What has to be done. The performer does it in this order and reports what came of it as new inputs.
public enum Effect: Sendable {
    case emit(Event)
    /// The state that survives a restart has changed.
    case persist
    case answerLease(ReplyToken, Result<LeaseAnswer, ControlError>)
    case answerRotation(ReplyToken, Result<String, ControlError>)
    case answer(ReplyToken, Result<JSONValue, ControlError>)
    /// Report the end of this process.
    case watch(ProcessName)
    /// The set of living leases is another: followed folders may change.
    case leasesChanged
    /// No trust question for an agent in this folder; done before the lease is answered.
    case trust(directory: String)
    /// The set of keys is another: approvals and redaction follow.
    case keysChanged
    /// The active key or the launch values are others: the launcher's fall-back file follows.
    case launchValuesChanged
    case reload(ReloadOrder)
    /// Ask a key's provider; the answer is ``Input/probed(_:_:_:)``.
    case probe(ProbeOrder)
    case restart(RestartOrder)
    /// Look what became of a pane, and answer with ``Input/paneSeen(_:_:)``.
    case look(PanePlace, session: String)
    /// A service that reads a file only once has to be started anew if it has read another version.
    ///
    /// - Parameters:
    ///   - changed: The file, by its path in the town.
    ///   - mayBeItsOwn: What changed can have been written by the service itself, right after its start.
    case restartService(String, changed: String, mayBeItsOwn: Bool)
    /// The town has other rigs: the files to be read are others.
    case rigsChanged
    /// Stop the town, or thaw it; the answer is ``Input/parked(isStop:failure:)``.
    case park(Bool)
    /// Something for people that is no event.
    case note(String)
}

/// A pane whose agent has ended.
public enum PaneState: Sendable, Hashable {
    /// There is none, or it is another session's.
    case gone
    /// Something runs in it.
    case alive
    /// - Parameter status: The exit code; nil: a signal ended it.
    case dead(status: Int32?)
    /// tmux does not tell.
    case unknown
}

/// One agent to be started anew by gt.
public struct RestartOrder: Sendable, Hashable {
    public let id: UInt64
    public let session: String
    /// Behind `gt`.
    public let arguments: [String]
    /// Whose agent it is: looked at again before gt is called.
    public let identity: AgentIdentity
}

/// One agent to be started anew in its pane.
public struct ReloadOrder: Sendable, Hashable {
    public let id: UInt64
    public let session: String
    public let place: PanePlace
    /// The process to end first; nil where the pane is dead already.
    public let process: ProcessName?
    /// Whose agent it is: looked at again before the command is run again.
    public let identity: AgentIdentity
}

/// A pane of a tmux server.
public struct PanePlace: Sendable, Hashable {
    public let socket: String
    public let pane: String

    public init(socket: String, pane: String) {
        self.socket = socket
        self.pane = pane
    }
}

/// What of the configuration the controller needs.
public struct Settings: Sendable, Equatable {
    /// What agents are started with; a lease that was given other values is started anew.
    public struct Launch: Sendable, Equatable {
        public var baseURL: String
        public var configDirectory: String
        public var program: String?
        public var isSandboxed: Bool
        public var bypassesPermissions: Bool
        public var environment: [Variable]
        public struct Variable: Sendable, Equatable {
            public let name: String
            public let value: String
            public init(name: String, value: String) {
                self.name = name
                self.value = value
            }
        }

        public init(
            baseURL: String, configDirectory: String, program: String?, isSandboxed: Bool, bypassesPermissions: Bool,
            environment: [Variable]
        ) {
            self.baseURL = baseURL
            self.configDirectory = configDirectory
            self.program = program
            self.isSandboxed = isSandboxed
            self.bypassesPermissions = bypassesPermissions
            self.environment = environment
        }
    }
    public var townRoot: String
    /// The accounts directory, for messages.
    public var accounts: String
    public var launch: Launch
    public var bin: String
    public var settingsDirectory: String
    public var resumePrompt: String
    /// `keys.cooldown`.
    public var cooldown: Duration
    /// `keys.strategy`.
    public var strategy: KeyStrategy
    /// `keys.probe = "usage"`.
    public var isProbed: Bool
    /// `reload.agents = "rolling"`.
    public var isRolling: Bool
    /// How long a busy agent is waited for.
    public var patience: Duration
    /// The mayor is one of the services, and brought back as one.
    public var managesMayor = false
    /// `reload.park`.
    public var isParking = false

    public init(
        townRoot: String, accounts: String = "the accounts directory", launch: Launch, bin: String,
        settingsDirectory: String, resumePrompt: String,
        cooldown: Duration, strategy: KeyStrategy = .leastRecentlyUsed, isProbed: Bool = false, isRolling: Bool,
        patience: Duration
    ) {
        self.strategy = strategy
        self.isProbed = isProbed
        self.townRoot = townRoot
        self.accounts = accounts
        self.launch = launch
        self.bin = bin
        self.settingsDirectory = settingsDirectory
        self.resumePrompt = resumePrompt
        self.cooldown = cooldown
        self.isRolling = isRolling
        self.patience = patience
    }
}
