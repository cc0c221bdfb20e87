// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Timekeeping

/// Something that is wrong and gets one bead: filed when it begins, described while it lasts, closed when it ends.
public struct Incident: Sendable, Hashable {
    public let condition: Condition
    public internal(set) var since: Timestamp
    /// nil while it lasts.
    public internal(set) var ended: Timestamp?
    /// What the bead should say.
    public internal(set) var text: String
    /// What the bead says.
    var filedText: String?
    var describedAt: Timestamp?
    /// The bead's id, nil until it is known.
    public internal(set) var bead: String?
    /// bd was called to file it, perhaps by a process before this one: it may be filed already.
    public internal(set) var isAttempted = false

    /// Of the bead. It names the incident, so that it is found again.
    public var title: String { "gasclawd: \(IncidentText.title(of: condition))" }
}

/// What has to be done with bd next.
public enum IncidentStep: Sendable, Hashable {
    /// Look for an open bead of that title; the answer is ``IncidentBook/found(_:for:at:)``.
    case lookUp(Condition, title: String)
    case create(Condition, title: String, text: String)
    case describe(Condition, bead: String, text: String)
    case close(Condition, bead: String, reason: String)
    /// Whether a bead that would not be closed is closed, or gone.
    case check(Condition, bead: String)

    public var condition: Condition {
        switch self {
        case .lookUp(let condition, _), .create(let condition, _, _), .describe(let condition, _, _),
            .close(let condition, _, _), .check(let condition, _):
            condition
        }
    }
}

/// Decides what is filed, described and closed. It calls nothing; one step is under way at a time.
public struct IncidentBook: Sendable {
    /// A bead is described anew no more often than this.
    static let describeInterval = Duration.seconds(5 * 60)
    static let backoffMin = Duration.seconds(5)
    static let backoffMax = Duration.seconds(10 * 60)
    /// The pause after state that could not be written.
    public static let backoffAfterWriting = Duration.seconds(5)
    /// Incidents that are over and could not be filed yet; the oldest go first.
    static let unfiledMax = 64

    public private(set) var incidents: [Condition: Incident] = [:]
    /// What has to survive a restart has changed.
    public private(set) var isChanged = false
    private var failures = 0
    private var retryAt: Timestamp?
    /// Whose bead was looked for and is not there.
    private var isMissing: Set<Condition> = []
    /// Whose bead would not be closed.
    private var isDoubtful: Set<Condition> = []

    /// - Parameter state: What an earlier process left, as ``json``.
    public init(state: JSONValue? = nil) {
        for entry in state?["incidents"]?.array ?? [] {
            guard let condition = entry["condition"]?.string.flatMap(Condition.init(text:)),
                let since = entry["since"]?.string.flatMap({ Timestamp(rfc3339: $0) })
            else { continue }
            var incident = Incident(
                condition: condition, since: since,
                ended: entry["ended"]?.string.flatMap { Timestamp(rfc3339: $0) }, text: entry["text"]?.string ?? "")
            incident.bead = entry["bead"]?.string
            incident.filedText = entry["filed_text"]?.string
            incident.isAttempted = entry["attempted"]?.bool ?? false
            incidents[condition] = incident
        }
    }

    /// What has to survive a restart.
    public var json: JSONValue {
        let list = incidents.values.sorted { $0.condition < $1.condition }.map { incident -> JSONValue in
            [
                "condition": .string(incident.condition.text), "since": .string(incident.since.rfc3339),
                "ended": .optional(incident.ended?.rfc3339), "text": .string(incident.text),
                "filed_text": .optional(incident.filedText), "bead": .optional(incident.bead),
                "attempted": .bool(incident.isAttempted),
            ]
        }
        return ["version": 1, "incidents": .array(list)]
    }

    /// The state is on disk.
    public mutating func saved() { isChanged = false }

    // MARK: - What happens

    /// Brings the incidents in line with the status (contract C).
    public mutating func settle(_ status: JSONValue, at now: Timestamp) {
        let present = Condition.incidents(in: status)
        for condition in present {
            let text = IncidentText.text(of: condition, in: status)
            guard var incident = incidents[condition] else {
                incidents[condition] = Incident(condition: condition, since: now, text: text)
                isChanged = true
                continue
            }
            // It is back before its bead was closed: it goes on with it.
            if incident.ended != nil || incident.text != text { isChanged = true }
            incident.ended = nil
            incident.text = text
            incidents[condition] = incident
        }
        for (condition, incident) in incidents where incident.ended == nil && !present.contains(condition) {
            // A parked service that is being tried again is not mended yet.
            guard condition.lasts(in: status) != true else { continue }
            incidents[condition]?.ended = now
            isChanged = true
        }
        let unfiled = incidents.values.filter { $0.ended != nil && $0.bead == nil }.sorted { $0.since < $1.since }
        for incident in unfiled.dropLast(Self.unfiledMax) { forget(incident.condition) }
    }

