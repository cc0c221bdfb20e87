// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import KeyPool
import Secrets
import Timekeeping

/// Why an agent is started anew (contract D).
public enum ReloadReason: String, Sendable, Hashable {
    case key, config, recovered, manual
}

/// A living agent process that was started with a key.
public struct Lease: Sendable, Equatable {
    public let process: ProcessName
    public let session: String
    public let identity: AgentIdentity
    public let place: PanePlace?
    /// Where it was started; the transcripts' folder is named after it.
    public let directory: String
    public let slug: ProjectSlug
    public let key: KeyID
    public let baseURL: String
    public let launch: Settings.Launch?
    public internal(set) var since: Timestamp
    /// Whether a restart may name a conversation, or the caller's own arguments do.
    public let mayResume: Bool
    /// It was started to go on with a conversation.
    public let wasResumed: Bool
    /// Another agent started it and ends with it: it is never restarted by itself.
    public internal(set) var isNested = false
    public internal(set) var conversation: ConversationID?
    /// Since when its last row is a final error.
    public internal(set) var stalledAt: Timestamp?
    /// What stopped it.
    package var stalledBy: Cause?
    public internal(set) var isBusy: Bool?
    public internal(set) var pending: Pending?
    /// It cannot be started anew: it is not tried again by itself.
    package var isGivenUp = false
    /// What gt started it with (``EffectiveAgent/digest``); nil where that is not known.
    var settingsDigest: String?

    /// A restart that is due.
    public struct Pending: Sendable, Equatable {
        public var reason: ReloadReason
        public var since: Timestamp
        public var notBefore: Timestamp
        public var attempts = 0
        /// Somebody moved it away from its key.
        var avoidsKey = false
        /// By gt's verb: what it is started with has changed. Else the same command is run again in its pane.
        public var isByVerb = false
        /// Why it was to be restarted before the town's files changed too.
        var former: ReloadReason?
    }

    public var isStalled: Bool { stalledAt != nil }
}

// MARK: - State file

extension Lease {
    var json: JSONValue {
        [
            "pid": JSONValue(process.pid), "start_time": JSONValue(process.startTime), "session": .string(session),
            "role": .string(identity.role.rawValue), "rig": .optional(identity.rig),
            "pane": .optional(place?.pane), "tmux_socket": .optional(place?.socket), "cwd": .string(directory),
            "slug": .optional(slugOverride), "key": .string(key.text), "base_url": .string(baseURL),
            "since": .string(since.rfc3339), "nested": .bool(isNested), "may_resume": .bool(mayResume),
            "resumed": .bool(wasResumed),
            "conversation": .optional(conversation?.text), "stalled_at": .optional(stalledAt?.rfc3339),
            "stalled_by": .optional(stalledBy?.rawValue),
            "pending": .optional(pending?.reason.rawValue),
            "by_verb": .bool(pending?.isByVerb ?? false), "name": .optional(identity.name),
            "settings": .optional(settingsDigest),
        ]
    }

    private var slugOverride: String? {
        if slug != ProjectSlug(directory: directory), case .exact(let name) = slug { name } else { nil }
    }

    /// Takes a lease up from the state file; nil if something that it needs is missing.
    init?(_ json: JSONValue) {
        guard let pid = json["pid"]?.integer, let pid = Int32(exactly: pid),
            let start = json["start_time"]?.integer, let start = UInt64(exactly: start),
            let session = json["session"]?.string, let directory = json["cwd"]?.string,
            let key = json["key"]?.string.flatMap(KeyID.init(text:)), let baseURL = json["base_url"]?.string,
            let since = json["since"]?.string.flatMap({ Timestamp(rfc3339: $0) })
        else { return nil }
        process = ProcessName(pid: pid, startTime: start)
        self.session = session
        identity = AgentIdentity(
            role: json["role"]?.string.flatMap(AgentRole.init(rawValue:)) ?? .other, rig: json["rig"]?.string,
            name: json["name"]?.string)
        if let pane = json["pane"]?.string, let socket = json["tmux_socket"]?.string {
            place = PanePlace(socket: socket, pane: pane)
        } else {
            place = nil
        }
        self.directory = directory
        slug = json["slug"]?.string.map(ProjectSlug.exact) ?? ProjectSlug(directory: directory)
        self.key = key
        self.baseURL = baseURL
        // What it was launched with is not kept: it may hold values that do not belong into a state file.
        launch = nil
        self.since = since
        mayResume = json["may_resume"]?.bool ?? true
        wasResumed = json["resumed"]?.bool ?? false
        conversation = json["conversation"]?.string.flatMap(ConversationID.init)
        stalledAt = json["stalled_at"]?.string.flatMap { Timestamp(rfc3339: $0) }
        stalledBy = json["stalled_by"]?.string.flatMap(Cause.init(rawValue:))
        isBusy = nil
        isNested = json["nested"]?.bool ?? false
        pending = json["pending"]?.string.flatMap(ReloadReason.init(rawValue:)).map {
            Pending(
                reason: $0, since: since, notBefore: since, isByVerb: json["by_verb"]?.bool ?? false)
        }
        settingsDigest = json["settings"]?.string
    }
}
