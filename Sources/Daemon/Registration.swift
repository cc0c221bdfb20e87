// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// Makes the town start its agents through our launcher: `gt config agent set` and `default-agent`, only where they do
/// not say so already.
final class Registration {
    struct Outcome {
        /// `done`, `skipped` or `failed`.
        let result: String
        let detail: String
        let took: Duration
    }

    private let loop: EventLoop
    private let root: FilePath
    private let name: String
    private let command: String
    private let gt: String?
    private let environment: [String]
    private let onOutcome: (Outcome) -> Void
    private var startedAt: Int64 = 0
    private(set) var isRunning = false

    private static let callTimeout = Duration.seconds(30)

    /// - Parameters:
    ///   - command: What agents are started with.
    ///   - gt: The program's absolute path, nil where it is not found.
    init(
        loop: EventLoop, root: FilePath, name: String, command: String, gt: String?, environment: [String],
        onOutcome: @escaping (Outcome) -> Void
    ) {
        self.loop = loop
        self.root = root
        self.name = name
        self.command = command
        self.gt = gt
        self.environment = environment
        self.onOutcome = onOutcome
    }

    var isInstalled: Bool { Syscalls.exists(root.appending("mayor/town.json")) }

    func run() {
        guard !isRunning else { return }
        isRunning = true
        startedAt = EventLoop.now
        guard isInstalled else {
            return finish("skipped", "there is no town at \(root.shown) (gt install \(root.shown) --git makes one)")
        }
        guard !command.contains(" ") || command.hasPrefix("/") == false else {
            return finish(
                "failed", "gt cannot start \(command): it splits commands at spaces (choose another paths.state)")
        }
        let calls: [[String]]
        do {
            calls = try settings().registration(name: name, command: command)
        } catch {
            return finish("failed", "\(root.appending("settings/config.json").shown): \(error)")
        }
        guard !calls.isEmpty else { return finish("skipped", "agents are started through gasclawd already") }
        guard let gt else {
            return finish("failed", "gt is not found (install it or add its folder to town.path, then gasclawd reload)")
        }
        next(calls[...], gt)
    }

    private func settings() throws -> TownSettings {
        let path = root.appending("settings/config.json")
        // gt writes it at the first `gt config`.
        guard Syscalls.exists(path) else { return try TownSettings(nil) }
        return try TownSettings(try RegularFile.read(path, limit: ClaudeSettings.lengthMax).bytes)
    }

    private func next(_ calls: ArraySlice<[String]>, _ gt: String) {
        guard let call = calls.first else { return finish("done", "agents are started through \(command)") }
        do throws(SystemError) {
            try Command.run(
                [gt] + call, environment: environment, directory: root, timeout: Self.callTimeout, on: loop
            ) { [self] result in
                guard result.status.isSuccess else {
                    let said = shownText(result.errors.prefix { $0 != 10 })
                    let why =
                        result.timedOut ? "no answer within \(Self.callTimeout.brief)" : "\(result.status): \(said)"
                    return finish("failed", "gt \(call.joined(separator: " ")): \(why)")
                }
                next(calls.dropFirst(), gt)
            }
        } catch {
            finish("failed", "gt \(call.joined(separator: " ")): \(error)")
        }
    }

    private func finish(_ result: String, _ detail: String) {
        isRunning = false
        onOutcome(Outcome(result: result, detail: detail, took: .nanoseconds(EventLoop.now - startedAt)))
    }
}