    /// What to do now; nil: nothing, or nothing yet.
    public func step(at now: Timestamp) -> IncidentStep? {
        if let retryAt, now < retryAt, retryAt - now <= Self.backoffMax { return nil }
        for incident in incidents.values.sorted(by: { ($0.since, $0.condition) < ($1.since, $1.condition) }) {
            if let step = step(of: incident, now) { return step }
        }
        return nil
    }

    private func step(of incident: Incident, _ now: Timestamp) -> IncidentStep? {
        let condition = incident.condition
        guard let bead = incident.bead else {
            return isMissing.contains(condition)
                ? .create(condition, title: incident.title, text: incident.text)
                : .lookUp(condition, title: incident.title)
        }
        if let ended = incident.ended {
            if isDoubtful.contains(condition) { return .check(condition, bead: bead) }
            return .close(condition, bead: bead, reason: "over since \(ended.rfc3339)")
        }
        guard incident.text != incident.filedText else { return nil }
        if let last = incident.describedAt, now - last < Self.describeInterval, now >= last { return nil }
        return .describe(condition, bead: bead, text: incident.text)
    }

    /// When ``step(at:)`` has to be asked again though nothing happened; nil: not.
    public func nextWake(after now: Timestamp) -> Timestamp? {
        if let retryAt, now < retryAt { return min(retryAt, now + Self.backoffMax) }
        return incidents.values.filter { $0.bead != nil && $0.ended == nil && $0.text != $0.filedText }
            .compactMap(\.describedAt).min().map { max($0 + Self.describeInterval, now) }
    }

    /// Somebody set the clock: pauses last as long as they had to. When an incident began and ended stays as written.
    ///
    /// - Parameter jump: How far; negative: back.
    public mutating func clockSet(by jump: Duration) {
        retryAt = retryAt.map { $0 + jump }
        for (condition, incident) in incidents {
            incidents[condition]?.describedAt = incident.describedAt.map { $0 + jump }
        }
    }

    // MARK: - What came of a step

    /// bd is about to be called to file it. What this changes has to be on disk before.
    public mutating func begin(_ step: IncidentStep) {
        guard case .create(let condition, _, _) = step, incidents[condition]?.isAttempted == false else { return }
        incidents[condition]?.isAttempted = true
        isChanged = true
    }

    /// - Parameters:
    ///   - bead: The open bead of that title, nil if there is none.
    ///   - condition: What the title was made from.
    ///   - now: When bd answered.
    public mutating func found(_ bead: String?, for condition: Condition, at now: Timestamp) {
        succeeded()
        guard let bead else {
            isMissing.insert(condition)
            return
        }
        incidents[condition]?.bead = bead
        isChanged = true
    }

    public mutating func created(_ bead: String, for step: IncidentStep, at now: Timestamp) {
        succeeded()
        isMissing.remove(step.condition)
        guard case .create(let condition, _, let text) = step else { return }
        incidents[condition]?.bead = bead
        incidents[condition]?.filedText = text
        incidents[condition]?.describedAt = now
        isChanged = true
    }

    public mutating func described(_ step: IncidentStep, at now: Timestamp) {
        succeeded()
        guard case .describe(let condition, _, let text) = step else { return }
        incidents[condition]?.filedText = text
        incidents[condition]?.describedAt = now
        isChanged = true
    }

    /// The bead is closed, by us or by somebody else. An incident that came back meanwhile is a new one.
    public mutating func closed(_ condition: Condition, at now: Timestamp) {
        succeeded()
        guard let incident = incidents[condition] else { return }
        forget(condition)
        guard incident.ended == nil else { return }
        incidents[condition] = Incident(condition: condition, since: now, text: incident.text)
    }

    /// bd did not do it: again after a pause, which grows.
    ///
    /// - Returns: The pause.
    @discardableResult
    public mutating func failed(_ step: IncidentStep, at now: Timestamp) -> Duration {
        var pause = Self.backoffMin
        for _ in 0..<min(failures, 10) { pause = min(pause * 2, Self.backoffMax) }
        failures += 1
        retryAt = now + pause
        let condition = step.condition
        switch step {
        // It may have been filed all the same.
        case .create: isMissing.remove(condition)
        case .close: isDoubtful.insert(condition)
        case .check: isDoubtful.remove(condition)
        case .describe:
            // A bead that somebody closed cannot be told more; the others must not wait for it.
            incidents[condition]?.describedAt = now
        case .lookUp: break
        }
        return pause
    }

    private mutating func succeeded() {
        failures = 0
        retryAt = nil
    }

    private mutating func forget(_ condition: Condition) {
        incidents[condition] = nil
        isMissing.remove(condition)
        isDoubtful.remove(condition)
        isChanged = true
    }
}
