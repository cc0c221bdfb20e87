// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage
import Timekeeping

/// A version as programs print it: numbers between points.
struct Version: Comparable, CustomStringConvertible {
    let parts: [Int]

    /// The first such number of at least two parts in a text.
    init?(in text: String) {
        for word in text.split(whereSeparator: { " ,()\n\t".contains($0) }) {
            var digits = word.drop { $0 == "v" }[...]
            digits = digits.prefix { $0.isNumber || $0 == "." }
            let parts = digits.split(separator: ".").compactMap { Int($0) }
            guard parts.count >= 2 else { continue }
            self.parts = parts
            return
        }
        return nil
    }

    init(_ parts: Int...) { self.parts = parts }

    var description: String { parts.map(String.init).joined(separator: ".") }

    static func < (a: Version, b: Version) -> Bool {
        for index in 0..<max(a.parts.count, b.parts.count) {
            let (x, y) = (a[index], b[index])
            if x != y { return x < y }
        }
        return false
    }

    static func == (a: Version, b: Version) -> Bool { !(a < b) && !(b < a) }

    private subscript(index: Int) -> Int { index < parts.count ? parts[index] : 0 }
}

/// The programs that a town consists of, and those that gt calls in turn.
enum ToolChecks {
    private struct Tool {
        let name: String
        let words: [String]
        /// Older ones are known not to work.
        var oldest: Version?
        let purpose: String
        let install: String
    }

    private static let tools = [
        Tool(
            name: "gt", words: ["version"], oldest: Version(1, 0), purpose: "the town",
            install: "go install github.com/steveyegge/gastown/cmd/gt@v1.0.1, or add its folder to town.path"),
        // What gt itself demands (gt: deps/beads.go).
        Tool(
            name: "bd", words: ["version"], oldest: Version(0, 57), purpose: "the town's beads",
            install: "go install github.com/steveyegge/beads/cmd/bd@v1.0.3, or add its folder to town.path"),
        Tool(
            name: "dolt", words: ["version"], purpose: "the town's database",
            install: "install dolt (docs.dolthub.com), or add its folder to town.path"),
        // respawn-pane and hooks as we use them.
        Tool(
            name: "tmux", words: ["-V"], oldest: Version(3, 2), purpose: "the agents' terminals",
            install: "apt-get install tmux"),
        Tool(name: "git", words: ["--version"], purpose: "the town's repositories", install: "apt-get install git"),
    ]

    static func run(_ x: Examination) -> [Check] {
        var checks: [Check] = []
        let found = tools.compactMap { tool in x.find(tool.name).map { (tool, $0) } }
        var calls = found.map { tool, path in
            Examination.Call(words: [path] + tool.words, variables: quiet(tool.name), directory: "/")
        }
        if let claude = x.toolbox.claude { calls.append(.init(words: [claude, "--version"], directory: "/")) }
        var outcomes = x.run(calls)
        for (index, call) in calls.enumerated() where !call.variables.isEmpty && !isSuccess(outcomes[index]) {
            // A wrapper around it may need a home.
            outcomes[index] = x.run(Examination.Call(words: call.words, directory: call.directory))
        }
        for tool in tools {
            let id = "tools.\(tool.name)"
            guard let index = found.firstIndex(where: { $0.0.name == tool.name }) else {
                checks.append(
                    .failed(id, tool.name, "not found in town.path or PATH: \(tool.purpose)", fix: tool.install))
                continue
            }
            checks.append(judge(id, tool.name, found[index].1, outcomes[index], tool.oldest, tool.install))
        }
        checks.append(claude(x, outcomes.count > found.count ? outcomes[found.count] : nil))
        checks.append(identity(x))
        checks.append(helpers(x))
        if let check = go(x) { checks.append(check) }
        if let check = curl(x) { checks.append(check) }
        return checks
    }

    /// gt notes every call in the user's home; here it finds none.
    private static func quiet(_ name: String) -> [String: String] { name == "gt" ? ["HOME": "/dev/null"] : [:] }

