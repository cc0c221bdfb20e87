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

    public init(file: FileIdentity, offset: Int64, marker: [UInt8]) {
        self.file = file
        self.offset = offset
        self.marker = marker
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
/// calls ``read(budget:line:)`` when something may have changed and again while it says that more is there.
public final class LogFollower {
    public let path: FilePath
    private var start: StartPosition?
    private var current: Source?
    /// Files that the name led to before; they are read until they have been quiet for a while.
    private var retired: [Source] = []
    /// Lines longer than ``lineMax``, passed over.
    public private(set) var skippedLines = 0

    /// The longest line taken, in bytes, without its end (contract G).
    public static let lineMax = 64 << 10
    /// How much of a file is read again at most where a checkpoint does not fit, in bytes.
    static let window: Int64 = 256 << 10
    /// A file that the name left is given up after this time without a new line.
    static let quietTime = Duration.seconds(5)

    private final class Source {
        let descriptor: Descriptor
        let identity: FileIdentity
        var offset: Int64
        var marker: [UInt8] = []
        /// Bytes behind the offset that have no line end yet are read again later, but if they are longer than a
        /// line may be, they are passed over as they come.
        var isSkipping = false
        var lastGrowth = EventLoop.now

        init(_ descriptor: consuming Descriptor, identity: FileIdentity, offset: Int64) {
            self.descriptor = descriptor
            self.identity = identity
            self.offset = offset
        }
    }

    public init(_ path: FilePath, from start: StartPosition) {
        self.path = path
        self.start = start
    }

    /// How far the file has been read, nil before it was opened.
    public var checkpoint: Checkpoint? {
        current.map { Checkpoint(file: $0.identity, offset: $0.offset, marker: $0.marker) }
    }

    /// Until when a file that the name left still has to be read, in time from now; nil if there is none.
    public var nextDeadline: Duration? {
        retired.map { Self.quietTime - .nanoseconds(EventLoop.now - $0.lastGrowth) }.min()
    }

    /// Reads new lines.
    ///
    /// - Parameters:
    ///   - budget: About how many bytes may be read in this call.
    ///   - line: Called with each whole line, without its end.
    /// - Returns: Whether more can be read at once.
    /// - Throws: What reading failed with; the position is kept. A file that is not there is no error.
    public func read(budget: Int = 1 << 20, line: (ArraySlice<UInt8>) -> Void) throws(FileReadError) -> Bool {
        var budget = budget
        for source in retired { try read(source, &budget, line) }
        retired.removeAll { EventLoop.now - $0.lastGrowth > Self.quietTime.nanoseconds }
        try reopenIfReplaced()
        if let current { try read(current, &budget, line) }
        return budget <= 0
    }

    // MARK: - Which file it is

    private func reopenIfReplaced() throws(FileReadError) {
        do throws(SystemError) {
            let named = try Syscalls.status(of: path)
            if let current, named.identity == current.identity { return }
            guard named.kind == .regular else { throw FollowProblem.notRegular }
        } catch {
            switch error.errno {
            case .noSuchFileOrDirectory, .notDirectory:
                // Renamed and not yet made again, or removed: what is open is still read.
                if let current { retired.append(current) }
                current = nil
                // What comes under the name after this is a new file.
                start = .beginning
                return
            case FollowProblem.notRegular.errno: throw .notRegular
            default: throw .system(error)
            }
        }
        guard let (source, size) = try open() else { return }
        if let current { retired.append(current) }
        current = nil
        try position(source, size: size)
        current = source
    }

    private func open() throws(FileReadError) -> (Source, size: Int64)? {
        do throws(SystemError) {
            let descriptor = try Syscalls.open(path, flags: O_RDONLY | O_NONBLOCK | O_NOCTTY)
            let status = try Syscalls.status(of: descriptor.raw)
            guard status.kind == .regular else { return nil }
            return (Source(descriptor, identity: status.identity, offset: 0), status.size)
        } catch {
            // Gone again since it was looked at: the next event tells.
            if error.errno == .noSuchFileOrDirectory { return nil }
            throw .system(error)
        }
    }

    private func position(_ source: Source, size: Int64) throws(FileReadError) {
        defer { start = .beginning }
        switch start ?? .beginning {
        case .beginning: break
        case .end: try moveBehindLineEnd(source, from: max(0, size - Self.window), upTo: size)
        case .resume(let checkpoint):
            source.offset = checkpoint.offset
            source.marker = checkpoint.marker
            if checkpoint.file == source.identity, checkpoint.offset <= size, try markerFits(source) { return }
            source.marker = []
            source.offset = 0
            let from = max(0, size - Self.window)
            if from > 0 { try moveBehindLineEnd(source, from: from, upTo: from + Self.window, isFirst: true) }
        }
    }

    /// Sets the offset behind the first or last line end in a stretch of the file; where there is none, to its start
    /// or end. The middle of a line is never taken for its beginning.
    private func moveBehindLineEnd(
        _ source: Source, from: Int64, upTo end: Int64, isFirst: Bool = false
    ) throws(FileReadError) {
        let bytes = try bytes(of: source, at: from, count: Int(end - from))
        let found = isFirst ? bytes.firstIndex(of: 10) : bytes.lastIndex(of: 10)
        source.offset = from + Int64(found.map { $0 + 1 } ?? (isFirst ? bytes.count : (from == 0 ? 0 : bytes.count)))
        try remember(source)
    }

    private func markerFits(_ source: Source) throws(FileReadError) -> Bool {
        let count = source.marker.count
        guard Int64(count) <= source.offset else { return false }
        return try bytes(of: source, at: source.offset - Int64(count), count: count) == source.marker
    }

    private func remember(_ source: Source) throws(FileReadError) {
        let count = min(source.offset, Int64(Checkpoint.markerLength))
        source.marker = try bytes(of: source, at: source.offset - count, count: Int(count))
    }

    // MARK: - Reading

    private func read(
        _ source: Source, _ budget: inout Int, _ line: (ArraySlice<UInt8>) -> Void
    ) throws(FileReadError) {
        var size: Int64
        do throws(SystemError) { size = try Syscalls.status(of: source.descriptor.raw).size } catch {
            throw .system(error)
        }
        guard size != source.offset || size == 0 else { return }
        if size < source.offset {
            // Truncated in place (copytruncate): what is there now is new.
            source.offset = 0
            source.marker = []
            source.isSkipping = false
        } else if try !markerFits(source) {
            // Truncated, and regrown beyond the old offset before it was seen: begin at the window, see `resume`.
            source.offset = 0
            source.marker = []
            let from = max(0, size - Self.window)
            if from > 0 { try moveBehindLineEnd(source, from: from, upTo: size, isFirst: true) }
        }
        while source.offset < size && budget > 0 {
            let bytes = try bytes(
                of: source, at: source.offset, count: Int(min(size - source.offset, Int64(256 << 10))))
            guard !bytes.isEmpty else { break }
            source.lastGrowth = EventLoop.now
            budget -= bytes.count
            let used = take(bytes, of: source, line)
            source.offset += Int64(used)
            if used > 0 { try remember(source) } else { break }
            // The file may have grown meanwhile.
            if source.offset == size {
                do throws(SystemError) { size = try Syscalls.status(of: source.descriptor.raw).size } catch {
                    throw .system(error)
                }
            }
        }
    }

    /// Gives the whole lines of a piece that begins at a line's beginning (or inside a line that is passed over).
    ///
    /// - Returns: How many of the bytes are done with.
    private func take(_ bytes: [UInt8], of source: Source, _ line: (ArraySlice<UInt8>) -> Void) -> Int {
        var position = 0
        bytes.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            while position < buffer.count,
                let found = memchr(start + position, 10, buffer.count - position)
            {
                let end = UnsafeRawPointer(start).distance(to: UnsafeRawPointer(found))
                if source.isSkipping {
                    source.isSkipping = false
                } else if end - position > Self.lineMax {
                    skippedLines += 1
                } else {
                    line(bytes[position..<end])
                }
                position = end + 1
            }
        }
        if source.isSkipping { return bytes.count }
        if bytes.count - position > Self.lineMax {
            skippedLines += 1
            source.isSkipping = true
            return bytes.count
        }
        return position
    }

    private func bytes(of source: Source, at offset: Int64, count: Int) throws(FileReadError) -> [UInt8] {
        guard count > 0 else { return [] }
        do throws(SystemError) {
            var error: SystemError?
            let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                while filled < count {
                    do throws(SystemError) {
                        let rest = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: buffer[filled..<count]))
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

private enum FollowProblem {
    static let notRegular = SystemError(call: "open", errno: .invalidArgument)
}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
