// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import SystemPackage

/// What `gasclawd run` was started with.
public struct DaemonOptions: Sendable {
    public let version: String
    public let configuration: Configuration
    /// The file that it was read from, nil for defaults alone.
    public let configPath: FilePath?
    /// The variables that go over the file.
    public let environment: ConfigurationEnvironment

    /// Keys that we were started with.
    let givenKeys: GivenKeys

    /// Changes how much is logged.
    public let setLogLevel: @Sendable (Configuration.LogLevel) -> Void
    /// How many log records were dropped.
    public let droppedRecords: @Sendable () -> Int
    /// Takes a line that a child printed, redacted, under the identifier of contract H.
    public let writeChildLine: @Sendable (_ identifier: String, _ line: String) -> Void

    public init(
        version: String, configuration: Configuration, configPath: FilePath?, environment: ConfigurationEnvironment,
        givenKeys: GivenKeys = .none,
        setLogLevel: @escaping @Sendable (Configuration.LogLevel) -> Void,
        droppedRecords: @escaping @Sendable () -> Int,
        writeChildLine: @escaping @Sendable (_ identifier: String, _ line: String) -> Void
    ) {
        self.givenKeys = givenKeys
        self.writeChildLine = writeChildLine
        self.droppedRecords = droppedRecords
        self.setLogLevel = setLogLevel
        self.version = version
        self.configuration = configuration
        self.configPath = configPath
        self.environment = environment
    }
}

/// Why the daemon did not start or had to end.
public struct DaemonFailure: Error, Sendable {
    /// The exit code of contract A.
    public let code: Int32
    public let message: String

    public init(code: Int32, message: String) {
        self.code = code
        self.message = message
    }
}
