// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import Configuration
import Doctor
import JSON
import LinuxSys

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Look at everything a town needs, and say how to mend what is wrong.",
        discussion: "Works with and without a daemon, and changes nothing. Exit code 1 if something is found.")

    @OptionGroup var options: CommonOptions
    @Flag(help: "Ask the provider about each key.") var probe = false
    @Flag(help: "Print JSON.") var json = false

    mutating func run() throws {
        let diagnosis: Diagnosis
        do {
            let (configuration, path) = try options.configuration()
            diagnosis = try Doctor.examine(
                configuration, path: path, environment: .current, socket: try options.client().socket, isProbing: probe)
        } catch let failure as CommandFailure where failure.code == 78 {
            diagnosis = Doctor.refused(failure.lines)
        } catch let error as SystemError {
            throw CommandFailure(code: 70, "doctor: \(error)")
        }
        Output.write(json ? diagnosis.json.line + "\n" : diagnosis.text)
        if diagnosis.findings > 0 { throw ExitCode(1) }
    }
}
