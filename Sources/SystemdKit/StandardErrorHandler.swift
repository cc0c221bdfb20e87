// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import Logging
import Timekeeping

/// swift-log's records on standard error, each on one line.
///
/// On a terminal `HH:MM:SS level message key=value` (UTC) with the level in colour; elsewhere `<N>message key=value`,
/// N being the priority that systemd's journal takes from there (sd-daemon(3)).
public struct StandardErrorHandler: LogHandler {
    /// How lines look.
    public enum Style: Sendable {
        case terminal(hasColour: Bool)
        case prefixed

        /// What fits the descriptor: https://no-color.org and a dumb terminal are heeded.
        public static func fitting(_ descriptor: Int32) -> Style {
            guard isatty(descriptor) == 1 else { return .prefixed }
            let isPlain =
                !(CurrentProcess.environmentValue("NO_COLOR") ?? "").isEmpty
                || CurrentProcess.environmentValue("TERM") == "dumb"
            return .terminal(hasColour: !isPlain)
        }
    }

    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    private let style: Style
    private let writer: RecordWriter

    public init(
        writer: RecordWriter, level: Logger.Level = .info, style: Style = .fitting(STDERR_FILENO),
        metadataProvider: Logger.MetadataProvider? = nil
    ) {
        self.writer = writer
        logLevel = level
        self.style = style
        self.metadataProvider = metadataProvider
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var all = metadata
        // The nearer to the call, the more it counts.
        all.merge(metadataProvider?.get() ?? [:]) { $1 }
        all.merge(event.metadata ?? [:]) { $1 }
        writer.write(Self.line(event.level, event.message.description, all, style, at: Timestamp.now))
    }

    /// The line that tells of dropped ones, in the same style: for `RecordWriter`.
    public static func dropNotice(_ style: Style) -> @Sendable (Int) -> String {
        { line(.warning, "\($0) log lines dropped", [:], style, at: Timestamp.now) }
    }

    static func line(
        _ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, _ style: Style, at time: Timestamp
    ) -> String {
        var line: String
        switch style {
        case .prefixed: line = "<\(priority(of: level))>"
        case .terminal(let hasColour):
            let name = "\(level)".padded(to: 8)
            line = "\(time.timeOfDay) \(hasColour ? "\u{1B}[\(colour(of: level))m\(name)\u{1B}[0m" : name) "
        }
        return line + escaped(message) + values(metadata)
    }

    /// ` key=value` for each, without what only the journal has a use for.
    static func values(_ metadata: Logger.Metadata) -> String {
        metadata.filter { $0.key != JournalHandler.messageIDKey }.sorted { $0.key < $1.key }
            .map { " \(escaped($0.key))=\(quotedIfNeeded(text(of: $0.value)))" }.joined()
    }

    /// syslog's priorities (syslog(3)); trace has none of its own.
    static func priority(of level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    /// SGR parameters (ECMA-48).
    private static func colour(of level: Logger.Level) -> String {
        switch level {
        case .trace, .debug: "2"
        case .info: "32"
        case .notice: "36"
        case .warning: "33"
        case .error: "31"
        case .critical: "1;31"
        }
    }

    static func text(of value: Logger.Metadata.Value) -> String {
        switch value {
        case .string(let text): text
        case .stringConvertible(let value): value.description
        case .array(let values): "[\(values.map(text).joined(separator: ", "))]"
        case .dictionary(let members):
            "{\(members.sorted { $0.key < $1.key }.map { "\($0.key): \(text(of: $0.value))" }.joined(separator: ", "))}"
        }
    }

    /// A value with spaces, quotes or an equals sign stands in quotes, so that a reader can tell where it ends.
    private static func quotedIfNeeded(_ text: String) -> String {
        let plain = escaped(text)
        guard plain.isEmpty || plain.utf8.contains(where: { $0 == 32 || $0 == 34 || $0 == 61 }) else { return plain }
        return "\"\(plain.map { $0 == "\"" ? "\\\"" : String($0) }.joined())\""
    }

    /// On one line and without anything that steers a terminal.
    private static func escaped(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.value < 32 || $0.value > 126 }) else { return text }
        return text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { shownText(Array($0.utf8)) }.joined(separator: "\\n")
    }
}

extension String {
    /// With spaces behind it up to a length in characters.
    fileprivate func padded(to length: Int) -> String {
        self + String(repeating: " ", count: max(0, length - count))
    }
}
