// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// Where reading of a file goes on after a restart: which file it was, how far it was read, and what stood there.
public struct Checkpoint: Hashable, Sendable {
    public var file: FileIdentity
    /// Bytes read and acted upon; always the beginning of a line.
    public var offset: Int64
    /// At most 32 bytes before the offset. They tell a file that was truncated and has regrown beyond the offset,
    /// or another one on the same inode number, from the one that was read.
    public var marker: [UInt8]
    /// A hash of the last line before the offset, 0 if there was none that counts. By it the place is found again in a
    /// file that was written anew while nobody followed it.
    public var line: UInt64

    public init(file: FileIdentity, offset: Int64, marker: [UInt8], line: UInt64 = 0) {
        self.file = file
        self.offset = offset
        self.marker = marker
        self.line = line
    }

    static let markerLength = 32
}

/// Where a follower begins.
public enum StartPosition: Sendable {
    case beginning
    /// What is there now does not matter.
    case end
    /// Where a checkpoint left off if it still fits, else a bounded window before the end: not the beginning, for an
    /// old line must not be taken for a new one.
    case resume(Checkpoint)
}

/// Gives the whole lines of one growing file, each once.
///
/// It holds the file open, so lines that a writer still adds to a renamed or removed file are not lost; the owner
/// calls ``read(budget:candidates:line:)`` when something may have changed and again while it says that more is there.
public final class LogFollower {
    public let path: FilePath
    private let boundary: FilePath?
    private var start: StartPosition
    private var current: Source?
    /// Files that the name led to before; they are read until they have been quiet for a while.
    private var retired: [Source] = []
    /// Lines longer than ``lineMax``, passed over.
    public private(set) var skippedLines = 0
    private let now: () -> Int64

    /// The longest line taken, in bytes, without its end (contract G).
    public static let lineMax = 64 << 10
    /// How much of a file is read again at most where a checkpoint does not fit, in bytes.
    static let window: Int64 = 256 << 10
    /// How much is read at a time, in bytes; more than a line may be long, so that each piece leads on.
    private static let pieceMax: Int64 = 256 << 10
    /// Among how many names of its folder a file is looked for that was renamed.
    private static let namesMax = 4096
    /// A file that the name left is given up after this time without a new byte.
    static let quietTime = Duration.seconds(5)

    /// A place in a file, and what stands before it.
    private struct Position {
        var offset: Int64 = 0
        var marker: [UInt8] = []
        var line: UInt64 = 0
    }

    private final class Source {
        let descriptor: Descriptor
        let identity: FileIdentity
        /// What is before it is done with.
        var position = Position()
        /// The beginning of a line that is longer than a line may be, while it is passed over.
        var skippedFrom: Position?
        var sizeSeen: Int64 = 0
        var lastGrowth: Int64

        init(_ descriptor: consuming Descriptor, identity: FileIdentity, now: Int64) {
            self.descriptor = descriptor
            self.identity = identity
            lastGrowth = now
        }

        func move(to position: Position) {
            self.position = position
            skippedFrom = nil
        }
    }

    /// - Parameters:
    ///   - boundary: A directory without links in its path. A file that lies elsewhere, wherever the links of
    ///     its name lead, is not read.
    ///   - path: The file, which need not exist.
    ///   - start: Where reading begins.
    public convenience init(_ path: FilePath, from start: StartPosition, within boundary: FilePath? = nil) {
        self.init(path, from: start, within: boundary, now: { EventLoop.now })
    }

    /// - Parameter now: The monotonic clock, in nanoseconds.
    init(
        _ path: FilePath, from start: StartPosition, within boundary: FilePath? = nil, now: @escaping () -> Int64
    ) {
        self.path = path
        self.boundary = boundary
        self.start = start
        self.now = now
    }

    /// How far the file has been read, nil before it was opened.
    public var checkpoint: Checkpoint? {
        current.map { checkpoint(of: $0) }
    }

    /// Until when a file that the name left still has to be read, in time from now; nil if there is none.
    public var nextDeadline: Duration? {
        retired.map { max(.zero, Self.quietTime - .nanoseconds(now() - $0.lastGrowth)) }.min()
    }

    /// Begins a pass over a block of text; see ``read(budget:candidates:line:)``.
    public typealias Candidates = (UnsafeRawBufferPointer) -> (_ position: Int) -> Int?

