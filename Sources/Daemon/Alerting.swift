// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Alerts
import Configuration
import ControlAPI
import GasTown
import JSON
import LinuxSys
import Logging
import Secrets
import SystemPackage
import Timekeeping

/// Hands alerts over: to a program on its standard input, or by curl. Each receiver gets one at a time, in order; none
/// is waited for.
final class Alerting {
    /// A receiver that does not end is ended with all its descendants.
    static let timeout = Duration.seconds(30)
    /// What waits for one receiver at most; the oldest go first.
    static let queueMax = 64
    /// When we end, this is how long alerts on their way may take.
    static let farewell = Duration.seconds(5)

    private let loop: EventLoop
    private let log: Logger
    private let redact: ([UInt8]) -> String
    private let onChange: () -> Void
    private(set) var book: AlertBook
    private var clock = ClockWatch()
    private var receivers: [String: Configuration.Alert.Receiver] = [:]
    private var environment: [String] = []
    private var curl: String?
    private var queues: [String: [AlertMessage]] = [:]
    private var busy: Set<String> = []
    private var running: [String: Command] = [:]
    /// What is not taken by now is told again by the next process.
    private var isEnding = false
    private var dropped: [String: Int] = [:]
    private var isPumpPlanned = false
    private var onIdle: (() -> Void)?

    /// - Parameters:
    ///   - state: What an earlier process left.
    ///   - redact: Makes a receiver's words fit to be shown.
    ///   - onChange: Called when ``book`` has to be written.
    init(
        _ configuration: Configuration, environment: ConfigurationEnvironment, state: JSONValue?, loop: EventLoop,
        log: Logger, redact: @escaping ([UInt8]) -> String, onChange: @escaping () -> Void
    ) {
        self.loop = loop
        self.log = log
        self.redact = redact
        self.onChange = onChange
        book = AlertBook(rules: Self.rules(configuration), state: state)
        configure(configuration, environment: environment)
        send(book.untold)
    }

