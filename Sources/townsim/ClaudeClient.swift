// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// A running miniature Claude Code: it asks its questions, then works turn after turn like an unattended agent,
/// until a request fails for good; then it waits for its user (transcripts/README.md, "Seen").
///
/// With `-p` it asks nothing, does one turn, prints the outcome and ends.
final class ClaudeClient {
    private enum Phase { case asking, idle, working, waiting }

    private let options: Claude.Options
    private let files: ClaudeFiles
    private let cwd: String
    private let loop: EventLoop
    private let endpoint = Endpoint(home: Environment.townsimHome)
    private let sessionID: String
    private let turnTime = Environment.milliseconds("TOWNSIM_TURN_MS", default: 1000)

    private var questions: [ClaudeQuestion] = []
    private var phase = Phase.asking
    private var settings = ClaudeSettings()
    private var access = ClaudeAccess(settings: ClaudeSettings())
    private var isBypassing = false
    private var isKeyRejected = false
    private var transcript: Transcript?
    private var sessionFile: SessionFile?
    private var receiver: SignalReceiver?
    private var input: [UInt8] = []
    private var inputWatch: EventLoop.Watch?
    private var timer: EventLoop.Timer?
    private var turnStart: Int64 = 0
    private var turnSerial = 0
    private var lastInterrupt: Int64?
    private var status: Int32 = 0
    private var failure: Failure?

    private var isInteractive: Bool { !options.isHeadless }

    init(_ options: Claude.Options, files: ClaudeFiles, cwd: String, sessionID: String) throws(Failure) {
        self.options = options
        self.files = files
        self.cwd = cwd
        self.sessionID = sessionID
        do throws(SystemError) { loop = try EventLoop() } catch { throw Failure("\(error)") }
    }

    /// Runs to the client's end and returns its exit status.
    func run() throws(Failure) -> Int32 {
        try files.moveBypassAcceptance()
        settings = try files.effectiveSettings(cwd: cwd, override: options.settings)
        isBypassing = options.skipsPermissions || settings.asksForBypass
        if isBypassing { try Claude.refuseBypassAsRoot() }
        if isInteractive {
            try files.changeState { $0["numStartups"] = JSONValue(($0["numStartups"]?.integer ?? 0) + 1) }
            questions = try ClaudeQuestion.open(
                state: try files.loadState(), settings: settings, isBypassing: isBypassing, cwd: cwd)
            isKeyRejected = try ClaudeQuestion.isKeyRejected(state: try files.loadState())
        }
        do throws(SystemError) {
            receiver = try SignalReceiver([SIGTERM, SIGHUP, SIGINT], on: loop) { [unowned self] in received($0) }
            if isInteractive { watchInput() }
            loop.atEndOfTurn { [unowned self] in step { () throws(Failure) in try askOrBegin() } }
            try loop.run()
        } catch { throw Failure("\(error)") }
        try leave()
        if let failure { throw failure }
        return status
    }

    /// Runs a part of the work; its failure ends the client.
    private func step(_ body: () throws(Failure) -> Void) {
        do throws(Failure) { try body() } catch {
            failure = error
            loop.stop()
        }
    }

    private func end(_ status: Int32) {
        self.status = status
        loop.stop()
    }

    private func leave() throws(Failure) {
        sessionFile?.remove()
        guard isInteractive else { return }
        // The client rewrites `.claude.json` at its end too (transcripts/README.md, "Seen").
        let id = sessionID
        try files.changeProject(cwd) { $0["lastSessionId"] = .string(id) }
    }

    // MARK: - Signals and typing

    private func received(_ signal: Int32) {
        switch signal {
        case SIGINT where phase == .working:
            cancelTurn()
            Terminal.say("  ⎿ Interrupted · What should Claude do instead?")
            step { () throws(Failure) in try wait() }
        case SIGINT:
            // A second Ctrl-C within two seconds ends the client.
            let now = EventLoop.now
            if let last = lastInterrupt, now - last < 2_000_000_000 { return end(0) }
            lastInterrupt = now
            Terminal.say("Press Ctrl-C again to exit")
        default: end(128 + signal)
        }
    }

