// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import Logging
import SystemPackage
import Timekeeping

/// swift-log's records as records of the journal, each key of their metadata a field of its own.
public struct JournalHandler: LogHandler {
    /// The metadata key whose value becomes `MESSAGE_ID` as it is; other keys get our prefix.
    public static let messageIDKey = "message_id"
    /// The metadata key whose value becomes `ERRNO`.
    public static let errnoKey = "errno"

    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    private let writer: RecordWriter
    private let label: String
    private let identifier: String

    /// - Parameters:
    ///   - writer: Sends the records.
    ///   - label: The logger's.
    ///   - level: What is below it is left out.
    ///   - metadataProvider: More fields for each record.
    ///   - identifier: SYSLOG_IDENTIFIER, which `journalctl -t` looks for.
    public init(
        writer: RecordWriter, label: String, identifier: String = "gasclawd", level: Logger.Level = .info,
        metadataProvider: Logger.MetadataProvider? = nil
    ) {
        self.writer = writer
        self.label = label
        self.identifier = identifier
        logLevel = level
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
        let line = StandardErrorHandler.line(
            event.level, event.message.description, all, .prefixed, at: Timestamp.now)
        var fields = Self.fields(event.level, event.message.description, all, label: label, identifier: identifier)
        fields += [
            JournalField("CODE_FILE", event.file), JournalField("CODE_LINE", "\(event.line)"),
            JournalField("CODE_FUNC", event.function),
        ]
        writer.write(record: JournalEncoding.encode(line: line, fields: fields))
    }

    /// The record that tells of dropped ones: for `RecordWriter`.
    public static func dropNotice(identifier: String = "gasclawd") -> @Sendable (Int) -> [UInt8] {
        { count in
            let text = "\(count) log records dropped"
            let fields = fields(
                .warning, text, ["dropped": .stringConvertible(count)], label: "journal", identifier: identifier)
            return JournalEncoding.encode(
                line: StandardErrorHandler.line(.warning, text, [:], .prefixed, at: Timestamp.now), fields: fields)
        }
    }

    static func fields(
        _ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, label: String, identifier: String
    ) -> [JournalField] {
        var fields = [
            // With its values: `journalctl` shows this field alone.
            JournalField("MESSAGE", message + StandardErrorHandler.values(metadata)),
            JournalField("PRIORITY", "\(StandardErrorHandler.priority(of: level))"),
            JournalField("SYSLOG_IDENTIFIER", identifier), JournalField("LOGGER", label),
        ]
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            switch key {
            case messageIDKey: fields.append(JournalField("MESSAGE_ID", StandardErrorHandler.text(of: value)))
            case errnoKey: fields.append(JournalField("ERRNO", StandardErrorHandler.text(of: value)))
            default: add(value, named: JournalField.name(for: key), to: &fields)
            }
        }
        return fields
    }

    /// A list becomes a repeated field, a dictionary one field for each of its keys.
    private static func add(_ value: Logger.Metadata.Value, named name: String, to fields: inout [JournalField]) {
        switch value {
        case .array(let values): for value in values { add(value, named: name, to: &fields) }
        case .dictionary(let members):
            for (key, value) in members.sorted(by: { $0.key < $1.key }) {
                let part = JournalField.name(for: key).dropFirst("GASCLAWD".count)
                add(value, named: String((name + part).prefix(JournalField.nameLengthMax)), to: &fields)
            }
        default: fields.append(JournalField(name, StandardErrorHandler.text(of: value)))
        }
    }
}
