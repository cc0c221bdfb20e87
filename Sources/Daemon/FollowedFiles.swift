// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import LinuxSys
import LogFollowing
import SystemPackage
import Timekeeping

/// The files that are followed: transcripts and logs. It reads in small portions, so that a storm of lines never keeps
/// an edit of a key waiting, and knows where reading goes on after a restart.
final class FollowedFiles {
    /// At most so many files are held open (contract G); the ones that were quiet longest are closed first.
    static let followedMax = 1024
    /// How much is read at most before other descriptors of the loop get their turn, in bytes. A file gets half of it at
    /// most: another one that has news is read in the same turn.
    static let turnBudget = 512 << 10
    /// How often a file that was rotated away is read until it has been quiet for long enough.
    private static let lateInterval = Duration.seconds(1)
    /// Where reading of files that are not open goes on; beyond this number those of files that are gone are forgotten.
    private static let checkpointsMax = 4096

    /// How the lines of a file are taken.
    struct Reader {
        /// See ``LogFollower/read(budget:candidates:at:isEnough:line:)``.
        var candidates: LogFollower.Candidates?
        var onLine: (ArraySlice<UInt8>) -> Void
        /// Whether the lines of this portion are as many as may be acted upon in one turn.
        var isEnough: () -> Bool = { false }
        /// Called after the lines of each portion.
        var onPortion: () -> Void = {}
    }

    private let loop: EventLoop
    private let onError: (FilePath, FileReadError?) -> Void
    private var followers: [FilePath: LogFollower] = [:]
    private var readers: [FilePath: Reader] = [:]
    private var checkpoints: [FilePath: Checkpoint] = [:]
    private var lastUse: [FilePath: Int64] = [:]
    private var quietTimers: Set<FilePath> = []
    /// Files with news, in the order in which they had it.
    private var waiting: [FilePath] = []
    private var isWaiting: Set<FilePath> = []
    private var isPumpPlanned = false
    private(set) var hasNews = false
    private(set) var skippedLines = 0
    /// The one whose lines are being given.
    private var reading: LogFollower?
    /// Why a file cannot be read: told once, and until it can be.
    private var problems: [FilePath: FileReadError] = [:]
    /// A file that was modified so long before it was seen came as it is: its lines are no news.
    private static let staleAfter = Duration.seconds(60)

    /// - Parameter onError: Called when a file cannot be read, once for each reason, and with nil when it can be again.
    init(saved: JSONValue?, on loop: EventLoop, onError: @escaping (FilePath, FileReadError?) -> Void) {
        self.loop = loop
        self.onError = onError
        for (path, value) in saved?["files"]?.object?.members ?? [] {
            if let checkpoint = Checkpoint(value) { checkpoints[FilePath(saved: path)] = checkpoint }
        }
    }

    var count: Int { followers.count }

    func isFollowed(_ path: FilePath) -> Bool { followers[path] != nil }

    /// Where reading of a file goes on, if it is not open.
    func checkpoint(of path: FilePath) -> Checkpoint? { checkpoints[path] }

    /// When the line that is being given was written at the latest.
    var arrival: Timestamp? {
        guard let arrival = reading?.arrival else { return nil }
        let seen = Timestamp.now - .nanoseconds(EventLoop.now - arrival.seen)
        let modified = Timestamp(microseconds: arrival.modified / 1000)
        return modified + Self.staleAfter < seen ? modified : seen
    }

    /// A file that we may not read, or that its disk does not give, and why.
    var lost: (path: FilePath, why: FileReadError)? {
        problems.sorted { $0.key.bytes.lexicographicallyPrecedes($1.key.bytes) }.first { _, error in
            guard case .system(let problem) = error else { return false }
            return [.permissionDenied, .notPermitted, .ioError].contains(problem.errno)
        }.map { ($0.key, $0.value) }
    }

    /// Follows a file from now on.
    ///
    /// - Parameters:
    ///   - start: Where, unless it was read before: then it goes on there.
    ///   - boundary: See ``LogFollower/init(_:from:within:)``.
    func follow(
        _ path: FilePath, from start: StartPosition = .beginning, within boundary: FilePath? = nil, as reader: Reader
    ) {
        readers[path] = reader
        guard followers[path] == nil else { return }
        makeRoom()
        let place = handedOver(path) ?? checkpoints.removeValue(forKey: path)
        followers[path] = LogFollower(path, from: place.map { .resume($0) } ?? start, within: boundary)
        lastUse[path] = EventLoop.now
    }

    /// Where a file was read until under the name that it had before, if it was renamed and both names are followed.
    private func handedOver(_ path: FilePath) -> Checkpoint? {
        do throws(SystemError) {
            let file = try Syscalls.status(of: path).identity
            for follower in followers.values {
                if let place = follower.handOver(file) { return place }
            }
        } catch {
            // There is no such file yet.
        }
        return nil
    }

