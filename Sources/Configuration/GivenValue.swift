// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import TOML

/// A value as it was given, from whichever source, with its place for errors.
struct GivenValue {
    enum Content {
        case text(String)
        case flag(Bool)
        case integer(Int64)
        case list([GivenValue])
        case table([(name: String, namePlace: ConfigurationError.Place, value: GivenValue)])
        /// What no setting takes.
        case other
    }

    let content: Content
    let place: ConfigurationError.Place
    /// What kind of value it is, for messages.
    let kind: String
    /// Begins the messages about it: the key's name where the place does not tell it.
    let subject: String

    /// A value of a file.
    init(_ value: TOMLValue, file: String, subject: String) {
        func inside(_ element: TOMLValue) -> GivenValue { GivenValue(element, file: file, subject: subject) }
        switch value.content {
        case .string(let text): content = .text(text)
        case .boolean(let flag): content = .flag(flag)
        case .integer(let number): content = .integer(number)
        case .array(let elements): content = .list(elements.map(inside))
        case .table(let members):
            content = .table(
                members.map {
                    ($0.name, .file(file, line: $0.namePosition.line, column: $0.namePosition.column), inside($0.value))
                })
        default: content = .other
        }
        place = .file(file, line: value.position.line, column: value.position.column)
        kind = value.kind
        self.subject = subject
    }

    /// A variable's value or a default: where the setting is a list, colons separate its elements.
    init(_ text: String, for setting: Setting, place: ConfigurationError.Place, subject: String) {
        switch setting.kind {
        case .paths, .words:
            content = .list(
                text.split(separator: ":").map { GivenValue(text: String($0), place: place, subject: subject) })
        case .variables where text.isEmpty: content = .table([])
        case .flag where text == "true": content = .flag(true)
        case .flag where text == "false": content = .flag(false)
        case .port: content = Int64(text).map(Content.integer) ?? .text(text)
        default: content = .text(text)
        }
        self.place = place
        kind = "text"
        self.subject = subject
    }

    private init(text: String, place: ConfigurationError.Place, subject: String) {
        content = .text(text)
        self.place = place
        kind = "text"
        self.subject = subject
    }
}
