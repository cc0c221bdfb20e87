// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON

/// Which request a method, a target and a body are (contract B).
enum Route {
    /// - Returns: The request, and whether events are followed.
    static func parse(
        method: String, target: String, body: [UInt8]
    ) throws(ControlError) -> (request: ControlCall.Request, isFollowing: Bool) {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = String(parts.first ?? "")
        let query = parts.count > 1 ? try Self.query(parts[1]) : [:]
        switch path {
        case "/v1/status":
            try require("GET", method)
            return (.status, false)
        case "/healthz":
            try require("GET", method)
            return (.health, false)
        case "/readyz":
            try require("GET", method)
            return (.readiness, false)
        case "/metrics":
            try require("GET", method)
            return (.metrics, false)
        case "/v1/reload":
            try require("POST", method)
            guard let text = query["wait"] else { return (.reload(wait: nil), false) }
            guard let seconds = Int64(text), (0...86400).contains(seconds) else {
                throw ControlError(code: "bad_request", message: "wait is a number of seconds up to a day")
            }
            return (.reload(wait: .seconds(seconds)), false)
        case "/v1/events":
            try require("GET", method)
            var since = 0
            if let text = query["since"] {
                guard let value = Int(text), value >= 0 else {
                    throw ControlError(code: "bad_request", message: "since is no event number")
                }
                since = value
            }
            let types = query["type"].map { Set($0.split(separator: ",").map(String.init)) } ?? []
            return (.events(since: since, types: types), query["follow"] == "1" || query["follow"] == "true")
        case "/v1/leases":
            try require("POST", method)
            let value: JSONValue
            do throws(JSONError) { value = try JSONValue(parsing: body) } catch {
                throw ControlError(code: "bad_request", message: "the body is no JSON: \(error)")
            }
            return (.lease(try LeaseRequest(value)), false)
        case "/v1/sightings":
            try require("POST", method)
            let value: JSONValue
            do throws(JSONError) { value = try JSONValue(parsing: body) } catch {
                throw ControlError(code: "bad_request", message: "the body is no JSON: \(error)")
            }
            return (.sighting(try HookReport(value)), false)
        case "/v1/keys/rotate":
            try require("POST", method)
            return (.rotate, false)
        case "/v1/stop":
            try require("POST", method)
            return (.stop, false)
        case "/v1/agents/reload":
            try require("POST", method)
            return (.agentsReload(sessions: try sessions(body)), false)
        default: return (try nested(path, method), false)
        }
    }

    /// `/v1/keys/{id}/{command}`, `/v1/keys/clear` and `/v1/services/{name}/{command}`.
    private static func nested(_ path: String, _ method: String) throws(ControlError) -> ControlCall.Request {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
        if parts == ["v1", "keys", "clear"] {
            try require("POST", method)
            return .key(command: "clear", key: nil)
        }
        if parts.count == 4, parts[0] == "v1", parts[1] == "keys", ["clear", "disable", "enable"].contains(parts[3]) {
            try require("POST", method)
            return .key(command: parts[3], key: parts[2])
        }
        if parts.count == 4, parts[0] == "v1", parts[1] == "services", ["start", "stop", "restart"].contains(parts[3]) {
            try require("POST", method)
            return .service(name: parts[2], command: parts[3])
        }
        throw ControlError(code: "not_found", message: "there is nothing under this path")
    }

    /// `{"sessions":[…]}` or `{"all":true}`.
    private static func sessions(_ body: [UInt8]) throws(ControlError) -> [String]? {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: body) } catch {
            throw ControlError(code: "bad_request", message: "the body is no JSON: \(error)")
        }
        if value["all"]?.bool == true {
            guard value["sessions"] == nil else {
                throw ControlError(
                    code: "bad_request", message: "sessions is a list of names, or all is true, and not both")
            }
            return nil
        }
        guard let list = value["sessions"]?.array, !list.isEmpty, list.count <= 1000 else {
            throw ControlError(code: "bad_request", message: "sessions is a list of names, or all is true")
        }
        let names = list.compactMap(\.string)
        guard names.count == list.count else {
            throw ControlError(code: "bad_request", message: "sessions is a list of names")
        }
        return names
    }

    private static func require(_ wanted: String, _ method: String) throws(ControlError) {
        guard method == wanted else {
            throw ControlError(code: "method_not_allowed", message: "this path takes \(wanted)", allowed: wanted)
        }
    }

    /// `name=value&…` with percent escapes (RFC 3986, section 2.1).
    private static func query(_ text: some StringProtocol) throws(ControlError) -> [String: String] {
        var result: [String: String] = [:]
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = unescaped(parts[0]), let value = unescaped(parts.count > 1 ? parts[1] : "") else {
                throw ControlError(code: "bad_request", message: "the query is not encoded as a URL has to be")
            }
            result[name] = value
        }
        return result
    }

    private static func unescaped(_ text: some StringProtocol) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
