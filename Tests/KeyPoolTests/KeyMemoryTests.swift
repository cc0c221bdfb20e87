// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Secrets
import Testing
import Timekeeping

@testable import KeyPool

@Suite struct KeyMemoryTests {
    /// A pool that takes up what another left, with the same files.
    private func successor(
        of old: PoolFixture, _ state: JSONValue? = nil, accounts: [(String, [String])]
    ) throws -> PoolFixture {
        var new = try PoolFixture([], isOpen: false)
        new.now = old.now
        new.pool.restore(try JSONValue(parsing: (state ?? old.pool.snapshot).encoded()))
        for (name, keys) in accounts { _ = try new.set(name, keys) }
        _ = new.pool.open(at: new.now)
        return new
    }

    @Test func whatIsKnownSurvivesARestart() throws {
        let accounts = (1...4).map { ("\($0)", ["sk-\($0)"]) }
        var fixture = try PoolFixture(accounts.map { (name: $0.0, keys: $0.1) })
        fixture.pool.used(try fixture.id("sk-1"), at: fixture.now)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "1:1")
        _ = fixture.pass(60)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "2:2")
        _ = try fixture.report("sk-2", Say.week, status: 403)
        _ = fixture.pass(5)
        _ = fixture.pool.rotate(at: fixture.now)
        let next = try successor(of: fixture, accounts: accounts)
        #expect(next.pool.snapshot == fixture.pool.snapshot)
        #expect(next.pool.active == fixture.pool.active)
        #expect(try next.isDisabled("sk-1"))
        #expect(try next.cooling("sk-2") == 3595)
    }

    @Test func aKeyThatWasChangedMeanwhileIsBack() throws {
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "1:1")
        _ = fixture.pass(60)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "2:2")
        var next = try PoolFixture([], isOpen: false)
        next.now = fixture.now
        next.pool.restore(fixture.pool.snapshot)
        #expect(try next.set("1", ["sk-1"], digest: "edited").isEmpty)
        #expect(next.pool.open(at: next.now).recovered(try next.id("sk-1")))
    }

    @Test func aSightingBeforeTheRestartCanConfirmOneAfterIt() throws {
        let accounts = [("1", ["sk-1"]), ("2", ["sk-2"])]
        var fixture = try PoolFixture(count: 2)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "1:1")
        var next = try successor(of: fixture, accounts: accounts)
        _ = next.pass(60)
        #expect(try next.report("sk-1", Say.invalid, status: 401, lease: "2:2").disabled(try next.id("sk-1")))
    }

    @Test func anActiveKeyThatCoolsGivesItsPlaceAtTheStart() throws {
        var fixture = try PoolFixture(count: 1)
        _ = try fixture.report("sk-1", Say.week, status: 403)
        let next = try successor(of: fixture, accounts: [("1", ["sk-1"]), ("2", ["sk-2"])])
        #expect(try next.isActive("sk-2"))
        #expect(!next.pool.isExhausted)
    }

    @Test func aTimeWithoutAKeyIsRememberedAcrossARestart() throws {
        var fixture = try PoolFixture(count: 1)
        _ = try fixture.report("sk-1", Say.week, status: 403)
        var next = try PoolFixture([], isOpen: false)
        next.pool.restore(fixture.pool.snapshot)
        #expect(next.pool.isExhausted)
        next.now = fixture.now + .seconds(3601)
        _ = try next.set("1", ["sk-1"])
        _ = next.pool.open(at: next.now)
        #expect(!next.pool.isExhausted)
        #expect(try next.isActive("sk-1"))
    }

    @Test func noKeyIsInTheState() throws {
        let secret = "sk-kimi-Qz7Rk2Vn9Xb4Tm6Wc1Yd8Jf3"
        var fixture = try PoolFixture([("1", [secret])])
        _ = try fixture.report(secret, Say.week, status: 403)
        let text = fixture.pool.snapshot.line
        #expect(text.contains(try fixture.id(secret).text))
        #expect(!text.contains("Qz7R"))
    }

    @Test(arguments: [
        "null", "7", "[]", "{}", #"{"active":7,"keys":[]}"#, #"{"active":"not an id","keys":{"x":{}}}"#,
        #"{"active":"../../etc/pa","exhausted":"yes","keys":{"0123456789ab":7,"0123456789ac":null}}"#,
        #"{"keys":{"ID":{"last_used":"yesterday","cooldown":{"cause":"bad luck","until":1}}}}"#,
        #"{"keys":{"ID":{"cooldown":{"cause":"quota","since":"2026-01-01T00:00:00Z"},"disabled":{"cause":"quota"}}}}"#,
        #"{"keys":{"ID":{"evidence":[7,{},{"cause":"invalid","lease":7,"time":"x"}],"disabled":[]}}}"#,
        #"{"keys":{"ID":{"last_used":"9999-12-31T23:59:59Z","retired":"0000-01-01T00:00:00Z"}}}"#,
    ])
    func aStateThatMakesNoSenseLeavesTheKeysUsable(_ text: String) throws {
        let id = try PoolFixture.id("sk-1").text
        let state = try JSONValue(parsing: text.replacing("ID", with: id))
        let next = try successor(of: try PoolFixture([]), state, accounts: [("1", ["sk-1"])])
        #expect(try next.isActive("sk-1"))
        #expect(next.pool.readyCount(at: next.now) == 1)
    }

    @Test func anyValueInAnyPlaceOfTheStateIsSurvived() throws {
        var fixture = try PoolFixture(count: 3)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "1:1")
        _ = fixture.pass(60)
        _ = try fixture.report("sk-1", Say.invalid, status: 401, lease: "2:2")
        _ = try fixture.report("sk-2", Say.week, status: 403)
        let bytes = fixture.pool.snapshot.encoded()
        var random = SplitMix(state: 7)
        for _ in 0..<300 {
            var broken = bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                broken[Int.random(in: 0..<broken.count, using: &random)] = UInt8.random(in: 32...126, using: &random)
            }
            let state: JSONValue
            do throws(JSONError) { state = try JSONValue(parsing: broken) } catch { continue }
            var next = try successor(of: fixture, state, accounts: (1...3).map { ("\($0)", ["sk-\($0)"]) })
            _ = next.pass(10)
            _ = try next.report("sk-3", Say.week, status: 403)
            #expect(next.pool.records.count == 3)
        }
    }
}
