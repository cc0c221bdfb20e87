// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import LinuxSys
import SystemPackage

/// Looks at everything that an unattended town needs, and says what is wrong and how it is mended.
public enum Doctor {
    /// - Parameters:
    ///   - configuration: What the daemon would run with.
    ///   - path: The configuration's file.
    ///   - environment: Ours, as the configuration sees it.
    ///   - socket: Where the daemon answers, if it runs.
    ///   - isProbing: Whether the provider is asked about each key.
    /// - Throws: Where not even an event loop can be had.
    public static func examine(
        _ configuration: Configuration, path: FilePath?, environment: ConfigurationEnvironment, socket: FilePath,
        isProbing: Bool
    ) throws(SystemError) -> Diagnosis {
        // A program may end before it has read what it is given.
        SignalReceiver.ignoreBrokenPipes()
        return diagnose(
            try Examination(configuration, path: path, own: environment, socket: socket, isProbing: isProbing))
    }

    /// What can be said where the configuration itself is refused.
    public static func refused(_ errors: [String]) -> Diagnosis {
        Diagnosis([
            .failed(
                "config.file", "configuration", errors.joined(separator: "\n"),
                fix: "mend the file (gasclawd check shows the same); nothing else was looked at")
        ])
    }

    static func diagnose(_ examination: Examination) -> Diagnosis {
        // To others hardly anything can be seen: what is not seen is not missing.
        let user = ServiceChecks.user(examination)
        if user.verdict.isFinding { return Diagnosis([user]) }
        let families: [(Examination) -> [Check]] = [
            ConfigurationChecks.run, AlertChecks.run, ToolChecks.run, TownChecks.run, DoltChecks.run, DaemonChecks.run,
            MayorChecks.run, AgentChecks.run, DialogChecks.run, KeyChecks.run, SecretChecks.run, ServiceChecks.run,
            MachineChecks.run, MigrationChecks.run,
        ]
        return Diagnosis(families.flatMap { $0(examination) }.map { $0.shown(by: examination.redactor.redact) })
    }
}
