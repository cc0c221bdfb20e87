// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Timekeeping

/// Something that has come into force, in the words of contract D.
public struct Event: Sendable, Equatable {
    public let type: String
    /// Behind `seq`, `boot_id`, `time` and `type`, in this order.
    public let fields: [Field]

    public struct Field: Sendable, Equatable {
        public let name: String
        public let value: JSONValue
    }

    init(_ type: String, _ fields: [(String, JSONValue)]) {
        self.type = type
        self.fields = fields.map { Field(name: $0.0, value: $0.1) }
    }

    public subscript(name: String) -> JSONValue? { fields.first { $0.name == name }?.value }

    /// The same event with each text in its fields changed.
    public func mappingStrings(_ change: (String) -> String) -> Event {
        Event(type, fields.map { ($0.name, $0.value.mappingStrings(change)) })
    }
}

/// An event with its place in the history.
public struct EventRecord: Sendable, Equatable {
    public let seq: Int
    public let bootID: String
    public let time: Timestamp
    public let event: Event

    public init(seq: Int, bootID: String, time: Timestamp, event: Event) {
        self.seq = seq
        self.bootID = bootID
        self.time = time
        self.event = event
    }

    /// One line of JSON, without its end.
    public var line: String {
        var object: JSONObject = [
            "seq": JSONValue(seq), "boot_id": .string(bootID), "time": .string(time.rfc3339),
            "type": .string(event.type),
        ]
        for field in event.fields { object[field.name] = field.value }
        return JSONValue.object(object).line
    }
}

// MARK: - The events

extension Event {
    public static func daemonReady(detail: String) -> Event { Event("daemon.ready", [("detail", .string(detail))]) }
    public static func daemonDegraded(detail: String) -> Event {
        Event("daemon.degraded", [("detail", .string(detail))])
    }
    public static func daemonStopping(detail: String) -> Event {
        Event("daemon.stopping", [("detail", .string(detail))])
    }

    /// - Parameters:
    ///   - step: Which one.
    ///   - detail: What was done, or why not.
    ///   - result: `done`, `skipped` or `failed`.
    ///   - took: Its time.
    public static func bootstrapStep(_ step: String, result: String, took: Duration, detail: String) -> Event {
        Event(
            "bootstrap.step",
            [
                ("step", .string(step)), ("result", .string(result)),
                ("seconds", JSONValue(Double(took.wholeMilliseconds) / 1000)),
                ("detail", .string(detail)),
            ])
    }

    public static func configApplied(path: String?, generation: Int) -> Event {
        Event("config.applied", [("path", .optional(path)), ("generation", JSONValue(generation))])
    }
    public static func configRejected(path: String?, errors: [String]) -> Event {
        Event("config.rejected", [("path", .optional(path)), ("errors", .array(errors.map(JSONValue.string)))])
    }

    /// `key.added`, `key.removed`, `key.activated` and `key.recovered`.
    public static func key(_ what: String, id: String, account: String, reason: String) -> Event {
        Event("key.\(what)", [("id", .string(id)), ("account", .string(account)), ("reason", .string(reason))])
    }
    /// - Parameters:
    ///   - until: nil: until its file changes.
    ///   - what: `cooled` or `disabled`.
    ///   - id: The key's.
    ///   - account: The account's name.
    ///   - cause: What the failure is taken for.
    ///   - reason: In words.
    public static func keyOut(
        _ what: String, id: String, account: String, cause: String, until: Timestamp?, reason: String
    ) -> Event {
        Event(
            "key.\(what)",
            [
                ("id", .string(id)), ("account", .string(account)), ("cause", .string(cause)),
                ("until", .optional(until?.rfc3339)), ("reason", .string(reason)),
            ])
    }
    public static func keysExhausted(until: Timestamp?) -> Event {
        Event("keys.exhausted", [("until", .optional(until?.rfc3339))])
    }
    public static func keysRejected(path: String, error: String) -> Event {
        Event("keys.rejected", [("path", .string(path)), ("error", .string(error))])
    }

    /// - Parameters:
    ///   - count: How many of the keys a predecessor knew.
    ///   - path: The predecessor's file.
    public static func keysImported(path: String, count: Int) -> Event {
        Event("keys.imported", [("path", .string(path)), ("count", JSONValue(count))])
    }

