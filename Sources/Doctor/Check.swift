// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// One thing that was looked at, and what was found.
public struct Check: Sendable, Equatable {
    public enum Verdict: String, Sendable, CaseIterable {
        /// Something does not work.
        case failed
        /// It works, but not as it should, or not for long.
        case warning
        case ok
        /// It does not matter here, or what it needs is not there.
        case skipped

        /// What is worst comes first.
        var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
        public var isFinding: Bool { self == .failed || self == .warning }
    }

    /// Stays the same: docs/troubleshooting.md has an entry by it.
    public let id: String
    public let title: String
    public let verdict: Verdict
    /// What was seen.
    public let evidence: String
    /// The command or the edit that mends it; nil where nothing is to be mended.
    public let fix: String?

    init(_ id: String, _ title: String, _ verdict: Verdict, _ evidence: String, fix: String? = nil) {
        self.id = id
        self.title = title
        self.verdict = verdict
        self.evidence = evidence
        self.fix = fix
    }

    static func ok(_ id: String, _ title: String, _ evidence: String) -> Check { Check(id, title, .ok, evidence) }
    static func skipped(_ id: String, _ title: String, _ why: String) -> Check { Check(id, title, .skipped, why) }
    static func warning(_ id: String, _ title: String, _ evidence: String, fix: String) -> Check {
        Check(id, title, .warning, evidence, fix: fix)
    }
    static func failed(_ id: String, _ title: String, _ evidence: String, fix: String) -> Check {
        Check(id, title, .failed, evidence, fix: fix)
    }

    /// The same with its texts made fit to be shown.
    func shown(by redact: (String) -> String) -> Check {
        Check(id, title, verdict, redact(evidence), fix: fix.map(redact))
    }

    var json: JSONValue {
        [
            "id": .string(id), "title": .string(title), "verdict": .string(verdict.rawValue),
            "evidence": .string(evidence), "fix": .optional(fix),
        ]
    }
}

/// All checks, the worst first.
public struct Diagnosis: Sendable {
    public let checks: [Check]

    init(_ checks: [Check]) {
        self.checks = checks.enumerated().sorted { a, b in
            (a.element.verdict.rank, a.offset) < (b.element.verdict.rank, b.offset)
        }.map(\.element)
    }

    public var findings: Int { checks.count(where: \.verdict.isFinding) }

    public var json: JSONValue {
        [
            "ok": .bool(findings == 0), "findings": JSONValue(findings), "checks": .array(checks.map(\.json)),
        ]
    }

    /// For people: one line a check, and below a finding how to mend it.
    public var text: String {
        let width = checks.map(\.id.count).max() ?? 0
        var lines: [String] = []
        for check in checks {
            let name = check.id + String(repeating: " ", count: width - check.id.count)
            let verdict = check.verdict.rawValue
            let lead = verdict + String(repeating: " ", count: 7 - verdict.count)
            let margin = String(repeating: " ", count: 9 + width + 2)
            let evidence = check.evidence.split(separator: "\n").joined(separator: "\n\(margin)")
            lines.append("\(lead)  \(name)  \(check.title): \(evidence)")
            if let fix = check.fix { lines.append("\(margin)→ \(fix)") }
        }
        let count = findings == 1 ? "1 finding" : "\(findings) findings"
        let all = checks.count == 1 ? "1 check" : "\(checks.count) checks"
        lines.append("\(count) in \(all) (docs/troubleshooting.md explains each by its name)")
        return lines.joined(separator: "\n") + "\n"
    }
}
