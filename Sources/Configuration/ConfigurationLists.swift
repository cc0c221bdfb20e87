// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

extension Configuration {
    /// A project of the town.
    public struct Rig: Sendable, Equatable {
        /// gt takes no `-`, `.`, `/`, `\\` or space in it.
        public var name: String
        /// A repository's URL, or an absolute path of this machine.
        public var url: String

        public init(name: String, url: String) {
            self.name = name
            self.url = url
        }
    }

    /// The project that a town has if nobody says otherwise.
    public static let defaultRigs = [Rig(name: "project", url: "/project")]

    /// How the next key is chosen.
    public enum Strategy: String, Sendable, CaseIterable {
        /// One active key for all; then the one used longest ago.
        case leastRecentlyUsed = "lru"
        /// Each agent gets the ready key with the fewest agents.
        case spread
    }

    /// What gasclawd keeps running, in the order of the start.
    public enum Service: String, Sendable, CaseIterable, Comparable {
        case dolt, daemon, mayor

        private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
        public static func < (a: Service, b: Service) -> Bool { a.rank < b.rank }
    }

    /// What is kept running.
    public struct Services: Sendable, Equatable {
        /// In the order of the start.
        public var managed: [Service]
        /// Where dolt answers, on 127.0.0.1.
        public var doltPort: UInt16
    }

    /// What a line of a log means.
    public struct LogRule: Sendable, Equatable {
        /// A glob, relative to the town.
        public var files: String
        /// A regular expression (pcre2pattern(3)), for one line.
        public var match: String
        /// The cause that a matching line stands for.
        public var cause: String

        public init(files: String, match: String, cause: String) {
            self.files = files
            self.match = match
            self.cause = cause
        }

        /// The causes that a rule may name.
        public static let causes = [
            "quota", "throttled", "concurrency", "membership", "billing", "invalid", "terminated",
        ]
    }

    /// Who is told of some types of events.
    public struct Alert: Sendable, Equatable {
        /// Types of events, as `keys.exhausted`.
        public var events: [String]
        public var receiver: Receiver

        /// Where an alert goes.
        public enum Receiver: Sendable, Equatable {
            /// A program with its arguments; no shell.
            case command([String])
            case url(String)
        }

        public init(events: [String], receiver: Receiver) {
            self.events = events
            self.receiver = receiver
        }
    }
}