    private func watchInput() {
        // epoll(7) takes no regular files: without a terminal or a pipe there is nobody who types.
        do throws(SystemError) {
            inputWatch = try loop.watch(0, for: .reading) { [unowned self] in readInput() }
        } catch { inputWatch = nil }
    }

    private func readInput() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(0, &buffer, buffer.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return }
        guard count > 0 else {
            // The terminal is gone.
            if let inputWatch { loop.cancel(inputWatch) }
            return end(0)
        }
        input.append(contentsOf: buffer[..<count])
        while let newline = input.firstIndex(where: { $0 == 10 || $0 == 13 }) {
            let line = String(decoding: input[..<newline], as: UTF8.self)
            input.removeSubrange(...newline)
            step { () throws(Failure) in try typed(line) }
        }
    }

    private func typed(_ line: String) throws(Failure) {
        switch phase {
        case .asking:
            guard let question = questions.first else { return }
            if question.isAccepted(by: line) {
                try question.accept(files, cwd: cwd)
                if question == .tool { isToolApproved = true }
            } else if question.endsWhenDeclined {
                return end(1)
            } else {
                try question.decline(files)
                if question == .apiKey { isKeyRejected = true }
                if question == .tool {
                    questions.removeFirst()
                    return try wait()
                }
            }
            questions.removeFirst()
            if question == .tool { return try runTool() }
            try askOrBegin()
        case .waiting where !line.allSatisfy(\.isWhitespace): try beginTurn(prompt: line)
        default: break
        }
    }

    // MARK: - Start

    private func askOrBegin() throws(Failure) {
        if let question = questions.first {
            phase = .asking
            Terminal.say(question.text(cwd: cwd))
            return
        }
        guard transcript == nil else { return }
        // A project's settings count only in a folder that is trusted (kimi-claude.md C.4), so they are read now.
        settings = try files.effectiveSettings(cwd: cwd, override: options.settings)
        access = ClaudeAccess(settings: settings)
        let path = Transcript.path(configDirectory: files.directory, cwd: cwd, sessionID: sessionID)
        transcript = try Transcript(
            path: path, sessionID: sessionID, cwd: cwd, isInteractive: isInteractive,
            permissionMode: isBypassing ? "bypassPermissions" : isInteractive ? "auto" : "default")
        if isInteractive {
            sessionFile = try SessionFile(directory: files.directory, sessionID: sessionID, cwd: cwd)
            Terminal.say("Claude Code v\(Transcript.version)\n\(cwd)")
        }
        if let prompt = options.prompt { return try beginTurn(prompt: prompt) }
        if options.isHeadless {
            throw Failure(
                "Error: Input must be provided either through stdin or as a prompt argument when using --print")
        }
        try wait()
    }

    /// Waits for a typed line.
    private func wait() throws(Failure) {
        phase = .waiting
        try sessionFile?.write(isBusy: false)
        Terminal.say("❯ ")
    }

    // MARK: - A turn

    private func beginTurn(prompt: String?) throws(Failure) {
        phase = .working
        turnStart = EventLoop.now
        turnSerial += 1
        isToolApproved = isBypassing
        try sessionFile?.write(isBusy: true)
        if let prompt {
            try transcript?.appendUser(prompt)
            if isInteractive { Terminal.say("❯ \(prompt.prefix { $0 != "\n" })") }
        }
        after(turnTime / 2) { [unowned self] () throws(Failure) in try request(attempt: 1) }
    }

    private func after(_ delay: Duration, _ body: @escaping () throws(Failure) -> Void) {
        timer = loop.schedule(after: delay) { [unowned self] in
            timer = nil
            step(body)
        }
    }

    private func cancelTurn() {
        turnSerial += 1
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    private func request(attempt: Int) throws(Failure) {
        guard let transcript else { return }
        guard let credential = access.credential(isKeyRejected: isKeyRejected) else {
            let text = "Not logged in · Please run /login"
            try transcript.appendNotLoggedIn(text)
            return try failTurn(text, error: "authentication_failed", details: text)
        }
        let key = keyIdentifier(credential)
        let (name, fault) = try endpoint.answer(to: key)
        try endpoint.record([
            "time": .string(Timestamp.now.rfc3339), "key": .string(key), "base_url": .string(access.baseURL),
            "session": .string(sessionID), "turn": JSONValue(transcript.turns + 1), "pid": JSONValue(getpid()),
            "cwd": .string(cwd), "result": .string(name),
        ])
        guard let fault else { return try runTool() }
        let retriesMax = access.retriesMax
        if fault.isRetried, attempt <= retriesMax {
            let delay = access.retryDelay(attempt: attempt)
            try transcript.appendRetry(fault, delay: delay, attempt: attempt, attemptsMax: retriesMax)
            if isInteractive {
                let seconds = max(1, delay.wholeMilliseconds / 1000)
                Terminal.say("  \(fault.status) … Retrying in \(seconds)s · attempt \(attempt)/\(retriesMax)")
            }
            return after(delay) { [unowned self] () throws(Failure) in try request(attempt: attempt + 1) }
        }
        try transcript.appendFailure(fault)
        try failTurn(
            fault.text(isInteractive: isInteractive), error: fault.error,
            details: "\(fault.status) \(fault.message)")
    }

    private func failTurn(_ text: String, error: String, details: String) throws(Failure) {
        let input = ClaudeHookInput(
            sessionID: sessionID,
            transcript: Transcript.path(configDirectory: files.directory, cwd: cwd, sessionID: sessionID), cwd: cwd,
            error: error, details: details, message: text)
        input.run(settings.failureHooks, environment: access.ownEnvironment, on: loop) { [unowned self] in
            if options.isHeadless { end(1) }
        }
        if options.isHeadless { return Terminal.say(text) }
        Terminal.say("  ⎿ \(text)")
        try wait()
    }

    private var isToolApproved = false

    /// One tool call a turn. Without bypass it waits for approval (design.md section 6: "stops at its first tool
    /// call"); a headless client denies it without asking.
    private func runTool() throws(Failure) {
        guard isToolApproved else {
            if options.isHeadless { return try endTurn() }
            questions = [.tool]
            phase = .asking
            try sessionFile?.write(isBusy: false)
            Terminal.say(ClaudeQuestion.tool.text(cwd: cwd))
            return
        }
        phase = .working
        let arguments = access.toolArguments(try endpoint.toolCommand())
        let serial = turnSerial
        do throws(SystemError) {
            // The command outlives an interrupted turn; then nobody waits for it any more.
            try Command.run(
                arguments, environment: access.toolEnvironment, directory: FilePath(cwd), timeout: .seconds(120),
                on: loop
            ) { [unowned self] result in
                guard serial == turnSerial else { return }
                if isInteractive, !result.status.isSuccess { Terminal.say("  ⎿ tool: \(result.status)") }
                after(turnTime / 2) { [unowned self] () throws(Failure) in try endTurn() }
            }
        } catch {
            Terminal.say("  ⎿ tool: \(error)")
            after(turnTime / 2) { [unowned self] () throws(Failure) in try endTurn() }
        }
    }

    private func endTurn() throws(Failure) {
        guard let transcript, let credential = access.credential(isKeyRejected: isKeyRejected) else { return }
        let text = "turn \(transcript.turns + 1) · key \(keyIdentifier(credential))"
        try transcript.appendAnswer(text, model: access.model(options.model))
        Terminal.say(isInteractive ? "● \(text)" : text)
        if options.isHeadless { return end(0) }
        try transcript.appendDuration(.nanoseconds(EventLoop.now - turnStart), messages: transcript.turns * 2)
        if transcript.turns % 10 == 0 {
            // Now and then the client rewrites its state during a run too (transcripts/README.md, "Seen").
            let turns = transcript.turns
            try files.changeProject(cwd) { $0["lastTurns"] = JSONValue(turns) }
        }
        phase = .idle
        try sessionFile?.write(isBusy: false)
        // An unattended agent goes on by itself; the pause is where a reload finds it idle.
        after(max(.milliseconds(20), turnTime / 4)) { [unowned self] () throws(Failure) in
            try beginTurn(prompt: nil)
        }
    }
}
