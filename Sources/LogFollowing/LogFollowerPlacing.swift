// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// Where reading of a file that was just opened begins.
extension LogFollower {
    func position(_ source: LogSource, size: Int64) throws(FileReadError) {
        switch start {
        case .beginning: try passOverReplay(in: source, size: size)
        case .end: try moveBehindLineEnd(source, from: max(0, size - Self.window), upTo: size, isFirst: false)
        case .resume(let checkpoint):
            // A try before this one may have failed half-way.
            for older in checkpoint.older where !retired.contains(where: { $0.identity == older.file }) {
                let place = LogSource.Position(offset: older.offset, marker: older.marker, line: older.line)
                if let old = try renamed(older.file, place) { retired.append(old) }
            }
            let place = LogSource.Position(offset: checkpoint.offset, marker: checkpoint.marker, line: checkpoint.line)
            if checkpoint.file == source.identity, checkpoint.offset <= size, try fits(place, in: source) {
                source.move(to: place)
            } else if checkpoint.file != source.identity, let old = try renamed(checkpoint.file, place) {
                // Rotated while nobody followed: the rest of the old one, then all of the new one.
                retired.append(old)
                source.move(to: LogSource.Position())
            } else {
                try moveToWindow(source, size: size)
                guard checkpoint.line != 0, checkpoint.file != source.identity else { return }
                // Written anew while nobody followed it, it may still hold the line where reading stopped.
                try move(source, behindLastLineIn: max(0, size - Self.window)..<size) {
                    lineHash($0) == checkpoint.line
                }
            }
        }
    }

    /// The file that was read until a place, under another name in the same folder; nil if there is none that fits.
    private func renamed(_ file: FileIdentity, _ place: LogSource.Position) throws(FileReadError) -> LogSource? {
        // By its inode number alone it could be any file that came later.
        guard place.marker.count > 0 else { return nil }
        do throws(SystemError) {
            let folder = try Syscalls.open(
                path.removingLastComponent().isEmpty ? "." : path.removingLastComponent(), flags: Syscalls.directory)
            for name in try Syscalls.names(inDirectory: folder.raw).prefix(Self.namesMax) {
                guard let status = try Syscalls.status(ofName: name, in: folder.raw), status.identity == file,
                    status.kind == .regular
                else { continue }
                let descriptor = try Syscalls.open(
                    name: name, flags: O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW, in: folder.raw)
                let opened = try Syscalls.status(of: descriptor.raw)
                guard opened.identity == file, opened.size >= place.offset else { return nil }
                if let boundary, try !Syscalls.path(of: descriptor.raw).isWithin(Syscalls.realPath(boundary)) {
                    return nil
                }
                let source = LogSource(descriptor, identity: file, now: now())
                do throws(FileReadError) { guard try fits(place, in: source) else { return nil } } catch { return nil }
                source.move(to: place)
                return source
            }
        } catch {
            // It is a help only: the window before the end of the new one is read as if it were gone.
        }
        return nil
    }

    /// Goes to the first line that begins in the window before the end.
    func moveToWindow(_ source: LogSource, size: Int64) throws(FileReadError) {
        source.move(to: LogSource.Position())
        if size > Self.window {
            try moveBehindLineEnd(source, from: size - Self.window, upTo: size, isFirst: true)
        }
    }

    /// Goes behind the first or last line end in a stretch of the file; where there is none, to its end, inside a line
    /// that is passed over. The middle of a line is never taken for its beginning.
    private func moveBehindLineEnd(
        _ source: LogSource, from: Int64, upTo end: Int64, isFirst: Bool
    ) throws(FileReadError) {
        let bytes = try source.bytes(at: from, count: Int(end - from))
        let found = isFirst ? bytes.firstIndex(of: 10) : bytes.lastIndex(of: 10)
        guard found != nil || from > 0 else { return source.move(to: LogSource.Position()) }
        let used = found.map { $0 + 1 } ?? bytes.count
        let place = LogSource.Position(
            offset: from + Int64(used), marker: Marker(bytes[..<used]))
        source.move(to: place)
        if found == nil {
            skippedLines += 1
            source.skippedFrom = place
        }
    }

