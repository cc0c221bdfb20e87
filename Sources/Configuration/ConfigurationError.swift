// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// One thing that is wrong with a configuration.
///
/// Its text never holds a value that could be a key.
public struct ConfigurationError: Sendable, Hashable, CustomStringConvertible {
    /// Where it is wrong.
    public enum Place: Sendable, Hashable {
        /// Line and column count from 1.
        case file(String, line: Int, column: Int)
        /// A variable's name.
        case environment(String)
    }

    public let place: Place
    public let message: String

    public init(_ place: Place, _ message: String) {
        self.place = place
        self.message = message
    }

    /// `FILE:LINE:COLUMN: MESSAGE` or `environment: NAME: MESSAGE` (contract A, E).
    public var description: String {
        switch place {
        case .file(let path, let line, let column): "\(path):\(line):\(column): \(message)"
        case .environment(let name): "environment: \(name): \(message)"
        }
    }

    /// In the order of the file, variables after it by name.
    static func precedes(_ a: ConfigurationError, _ b: ConfigurationError) -> Bool {
        switch (a.place, b.place) {
        case (.file(_, let line, let column), .file(_, let otherLine, let otherColumn)):
            (line, column) < (otherLine, otherColumn)
        case (.file, .environment): true
        case (.environment, .file): false
        case (.environment(let name), .environment(let other)): name < other
        }
    }
}

/// All that is wrong with a configuration, in the order of the file; never empty.
public struct ConfigurationErrors: Error, Sendable, CustomStringConvertible {
    public let errors: [ConfigurationError]

    public init(_ errors: [ConfigurationError]) { self.errors = errors }

    /// One error a line.
    public var description: String { errors.map(\.description).joined(separator: "\n") }
}
