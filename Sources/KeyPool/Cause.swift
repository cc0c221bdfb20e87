// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Timekeeping

/// Why a request of an agent failed. The raw value is what status, events and the configuration file use.
public enum Cause: String, Sendable, Hashable, CaseIterable {
    /// Too many requests in a short time.
    case throttled
    /// Too many requests at once.
    case concurrency
    /// A window of the subscription is used up; see ``QuotaWindow``.
    case quota
    /// The membership is expired, or could not be checked.
    case membership
    /// The prepaid balance is used up.
    case billing
    /// The key is wrong, revoked, or belongs to another system.
    case invalid
    /// The provider has closed the account.
    case terminated
    /// The provider's servers or the network; not the key.
    case overloaded
    /// The provider refused the client program, or the client sent no key; not the key.
    case client
    /// The model is unknown or not allowed; not the key.
    case model
    /// The request itself was refused: too long, malformed; not the key.
    case request
    /// A refusal in words that no rule knows.
    case unknown
    /// Somebody took the key out by hand.
    case manual

    /// What follows from it.
    public var effect: Effect {
        switch self {
        case .throttled: Effect(scope: .key, restarts: .failedSession)
        case .concurrency: Effect(scope: .key, restarts: .failedSession)
        case .quota: Effect(scope: .account, restarts: .allLeases)
        case .membership, .billing: Effect(scope: .key, restarts: .allLeases)
        case .invalid, .terminated: Effect(scope: .key, restarts: .allLeases, disablesWhenConfirmed: true)
        case .unknown: Effect(scope: .key, restarts: .nobody)
        case .overloaded, .client, .model, .request, .manual: Effect(scope: .nothing, restarts: .nobody)
        }
    }

    public struct Effect: Sendable, Hashable {
        public enum Scope: Sendable { case nothing, key, account }
        public enum Restarts: Sendable { case nobody, failedSession, allLeases }
        /// What cools.
        public let scope: Scope
        /// Whose agents get another key at once.
        public let restarts: Restarts
        /// Two independent sightings take the key out until its file changes.
        public let disablesWhenConfirmed: Bool

        init(scope: Scope, restarts: Restarts, disablesWhenConfirmed: Bool = false) {
            self.scope = scope
            self.restarts = restarts
            self.disablesWhenConfirmed = disablesWhenConfirmed
        }
    }

    /// Whether what the provider asks to wait counts: a wrong key does not get right by waiting.
    var heedsRetryAfter: Bool { [.throttled, .concurrency, .quota, .billing].contains(self) }

    /// How long a key cools, before the limits that hold for a single sighting.
    ///
    /// - Parameters:
    ///   - repeats: How often the same cause has been seen on the key before.
    ///   - configured: `keys.cooldown`.
    func cooldown(window: QuotaWindow?, repeats: Int, configured: Duration) -> Duration {
        switch self {
        case .throttled: configured
        case .concurrency: .seconds(15)
        case .quota:
            switch window ?? .fiveHours {
            case .fiveHours: .seconds(15 * 60)
            case .week: .seconds(60 * 60)
            case .month: .seconds(6 * 60 * 60)
            }
        case .membership: repeats == 0 ? .seconds(10 * 60) : .seconds(60 * 60)
        case .billing: .seconds(6 * 60 * 60)
        case .invalid: .seconds(10 * 60)
        case .terminated: .seconds(60 * 60)
        case .unknown: .seconds(5 * 60)
        case .overloaded, .client, .model, .request, .manual: .zero
        }
    }
}

/// Which of a subscription's windows is used up.
public enum QuotaWindow: String, Sendable, Hashable {
    case fiveHours = "5-hour"
    case week = "weekly"
    case month = "monthly"
}

/// What a failure's text, status and type say.
public struct Verdict: Sendable, Hashable {
    public let cause: Cause
    public let window: QuotaWindow?
    /// What the provider asked to wait.
    public let retryAfter: Duration?
    /// When the provider said that the quota is there again.
    public let resetAt: Timestamp?
    /// The rule that decided, for `keys explain` and tests.
    public let rule: String
    /// Where the wording that decided is known from; nil where none did.
    public let source: WordingSource?

    public init(
        cause: Cause, window: QuotaWindow?, retryAfter: Duration? = nil, resetAt: Timestamp? = nil, rule: String,
        source: WordingSource? = nil
    ) {
        self.cause = cause
        self.window = window
        self.retryAfter = retryAfter
        self.resetAt = resetAt
        self.rule = rule
        self.source = source
    }

    /// The same with a reset time that was learned from elsewhere than the text.
    public func resetting(at instant: Timestamp) -> Verdict {
        Verdict(
            cause: cause, window: window, retryAfter: retryAfter, resetAt: instant, rule: rule, source: source)
    }

    /// The cause with its window, for people.
    public var detail: String { window.map { "\($0.rawValue) \(cause.rawValue)" } ?? cause.rawValue }
}
