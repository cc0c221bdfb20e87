// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys

/// Whether a file that was just made is a copy of one that is followed beside it. Who rotates a log by copying and
/// truncating it makes one (logrotate's `copytruncate`); where its name is followed too, its lines were given already,
/// but for those at its end that came while nobody looked.
///
/// A copy grows while it is made, and the truncation comes behind it, so that a file that begins like another, in what it
/// holds and by its name, is held for a moment. What differs anywhere is nobody's copy and is given at once.
extension LogFollower {
    /// How long what may be a copy may be quiet before it is taken for a file of its own.
    static let copyTime = Duration.seconds(2)
    /// Files that are alike for so long are one the copy of the other, whether that one is truncated or not, in bytes.
    private static let alikeMin: Int64 = 4096
    /// How much is compared at the beginning and at the end of what two files have in common, in bytes.
    private static let probe = 64

    /// - Returns: Whether it is known where reading begins.
    func findOrigin(of source: LogSource) throws(FileReadError) -> Bool {
        for _ in 1...3 {
            switch try origin(of: source) {
            case .changing: continue
            case .unclear: return false
            case .known:
                source.isOfUnknownOrigin = false
                return true
            }
        }
        // It is looked at again when it has grown, or a little later.
        return false
    }

    private enum Origin {
        /// Reading begins at its position.
        case known
        case unclear
        case changing
    }

    private func origin(of source: LogSource) throws(FileReadError) -> Origin {
        let models = try models(of: source)
        // Asked for behind what is known of the others: of one that is truncated the copy is complete.
        let size = try source.size()
        if let place = try place(in: source, size: size, among: models) {
            source.move(to: place)
            return .known
        }
        var isUnclear = false
        var place: LogSource.Position?
        for model in models {
            // More came to the other one, and was given, between the copy and the truncation.
            if source.models.contains(model.source.identity), model.truncations.contains(where: { size < $0.offset }) {
                try moveToEnd(source, size: size)
                return .known
            }
            let here = model.source.position
            guard model.isIntact, here.marker.count > 0 else { continue }
            guard try areAlike(source, model.source, upTo: min(size, here.offset)) else {
                guard try Model(model.source, now: now()).isIntact else { return .changing }
                continue
            }
            source.models.insert(model.source.identity)
            // What of the other one is not given yet stands in both.
            if here.offset >= Self.alikeMin, size >= here.offset, try model.source.drySize == model.source.size() {
                if here.offset > place?.offset ?? 0 { place = here }
            } else {
                isUnclear = true
            }
        }
        if isUnclear, .nanoseconds(now() - source.lastGrowth) < Self.copyTime { return .unclear }
        if let place {
            source.move(to: place)
        } else if isUnclear, size >= Self.alikeMin {
            // The beginning of another one.
            try moveToEnd(source, size: size)
        }
        return .known
    }

    private func moveToEnd(_ source: LogSource, size: Int64) throws(FileReadError) {
        try moveBehindLineEnd(source, from: max(0, size - Self.window), upTo: size, isFirst: false)
    }

    /// Where reading goes on in a file that is the copy of one that was truncated meanwhile.
    func placeInCopy(_ source: LogSource) throws(FileReadError) -> LogSource.Position? {
        let models = try models(of: source)
        return try place(in: source, size: try source.size(), among: models)
    }

    private func place(
        in source: LogSource, size: Int64, among models: [Model]
    ) throws(FileReadError) -> LogSource.Position? {
        var found: LogSource.Position?
        for place in models.flatMap(\.truncations) where size >= place.offset && place.offset > found?.offset ?? 0 {
            if try fits(place, in: source) { found = place }
        }
        return found
    }

    /// Another file that is followed, as it is now.
    private struct Model {
        let source: LogSource
        /// What was read of it still stands.
        let isIntact: Bool
        /// Until where it was read when it was truncated, now or a moment ago.
        let truncations: [LogSource.Position]

        init(_ source: LogSource, now: Int64) throws(FileReadError) {
            self.source = source
            let position = source.position
            let count = position.marker.count
            // As long as it was or longer, it may still be written anew.
            let lead = try source.bytes(at: position.offset - Int64(count), count: count)
            isIntact = position.marker.fits(lead[...])
            var places = isIntact ? [] : [position]
            if let (place, at) = source.truncated, .nanoseconds(now - at) < LogFollower.quietTime {
                places.append(place)
            }
            // Without a mark anything could be its copy.
            truncations = places.filter { $0.marker.count > 0 }
        }
    }

    private func models(of source: LogSource) throws(FileReadError) -> [Model] {
        let name = path.lastName
        var models: [Model] = []
        for other in neighbours?() ?? [] where other !== self {
            guard let model = other.current, model.identity != source.identity else { continue }
            // a.log.1, a.log-20261127, a.1.log; what is named otherwise is no copy of a rotation.
            let stem = other.path.lastName
            let dot = stem.lastIndex(of: UInt8(ascii: ".")).flatMap { $0 > 0 ? $0 : nil }
            guard name.starts(with: stem[..<(dot ?? stem.endIndex)]) else { continue }
            models.append(try Model(model, now: now()))
        }
        return models
    }

    private func areAlike(_ one: LogSource, _ other: LogSource, upTo end: Int64) throws(FileReadError) -> Bool {
        let count = Int(min(end, Int64(Self.probe)))
        for offset in [0, end - Int64(count)] {
            guard try one.bytes(at: offset, count: count) == other.bytes(at: offset, count: count) else { return false }
        }
        return true
    }
}
