// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import Configuration
import ControlAPI
import Daemon
import LinuxSys
import Logging
import Synchronization
import SystemPackage
import SystemdKit

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run the daemon in the foreground.")

    @OptionGroup var options: CommonOptions

    mutating func run() throws {
        // First of all, before anything is started that could inherit or copy it.
        let given = GivenKeys.take()
        let (configuration, path) = try options.configuration()
        let socket = ControlClient.socketPath(runtime: configuration.paths.runtime)
        if let named = options.socket, FilePath(named) != socket {
            // It is for those who ask; to take it in silence would leave them asking in vain.
            throw CommandFailure(
                code: 64, "run: --socket: the daemon listens on \(socket.shown) (paths.runtime sets its folder)")
        }
        let level = SharedLevel(Logger.Level(configuration.log))
        let writer: RecordWriter
        let isJournal = Journal.isStandardError
        do throws(SystemError) {
            let style = StandardErrorHandler.Style.fitting(2)
            writer =
                isJournal
                ? try RecordWriter(journalOr: 2, notice: JournalHandler.dropNotice())
                : try RecordWriter(descriptor: 2, notice: StandardErrorHandler.dropNotice(style))
        } catch {
            throw CommandFailure(code: 70, "run: \(error)")
        }
        let log = Logger(label: "gasclawd") { label in
            let inner: any LogHandler =
                isJournal
                ? JournalHandler(writer: writer, label: label, level: .trace)
                : StandardErrorHandler(writer: writer, level: .trace)
            return LevelledHandler(inner: inner, level: level)
        }
        let children = ChildLines(writer: writer, isJournal: isJournal, level: level)
        defer { writer.flush(within: .seconds(2)) }
        let code: Int32
        do throws(DaemonFailure) {
            let daemon = try Daemon(
                DaemonOptions(
                    version: gasclawdVersion, configuration: configuration, configPath: path,
                    environment: .current, givenKeys: given, setLogLevel: { level.set(Logger.Level($0)) },
                    droppedRecords: { writer.droppedCount },
                    writeChildLine: { children.write($0, $1) }), log: log)
            code = try daemon.run()
        } catch {
            throw CommandFailure(code: error.code, error.message)
        }
        if code != 0 { throw ExitCode(code) }
    }
}

extension Logger.Level {
    init(_ level: Configuration.LogLevel) {
        switch level {
        case .trace: self = .trace
        case .debug: self = .debug
        case .info: self = .info
        case .notice: self = .notice
        case .warning: self = .warning
        case .error: self = .error
        case .critical: self = .critical
        }
    }
}

/// What children print, as records of their own.
struct ChildLines: Sendable {
    let writer: RecordWriter
    let isJournal: Bool
    let level: SharedLevel

    /// - Parameter identifier: What `journalctl -t` looks for; elsewhere it stands before the line.
    func write(_ identifier: String, _ line: String) {
        guard level.value <= .info else { return }
        let handler: any LogHandler =
            isJournal
            ? JournalHandler(writer: writer, label: identifier, identifier: identifier, level: .trace)
            : StandardErrorHandler(writer: writer, level: .trace)
        let log = Logger(label: identifier) { _ in handler }
        log.info("\(isJournal ? line : "\(identifier): \(line)")")
    }
}

/// The level of all loggers of this process; a change of the configuration reaches them at once.
final class SharedLevel: Sendable {
    private let level: Mutex<Logger.Level>
    init(_ level: Logger.Level) { self.level = Mutex(level) }
    var value: Logger.Level { level.withLock { $0 } }
    func set(_ new: Logger.Level) { level.withLock { $0 = new } }
}

/// A handler whose level is shared.
struct LevelledHandler: LogHandler {
    var inner: any LogHandler
    let level: SharedLevel

    var logLevel: Logger.Level {
        get { level.value }
        set { level.set(newValue) }
    }
    var metadata: Logger.Metadata {
        get { inner.metadata }
        set { inner.metadata = newValue }
    }
    var metadataProvider: Logger.MetadataProvider? {
        get { inner.metadataProvider }
        set { inner.metadataProvider = newValue }
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { inner[metadataKey: key] }
        set { inner[metadataKey: key] = newValue }
    }
    func log(event: LogEvent) { inner.log(event: event) }
}
