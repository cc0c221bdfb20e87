// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import FileWatching
import GasTown
import JSON
import LinuxSys
import LogFollowing
import SystemPackage
import Timekeeping

/// Follows the transcripts in the folders of living leases.
final class Transcripts {
    /// At most so many files are held open (contract G); the ones that were quiet longest are closed first.
    static let followedMax = 1024
    private static let prefix = "transcripts:"

    private let loop: EventLoop
    private let watcher: FileWatcher
    private let onRow: (TranscriptRow, _ folder: String, ConversationID?) -> Void
    private let onError: (FilePath, FileReadError) -> Void
    private var projects: FilePath
    private var slugs: Set<ProjectSlug> = []
    private var followers: [FilePath: LogFollower] = [:]
    private var quietTimers: Set<FilePath> = []
    /// Where reading of files that are not open goes on.
    private var checkpoints: [FilePath: Checkpoint]
    private var lastUse: [FilePath: Int64] = [:]
    private(set) var hasNews = false
    private(set) var skippedLines = 0

    init(
        projects: FilePath, saved: JSONValue?, on loop: EventLoop, watcher: FileWatcher,
        onError: @escaping (FilePath, FileReadError) -> Void,
        onRow: @escaping (TranscriptRow, _ folder: String, ConversationID?) -> Void
    ) {
        self.projects = projects
        self.loop = loop
        self.watcher = watcher
        self.onRow = onRow
        self.onError = onError
        checkpoints = [:]
        for (path, value) in saved?["files"]?.object?.members ?? [] {
            if let checkpoint = Checkpoint(value) { checkpoints[FilePath(path)] = checkpoint }
        }
    }

    var followedCount: Int { followers.count }

    /// Follows these folders from now on.
    ///
    /// - Parameter isAdopted: The leases are an earlier process's: what it had not read is news. Otherwise what stands
    ///   in a folder that is new here was written before its lease.
    /// - Parameter leases: The folders, each with the start of its first lease.
    func follow(_ leases: [ProjectSlug: Timestamp], isAdopted: Bool) {
        let wanted = Set(leases.keys)
        for slug in slugs.subtracting(wanted) {
            watcher.remove(id(slug))
            for path in followers.keys where slug.matches(folder(of: path)) { close(path) }
        }
        for slug in wanted.subtracting(slugs) {
            let pattern: NamePattern =
                switch slug {
                case .exact(let name): .name(name)
                case .prefix(let prefix): .affix(prefix, "")
                }
            let spec = WatchSpec(id: id(slug), base: projects, pattern: [pattern, .affix("", ".jsonl")], use: .log)
            for path in watcher.add(spec) {
                if isAdopted, mayHoldNews(path, since: leases[slug]) { read(path) } else { passOver(path) }
            }
        }
        slugs = wanted
    }

    /// A file changed, came or went.
    func changed(_ path: FilePath) { read(path) }

    static func isOurs(_ spec: String) -> Bool { spec.hasPrefix(prefix) }

    /// How far everything was read.
    var snapshot: JSONValue {
        var files = JSONObject()
        var all = checkpoints
        for (path, follower) in followers { if let checkpoint = follower.checkpoint { all[path] = checkpoint } }
        for (path, checkpoint) in all.sorted(by: { $0.key.string < $1.key.string }) {
            files[path.string] = checkpoint.json
        }
        return ["version": 1, "files": .object(files)]
    }

    /// Notes that the snapshot was saved; what nobody can need any more is forgotten.
    func saved() {
        hasNews = false
        guard checkpoints.count > 4096 else { return }
        for path in checkpoints.keys where !Syscalls.exists(path) { checkpoints[path] = nil }
    }

    // MARK: - Reading

    private func id(_ slug: ProjectSlug) -> String {
        switch slug {
        case .exact(let name): Self.prefix + name
        case .prefix(let prefix): Self.prefix + prefix + "*"
        }
    }

    private func folder(of path: FilePath) -> String { shownText(path.removingLastComponent().lastName) }

    /// Whether a file has been written since it was last read, or, if it never was, since its folder's first lease. The
    /// old conversations of a folder are many, and they are not opened.
    private func mayHoldNews(_ path: FilePath, since: Timestamp?) -> Bool {
        do throws(SystemError) {
            let status = try Syscalls.status(of: path)
            if let checkpoint = checkpoints[path] {
                return checkpoint.file != status.identity || checkpoint.offset != status.size
            }
            return since.map { status.modifiedAt >= $0 } ?? true
        } catch {
            return false
        }
    }

    /// What stands in the file now was written before anybody of ours ran.
    private func passOver(_ path: FilePath) {
        guard checkpoints[path] == nil else { return }
        do throws(SystemError) {
            let status = try Syscalls.status(of: path)
            checkpoints[path] = Checkpoint(file: status.identity, offset: status.size, marker: [])
            hasNews = true
        } catch {
            // It is gone again; if it comes back it is new.
            checkpoints[path] = nil
        }
    }

    private func read(_ path: FilePath) {
        let follower: LogFollower
        if let known = followers[path] {
            follower = known
        } else {
            makeRoom()
            follower = LogFollower(path, from: checkpoints.removeValue(forKey: path).map { .resume($0) } ?? .beginning)
            followers[path] = follower
        }
        lastUse[path] = EventLoop.now
        let folder = folder(of: path)
        let conversation = ConversationID(transcript: path.lastName)
        let skippedBefore = follower.skippedLines
        var rows: [TranscriptRow] = []
        var hasMore = false
        do throws(FileReadError) {
            hasMore = try follower.read { line in
                if let row = TranscriptRow.read(line) { rows.append(row) }
            }
        } catch {
            onError(path, error)
        }
        hasNews = true
        skippedLines += follower.skippedLines - skippedBefore
        // Only the last word on whether it works counts, but each failure does.
        for row in rows { onRow(row, folder, conversation) }
        if hasMore {
            loop.atEndOfTurn { [self] in if followers[path] != nil { read(path) } }
        } else if let wait = follower.nextDeadline, quietTimers.insert(path).inserted {
            loop.schedule(after: wait + .milliseconds(10)) { [self] in
                quietTimers.remove(path)
                if followers[path] != nil { read(path) }
            }
        }
    }

    private func close(_ path: FilePath) {
        if let checkpoint = followers[path]?.checkpoint { checkpoints[path] = checkpoint }
        followers[path] = nil
        lastUse[path] = nil
        hasNews = true
    }

    private func makeRoom() {
        guard followers.count >= Self.followedMax else { return }
        if let oldest = lastUse.min(by: { $0.value < $1.value })?.key { close(oldest) }
    }
}
