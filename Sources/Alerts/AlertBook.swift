// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON
import Timekeeping

/// What one receiver is told of.
public struct AlertRule: Sendable, Hashable {
    /// Names the receiver; stays the same when the events change.
    public let receiver: String
    /// Types of events.
    public let events: Set<String>

    public init(receiver: String, events: Set<String>) {
        self.receiver = receiver
        self.events = events
    }
}

/// One message to one receiver.
public struct AlertMessage: Sendable, Hashable {
    public let receiver: String
    /// nil for an event that tells of a moment alone.
    public let condition: Condition?
    public let isRecovery: Bool
    /// One line of JSON.
    public let line: String
}

/// Decides who is told what: each receiver hears of a condition once when it begins and once when it is over, however
/// often its event comes meanwhile, and also across a restart.
public struct AlertBook: Sendable {
    private struct Open: Sendable {
        var since: Timestamp
        var event: JSONValue
        /// The receiver was told; what was not is told after a crash.
        var isTold: Bool
        /// It is over, and that is being told.
        var isEnding: Bool
    }

    /// The same moment again within this time is not told.
    static let momentInterval = Duration.seconds(60)

    public private(set) var rules: [AlertRule]
    private var open: [String: [Condition: Open]] = [:]
    /// The last moment of each type, by receiver.
    private var moments: [String: [String: (fields: [Event.Field], time: Timestamp)]] = [:]
    /// What has to survive a restart has changed.
    public private(set) var isChanged = false

    /// - Parameters:
    ///   - rules: `[[alerts]]`.
    ///   - state: What an earlier process left, as ``json``.
    public init(rules: [AlertRule], state: JSONValue? = nil) {
        self.rules = rules
        for entry in state?["conditions"]?.array ?? [] {
            guard let receiver = entry["receiver"]?.string, let event = entry["event"],
                let condition = entry["condition"]?.string.flatMap(Condition.init(text:)),
                let since = entry["since"]?.string.flatMap({ Timestamp(rfc3339: $0) })
            else { continue }
            open[receiver, default: [:]][condition] = Open(
                since: since, event: event, isTold: entry["told"]?.bool ?? true, isEnding: false)
        }
        drop()
    }

    /// What an earlier process noted and told nobody any more.
    public var untold: [AlertMessage] {
        open.sorted { $0.key < $1.key }.flatMap { receiver, conditions in
            conditions.sorted { $0.key < $1.key }.filter { !$0.value.isTold }.map { condition, entry in
                AlertMessage(receiver: receiver, condition: condition, isRecovery: false, line: entry.event.line)
            }
        }
    }

    /// Takes other rules; receivers that stay keep what they were told.
    public mutating func configure(_ rules: [AlertRule]) {
        self.rules = rules
        drop()
    }

    private mutating func drop() {
        let receivers = Set(rules.map(\.receiver))
        for receiver in open.keys where !receivers.contains(receiver) {
            open[receiver] = nil
            isChanged = true
        }
        for receiver in moments.keys where !receivers.contains(receiver) { moments[receiver] = nil }
    }

    /// Takes note of an event.
    ///
    /// - Returns: What has to be told now.
    public mutating func take(_ record: EventRecord) -> [AlertMessage] {
        var messages = end(seq: record.seq, bootID: record.bootID, at: record.time) { condition in
            condition.isEnded(by: record.event)
        }
        var told: Set<String> = []
        for rule in rules where rule.events.contains(record.event.type) && told.insert(rule.receiver).inserted {
            let condition = Condition(begunBy: record.event)
            guard isNews(record, condition, for: rule.receiver) else { continue }
            messages.append(
                AlertMessage(receiver: rule.receiver, condition: condition, isRecovery: false, line: record.line))
        }
        return messages
    }

    private mutating func isNews(_ record: EventRecord, _ condition: Condition?, for receiver: String) -> Bool {
        if let condition {
            // One that is over, which is being told at this moment, begins anew.
            if open[receiver]?[condition]?.isEnding == false { return false }
            open[receiver, default: [:]][condition] = Open(
                since: record.time, event: Self.parsed(record.line), isTold: false, isEnding: false)
            isChanged = true
            return true
        }
        let type = record.event.type
        if let last = moments[receiver]?[type], last.fields == record.event.fields,
            record.time - last.time < Self.momentInterval, record.time >= last.time
        {
            return false
        }
        moments[receiver, default: [:]][type] = (record.event.fields, record.time)
        return true
    }

    /// Somebody set the clock: what is not told again stays so for as long as before.
    ///
    /// - Parameter jump: How far; negative: back.
    public mutating func clockSet(by jump: Duration) {
        for (receiver, types) in moments {
            moments[receiver] = types.mapValues { ($0.fields, $0.time + jump) }
        }
    }

    /// Compares what is open with the status.
    ///
    /// - Returns: What has to be told now: what is over.
    public mutating func settle(
        _ status: JSONValue, seq: Int, bootID: String, at now: Timestamp
    ) -> [AlertMessage] {
        end(seq: seq, bootID: bootID, at: now) { $0.lasts(in: status) == false }
    }

    /// Whether the status has to be looked at.
    public var hasOpen: Bool { open.contains { !$0.value.isEmpty } }

    private mutating func end(
        seq: Int, bootID: String, at now: Timestamp, where isOver: (Condition) -> Bool
    ) -> [AlertMessage] {
        var messages: [AlertMessage] = []
        for (receiver, conditions) in open.sorted(by: { $0.key < $1.key }) {
            for (condition, entry) in conditions.sorted(by: { $0.key < $1.key }) where !entry.isEnding {
                guard isOver(condition) else { continue }
                open[receiver]?[condition]?.isEnding = true
                let line: JSONValue = [
                    "seq": JSONValue(seq), "boot_id": .string(bootID), "time": .string(now.rfc3339),
                    "type": "alert.recovered", "recovered": true, "condition": .string(condition.type),
                    "subject": condition.subject.isEmpty ? .null : .string(condition.subject),
                    "since": .string(entry.since.rfc3339), "event": entry.event,
                ]
                messages.append(
                    AlertMessage(receiver: receiver, condition: condition, isRecovery: true, line: line.line))
            }
        }
        return messages
    }

    /// A message was handed over, or given up.
    public mutating func told(_ message: AlertMessage) {
        guard let condition = message.condition, let entry = open[message.receiver]?[condition] else { return }
        if message.isRecovery {
            guard entry.isEnding else { return }
            open[message.receiver]?[condition] = nil
        } else {
            open[message.receiver]?[condition]?.isTold = true
        }
        isChanged = true
    }

    /// What has to survive a restart: what receivers were told of, or will be, and not yet that it is over.
    public var json: JSONValue {
        var told: [JSONValue] = []
        for (receiver, conditions) in open.sorted(by: { $0.key < $1.key }) {
            for (condition, entry) in conditions.sorted(by: { $0.key < $1.key }) {
                told.append([
                    "receiver": .string(receiver), "condition": .string(condition.text),
                    "since": .string(entry.since.rfc3339), "told": .bool(entry.isTold), "event": entry.event,
                ])
            }
        }
        return ["version": 1, "conditions": .array(told)]
    }

    /// The state is on disk.
    public mutating func saved() { isChanged = false }

    private static func parsed(_ line: String) -> JSONValue {
        do throws(JSONError) { return try JSONValue(parsing: line) } catch { return .null }
    }
}