    /// A file may have news: it is read in this turn or one of the next.
    func read(_ path: FilePath) {
        guard followers[path] != nil, isWaiting.insert(path).inserted else { return }
        waiting.append(path)
        guard !isPumpPlanned else { return }
        isPumpPlanned = true
        loop.atEndOfTurn { [self] in pump() }
    }

    /// Reads all that is waiting, without a pause: at the start, when nothing else is to be done.
    func readAll() { while !waiting.isEmpty { readSome() } }

    /// What stands in the file now does not count.
    func passOver(_ path: FilePath) {
        guard followers[path] == nil, checkpoints[path] == nil else { return }
        do throws(SystemError) {
            let status = try Syscalls.status(of: path)
            checkpoints[path] = Checkpoint(file: status.identity, offset: status.size, marker: Marker())
            hasNews = true
        } catch {
            // It is gone again; if it comes back it is new.
            checkpoints[path] = nil
        }
    }

    /// Ends following; where it was is kept.
    func close(_ path: FilePath) {
        let follower = followers.removeValue(forKey: path)
        if let checkpoint = follower?.checkpoint {
            checkpoints[path] = checkpoint
        } else if follower?.isUnplaced == true {
            passOver(path)
        }
        problems[path] = nil
        readers[path] = nil
        lastUse[path] = nil
        hasNews = true
    }

    /// How far everything was read.
    var snapshot: JSONValue {
        var files = JSONObject()
        var all = checkpoints
        for (path, follower) in followers { if let checkpoint = follower.checkpoint { all[path] = checkpoint } }
        for (name, checkpoint) in all.map({ ($0.key.saved, $0.value) }).sorted(by: { $0.0 < $1.0 }) {
            files[name] = checkpoint.json
        }
        return ["version": 1, "files": .object(files)]
    }

    /// Notes that the snapshot was saved; what nobody can need any more is forgotten.
    func saved() {
        hasNews = false
        guard checkpoints.count > Self.checkpointsMax else { return }
        for path in checkpoints.keys where !Syscalls.exists(path) { checkpoints[path] = nil }
    }

    // MARK: - Reading

    private func pump() {
        isPumpPlanned = false
        readSome()
        guard !waiting.isEmpty else { return }
        isPumpPlanned = true
        loop.atEndOfTurn { [self] in pump() }
    }

    /// Reads for one turn.
    private func readSome() {
        var budget = Self.turnBudget
        var unread = waiting[...]
        waiting = []
        while budget > 0, let path = unread.popFirst() {
            isWaiting.remove(path)
            budget -= readPortion(path)
        }
        // What was not reached comes before what has still more.
        waiting = Array(unread) + waiting
    }

    /// - Returns: About how much was read, in bytes.
    private func readPortion(_ path: FilePath) -> Int {
        guard let follower = followers[path], let reader = readers[path] else { return 0 }
        lastUse[path] = EventLoop.now
        let budget = Self.turnBudget / 2
        let skippedBefore = follower.skippedLines
        var hasMore = false
        do throws(FileReadError) {
            reading = follower
            defer { reading = nil }
            hasMore = try follower.read(
                budget: budget, candidates: reader.candidates, at: loop.turnBegan, isEnough: reader.isEnough,
                line: reader.onLine)
            if problems.removeValue(forKey: path) != nil { onError(path, nil) }
        } catch {
            if problems.updateValue(error, forKey: path) != error { onError(path, error) }
        }
        hasNews = true
        skippedLines += follower.skippedLines - skippedBefore
        reader.onPortion()
        if hasMore {
            if isWaiting.insert(path).inserted { waiting.append(path) }
            return budget
        }
        if let wait = follower.nextDeadline, quietTimers.insert(path).inserted {
            // No event tells of writes to a file that has another name now.
            loop.schedule(after: min(wait, Self.lateInterval) + .milliseconds(10)) { [self] in
                quietTimers.remove(path)
                read(path)
            }
        }
        // A look costs something, also where nothing was new.
        return 4 << 10
    }

    private func makeRoom() {
        guard followers.count >= Self.followedMax else { return }
        if let oldest = lastUse.min(by: { $0.value < $1.value })?.key { close(oldest) }
    }
}

extension FilePath {
    /// Begins the names of paths in state files that are not UTF-8; the rest is in hexadecimal digits.
    private static let bytesMark = "bytes:"

    /// The path as a name in a state file.
    fileprivate var saved: String {
        let bytes = bytes
        let text = String(decoding: bytes, as: UTF8.self)
        guard !text.utf8.elementsEqual(bytes) || text.hasPrefix(Self.bytesMark) else { return text }
        let digits = Array("0123456789abcdef".utf8)
        return Self.bytesMark
            + String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    fileprivate init(saved name: String) {
        guard name.hasPrefix(Self.bytesMark) else {
            self.init(name)
            return
        }
        let digits = name.utf8.dropFirst(Self.bytesMark.utf8.count).compactMap { digit -> UInt8? in
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
            default: nil
            }
        }
        self.init(bytes: stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] })
    }
}