    func configure(_ configuration: Configuration, environment own: ConfigurationEnvironment) {
        book.configure(Self.rules(configuration))
        receivers = Dictionary(configuration.alerts.map { (Self.name($0.receiver), $0.receiver) }) { first, _ in first }
        for name in queues.keys where receivers[name] == nil { queues[name] = nil }
        let path = own.variables["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        environment = ["HOME=\(own.home ?? "/")", "PATH=\(path)"]
        curl = Links.find("curl", in: path.split(separator: ":").map(String.init))
    }

    private static func rules(_ configuration: Configuration) -> [AlertRule] {
        configuration.alerts.map { AlertRule(receiver: name($0.receiver), events: Set($0.events)) }
    }

    /// A URL may hold a secret, so the name is a digest.
    private static func name(_ receiver: Configuration.Alert.Receiver) -> String {
        switch receiver {
        case .command(let words): String(SHA256.hex(Array("command\0\(words.joined(separator: "\0"))".utf8)).prefix(16))
        case .url(let url): String(SHA256.hex(Array("url\0\(url)".utf8)).prefix(16))
        }
    }

    // MARK: - What happens

    func take(_ record: EventRecord) {
        guard !book.rules.isEmpty else { return }
        if let jump = clock.jump(at: .now) { book.clockSet(by: jump) }
        send(book.take(record))
    }

    /// Looks for conditions that are over.
    func settle(_ status: () -> JSONValue, seq: Int, bootID: String) {
        guard book.hasOpen else { return }
        send(book.settle(status(), seq: seq, bootID: bootID, at: .now))
    }

    private func send(_ messages: [AlertMessage]) {
        for message in messages {
            queues[message.receiver, default: []].append(message)
            if let count = queues[message.receiver]?.count, count > Self.queueMax {
                dropped[message.receiver, default: 0] += 1
                if let first = queues[message.receiver]?.removeFirst() { finish(first) }
            }
        }
        guard !messages.isEmpty, !isPumpPlanned else { return }
        isPumpPlanned = true
        // Whoever has to be restarted because of the event is not kept waiting.
        loop.atEndOfTurn { [unowned self] in
            isPumpPlanned = false
            // After a crash it is known what was to be told.
            if book.isChanged { onChange() }
            pump()
        }
    }

    // MARK: - Handing over

    private func pump() {
        for name in queues.keys.sorted() where !busy.contains(name) {
            guard let message = queues[name]?.first else { continue }
            queues[name]?.removeFirst()
            if let count = dropped.removeValue(forKey: name) {
                log.warning(
                    "alerts were dropped: their receiver is too slow",
                    metadata: ["receiver": "\(shown(name))", "count": "\(count)"])
            }
            hand(message, to: name)
        }
        tellIdle()
    }

    private func hand(_ message: AlertMessage, to name: String) {
        guard let receiver = receivers[name] else { return finish(message) }
        let words: [String]
        let input: [UInt8]
        switch receiver {
        case .command(let command):
            words = command
            input = Array("\(message.line)\n".utf8)
        case .url(let url):
            guard let curl else {
                fail(name, "curl is not found (install it)")
                return finish(message)
            }
            words = CurlCall.words(program: curl)
            input = CurlCall.post(message.line, to: url)
        }
        busy.insert(name)
        let variables = environment + (receiver.isURL ? CurlCall.proxies(CurrentProcess.environment) : [])
        do throws(SystemError) {
            running[name] = try Command.run(
                words, input: input, environment: variables, directory: "/", timeout: Self.timeout,
                outputMax: 4096, on: loop
            ) { [weak self] result in self?.handed(message, name, result) }
        } catch {
            busy.remove(name)
            fail(name, "\(error)")
            finish(message)
        }
    }

    private func handed(_ message: AlertMessage, _ name: String, _ result: CommandResult) {
        busy.remove(name)
        running[name] = nil
        guard !isEnding else { return }
        if !result.status.isSuccess || result.timedOut {
            let said = redact(result.errors.isEmpty ? result.output : result.errors)
            let why = result.timedOut ? "no end within \(Self.timeout.brief)" : "\(result.status)"
            fail(name, said.isEmpty ? why : "\(why): \(said)")
        }
        finish(message)
        pump()
    }

    private func fail(_ name: String, _ why: String) {
        log.warning("an alert was not taken", metadata: ["receiver": "\(shown(name))", "error": "\(why)"])
    }

    private func finish(_ message: AlertMessage) {
        book.told(message)
        if book.isChanged { onChange() }
    }

    /// The book is on disk.
    func saved() { book.saved() }

    /// The program, or the URL's host: what follows it may be a secret.
    private func shown(_ name: String) -> String {
        switch receivers[name] {
        case .command(let words): redact(Array((words.first ?? "").utf8))
        case .url(let url): redact(Array(url.split(separator: "/").prefix(2).joined(separator: "//").utf8))
        case nil: name
        }
    }

    // MARK: - The end

    private var isIdle: Bool { busy.isEmpty && queues.values.allSatisfy(\.isEmpty) && !isPumpPlanned }

    /// Calls back when nothing is on its way any more; what takes longer than ``farewell`` is ended.
    func whenIdle(_ body: @escaping () -> Void) {
        guard !isIdle else { return body() }
        onIdle = body
        loop.schedule(after: Self.farewell) { [weak self] in self?.endRunning() }
    }

    private func endRunning() {
        guard let body = onIdle else { return }
        onIdle = nil
        isEnding = true
        let commands = Array(running.values)
        guard !commands.isEmpty else { return body() }
        var count = commands.count
        for command in commands {
            command.end {
                count -= 1
                if count == 0 { body() }
            }
        }
    }

    private func tellIdle() {
        guard isIdle, let body = onIdle else { return }
        onIdle = nil
        body()
    }
}

extension Configuration.Alert.Receiver {
    fileprivate var isURL: Bool { if case .url = self { true } else { false } }
}

/// curl with all that matters on its standard input, where nobody else reads it (curl(1), `--config`).
package enum CurlCall {
    /// `-q` first: the user's own configuration must not change what is sent.
    package static func words(program: String) -> [String] { [program, "-q", "--config", "-"] }

    static func post(_ line: String, to url: String) -> [UInt8] {
        let text = """
            url = "\(quoted(url))"
            request = "POST"
            header = "Content-Type: application/json"
            header = "User-Agent: gasclawd"
            data-raw = "\(quoted(line))"
            output = "/dev/null"
            proto = "=https,http"
            globoff
            silent
            show-error
            fail
            retry = 2
            max-time = 8

            """
        return Array(text.utf8)
    }

    /// Inside of double quotes (curl(1), `--config`).
    package static func quoted(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// The way out of the machine.
    static func proxies(_ environment: [[UInt8]]) -> [String] {
        environment.map { String(decoding: $0, as: UTF8.self) }.filter { entry in
            ["https_proxy=", "no_proxy=", "all_proxy="].contains { entry.lowercased().hasPrefix($0) }
        }
    }
}