    /// Reads new lines.
    ///
    /// - Parameters:
    ///   - budget: About how many bytes may be read in this call.
    ///   - candidates: Begins a pass over a block of text; what it returns gives the next place at or behind a position
    ///     that is in a line of interest, nil if there is none. Other lines are not given. nil: all are.
    ///   - line: Called with each whole line, without its end.
    /// - Returns: Whether more can be read at once.
    /// - Throws: What reading failed with; the position is kept, and what else can be read was read. A file that is
    ///   not there is no error.
    public func read(
        budget: Int = 1 << 20, candidates: Candidates? = nil, line: (ArraySlice<UInt8>) -> Void
    ) throws(FileReadError) -> Bool {
        var budget = budget
        var problem: FileReadError?
        func attempt(_ body: () throws(FileReadError) -> Void) {
            do throws(FileReadError) { try body() } catch { problem = problem ?? error }
        }
        // The deadline is looked at first: what was written until then is still read.
        let isQuiet = retired.map { now() - $0.lastGrowth >= Self.quietTime.nanoseconds }
        for source in retired { attempt { () throws(FileReadError) in try read(source, &budget, candidates, line) } }
        retired = zip(retired, isQuiet).compactMap { source, isQuiet in
            isQuiet && now() - source.lastGrowth >= Self.quietTime.nanoseconds ? nil : source
        }
        let before = retired
        attempt(reopenIfReplaced)
        // What stands in the file that the name just left comes before what stands in the new one.
        for source in retired where !before.contains(where: { $0 === source }) {
            attempt { () throws(FileReadError) in try read(source, &budget, candidates, line) }
        }
        if let current { attempt { () throws(FileReadError) in try read(current, &budget, candidates, line) } }
        if let problem { throw problem }
        return budget <= 0
    }

    /// Gives up a file that it has open and that goes by another name now: whoever follows that name goes on where this
    /// one stood, so that no line is given twice.
    ///
    /// - Returns: Where; nil if it does not have that file open, or if the file still goes by its name here.
    public func handOver(_ file: FileIdentity) -> Checkpoint? {
        if let index = retired.firstIndex(where: { $0.identity == file }) {
            return checkpoint(of: retired.remove(at: index))
        }
        guard let current, current.identity == file else { return nil }
        do throws(SystemError) {
            if try Syscalls.status(of: path).identity == file { return nil }
        } catch {
            // Not there any more.
        }
        self.current = nil
        // What comes under the name after this is new.
        start = .beginning
        return checkpoint(of: current)
    }

    private func checkpoint(of source: Source) -> Checkpoint {
        let position = source.skippedFrom ?? source.position
        return Checkpoint(
            file: source.identity, offset: position.offset, marker: position.marker, line: position.line)
    }

    // MARK: - Which file it is

    private func reopenIfReplaced() throws(FileReadError) {
        let named: FileStatus
        do throws(SystemError) { named = try Syscalls.status(of: path) } catch {
            guard error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory else { throw .system(error) }
            // Renamed and not yet made again, or removed: what is open is still read.
            retire()
            // What comes under the name after this is new. (What a checkpoint fits is not.)
            if case .end = start { start = .beginning }
            return
        }
        if named.identity == current?.identity { return }
        guard named.kind == .regular else {
            retire()
            throw .notRegular
        }
        guard let (source, size) = try open(), source.identity != current?.identity else { return }
        if let known = retired.firstIndex(where: { $0.identity == source.identity }) {
            // Renamed away and back: it goes on where it was.
            let known = retired.remove(at: known)
            retire()
            current = known
            return
        }
        try position(source, size: size)
        retire()
        current = source
        start = .beginning
    }

    private func retire() {
        guard let current else { return }
        // However long it was quiet before: a writer that has it open may write its last lines now.
        current.lastGrowth = now()
        retired.append(current)
        self.current = nil
    }

    private func open() throws(FileReadError) -> (Source, size: Int64)? {
        do throws(SystemError) {
            let descriptor = try Syscalls.open(path, flags: O_RDONLY | O_NONBLOCK | O_NOCTTY)
            let status = try Syscalls.status(of: descriptor.raw)
            guard status.kind == .regular else { return nil }
            if let boundary {
                guard try Syscalls.path(of: descriptor.raw).isWithin(boundary) else {
                    throw SystemError(call: "open", subject: path.shown, errno: .improperLink)
                }
            }
            return (Source(descriptor, identity: status.identity, now: now()), status.size)
        } catch {
            // Gone again since it was looked at: the next event tells.
            if error.errno == .noSuchFileOrDirectory { return nil }
            throw .system(error)
        }
    }

