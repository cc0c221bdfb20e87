// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// Gives the whole lines of one growing file, each once.
///
/// It holds the file open, so lines that a writer still adds to a renamed or removed file are not lost; the owner calls
/// ``read(budget:candidates:at:isEnough:line:)`` when something may have changed and again while it says that more is
/// there.
public final class LogFollower {
    public let path: FilePath
    let boundary: FilePath?
    var start: StartPosition
    var current: LogSource?
    /// Files that the name led to before; they are read until they have been quiet for a while.
    var retired: [LogSource] = []
    /// Lines longer than ``lineMax``, passed over.
    public internal(set) var skippedLines = 0
    let now: () -> Int64

    /// The longest line taken, in bytes, without its end (contract G).
    public static let lineMax = 64 << 10
    /// How much of a file is read again at most where a checkpoint does not fit, in bytes.
    static let window: Int64 = 256 << 10
    /// How much is read at a time, in bytes; more than a line may be long, so that each piece leads on.
    private static let pieceMax: Int64 = 256 << 10
    /// Among how many names of its folder a file is looked for that was renamed.
    static let namesMax = 4096
    /// A file that the name left is given up after this time without a new byte.
    static let quietTime = Duration.seconds(5)

    /// - Parameters:
    ///   - boundary: A directory. A file that lies elsewhere when it is opened, wherever the links of its name lead, is
    ///     not read.
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

    /// How far the file has been read, and those that had its name before; as it was given where the file has not been
    /// opened yet. nil: nothing is known.
    public var checkpoint: Checkpoint? {
        var older = retired.map { checkpoint(of: $0) }
        if let current {
            var place = checkpoint(of: current)
            place.older = older
            return place
        }
        if case .resume(var place) = start {
            place.older += older
            return place
        }
        // The name is free, and what comes under it is new.
        guard var last = older.popLast() else { return nil }
        last.older = older
        return last
    }

    /// Whether nothing is known of the file but that what stands in it does not matter.
    public var isUnplaced: Bool { if case .end = start { current == nil } else { false } }

    /// What is known of when a line was written.
    public struct Arrival: Sendable {
        /// It was there at this time of the monotonic clock, in nanoseconds.
        public let seen: Int64
        /// When the file had last been modified then, in nanoseconds since the epoch.
        public let modified: Int64
    }

    /// Of the line that is being given.
    public private(set) var arrival: Arrival?

    /// Until when a file that the name left still has to be read, in time from now; nil if there is none.
    public var nextDeadline: Duration? {
        retired.map { max(.zero, Self.quietTime - .nanoseconds(now() - $0.lastGrowth)) }.min()
    }

    /// Begins a pass over a block of text; see ``read(budget:candidates:at:isEnough:line:)``.
    public typealias Candidates = (UnsafeRawBufferPointer) -> (_ position: Int) -> Int?

