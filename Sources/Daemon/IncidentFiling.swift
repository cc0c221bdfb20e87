// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Alerts
import Configuration
import GasTown
import JSON
import LinuxSys
import Logging
import SystemPackage
import Timekeeping

/// Files, describes and closes the beads of incidents, one call of bd at a time.
final class IncidentFiling {
    /// By these a person finds them; we look for the title.
    static let labels = ["gasclawd", "incident"]
    /// Marks our calls, so that one which outlived us is known.
    private static let mark = "GASCLAWD_INCIDENT"

    private let loop: EventLoop
    private let log: Logger
    private let redact: (String) -> String
    private let write: (JSONValue) -> Bool
    private var book: IncidentBook
    private var clock = ClockWatch()
    var client: BeadsClient
    private var isBusy = false
    private var timer: EventLoop.Timer?
    /// Calls of a process before us that may still file something.
    private var leftovers: [ProcessIdentity] = []
    private let startedAt = EventLoop.now

    /// - Parameters:
    ///   - state: What an earlier process left.
    ///   - redact: Makes bd's words fit to be shown.
    ///   - write: Puts the state on disk and says whether that worked.
    init(
        client: BeadsClient, state: JSONValue?, loop: EventLoop, log: Logger, redact: @escaping (String) -> String,
        write: @escaping (JSONValue) -> Bool
    ) {
        self.client = client
        self.loop = loop
        self.log = log
        self.redact = redact
        self.write = write
        book = IncidentBook(state: state)
        if book.incidents.values.contains(where: { $0.isAttempted && $0.bead == nil }) { leftovers = Self.calls() }
    }

    /// Our calls of bd that run now, whoever started them.
    private static func calls() -> [ProcessIdentity] {
        ProcessTable.all().filter { pid in
            (ProcessTable.environment(of: pid) ?? []).contains { $0.starts(with: "\(mark)=".utf8) }
        }.compactMap { ProcessTable.status(of: $0) }.filter(\.isAlive).map(\.identity)
    }

    func settle(_ status: JSONValue) {
        book.settle(status, at: currentTime())
        next()
    }

    /// The time, to which the pauses are fitted first if somebody set the clock.
    private func currentTime() -> Timestamp {
        let now = Timestamp.now
        if let jump = clock.jump(at: now) { book.clockSet(by: jump) }
        return now
    }

    private func next() {
        guard !isBusy else { return }
        if let timer { loop.cancel(timer) }
        timer = nil
        guard !waitForLeftovers() else { return }
        let now = currentTime()
        guard let step = book.step(at: now) else {
            save()
            guard let wake = book.nextWake(after: now) else { return }
            return wait(max(wake - now, .milliseconds(100)))
        }
        book.begin(step)
        // Before bd files it: after a crash it must be looked for.
        guard save() else { return wait(IncidentBook.backoffAfterWriting) }
        isBusy = true
        client.run(
            call(of: step), variables: ["\(Self.mark)=\(step.condition.text)", "BD_ACTOR=gasclawd"], on: loop
        ) { [weak self] result in
            guard let self else { return }
            isBusy = false
            take(result, of: step)
            save()
            loop.atEndOfTurn { [weak self] in self?.next() }
        }
    }

    /// A call that a crash left alone may still file its bead: before it has ended nothing is looked for.
    private func waitForLeftovers() -> Bool {
        leftovers.removeAll { !ProcessTable.isAlive($0) }
        guard !leftovers.isEmpty else { return false }
        if .nanoseconds(EventLoop.now - startedAt) > BeadsClient.timeout {
            isBusy = true
            var left = leftovers.count
            for process in leftovers {
                TreeTermination.end(process, grace: .seconds(5), on: loop) { [weak self] _ in
                    left -= 1
                    guard left == 0, let self else { return }
                    leftovers = []
                    isBusy = false
                    next()
                }
            }
        } else {
            wait(.seconds(1))
        }
        return true
    }

    private func wait(_ pause: Duration) {
        if let timer { loop.cancel(timer) }
        timer = loop.schedule(after: pause) { [weak self] in
            self?.timer = nil
            self?.next()
        }
    }

    @discardableResult
    private func save() -> Bool {
        guard book.isChanged else { return true }
        guard write(book.json) else { return false }
        book.saved()
        return true
    }

    // MARK: - bd

    private func call(of step: IncidentStep) -> BeadsCall {
        switch step {
        case .lookUp: .listAll
        case .create(_, let title, let text): .create(title: title, description: text, labels: Self.labels)
        case .describe(_, let bead, let text): .describe(id: bead, description: text)
        case .close(_, let bead, let reason): .close(id: bead, reason: reason)
        case .check(_, let bead): .show(id: bead)
        }
    }

    private func take(_ result: Result<JSONValue, BeadsError>, of step: IncidentStep) {
        let now = currentTime()
        let data: JSONValue
        switch result {
        case .success(let value): data = value
        case .failure(let error):
            if case .check(let condition, let bead) = step, Self.isAbsence(error) {
                log.notice("an incident's bead is gone", metadata: ["bead": "\(bead)"])
                return book.closed(condition, at: now)
            }
            return fail(step, error.description, now)
        }
        let beads = BeadsAnswer.beads(in: data)
        switch step {
        case .lookUp(let condition, let title):
            guard data.array != nil || data.isNull else { return fail(step, "bd: its answer is no list", now) }
            // The oldest of several, which only somebody else can have made.
            book.found(beads.first { $0.title == title && !$0.isClosed }?.id, for: condition, at: now)
        case .create(let condition, _, _):
            guard let bead = beads.first else { return fail(step, "bd names no new bead", now) }
            book.created(bead.id, for: step, at: now)
            log.notice(
                "an incident was filed", metadata: ["bead": "\(bead.id)", "incident": "\(condition.text)"])
        case .describe(_, let id, _):
            // An id that bd does not know leaves its exit status at 0 (update.go).
            guard beads.contains(where: { $0.id == id }) else { return fail(step, "bd did not update \(id)", now) }
            book.described(step, at: now)
        case .close(let condition, let id, _):
            guard beads.contains(where: { $0.id == id }) else { return fail(step, "bd did not close \(id)", now) }
            book.closed(condition, at: now)
            log.notice("an incident's bead was closed", metadata: ["bead": "\(id)"])
        case .check(let condition, let id):
            guard beads.contains(where: { $0.id == id && $0.isClosed }) else {
                return fail(step, "bd did not close \(id)", now)
            }
            book.closed(condition, at: now)
        }
    }

    private func fail(_ step: IncidentStep, _ why: String, _ now: Timestamp) {
        let pause = book.failed(step, at: now)
        log.warning(
            "an incident's bead could not be kept",
            metadata: [
                "incident": "\(step.condition.text)", "error": "\(redact(why))", "again_in": "\(pause.brief)",
            ])
    }

    /// bd says that there is no such bead; when its database cannot be reached it says something else.
    private static func isAbsence(_ error: BeadsError) -> Bool {
        let text = error.description.lowercased()
        return text.contains("not found") || text.contains("no issue")
    }
}