    public static func sighting(
        id: String?, session: String?, cause: String, by: String, acted: Bool, why: String, text: String
    ) -> Event {
        Event(
            "sighting",
            [
                ("id", .optional(id)), ("session", .optional(session)), ("cause", .string(cause)), ("by", .string(by)),
                ("acted", .bool(acted)), ("why", .string(why)), ("text", .string(text)),
            ])
    }

    /// `agent.leased`, `agent.exited`, `agent.stalled`, `agent.unmanaged` and `agent.unsafe_settings`.
    public static func agent(
        _ what: String, session: String, role: String, pid: Int32, id: String?, detail: String? = nil
    ) -> Event {
        var fields: [(String, JSONValue)] = [
            ("session", .string(session)), ("role", .string(role)), ("pid", JSONValue(pid)), ("id", .optional(id)),
        ]
        if let detail { fields.append(("detail", .string(detail))) }
        return Event("agent.\(what)", fields)
    }
    /// `agent.reload.started`, `.finished` and `.failed`.
    public static func reload(
        _ what: String, session: String, role: String, reason: String, resumed: Bool, detail: String? = nil
    ) -> Event {
        var fields: [(String, JSONValue)] = [
            ("session", .string(session)), ("role", .string(role)), ("reason", .string(reason)),
            ("resumed", .bool(resumed)),
        ]
        if let detail { fields.append(("detail", .string(detail))) }
        return Event("agent.reload.\(what)", fields)
    }

    /// `service.starting`, `.up`, `.exited`, `.backoff`, `.parked` and `.stopped`.
    ///
    /// - Parameters:
    ///   - what: The last part of the type.
    ///   - name: `dolt`, `daemon` or `mayor`.
    ///   - pid: Its process; nil where there is none.
    ///   - status: How it ended; nil where nobody knows.
    ///   - nextRetryAt: When it is tried again; nil: only something that happens leads to that.
    ///   - detail: Why, in words.
    public static func service(
        _ what: String, name: String, pid: Int32?, status: String?, nextRetryAt: Timestamp?, detail: String
    ) -> Event {
        Event(
            "service.\(what)",
            [
                ("name", .string(name)), ("pid", pid.map { JSONValue($0) } ?? .null), ("status", .optional(status)),
                ("next_retry_at", .optional(nextRetryAt?.rfc3339)), ("detail", .string(detail)),
            ])
    }

    /// `town.estop` and `town.thaw`.
    ///
    /// - Parameters:
    ///   - what: `estop` or `thaw`.
    ///   - reason: As gt's file says it.
    ///   - rig: nil: the whole town.
    ///   - trigger: Who stopped it, as gt's file says; nil when it ends.
    public static func town(
        _ what: String, rig: String? = nil, trigger: String? = nil, reason: String? = nil
    ) -> Event {
        Event(
            "town.\(what)",
            [("rig", .optional(rig)), ("trigger", .optional(trigger)), ("reason", .optional(reason))])
    }
    /// `town.session_death` and `town.mass_death`.
    ///
    /// - Parameters:
    ///   - what: `session_death` or `mass_death`.
    ///   - actor: Who told gt.
    ///   - at: gt's time of it.
    ///   - payload: What gt says of it, as text.
    public static func townDeath(_ what: String, at: String?, actor: String, payload: String) -> Event {
        Event("town.\(what)", [("at", .optional(at)), ("actor", .string(actor)), ("detail", .string(payload))])
    }
    /// gt's daemon has given up an agent.
    public static func crashLoop(agent: String) -> Event {
        Event(
            "town.crash_loop",
            [
                ("agent", .string(agent)),
                ("detail", .string("gt restarts it no more (gt daemon clear-backoff \(agent) makes it try again)")),
            ])
    }
    /// A file of the town that changes nothing here.
    public static func townChanged(path: String) -> Event { Event("town.changed", [("path", .string(path))]) }

    /// `watch.overflow`, `watch.degraded` and `watch.recovered`.
    public static func watch(_ what: String, path: String?, detail: String) -> Event {
        Event("watch.\(what)", [("path", .optional(path)), ("detail", .string(detail))])
    }
}
