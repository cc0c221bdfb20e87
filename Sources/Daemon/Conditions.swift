// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Alerts
import ControlAPI
import JSON
import LinuxSys
import Logging
import SystemPackage
import Timekeeping

/// Who is told of what is wrong: alerts, and beads of incidents.
extension Daemon {
    private static let writeRetry = Duration.seconds(5)

    func startAlerting() {
        let state = store.read(store.alerts) { [log] in log.warning("\($0)") }
        alerting = Alerting(
            configuration, environment: options.environment, state: state, loop: loop, log: log,
            redact: { [unowned self] in controller.redactor.redact(bytes: $0) },
            onChange: { [unowned self] in saveAlerts() })
        configureIncidents()
    }

    /// Takes a changed configuration.
    func configureAlerting() {
        alerting?.configure(configuration, environment: options.environment)
        configureIncidents()
    }

    private func configureIncidents() {
        guard configuration.filesIncidents else {
            incidents = nil
            return
        }
        let client = BeadsClient(configuration, toolbox: toolbox)
        if let incidents {
            incidents.client = client
            return
        }
        let state = store.read(store.incidents) { [log] in log.warning("\($0)") }
        incidents = IncidentFiling(
            client: client, state: state, loop: loop, log: log,
            redact: { [unowned self] in controller.redactor.redact($0) },
            write: { [unowned self] in write($0, to: store.incidents) })
    }

    /// Tells of what began or ended in this turn.
    func noteConditions(_ report: StatusReport) {
        var json: JSONValue?
        func status() -> JSONValue {
            let value = json ?? report.json
            json = value
            return value
        }
        alerting?.settle(status, seq: history.lastSeq, bootID: bootID)
        incidents?.settle(status())
    }

    private func saveAlerts() {
        guard let alerting, alerting.book.isChanged else { return }
        if write(alerting.book.json, to: store.alerts) {
            alerting.saved()
        } else {
            loop.schedule(after: Self.writeRetry) { [weak self] in self?.saveAlerts() }
        }
    }

    private func write(_ value: JSONValue, to path: FilePath) -> Bool {
        do throws(SystemError) {
            try store.write(value, to: path)
            return true
        } catch {
            log.warning("state cannot be written", metadata: ["path": "\(path.shown)", "error": "\(error)"])
            return false
        }
    }
}