    /// Whether what stands before a place is what stood there: the marker, and the whole last line, for lines of one
    /// length and one ending are common.
    private func fits(_ place: LogSource.Position, in source: LogSource) throws(FileReadError) -> Bool {
        let count = place.marker.count
        guard place.offset >= Int64(count) else { return false }
        guard try place.marker.fits(source.bytes(at: place.offset - Int64(count), count: count)[...]) else {
            return false
        }
        guard place.line != 0 else { return true }
        let reach = min(place.offset, Int64(Self.lineMax) + 2)
        let before = try source.bytes(at: place.offset - reach, count: Int(reach)).dropLast()
        // After a line that was passed over the hash is of an older one, which need not be near.
        guard let start = before.lastIndex(of: 10).map({ $0 + 1 }) ?? (reach == place.offset ? 0 : nil) else {
            return true
        }
        return before.count - start > Self.lineMax || before.count == start
            || lineHash(before[start...]) == place.line
    }

    // MARK: - Replays

    /// A file that was written anew beside the old one and renamed over it begins with lines of the old one (gt's pruner
    /// of `.events.jsonl` does that each hour). They were given already.
    private func passOverReplay(in source: LogSource, size: Int64) throws(FileReadError) {
        // Who rotates keeps the old file under another name; only who replaces it leaves it without one. (Where nothing
        // stood under the name for a while, what comes is new.)
        guard size > 0, let old = current, try old.status().links == 0 else { return }
        let oldSize = try old.size()
        let oldRange = max(0, oldSize - Self.window)..<oldSize
        let range = max(0, size - Self.window)..<size
        let areWhole = oldRange.lowerBound == 0 && range.lowerBound == 0
        guard areWhole else {
            // Of what was before there is no telling what it says: no old line may be given twice.
            let known = Set(try lines(of: old, in: oldRange).map { lineHash($0) })
            return try move(source, behindLastLineIn: range) { known.contains(lineHash($0)) }
        }
        // Lines are left out of the old ones, none is put between them: what does not go on where the last one was found
        // is new, also where it says what an old line said.
        var places: [UInt64: [Int]] = [:]
        for (index, line) in try lines(of: old, in: oldRange).enumerated().reversed() {
            places[lineHash(line), default: []].append(index)
        }
        var next = 0
        var last: ArraySlice<UInt8>?
        for line in try lines(of: source, in: range) {
            let hash = lineHash(line)
            while let place = places[hash]?.last, place < next { places[hash]?.removeLast() }
            guard let place = places[hash]?.last else { break }
            next = place + 1
            last = line
        }
        if let last { try move(source, behind: last, from: range.lowerBound) }
    }

    /// Whole lines that begin in a stretch of a file, but for empty ones.
    private func lines(of source: LogSource, in range: Range<Int64>) throws(FileReadError) -> [ArraySlice<UInt8>] {
        let bytes = try source.bytes(at: range.lowerBound, count: Int(range.upperBound - range.lowerBound))
        guard let last = bytes.lastIndex(of: 10) else { return [] }
        let first = range.lowerBound == 0 ? 0 : (bytes.firstIndex(of: 10).map { $0 + 1 } ?? bytes.count)
        return bytes[min(first, last)..<last].split(separator: 10)
    }

    /// Goes behind the last whole line in a stretch that fits; stays where none does.
    private func move(
        _ source: LogSource, behindLastLineIn range: Range<Int64>, where fits: (ArraySlice<UInt8>) -> Bool
    ) throws(FileReadError) {
        guard let line = try lines(of: source, in: range).last(where: fits) else { return }
        try move(source, behind: line, from: range.lowerBound)
    }

    /// - Parameter start: Where the stretch begins; the slice's indices are places in it.
    private func move(_ source: LogSource, behind line: ArraySlice<UInt8>, from start: Int64) throws(FileReadError) {
        let offset = start + Int64(line.endIndex) + 1
        let count = min(offset, Int64(Marker.countMax))
        source.move(
            to: LogSource.Position(
                offset: offset, marker: Marker(try source.bytes(at: offset - count, count: Int(count))[...]),
                line: lineHash(line)))
    }
}
