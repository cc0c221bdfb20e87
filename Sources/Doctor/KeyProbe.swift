// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Daemon
import JSON
import KeyPool
import LinuxSys

/// Asks the provider about each key, where that is wanted. `GET …/models` costs nothing and tells nothing of quota.
enum KeyProbe {
    static func run(_ x: Examination, _ accounts: [KeyChecks.Account]) -> [Check] {
        let (id, title) = ("keys.probe", "the provider's word on each key")
        guard x.isProbing else { return [.skipped(id, title, "not asked (gasclawd doctor --probe asks)")] }
        guard let curl = x.find("curl") else { return [.skipped(id, title, "there is no curl")] }
        var seen = Set<String>()
        let keys = accounts.flatMap(\.keys).filter { seen.insert($0.key.id.text).inserted }
        let asked = keys.compactMap { key in
            ProbeKind.models.url(baseURL: key.baseURL ?? x.configuration.agent.baseURL).map { (key, $0) }
        }
        let calls = asked.map { key, url in
            // The key goes through standard input, so that no process list shows it.
            Examination.Call(
                words: CurlCall.words(program: curl), directory: "/", input: Array(request(key, url: url).utf8))
        }
        var refused: [String] = []
        // A key does not travel in the clear.
        var unknown = keys.filter { key in !asked.contains { $0.0 == key } }.map { "\($0.key.id) (no https)" }
        for ((key, _), outcome) in zip(asked, x.run(calls)) {
            guard case .success(let result) = outcome, result.status.isSuccess, !result.timedOut,
                let code = Int(String(decoding: result.output, as: UTF8.self).filter(\.isNumber))
            else {
                unknown.append(key.key.id.text)
                continue
            }
            switch code {
            case 200..<300: continue
            case 401: refused.append("\(key.key.id): rejected (401)")
            case 402: refused.append("\(key.key.id): no membership (402)")
            default: unknown.append("\(key.key.id) (\(code))")
            }
        }
        guard refused.isEmpty else {
            return [
                .failed(
                    id, title, refused.joined(separator: ", "), fix: "put another key into the account's config.toml")
            ]
        }
        guard unknown.isEmpty else {
            return [
                .warning(
                    id, title, "no clear answer for \(unknown.joined(separator: ", "))",
                    fix: "look at the network and proxies, then ask again")
            ]
        }
        return [keys.isEmpty ? .skipped(id, title, "there is no key") : .ok(id, title, "\(keys.count) accepted")]
    }

    private static func request(_ key: AccountKey, url: String) -> String {
        """
        url = "\(CurlCall.quoted(url))"
        header = "\(CurlCall.quoted("Authorization: Bearer \(key.key.reveal())"))"
        header = "User-Agent: gasclawd"
        output = "/dev/null"
        write-out = "%{http_code}"
        proto = "=https,http"
        globoff
        silent
        max-time = 8

        """
    }
}
