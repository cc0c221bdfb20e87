// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Secrets
import Testing

@testable import KeyPool

@Suite struct AccountFileTests {
    private func read(_ text: String) throws -> AccountFile { try AccountFile.read(Array(text.utf8)) }

    private let kimi = """
        default_model = "kimi-code/kimi-for-coding"
        [models."kimi-code/kimi-for-coding"]
        provider = "kimi-api"
        max_context_size = 262144
        [providers.kimi-api]
        type = "kimi"
        base_url = "https://api.kimi.com/coding/v1"
        api_key = "sk-kimi-one"
        [loop_control]
        max_steps = 3
        [services.moonshot_search]
        base_url = "https://api.kimi.com/coding/v1/search"
        api_key = "sk-kimi-of-a-service"
        """

    @Test(arguments: [
        ("5", "an integer"), ("true", "true or false"), ("['sk-a']", "a list"), ("{ x = 'sk-a' }", "a table"),
        ("1979-05-27", "a time"),
    ])
    func aKeyThatIsNoStringIsTold(_ value: String, _ kind: String) throws {
        let file = try AccountFile.read(Array("[providers.a]\napi_key = \(value)\n".utf8))
        #expect(file.keys.isEmpty)
        #expect(file.remark == "2:11: api_key is \(kind), not a string")
        // Also beside a good one, which counts.
        let both = try AccountFile.read(
            Array("[providers.a]\napi_key = \(value)\n[providers.b]\napi_key = \"sk-good\"\n".utf8))
        #expect(both.keys.count == 1 && both.remark == file.remark)
    }

    @Test func theFileOfKimisOwnCommandGivesItsKeyAndNoServicesKey() throws {
        let file = try read(kimi)
        #expect(file.keys.map { $0.key.reveal() } == ["sk-kimi-one"])
        #expect(file.keys.map(\.baseURL) == ["https://api.kimi.com/coding/"])
        #expect(file.remark == nil)
    }

    @Test(arguments: ["kimi-api", "x", "\"managed:kimi-code\"", "'a b'", "\"ü.ß\""])
    func anyNameOfAProviderWillDo(_ name: String) throws {
        #expect(try read("[providers.\(name)]\napi_key = \"sk-a\"").keys.count == 1)
    }

    @Test(arguments: [
        ("https://api.kimi.com/coding/v1", "https://api.kimi.com/coding/"),
        ("https://api.kimi.com/coding/v1/", "https://api.kimi.com/coding/"),
        ("https://api.kimi.com/coding", "https://api.kimi.com/coding/"),
        ("https://api.kimi.com/coding/", "https://api.kimi.com/coding/"),
        ("https://api.moonshot.ai/v1", "https://api.moonshot.ai/anthropic"),
        ("https://api.moonshot.cn/v1", "https://api.moonshot.cn/anthropic"),
        ("https://api.moonshot.cn/v1/", "https://api.moonshot.cn/anthropic"),
        ("https://api.moonshot.ai/anthropic", "https://api.moonshot.ai/anthropic"),
        ("http://127.0.0.1:8080/coding/v1", "http://127.0.0.1:8080/coding/"),
    ])
    func theEndpointIsTheOneForClaudeCode(_ given: String, _ wanted: String) throws {
        #expect(try read("[providers.a]\napi_key = \"sk-a\"\nbase_url = \"\(given)\"").keys.first?.baseURL == wanted)
    }

    @Test(arguments: [
        "\"\"", "\"ftp://a/coding/v1\"", "\"https://user:word@api.kimi.com/coding/v1\"", "\"https://a b\"", "7", "[]",
        "\"file:///etc/passwd\"", "\"https://a\\n.com\"",
    ])
    func whatIsNoEndpointIsNone(_ given: String) throws {
        let file = try read("[providers.a]\napi_key = \"sk-a\"\nbase_url = \(given)")
        #expect(file.keys.count == 1)
        #expect(file.keys.first?.baseURL == nil)
    }

    @Test func oneKeyInTwoProvidersCountsOnce() throws {
        let file = try read(
            "[providers.a]\napi_key='sk-x'\n[providers.b]\napi_key='sk-x'\n[providers.c]\napi_key='sk-y'")
        #expect(file.keys.map { $0.key.reveal() } == ["sk-x", "sk-y"])
    }

    @Test(arguments: ["api_key = ''\n", ""])
    func anOAuthLoginIsListedAsNotUsable(_ line: String) throws {
        let file = try read(
            "[providers.'managed:kimi-code']\n\(line)[providers.'managed:kimi-code'.oauth]\nstorage='file'")
        #expect(file.keys.isEmpty)
        #expect(try #require(file.remark).contains("OAuth"))
    }

    @Test func aLoginBesideAKeyIsNoRemark() throws {
        let file = try read("[providers.a]\napi_key=''\n[providers.a.oauth]\nkey='x'\n[providers.b]\napi_key='sk-x'")
        #expect(file.keys.count == 1)
        #expect(file.remark == nil)
    }

    @Test func aProviderThatIsNoTableIsPassedOver() throws {
        #expect(try read("[providers]\na = 1\nb = { api_key = 'sk-b' }").keys.count == 1)
    }

    @Test func otherWordsThanAKeyAreRemarkedWithoutThem() throws {
        let file = try read("[providers.a]\napi_key = 'canary-canary'")
        #expect(file.keys.isEmpty)
        let remark = try #require(file.remark)
        #expect(remark.contains("sk-"))
        #expect(!remark.contains("canary"))
    }

    @Test func aFileWithoutProvidersIsInOrderAndEmpty() throws {
        #expect(try read("# nothing yet\n").keys.isEmpty)
        #expect(try read("default_model = 'x'").keys.isEmpty)
    }

    @Test(arguments: [
        "", "[providers.a]\napi_key = \"sk-canary", "[providers.a", "providers = 'sk-canary'", "providers = [1]",
        "[providers.a]\napi_key = 'sk-canary'\napi_key = 'sk-canary'", "[providers.a]\napi_key = 'sk-can ary'",
        "[providers.a]\napi_key = 'sk-canary\u{1}'", "[providers.a]\napi_key = 'sk-'", "api_key sk-canary",
        "[providers.a]\napi_key = sk-canary-canary",
    ])
    func aFileThatCannotBeUsedIsRefusedWithoutQuotingIt(_ text: String) {
        do {
            let file = try read(text)
            Issue.record("taken: \(file)")
        } catch {
            #expect(!"\(error)".contains("can"))
        }
    }

    @Test func aHalfWrittenFileIsNeverTakenForOneWithAShorterKey() throws {
        let bytes = Array(kimi.utf8)
        for length in 0..<bytes.count {
            let keys: [AccountKey]
            do throws(AccountFileError) { keys = try AccountFile.read(Array(bytes[..<length])).keys } catch { continue }
            for key in keys { #expect(key.key.reveal() == "sk-kimi-one") }
        }
    }

    @Test func bytesThatAreNoTextAreRefused() {
        #expect(throws: AccountFileError.self) { try AccountFile.read([0xFF, 0xFE, 0x00]) }
        #expect(throws: AccountFileError.self) { try AccountFile.read(Array("[providers.a]\napi_key='sk-\u{0}'".utf8)) }
    }
}
