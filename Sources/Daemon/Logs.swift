// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import FileWatching
import GasTown
import LineMatching
import LinuxSys
import LogFollowing
import SystemPackage
import Timekeeping

/// Follows the town's logs and what `[[watch.logs]]` adds, and holds their lines against the rules.
final class Logs {
    /// A line that a rule matched.
    struct Match {
        /// The rule's name: `watch.logs[1]`, or one of ours.
        let rule: String
        /// What the line stands for; nil: its own words tell, and it is nobody's.
        let cause: String?
        let text: String
        /// When it was written at the latest; nil: before this process followed the file.
        let arrived: Timestamp?
    }

    /// What is followed without being asked for (design section 7).
    private struct BuiltIn {
        let id: String
        let pattern: [NamePattern]
    }
    private static let prefix = "logs:"
    private static let eventsName = Array(".events.jsonl".utf8)
    private static let builtIns = [
        BuiltIn(id: prefix + "daemon", pattern: [.name("daemon"), .name("daemon.log")]),
        BuiltIn(id: prefix + "root", pattern: [.name("daemon.log")]),
        BuiltIn(id: prefix + "logs", pattern: [.name("logs"), .affix("", ".log")]),
        BuiltIn(id: prefix + "events", pattern: [.name(".events.jsonl")]),
    ]

    /// What the client prints when a request failed for good, at the very beginning of a line (seen with 2.1.330), or
    /// behind the time that Go's log package puts before it. No line that gt itself writes speaks of a key: its own
    /// patterns are for panes, and `quota_dog` speaks of other accounts. And where an agent of ours prints this, its
    /// transcript tells it too, with the key that it had. So these lines are reported and are nobody's.
    private static let clientErrorPattern =
        "^(?:\\d{4}/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d )?(?:Failed to authenticate\\. |Please run /login \u{B7} )?API Error: "
    /// Logs in which gt puts down what agents say to each other (townlog/logger.go, GT_ACP_DEBUG).
    private static let chatter: Set<[UInt8]> = [Array("town.log".utf8), Array("acp.log".utf8), eventsName]
    /// Types of gt's events that are looked for in `.events.jsonl`.
    private static let eventWords = TownEvent.Kind.allCases.map { "\"\($0.rawValue)\"" }

    /// How many lines of a file are acted upon in a turn: each costs far more than one that does not match.
    private static let portionMax = 64

    private let files: FollowedFiles
    private let watcher: FileWatcher
    private let loop: EventLoop
    private let onMatch: (Match) -> Void
    private let onTownEvent: ([UInt8]) -> Void
    private let onProblem: (FilePath, String) -> Void
    private var root: FilePath = "/"
    private var rules: [Configuration.LogRule] = []
    private var clientError: LineRule?
    /// What the specs' files are held against, by spec.
    private var rulesOfSpec: [String: [(rule: LineRule, cause: String)]] = [:]
    private var specsOfFile: [FilePath: Set<String>] = [:]
    /// Rules that took too long too often, and were switched off.
    private(set) var switchedOff: [String] = []
    /// Until then what is read was written before we came.
    private var isCatchingUp = false

    init(
        files: FollowedFiles, watcher: FileWatcher, on loop: EventLoop, onMatch: @escaping (Match) -> Void,
        onTownEvent: @escaping ([UInt8]) -> Void, onProblem: @escaping (FilePath, String) -> Void
    ) {
        self.files = files
        self.watcher = watcher
        self.loop = loop
        self.onMatch = onMatch
        self.onTownEvent = onTownEvent
        self.onProblem = onProblem
    }

    static func isOurs(_ spec: String) -> Bool { spec.hasPrefix(prefix) }