    /// Reads new lines.
    ///
    /// - Parameters:
    ///   - budget: About how many bytes may be read in this call.
    ///   - candidates: Begins a pass over a block of text; what it returns gives the next place at or behind a position
    ///     that is in a line of interest, nil if there is none. Other lines are not given. nil: all are.
    ///   - time: The time that it is at the latest for what is there now (``Arrival/seen``); nil: now.
    ///   - isEnough: Asked behind each line that was given, whether no more are wanted in this call.
    ///   - line: Called with each whole line, without its end.
    /// - Returns: Whether more can be read at once.
    /// - Throws: What reading failed with; the position is kept, and what else can be read was read. A file that is
    ///   not there is no error.
    public func read(
        budget: Int = 1 << 20, candidates: Candidates? = nil, at time: Int64? = nil,
        isEnough: () -> Bool = { false }, line: (ArraySlice<UInt8>) -> Void
    ) throws(FileReadError) -> Bool {
        let time = time ?? now()
        var budget = budget
        var problem: FileReadError?
        func attempt(_ body: () throws(FileReadError) -> Void) {
            do throws(FileReadError) { try body() } catch { problem = problem ?? error }
        }
        // The deadline is looked at first: what was written until then is still read.
        let isQuiet = retired.map { now() - $0.lastGrowth >= Self.quietTime.nanoseconds }
        for source in retired {
            attempt { () throws(FileReadError) in try read(source, &budget, candidates, time, isEnough, line) }
        }
        retired = zip(retired, isQuiet).compactMap { source, isQuiet in
            isQuiet && now() - source.lastGrowth >= Self.quietTime.nanoseconds ? nil : source
        }
        let before = retired
        attempt(reopenIfReplaced)
        // What stands in the file that the name just left comes before what stands in the new one.
        for source in retired where !before.contains(where: { $0 === source }) {
            attempt { () throws(FileReadError) in try read(source, &budget, candidates, time, isEnough, line) }
        }
        if let current {
            attempt { () throws(FileReadError) in try read(current, &budget, candidates, time, isEnough, line) }
        }
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

    private func checkpoint(of source: LogSource) -> Checkpoint {
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

    private func open() throws(FileReadError) -> (LogSource, size: Int64)? {
        do throws(SystemError) {
            let descriptor = try Syscalls.open(path, flags: O_RDONLY | O_NONBLOCK | O_NOCTTY)
            let status = try Syscalls.status(of: descriptor.raw)
            guard status.kind == .regular else { return nil }
            if let boundary {
                guard try Syscalls.path(of: descriptor.raw).isWithin(Syscalls.realPath(boundary)) else {
                    throw SystemError(call: "open", subject: path.shown, errno: .improperLink)
                }
            }
            return (LogSource(descriptor, identity: status.identity, now: now()), status.size)
        } catch {
            // Gone again since it was looked at: the next event tells.
            if error.errno == .noSuchFileOrDirectory { return nil }
            throw .system(error)
        }
    }

    // MARK: - Reading

    private func read(
        _ source: LogSource, _ budget: inout Int, _ candidates: Candidates?, _ time: Int64, _ isEnough: () -> Bool,
        _ line: (ArraySlice<UInt8>) -> Void
    ) throws(FileReadError) {
        while budget > 0 {
            let status = try source.status()
            let size = status.size
            if size != source.sizeSeen {
                source.sizeSeen = size
                source.lastGrowth = now()
            }
            if size < source.position.offset {
                // Truncated in place (copytruncate): what is there now is new.
                source.move(to: LogSource.Position())
            }
            // What has come since the mark was set is read when all before it is: it may be much younger.
            if source.position.offset >= source.mark {
                (source.mark, source.markedAt, source.modified) = (size, time, status.modified)
            }
            arrival = Arrival(seen: source.markedAt, modified: source.modified)
            // The marker is read along with what is new: they belong together, whatever happens meanwhile.
            let lead = source.position.marker.count
            let piece = try source.bytes(
                at: source.position.offset - Int64(lead),
                count: lead + Int(min(min(size, source.mark) - source.position.offset, Self.pieceMax)))
            guard source.position.marker.fits(piece.prefix(lead)) else {
                // Truncated, and regrown to the old offset or beyond before it was seen: as in `resume`.
                budget -= 1
                try moveToWindow(source, size: try source.size())
                continue
            }
            let (used, isCut) = take(piece, from: lead, of: source, candidates, isEnough, line)
            if isCut { budget = used }
            if used == 0, source.mark < size {
                // The rest of its last line has come since.
                source.mark = 0
                continue
            }
            guard used > 0 else { return }
            budget -= used
        }
    }

    /// Gives the whole lines of a piece that begins, behind its marker, at a line's beginning or inside a line that is
    /// passed over, and moves behind them.
    ///
    /// - Returns: How many bytes are done with, and whether it was enough before the piece's end.
    private func take(
        _ piece: [UInt8], from lead: Int, of source: LogSource, _ candidates: Candidates?, _ isEnough: () -> Bool,
        _ line: (ArraySlice<UInt8>) -> Void
    ) -> (used: Int, isCut: Bool) {
        let origin = source.position.offset - Int64(lead)
        var lastLine = 0..<0
        func place(_ index: Int) -> LogSource.Position {
            LogSource.Position(
                offset: origin + Int64(index), marker: Marker(piece[..<index]),
                line: lastLine.isEmpty ? source.position.line : lineHash(piece[lastLine]))
        }
        var position = lead
        var isCut = false
        piece.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            let next = candidates?(UnsafeRawBufferPointer(buffer))
            // The next place of interest; before the first search none is known.
            var candidate = -1
            while !isCut, position < buffer.count,
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
                    if next == nil || candidate <= end && candidate < buffer.count {
                        line(piece[position..<end])
                        isCut = isEnough()
                    }
                }
                position = end + 1
            }
        }
        // A line's beginning without its end is read again with its end, unless it is longer than a line may be.
        if !isCut, source.skippedFrom == nil, piece.count - position > Self.lineMax {
            skippedLines += 1
            source.skippedFrom = place(position)
        }
        if source.skippedFrom != nil { position = piece.count }
        if position > lead { source.position = place(position) }
        return (position - lead, isCut)
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
