// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import Timekeeping

/// Counters of this process, and the text that Prometheus reads
/// (https://prometheus.io/docs/instrumenting/exposition_formats/).
struct Metrics {
    private var events: [String: Int] = [:]
    private var sightings: [String: Int] = [:]
    private var rotations = 0
    private var isConfigurationApplied = true
    private var configurationAppliedAt: Timestamp
    private var reactions = Histogram()

    init(startedAt: Timestamp) { configurationAppliedAt = startedAt }

    /// Events that are a change of which the kernel told, and so have a reaction time.
    static let reactionTypes: Set<String> = ["key.activated", "key.cooled", "config.applied", "agent.reload.started"]

    mutating func count(_ event: Event, at time: Timestamp, reaction: Duration) {
        events[event.type, default: 0] += 1
        if Self.reactionTypes.contains(event.type) { reactions.observe(reaction) }
        switch event.type {
        case "sighting":
            sightings["cause=\"\(event["cause"]?.string ?? "")\",by=\"\(event["by"]?.string ?? "")\"", default: 0] += 1
        case "key.activated":
            // The first one is no change, nor is it one that the next agent gets another key than the last.
            if !["start", "spread"].contains(event["reason"]?.string ?? "") { rotations += 1 }
        case "config.applied":
            isConfigurationApplied = true
            configurationAppliedAt = time
        case "config.rejected": isConfigurationApplied = false
        default: break
        }
    }

    /// What is taken from elsewhere when it is asked for.
    struct Gauges {
        var report: StatusReport
        var skippedLines: Int
        var droppedRecords: Int
    }

    func text(_ gauges: Gauges, at now: Timestamp) -> String {
        let report = gauges.report
        var page = PrometheusPage()
        page.add("gasclawd_events_total", .counter, "Events by type.", events.map { ("type=\"\($0)\"", Double($1)) })
        page.add(
            "gasclawd_sightings_total", .counter, "Failures of agents seen, by cause and by where they were seen.",
            sightings.map { ($0, Double($1)) })
        page.add("gasclawd_rotations_total", .counter, "Changes of the active key.", Double(rotations))
        page.add(
            "gasclawd_config_last_reload_successful", .gauge, "Whether the configuration as it is now is in force.",
            isConfigurationApplied ? 1 : 0)
        page.add(
            "gasclawd_config_last_reload_success_timestamp_seconds", .gauge, "When the configuration came into force.",
            Double(configurationAppliedAt.microseconds) / 1e6)
        page.add("gasclawd_generation", .gauge, "Applied changes of keys or configuration.", Double(report.generation))
        page.add(
            "gasclawd_keys", .gauge, "Keys by state.",
            ["active", "ready", "cooling", "disabled"].map { state in
                ("state=\"\(state)\"", Double(report.keys.count { $0.state == state }))
            })
        page.add(
            "gasclawd_key_cooldown_seconds", .gauge, "Time until the key is ready again.",
            report.keys.map { key in
                ("id=\"\(key.id)\"", key.until.map { max(0, ($0 - now).inSeconds) } ?? 0)
            })
        page.add(
            "gasclawd_service_up", .gauge, "Whether a service is up.",
            report.services.map { ("name=\"\($0.name)\"", $0.state == "up" ? 1 : 0) })
        page.add(
            "gasclawd_service_restarts_total", .counter, "Restarts of services.",
            report.services.map { ("name=\"\($0.name)\"", Double($0.restarts)) })
        page.add("gasclawd_watch_directories", .gauge, "Directories under watch.", Double(report.watch.directories))
        page.add(
            "gasclawd_watch_overflows_total", .counter, "Overflows of the kernel's queues.",
            Double(report.watch.overflows))
        page.add(
            "gasclawd_watch_polled_paths", .gauge, "Paths polled instead of watched.", Double(report.watch.polled.count)
        )
        page.add(
            "gasclawd_log_lines_skipped_total", .counter, "Lines passed over because they are too long.",
            Double(gauges.skippedLines))
        page.add(
            "gasclawd_journal_dropped_total", .counter, "Log records dropped because nobody took them.",
            Double(gauges.droppedRecords))
        page.add(
            "gasclawd_probe_seconds", .gauge, "Time of the last probe through kernel, watch and loop.",
            report.watch.probe?.inSeconds ?? .nan)
        page.add(
            "gasclawd_reaction_seconds", "From the kernel's event to the change in force.", reactions)
        return page.text
    }
}

/// Observations in buckets.
struct Histogram {
    static let bounds: [Double] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1]
    private(set) var counts = [Int](repeating: 0, count: bounds.count + 1)
    private(set) var sum = 0.0
    private(set) var total = 0

    mutating func observe(_ duration: Duration) {
        let seconds = duration.inSeconds
        counts[Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count] += 1
        sum += seconds
        total += 1
    }
}

/// A page in Prometheus' text format.
struct PrometheusPage {
    enum Kind: String { case counter, gauge, histogram }
    private(set) var text = ""

    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ value: Double) {
        add(name, kind, help, [("", value)])
    }

    /// - Parameter samples: Labels as they stand between the braces, and the value.
    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ samples: [(labels: String, value: Double)]) {
        head(name, kind, help)
        for sample in samples.sorted(by: { $0.labels < $1.labels }) { line(name, sample.labels, sample.value) }
    }

    mutating func add(_ name: String, _ help: String, _ histogram: Histogram) {
        head(name, .histogram, help)
        var running = 0
        for (index, count) in histogram.counts.enumerated() {
            running += count
            let bound = index < Histogram.bounds.count ? "\(Histogram.bounds[index])" : "+Inf"
            line(name + "_bucket", "le=\"\(bound)\"", Double(running))
        }
        line(name + "_sum", "", histogram.sum)
        line(name + "_count", "", Double(histogram.total))
    }

    private mutating func head(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    }

    private mutating func line(_ name: String, _ labels: String, _ value: Double) {
        let shown =
            value.isNaN
            ? "NaN" : value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
        text += labels.isEmpty ? "\(name) \(shown)\n" : "\(name){\(labels)} \(shown)\n"
    }
}
