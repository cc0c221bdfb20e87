// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Configuration
import GasTown
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// Calls bd in the town.
package struct BeadsClient {
    private let program: String?
    private let environment: [String]
    private let root: FilePath

    /// How long bd may take (contract G).
    static let timeout = Duration.seconds(30)
    /// A town may have many issues.
    private static let outputMax = 64 << 20

    package init(_ configuration: Configuration, toolbox: Toolbox) {
        program = toolbox.bd
        root = configuration.town.root
        environment = toolbox.environment
    }

    /// - Parameters:
    ///   - variables: More of bd's environment.
    ///   - completion: Called once on the loop's thread. The error's words are not yet fit to be shown.
    package func run(
        _ call: BeadsCall, variables: [String] = [], on loop: EventLoop,
        completion: @escaping (Result<JSONValue, BeadsError>) -> Void
    ) {
        guard let program else {
            return completion(
                .failure(BeadsError("bd is not found (install it or add its folder to town.path)")))
        }
        guard Syscalls.isDirectory(root.appending(".beads")) else {
            return completion(
                .failure(
                    BeadsError("there are no beads at \(root.shown) (gt install \(root.shown) --git makes a town)")))
        }
        do throws(SystemError) {
            try Command.run(
                [program] + call.arguments, input: call.input.isEmpty ? nil : call.input,
                environment: BeadsCall.environment(environment, root: root.string, port: Self.port(of: root))
                    + variables,
                directory: root, timeout: Self.timeout, outputMax: Self.outputMax, on: loop
            ) { completion(Self.outcome($0)) }
        } catch {
            completion(.failure(BeadsError("bd cannot be called: \(error)")))
        }
    }

    private static func outcome(_ result: CommandResult) -> Result<JSONValue, BeadsError> {
        if result.timedOut { return .failure(BeadsError("bd gave no answer within \(timeout.brief)")) }
        do throws(BeadsError) {
            return .success(
                try BeadsAnswer.data(
                    isSuccess: result.status.isSuccess, status: "\(result.status)", output: result.output,
                    errors: result.errors))
        } catch {
            return .failure(BeadsError("bd: \(error)"))
        }
    }

    /// Where the town's dolt listens; nil where its files do not say.
    package static func port(of root: FilePath) -> Int? {
        func bytes(_ path: FilePath) -> [UInt8]? {
            do throws(FileReadError) { return try RegularFile.read(path, limit: ClaudeSettings.lengthMax).bytes } catch
            {
                return nil
            }
        }
        let files = TownFiles(root)
        let port =
            bytes(files.doltConfig).flatMap(TownFiles.doltPort)
            ?? bytes(files.daemonSettings).flatMap { DaemonSettings($0).doltPort }
        return port.map(Int.init)
    }
}
