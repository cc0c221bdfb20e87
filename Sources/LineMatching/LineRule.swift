// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// A pattern that lines are held against, and how it has fared.
public final class LineRule {
    /// Unique among the rules; for events and messages.
    public let name: String
    private let pattern: Pattern
    let literals: RequiredLiterals?
    private var limits = 0
    /// It is not tried any more.
    public private(set) var isOff = false

    /// So many lines may be given up before the rule is.
    static let limitsMax = 3

    public init(name: String, pattern: String) throws(PatternError) {
        self.name = name
        self.pattern = try Pattern(pattern)
        literals = RequiredLiterals(of: pattern)
    }

    public enum Outcome: Sendable, Equatable {
        case matched, none
        /// The line took too long.
        case gaveUp
        /// The line took too long, and it was one too many: the rule is off from now on.
        case switchedOff
    }

    /// Holds a line against the pattern. A carriage return at its end does not belong to it.
    public func match(_ line: UnsafeRawBufferPointer) -> Outcome {
        guard !isOff else { return .none }
        let text = line.last == 13 ? UnsafeRawBufferPointer(rebasing: line.dropLast()) : line
        switch pattern.match(text) {
        case .matched: return .matched
        case .none: return .none
        case .limit:
            limits += 1
            guard limits >= Self.limitsMax else { return .gaveUp }
            isOff = true
            return .switchedOff
        }
    }
}

/// Finds the lines that one of some rules could match, and passes over the others by looking for literals that all
/// matches hold.
public struct LineFilter {
    /// nil: one of the rules says nothing about what its lines hold; each line is a candidate.
    private let scanner: LiteralScanner?

    /// - Parameters:
    ///   - rules: Those that are off do not count.
    ///   - words: More that make a line a candidate.
    public init(_ rules: [LineRule], words: [String] = []) {
        let active = rules.filter { !$0.isOff }
        let known = active.compactMap(\.literals)
        guard known.count == active.count else {
            scanner = nil
            return
        }
        var literals = known
        if !words.isEmpty { literals.append(RequiredLiterals(words: words)) }
        scanner = LiteralScanner(literals)
    }

    /// Walks over the candidates in a buffer.
    public struct Pass {
        fileprivate var pass = LiteralScanner.Pass()
        public init() {}
    }

    /// A place in the next line that is a candidate, at or behind a position; nil if there is none.
    public func next(_ buffer: UnsafeRawBufferPointer, from position: Int, _ pass: inout Pass) -> Int? {
        guard let scanner else { return position < buffer.count ? position : nil }
        return scanner.next(buffer, from: position, &pass.pass)
    }
}

extension RequiredLiterals {
    init(words: [String]) {
        runs = words.map { Array($0.utf8) }
        ignoresCase = false
    }
}