    /// Follows the logs of a town from now on: what is written after this counts, and what was written since they were
    /// last read is read.
    func follow(root: FilePath, rules: [Configuration.LogRule]) {
        guard root != self.root || rules != self.rules else { return }
        if root != self.root {
            for id in rulesOfSpec.keys { watcher.remove(id) }
            for path in specsOfFile.keys { files.close(path) }
            specsOfFile = [:]
        }
        self.root = root
        self.rules = rules
        switchedOff = []
        let old = Set(rulesOfSpec.keys)
        rulesOfSpec = [:]
        clientError = rule("client-error", Self.clientErrorPattern)
        var specs = Self.builtIns.map { builtIn in
            rulesOfSpec[builtIn.id] = []
            return WatchSpec(
                id: builtIn.id, base: root, pattern: builtIn.pattern, use: .log, purpose: "logs", isConfined: true)
        }
        for (index, given) in rules.enumerated() {
            let name = "watch.logs[\(index + 1)]"
            let id = Self.prefix + name
            rulesOfSpec[id] = rule(name, given.match).map { [($0, given.cause)] } ?? []
            specs.append(
                WatchSpec(
                    id: id, base: root,
                    pattern: given.files.utf8.split(separator: UInt8(ascii: "/")).map { NamePattern.glob($0) },
                    use: .log, purpose: name, isConfined: true))
        }
        for id in old.subtracting(rulesOfSpec.keys) { forget(id) }
        for path in specsOfFile.keys { hold(path) }
        // Its rules first: what is read is held against all of them.
        var found: Set<FilePath> = []
        for spec in specs {
            for path in watcher.add(spec) {
                specsOfFile[path, default: []].insert(spec.id)
                found.insert(path)
            }
        }
        isCatchingUp = true
        for path in found.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }) {
            hold(path, from: .end)
            files.read(path)
            // Before the next: there may be more than are held open.
            files.readAll()
        }
        isCatchingUp = false
    }

    /// A file of a spec changed, came or went.
    func changed(_ path: FilePath, of spec: String) { take(path, of: spec, from: .beginning) }

    private func take(_ path: FilePath, of spec: String, from start: StartPosition) {
        guard rulesOfSpec[spec] != nil else { return }
        if specsOfFile[path, default: []].insert(spec).inserted || !files.isFollowed(path) {
            hold(path, from: start)
        }
        files.read(path)
    }

    private func forget(_ spec: String) {
        watcher.remove(spec)
        for path in specsOfFile.keys where specsOfFile[path]?.remove(spec) != nil {
            guard specsOfFile[path]?.isEmpty == true else { continue }
            specsOfFile[path] = nil
            files.close(path)
        }
    }

    private func rule(_ name: String, _ pattern: String) -> LineRule? {
        do throws(PatternError) { return try LineRule(name: name, pattern: pattern) } catch {
            // The configuration was refused for it before.
            onProblem(root, "\(name): \(error)")
            return nil
        }
    }

    // MARK: - Lines

    /// Sets what a file's lines are held against.
    private func hold(_ path: FilePath, from start: StartPosition = .beginning) {
        // Lines of a file outside of the town are not read, whatever was put under its name meanwhile.
        var held = (specsOfFile[path] ?? []).sorted().flatMap { rulesOfSpec[$0] ?? [] }.map {
            (rule: $0.rule, cause: Optional($0.cause))
        }
        let name = path.lastName
        if let clientError, !Self.chatter.contains(name) { held.append((clientError, nil)) }
        let words = name == Self.eventsName ? Self.eventWords : []
        var filter = LineFilter(held.map(\.rule), words: words)
        var matches: [Match] = []
        var events: [[UInt8]] = []
        let reader = FollowedFiles.Reader(
            candidates: { block in
                // A pass is one filter's: a rule may be switched off meanwhile.
                let current = filter
                var pass = LineFilter.Pass()
                return { current.next(block, from: $0, &pass) }
            },
            onLine: { [unowned self] line in
                for (rule, cause) in held {
                    switch line.withUnsafeBytes({ rule.match($0) }) {
                    case .matched:
                        matches.append(
                            Match(
                                rule: rule.name, cause: cause, text: String(decoding: line, as: UTF8.self),
                                arrived: arrival))
                        // One line is one sighting, whatever else is true of it.
                        return
                    case .switchedOff:
                        switchedOff.append(rule.name)
                        filter = LineFilter(held.map(\.rule), words: words)
                        onProblem(
                            path,
                            "\(rule.name) is switched off: its pattern took too long on three lines; change its match")
                    case .none, .gaveUp: break
                    }
                }
                if !words.isEmpty, words.contains(where: { line.contains(Array($0.utf8)) }) {
                    events.append(Array(line))
                }
            },
            isEnough: { matches.count + events.count >= Self.portionMax },
            onPortion: { [unowned self] in
                let portion = (matches, events)
                (matches, events) = ([], [])
                for match in portion.0 { onMatch(match) }
                for event in portion.1 { onTownEvent(event) }
            })
        files.follow(path, from: start, within: root, as: reader)
    }

    private var arrival: Timestamp? { isCatchingUp ? nil : files.arrival }
}

extension ArraySlice<UInt8> {
    fileprivate func contains(_ word: [UInt8]) -> Bool { firstRange(of: word) != nil }
}
