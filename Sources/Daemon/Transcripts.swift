// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import FileWatching
import GasTown
import LinuxSys
import LogFollowing
import SystemPackage
import Timekeeping

/// Follows the transcripts in the folders of living leases.
final class Transcripts {
    private static let prefix = "transcripts:"

    private let files: FollowedFiles
    private let watcher: FileWatcher
    private let onRow: (TranscriptRow, _ folder: String, ConversationID?) -> Void
    private let projects: FilePath
    private var slugs: Set<ProjectSlug> = []
    private var followed: Set<FilePath> = []

    init(
        projects: FilePath, files: FollowedFiles, watcher: FileWatcher,
        onRow: @escaping (TranscriptRow, _ folder: String, ConversationID?) -> Void
    ) {
        self.projects = projects
        self.files = files
        self.watcher = watcher
        self.onRow = onRow
    }

    /// Follows these folders from now on.
    ///
    /// - Parameter isAdopted: The leases are an earlier process's: what it had not read is news. Otherwise what stands
    ///   in a folder that is new here was written before its lease.
    /// - Parameter leases: The folders, each with the start of its first lease.
    func follow(_ leases: [ProjectSlug: Timestamp], isAdopted: Bool) {
        let wanted = Set(leases.keys)
        for slug in slugs.subtracting(wanted) {
            watcher.remove(id(slug))
            for path in followed where slug.matches(folder(of: path)) {
                followed.remove(path)
                files.close(path)
            }
        }
        for slug in wanted.subtracting(slugs) {
            let pattern: NamePattern =
                switch slug {
                case .exact(let name): .name(name)
                case .prefix(let prefix): .affix(prefix, "")
                }
            let spec = WatchSpec(
                id: id(slug), base: projects, pattern: [pattern, .affix("", ".jsonl")], use: .log,
                purpose: "transcripts")
            for path in watcher.add(spec) {
                if isAdopted, mayHoldNews(path, since: leases[slug]) { changed(path) } else { files.passOver(path) }
            }
        }
        slugs = wanted
    }

    /// A file changed, came or went.
    func changed(_ path: FilePath) {
        if !files.isFollowed(path) { begin(path) }
        files.read(path)
    }

    /// Gives all folders up.
    func close() {
        for slug in slugs { watcher.remove(id(slug)) }
        for path in followed { files.close(path) }
        slugs = []
        followed = []
    }

    static func isOurs(_ spec: String) -> Bool { spec.hasPrefix(prefix) }

    private func begin(_ path: FilePath) {
        followed.insert(path)
        let folder = folder(of: path)
        let conversation = ConversationID(transcript: path.lastName)
        // Only the last word on whether it works counts, but each failure does.
        var rows: [TranscriptRow] = []
        let reader = FollowedFiles.Reader(
            onLine: { line in if let row = TranscriptRow.read(line) { rows.append(row) } },
            onPortion: { [unowned self] in
                let portion = rows
                rows = []
                for row in portion { onRow(row, folder, conversation) }
            })
        files.follow(path, as: reader)
    }

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
            if let checkpoint = files.checkpoint(of: path) {
                return checkpoint.file != status.identity || checkpoint.offset != status.size
            }
            return since.map { status.modifiedAt >= $0 } ?? true
        } catch {
            return false
        }
    }
}
