// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys

// What single values must be. Each rule gives nil, or what is wrong: said so that it reads behind the key's name.

/// A value for a message: never one that could be a key, nothing that could deceive the eye.
func quoted(_ text: String) -> String {
    let lowered = text.lowercased()
    if ["sk-", "ak-", "org-"].contains(where: lowered.contains) { return "(not shown: it looks like a key)" }
    if text.utf8.count > 60 { return "(not shown: it is long)" }
    return "\"\(shownText(Array(text.utf8)))\""
}

/// Rules for every text, wherever it comes from.
func textProblem(_ text: String) -> String? {
    // The environment's bytes that are not UTF-8 arrive as U+FFFD; TOML's cannot.
    if text.unicodeScalars.contains("\u{FFFD}") { return "holds bytes that are not UTF-8" }
    if text.unicodeScalars.contains(where: {
        [.control, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory)
    }) {
        return "holds a control character"
    }
    return nil
}

func emptinessProblem(_ text: String) -> String? {
    text.utf8.allSatisfy { $0 == UInt8(ascii: " ") } ? "must not be empty" : nil
}

/// The name goes to gt as an argument and is a key of its settings file.
func agentNameProblem(_ text: String) -> String? {
    if let problem = emptinessProblem(text) { return problem }
    guard text.utf8.first != UInt8(ascii: "-"), text.utf8.allSatisfy({ isNameByte($0) || $0 == 45 || $0 == 46 }) else {
        return "\(quoted(text)) is no name (letters, digits, - . _)"
    }
    return nil
}

/// An http or https URL with a host, which a client can put a path behind.
func baseURLProblem(_ text: String) -> String? {
    if let problem = emptinessProblem(text) { return problem }
    let lowered = text.lowercased()
    guard let scheme = ["https://", "http://"].first(where: lowered.hasPrefix) else {
        return "\(quoted(text)) is no URL (https://HOST/…)"
    }
    let rest = text.utf8.dropFirst(scheme.utf8.count)
    guard rest.allSatisfy({ (33...126).contains($0) }) else { return "holds a space or a character that no URL holds" }
    guard !rest.contains(where: { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }) else {
        return "must end with its path: clients put theirs behind it"
    }
    let authority = rest.prefix { $0 != UInt8(ascii: "/") }
    // A name or password here would be shown wherever the URL is.
    guard !authority.contains(UInt8(ascii: "@")) else { return "must not hold a user's name or password" }
    return isAuthority(String(decoding: authority, as: UTF8.self)) ? nil : "\(quoted(text)) names no host"
}

/// `HOST`, `[IPv6]`, either with `:PORT` (RFC 3986, 3.2).
func isAuthority(_ text: String) -> Bool {
    var host = text[...]
    let colon = text.lastIndex(of: ":")
    if let colon, !text.hasSuffix("]") {
        guard let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return false }
        host = text[..<colon]
    }
    if host.hasPrefix("[") {
        return host.hasSuffix("]") && host.utf8.count > 3
            && host.utf8.dropFirst().dropLast().allSatisfy {
                (48...58).contains($0) || (65...70).contains($0) || (97...102).contains($0) || $0 == 46
            }
    }
    return !host.isEmpty && !host.hasPrefix(".") && !host.hasPrefix("-")
        && host.utf8.allSatisfy { isNameByte($0) || $0 == 45 || $0 == 46 }
}

/// Names of variables for agents. What the launcher sets, and what could carry a key, is not the user's to set
/// (contract E, design: the launcher).
func variableNameProblem(_ name: String) -> String? {
    guard let first = name.utf8.first, !(48...57).contains(first), name.utf8.allSatisfy(isNameByte) else {
        return "\(quoted(name)) is no variable's name (letters, digits and _, no digit first)"
    }
    let upper = name.uppercased()
    for word in ["KEY", "TOKEN"] where upper.contains(word) {
        return
            "\(quoted(name)) is refused: a name with \(word) may carry a secret, and keys belong in the accounts directory"
    }
    switch upper {
    case "ANTHROPIC_BASE_URL": return "\(quoted(name)) is set by gasclawd (agent.base_url)"
    case "CLAUDE_CONFIG_DIR": return "\(quoted(name)) is set by gasclawd (agent.config_dir)"
    // Without our prefix every tool call would see the key.
    case "CLAUDE_CODE_SHELL_PREFIX": return "\(quoted(name)) is set by gasclawd"
    default: return nil
    }
}

/// A key under whatever name would be in the environment of everything that an agent runs, and past the pool.
func variableValueProblem(_ text: String) -> String? {
    let bytes = Array(text.utf8)
    let mark = Array("sk-".utf8)
    for start in bytes.indices where bytes[start...].starts(with: mark) {
        // A word that ends in it, such as "task-"; a name in front of a key ends in something else.
        if start > 0, isLetterOrDigit(bytes[start - 1]) { continue }
        let length = bytes[(start + mark.count)...].prefix { isNameByte($0) || $0 == UInt8(ascii: "-") }.count
        if length >= 16 { return "the value looks like a key, and keys belong in the accounts directory" }
    }
    return nil
}

private func isLetterOrDigit(_ byte: UInt8) -> Bool { isNameByte(byte) && byte != UInt8(ascii: "_") }

/// Letters, digits and the underscore.
func isNameByte(_ byte: UInt8) -> Bool {
    (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == UInt8(ascii: "_")
}