    private func position(_ source: Source, size: Int64) throws(FileReadError) {
        switch start {
        case .beginning: try passOverReplay(in: source, size: size)
        case .end: try moveBehindLineEnd(source, from: max(0, size - Self.window), upTo: size, isFirst: false)
        case .resume(let checkpoint):
            let place = Position(offset: checkpoint.offset, marker: checkpoint.marker, line: checkpoint.line)
            if checkpoint.file == source.identity, checkpoint.offset <= size, try fits(place, in: source) {
                source.move(to: place)
            } else if checkpoint.file != source.identity, let old = try renamed(checkpoint.file, place) {
                // Rotated while nobody followed: the rest of the old one, then all of the new one.
                retired.append(old)
                source.move(to: Position())
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
    private func renamed(_ file: FileIdentity, _ place: Position) throws(FileReadError) -> Source? {
        // By its inode number alone it could be any file that came later.
        guard !place.marker.isEmpty else { return nil }
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
                if let boundary, try !Syscalls.path(of: descriptor.raw).isWithin(boundary) { return nil }
                let source = Source(descriptor, identity: file, now: now())
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
    private func moveToWindow(_ source: Source, size: Int64) throws(FileReadError) {
        source.move(to: Position())
        if size > Self.window {
            try moveBehindLineEnd(source, from: size - Self.window, upTo: size, isFirst: true)
        }
    }

    /// Goes behind the first or last line end in a stretch of the file; where there is none, to its end, inside a line
    /// that is passed over. The middle of a line is never taken for its beginning.
    private func moveBehindLineEnd(
        _ source: Source, from: Int64, upTo end: Int64, isFirst: Bool
    ) throws(FileReadError) {
        let bytes = try bytes(of: source, at: from, count: Int(end - from))
        let found = isFirst ? bytes.firstIndex(of: 10) : bytes.lastIndex(of: 10)
        guard found != nil || from > 0 else { return source.move(to: Position()) }
        let used = found.map { $0 + 1 } ?? bytes.count
        let place = Position(
            offset: from + Int64(used), marker: Array(bytes[..<used].suffix(Checkpoint.markerLength)))
        source.move(to: place)
        if found == nil {
            skippedLines += 1
            source.skippedFrom = place
        }
    }

    /// Whether what stands before a place is what stood there: the marker, and the whole last line, for lines of one
    /// length and one ending are common.
    private func fits(_ place: Position, in source: Source) throws(FileReadError) -> Bool {
        let count = place.marker.count
        guard place.offset >= Int64(count) else { return false }
        guard try bytes(of: source, at: place.offset - Int64(count), count: count) == place.marker else { return false }
        guard place.line != 0 else { return true }
        let reach = min(place.offset, Int64(Self.lineMax) + 2)
        let before = try bytes(of: source, at: place.offset - reach, count: Int(reach)).dropLast()
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
    private func passOverReplay(in source: Source, size: Int64) throws(FileReadError) {
        // Who rotates keeps the old file under another name; only who replaces it leaves it without one. (Where nothing
        // stood under the name for a while, what comes is new.)
        guard size > 0, let old = current, try status(of: old).links == 0 else { return }
        let oldSize = try self.size(of: old)
        let oldRange = max(0, oldSize - Self.window)..<oldSize
        let known = Set(try lines(of: old, in: oldRange).map { lineHash($0) })
        let range = max(0, size - Self.window)..<size
        // Where both are seen whole, a file that begins with another line is another file.
        if oldRange.lowerBound == 0, range.lowerBound == 0,
            let first = try lines(of: source, in: range).first, !known.contains(lineHash(first))
        {
            return
        }
        try move(source, behindLastLineIn: range) { known.contains(lineHash($0)) }
    }

    /// Whole lines that begin in a stretch of a file, but for empty ones.
    private func lines(of source: Source, in range: Range<Int64>) throws(FileReadError) -> [ArraySlice<UInt8>] {
        let bytes = try bytes(of: source, at: range.lowerBound, count: Int(range.upperBound - range.lowerBound))
        guard let last = bytes.lastIndex(of: 10) else { return [] }
        let first = range.lowerBound == 0 ? 0 : (bytes.firstIndex(of: 10).map { $0 + 1 } ?? bytes.count)
        return bytes[min(first, last)..<last].split(separator: 10)
    }

    /// Goes behind the last whole line in a stretch that fits; stays where none does.
    private func move(
        _ source: Source, behindLastLineIn range: Range<Int64>, where fits: (ArraySlice<UInt8>) -> Bool
    ) throws(FileReadError) {
        guard let line = try lines(of: source, in: range).last(where: fits) else { return }
        // The slice's indices are places in the stretch.
        let offset = range.lowerBound + Int64(line.endIndex) + 1
        let count = min(offset, Int64(Checkpoint.markerLength))
        source.move(
            to: Position(
                offset: offset, marker: try bytes(of: source, at: offset - count, count: Int(count)),
                line: lineHash(line)))
    }

    // MARK: - Reading

    private func read(
        _ source: Source, _ budget: inout Int, _ candidates: Candidates?, _ line: (ArraySlice<UInt8>) -> Void
    ) throws(FileReadError) {
        while budget > 0 {
            let size = try size(of: source)
            if size != source.sizeSeen {
                source.sizeSeen = size
                source.lastGrowth = now()
            }
            if size < source.position.offset {
                // Truncated in place (copytruncate): what is there now is new.
                source.move(to: Position())
            }
            // The marker is read along with what is new: they belong together, whatever happens meanwhile.
            let lead = source.position.marker.count
            let piece = try bytes(
                of: source, at: source.position.offset - Int64(lead),
                count: lead + Int(min(size - source.position.offset, Self.pieceMax)))
            guard piece.prefix(lead) == source.position.marker[...] else {
                // Truncated, and regrown to the old offset or beyond before it was seen: as in `resume`.
                budget -= 1
                try moveToWindow(source, size: try self.size(of: source))
                continue
            }
            let used = take(piece, from: lead, of: source, candidates, line)
            guard used > 0 else { return }
            budget -= used
        }
    }

    /// Gives the whole lines of a piece that begins, behind its marker, at a line's beginning or inside a line that is
    /// passed over, and moves behind them.
    ///
    /// - Returns: How many bytes are done with.
    private func take(
        _ piece: [UInt8], from lead: Int, of source: Source, _ candidates: Candidates?,
        _ line: (ArraySlice<UInt8>) -> Void
    ) -> Int {
        let origin = source.position.offset - Int64(lead)
        var lastLine = 0..<0
        func place(_ index: Int) -> Position {
            Position(
                offset: origin + Int64(index), marker: Array(piece[..<index].suffix(Checkpoint.markerLength)),
                line: lastLine.isEmpty ? source.position.line : lineHash(piece[lastLine]))
        }
        var position = lead
        piece.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            let next = candidates?(UnsafeRawBufferPointer(buffer))
            // The next place of interest; before the first search none is known.
            var candidate = -1
            while position < buffer.count,
                let found = memchr(start + position, 10, buffer.count - position)
            {
                let end = UnsafeRawPointer(start).distance(to: UnsafeRawPointer(found))
                if source.skippedFrom != nil {
                    source.skippedFrom = nil
                } else if end - position > Self.lineMax {
                    skippedLines += 1
                } else {
                    lastLine = position..<end
                    if let next, candidate < position { candidate = next(position) ?? buffer.count }
                    if next == nil || candidate <= end && candidate < buffer.count { line(piece[position..<end]) }
                }
                position = end + 1
            }
        }
        // A line's beginning without its end is read again with its end, unless it is longer than a line may be.
        if source.skippedFrom == nil, piece.count - position > Self.lineMax {
            skippedLines += 1
            source.skippedFrom = place(position)
        }
        if source.skippedFrom != nil { position = piece.count }
        if position > lead { source.position = place(position) }
        return position - lead
    }

    private func size(of source: Source) throws(FileReadError) -> Int64 { try status(of: source).size }

    private func status(of source: Source) throws(FileReadError) -> FileStatus {
        do throws(SystemError) { return try Syscalls.status(of: source.descriptor.raw) } catch {
            throw .system(error)
        }
    }

    private func bytes(of source: Source, at offset: Int64, count: Int) throws(FileReadError) -> [UInt8] {
        guard count > 0 else { return [] }
        do throws(SystemError) {
            var error: SystemError?
            let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                while filled < count {
                    do throws(SystemError) {
                        let rest = UnsafeMutableRawBufferPointer(
                            UnsafeMutableBufferPointer(rebasing: buffer[filled..<count]))
                        let got = try Syscalls.read(source.descriptor.raw, at: offset + Int64(filled), into: rest) ?? 0
                        if got == 0 { break }
                        filled += got
                    } catch let problem {
                        error = problem
                        break
                    }
                }
            }
            if let error { throw error }
            return bytes
        } catch {
            throw .system(error)
        }
    }
}

/// FNV-1a (Fowler, Noll, Vo): the same number for the same line in each run; never 0, which stands for no line.
func lineHash(_ line: ArraySlice<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in line { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    return hash == 0 ? 1 : hash
}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
