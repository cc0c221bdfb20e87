// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// The arguments that an agent's command was called with, and what a lease makes of them.
///
/// They are bytes, and all that is not replaced stays byte for byte.
public struct LaunchArguments: Sendable, Hashable {
    /// Without the program's name.
    public let words: [[UInt8]]

    public init(_ words: [[UInt8]]) { self.words = words }

    /// Calls that are no agent: they need no key and get none.
    public var isPassThrough: Bool {
        guard let first = words.first.map({ String(decoding: $0, as: UTF8.self) }) else { return false }
        return Self.passing.contains(first)
    }

    private static let passing: Set<String> = [
        "--version", "-v", "--help", "-h", "mcp", "doctor", "update", "upgrade", "install", "plugin", "plugins",
        "setup-token", "auth",
    ]

    /// Whether the caller decides itself which conversation it is, or runs a single request.
    public var choosesConversation: Bool {
        words.contains { word in
            let text = String(decoding: word, as: UTF8.self)
            return ["--resume", "-r", "--continue", "-c", "--session-id", "-p", "--print", "--fork-session"].contains(
                text)
                || text.hasPrefix("--resume=") || text.hasPrefix("--session-id=")
        }
    }

    /// The conversation that `--resume <id>` or `--session-id <id>` names.
    public var conversation: ConversationID? {
        for (index, word) in words.enumerated() {
            let text = String(decoding: word, as: UTF8.self)
            for option in ["--resume", "-r", "--session-id"] {
                if text == option, index + 1 < words.count {
                    if let id = ConversationID(String(decoding: words[index + 1], as: UTF8.self)) { return id }
                } else if text.hasPrefix(option + "=") {
                    if let id = ConversationID(String(text.dropFirst(option.count + 1))) { return id }
                }
            }
        }
        return nil
    }

    /// What `--settings` was given: a path or JSON text. Of several the client takes the last.
    public var settings: [UInt8]? { settingsPlaces.last?.value }

    private var settingsPlaces: [(index: Int, length: Int, value: [UInt8])] {
        var places: [(index: Int, length: Int, value: [UInt8])] = []
        var index = 0
        while index < words.count {
            let word = words[index]
            if word.elementsEqual("--settings".utf8), index + 1 < words.count {
                places.append((index, 2, words[index + 1]))
                index += 1
            } else if word.starts(with: "--settings=".utf8) {
                places.append((index, 1, Array(word.dropFirst(11))))
            }
            index += 1
        }
        return places
    }

    /// The arguments of the real program.
    ///
    /// - Parameters:
    ///   - settings: The file that takes the place of the caller's.
    ///   - resume: The conversation to go on with, and what to say to it.
    public func completed(settings: [UInt8], resume: (id: ConversationID, prompt: String)?) -> [[UInt8]] {
        var words = words
        // None of the caller's may stay: it would win over the pinned endpoint.
        let places = settingsPlaces
        for place in places.reversed() { words.removeSubrange(place.index..<(place.index + place.length)) }
        words.insert(contentsOf: [Array("--settings".utf8), settings], at: places.first?.index ?? 0)
        guard let resume else { return words }
        // gt's start beacon is the prompt of a new conversation. The client takes the first positional and drops the
        // rest, so the prompt has to take its place.
        if let last = words.last, last.starts(with: "[GAS TOWN]".utf8) {
            words[words.count - 1] = Array(resume.prompt.utf8)
        } else {
            words.append(Array(resume.prompt.utf8))
        }
        return [Array("--resume".utf8), Array(resume.id.text.utf8)] + words
    }
}