    private static func isSuccess(_ outcome: Examination.Outcome) -> Bool {
        if case .success(let result) = outcome { result.status.isSuccess || result.timedOut } else { false }
    }

    private static func judge(
        _ id: String, _ title: String, _ path: String, _ outcome: Examination.Outcome, _ oldest: Version?,
        _ install: String
    ) -> Check {
        switch outcome {
        case .failure(let error): return .failed(id, title, "\(path) cannot be run: \(error)", fix: install)
        case .success(let result) where result.timedOut:
            return .failed(id, title, "\(path) gave no version within \(Examination.timeout.brief)", fix: install)
        case .success(let result):
            let said = String(decoding: result.output, as: UTF8.self)
            guard let version = Version(in: said) else {
                return .warning(
                    id, title, "\(path) tells no version: \(result.status): \(said.prefix(80))", fix: install)
            }
            if let oldest, version < oldest {
                return .failed(id, title, "\(version) at \(path); \(oldest) is needed", fix: install)
            }
            return .ok(id, title, "\(version), \(path)")
        }
    }

    private static func claude(_ x: Examination, _ outcome: Examination.Outcome?) -> Check {
        let install = "install Claude Code (npm install -g @anthropic-ai/claude-code), or set agent.program"
        guard let outcome, let program = x.toolbox.claude else {
            return .failed("tools.claude", "claude", "no client but ours in town.path or PATH", fix: install)
        }
        return judge("tools.claude", "claude", program, outcome, nil, install)
    }

    /// gt install copies it for dolt, and agents commit with it.
    private static func identity(_ x: Examination) -> Check {
        let (id, title) = ("tools.git-identity", "git identity")
        guard let git = x.find("git") else { return .skipped(id, title, "there is no git") }
        let names = ["user.name", "user.email"]
        let outcomes = x.run(names.map { .init(words: [git, "config", "--global", "--get", $0], directory: "/") })
        let missing = zip(names, outcomes).filter { _, outcome in
            guard case .success(let result) = outcome, result.status.isSuccess else { return true }
            return result.output.allSatisfy { $0 <= 32 }
        }.map(\.0)
        guard missing.isEmpty else {
            return .failed(
                id, title,
                "\(missing.joined(separator: " and ")) not set for this user: gt install fails, agents cannot commit",
                fix: "git config --global user.name NAME; git config --global user.email ADDRESS")
        }
        return .ok(id, title, "set")
    }

    /// gt looks for dolt's process with them; slim images lack them (gt: doltserver.go).
    private static func helpers(_ x: Examination) -> Check {
        let (id, title) = ("tools.process-tools", "ps, ss or lsof")
        var missing = ["ps"].filter { x.find($0) == nil }
        if x.find("ss") == nil && x.find("lsof") == nil { missing.append("ss and lsof") }
        guard missing.isEmpty else {
            return .failed(
                id, title, "\(missing.joined(separator: ", ")) not found: gt cannot tell its dolt from another",
                fix: "apt-get install procps iproute2")
        }
        return .ok(id, title, "found")
    }

    private static func go(_ x: Examination) -> Check? {
        guard x.find("gt") == nil || x.find("bd") == nil, x.find("go") == nil else { return nil }
        return .warning(
            "tools.go", "go", "not found; gt and bd are built with it", fix: "install Go 1.25 or later (go.dev/dl)")
    }

    private static func curl(_ x: Examination) -> Check? {
        let hasURL = x.configuration.alerts.contains { if case .url = $0.receiver { true } else { false } }
        guard hasURL || x.configuration.keys.isProbed || x.isProbing else { return nil }
        guard let path = x.find("curl") else {
            return .failed(
                "tools.curl", "curl", "not found; alerts to a URL and probes of keys are sent with it",
                fix: "apt-get install curl")
        }
        return .ok("tools.curl", "curl", path)
    }
}
