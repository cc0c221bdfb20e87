// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import TOML

/// A key with the endpoint that its account's file names.
public struct AccountKey: Sendable, Hashable {
    public let key: Key
    /// What `ANTHROPIC_BASE_URL` has to be for it; nil where the file names none, or one that nothing is known of.
    public let baseURL: String?

    public init(key: Key, baseURL: String?) {
        self.key = key
        self.baseURL = baseURL
    }
}

/// What an account's `config.toml` holds.
public struct AccountFile: Sendable, Hashable {
    public let keys: [AccountKey]
    /// Set where the file is in order but something was passed over: an `api_key` that is no string, or, where no key is
    /// left, one that looks like something else.
    public let remark: String?

    public init(keys: [AccountKey], remark: String? = nil) {
        self.keys = keys
        self.remark = remark
    }

    /// The largest file read, in bytes (contract G).
    public static let lengthMax = 64 << 10

    /// Reads every `[providers.*]` with a string `api_key` that begins with `sk-`.
    ///
    /// - Throws: Why the file cannot be used; the text holds nothing of the file. An empty file is one of these
    ///   reasons: it is what a writer that truncates first leaves for a moment.
    public static func read(_ bytes: [UInt8]) throws(AccountFileError) -> AccountFile {
        guard !bytes.isEmpty else { throw AccountFileError(message: "the file is empty") }
        let root: TOMLValue
        do throws(TOMLError) { root = try TOML.parse(bytes) } catch {
            throw AccountFileError(
                message: error.message.contains("not valid TOML")
                    ? "\(error.position): \(error.message)" : "\(error.position): not valid TOML: \(error.message)")
        }
        guard let providers = root["providers"] else { return AccountFile(keys: [], remark: nil) }
        guard let members = providers.table else {
            throw AccountFileError(message: "\(providers.position): providers is \(providers.kind), not a table")
        }
        var keys: [AccountKey] = []
        var remark: String?
        var wrong: String?
        for provider in members {
            let given = provider.value["api_key"]
            // A login writes an empty one, or none.
            guard let text = given == nil ? "" : given?.string else {
                if let given { wrong = wrong ?? "\(given.position): api_key is \(given.kind), not a string" }
                continue
            }
            if text.isEmpty {
                if provider.value["oauth"] != nil { remark = "an OAuth login cannot be pooled; use an API key" }
                continue
            }
            guard let key = Key(text) else {
                let position = provider.value["api_key"]?.position ?? provider.namePosition
                if text.hasPrefix("sk-") {
                    throw AccountFileError(message: "\(position): api_key has characters that no key has")
                }
                remark = "\(position): api_key does not begin with sk-"
                continue
            }
            guard !keys.contains(where: { $0.key == key }) else { continue }
            keys.append(AccountKey(key: key, baseURL: provider.value["base_url"]?.string.flatMap(anthropicBase)))
        }
        // A slip of the hand is told also where another key of the file is good.
        return AccountFile(keys: keys, remark: wrong ?? (keys.isEmpty ? remark : nil))
    }

    /// The file of an account with one key, as Kimi's own command line writes it into its folder.
    ///
    /// - Parameters:
    ///   - key: The only one in the file.
    ///   - baseURL: What `ANTHROPIC_BASE_URL` is to be for the key.
    public static func text(_ key: Key, baseURL: String) -> String {
        let base = openAIBase(baseURL)
        let provider = """
            [providers.kimi-api]
            type = "kimi"
            base_url = \(quoted(base))
            api_key = \(quoted(key.reveal()))

            """
        // The models are those of Kimi Code; the Open Platform has others.
        guard base.hasSuffix("/coding/v1") else { return provider }
        return """
            default_model = "kimi-code/kimi-for-coding"
            default_thinking = true
            default_yolo = false

            [models."kimi-code/kimi-for-coding"]
            provider = "kimi-api"
            model = "kimi-for-coding"
            max_context_size = 262144
            capabilities = ["thinking", "image_in", "video_in"]


            """ + provider
    }

    /// The reverse of ``anthropicBase(_:)``.
    private static func openAIBase(_ configured: String) -> String {
        var base = configured[...]
        while base.hasSuffix("/") { base.removeLast() }
        if base.hasSuffix("/coding") { return base + "/v1" }
        for host in ["api.moonshot.ai", "api.moonshot.cn"] where base.hasSuffix("//" + host + "/anthropic") {
            return base.dropLast("anthropic".count) + "v1"
        }
        return configured
    }

    /// A basic string (toml.io/en/v1.0.0): what goes into it is printable ASCII.
    private static func quoted(_ text: String) -> String {
        "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\""
    }

    /// The Anthropic-shaped endpoint beside an OpenAI-shaped one (kimi-cli writes the latter).
    ///
    /// - Returns: nil for anything else than an http(s) URL.
    public static func anthropicBase(_ configured: String) -> String? {
        guard configured.hasPrefix("https://") || configured.hasPrefix("http://"), configured.utf8.count <= 2048,
            configured.utf8.allSatisfy({ (33...126).contains($0) }),
            // A user's name, a query or what looks like a key would be shown with it.
            !configured.utf8.contains(where: { "@?#".utf8.contains($0) }), Redactor().redact(configured) == configured
        else { return nil }
        var base = configured[...]
        while base.hasSuffix("/") { base.removeLast() }
        if base.hasSuffix("/coding/v1") { return base.dropLast(2) + "" }
        if base.hasSuffix("/coding") { return base + "/" }
        for host in ["api.moonshot.ai", "api.moonshot.cn"] where base.hasSuffix("//" + host + "/v1") {
            return base.dropLast(2) + "anthropic"
        }
        return configured
    }
}

/// Why an account's file cannot be used. It never quotes the file.
public struct AccountFileError: Error, Sendable, Hashable, CustomStringConvertible {
    public let message: String
    public init(message: String) { self.message = message }
    public var description: String { message }
}
