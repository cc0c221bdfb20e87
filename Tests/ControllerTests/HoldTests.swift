// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import Testing
import Timekeeping

@testable import Controller

@Suite struct HoldTests {
    private func agents() throws -> Harness {
        var harness = try Harness(keys: 2)
        _ = try harness.launch("hq-deacon", role: "deacon")
        _ = try harness.launch("hq-mayor", role: "mayor")
        _ = try harness.launch("pr-witness", role: "project/witness")
        return harness
    }

    @Test(
        arguments: [
            (TownHold.rigStop("project"), ["hq-deacon", "hq-mayor"]), (.parked("project"), ["hq-deacon", "hq-mayor"]),
            (.parked("other"), ["hq-deacon", "hq-mayor", "pr-witness"]), (.deaconPaused, ["hq-mayor", "pr-witness"]),
            (.shuttingDown, []), (.stop, []),
        ] as [(TownHold, [String])])
    func whoIsHeldBackIsNotRestartedUntilItIsOver(_ hold: TownHold, _ free: [String]) throws {
        var harness = try agents()
        harness.feed(.held(hold, true))
        harness.feed(.rotationRequested(harness.token()))
        #expect(try harness.performAll() == free)
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").count == free.count)
        #expect(harness.report().holds.count == 1)
        harness.feed(.held(hold, false))
        #expect(Set(free + (try harness.performAll())) == ["hq-deacon", "hq-mayor", "pr-witness"])
    }

    @Test func aHoldInTheMiddleOfAPlanStopsTheRestAndPutsOffTheOneUnderWay() throws {
        var harness = try agents()
        harness.feed(.rotationRequested(harness.token()))
        let order = try #require(harness.order)
        harness.feed(.held(.stop, true))
        let process = try #require(order.process)
        harness.feed(.processExited(process))
        harness.feed(.reloadPutOff(id: order.id, why: "ESTOP"))
        #expect(harness.all("agent.reload.failed").last?["detail"] == "put off: ESTOP")
        harness.pass(3600)
        #expect(harness.all("agent.reload.started").count == 1)
        harness.feed(.held(.stop, false))
        #expect(harness.all("agent.reload.started").count == 2)
        #expect(harness.all("agent.reload.started").last?["session"]?.string == order.session)
    }

    @Test func aRigsStopIsAnEventWithItsRigAndReason() throws {
        var harness = try agents()
        harness.feed(
            .held(.rigStop("project"), true, EmergencyStop(Array("manual\t2026-01-01T00:00:00Z\tbroken\n".utf8))))
        let event = try #require(harness.all("town.estop").last)
        #expect(event["rig"] == "project" && event["reason"] == "broken" && event["trigger"] == "manual")
        #expect(!harness.report().isStopped)
        harness.feed(.held(.rigStop("project"), false))
        #expect(harness.all("town.thaw").last?["rig"] == "project")
    }
}

@Suite struct ParkingTests {
    private func parked(_ harness: Harness) -> Bool? {
        for case .park(let isStop) in harness.last { return isStop }
        return nil
    }

    private func town(keys: Int = 1, isParking: Bool = true) throws -> (Harness, Agent) {
        var harness = try Harness(keys: keys)
        var settings = Harness.settings
        settings.isParking = isParking
        harness.feed(.configured(settings, path: nil))
        let mayor = try harness.launch("hq-mayor")
        harness.pass(10)
        try harness.fail(mayor, Say.throttled, status: 429)
        return (harness, mayor)
    }

    private static func note(_ reason: String) -> EmergencyStop {
        EmergencyStop(Array("manual\t2026-01-01T00:00:00Z\t\(reason)\n".utf8))
    }

    @Test func theTownStandsStillWhileNoKeyIsReadyAndGoesOnThen() throws {
        var (harness, _) = try town()
        #expect(parked(harness) == true)
        harness.feed(.held(.stop, true, Self.note(Controller.parkReason)))
        harness.feed(.parked(isStop: true, failure: nil))
        harness.pass(299)
        #expect(parked(harness) == nil)
        harness.pass(1)
        #expect(parked(harness) == false)
        #expect(harness.all("agent.reload.started").isEmpty, "first it is thawed")
        harness.feed(.parked(isStop: false, failure: nil))
        harness.feed(.held(.stop, false))
        #expect(harness.all("agent.reload.started").count == 1)
        #expect(parked(harness) == nil)
    }

    @Test func anotherOnesStopIsNeitherMadeNorThawed() throws {
        var (harness, _) = try town(isParking: false)
        #expect(parked(harness) == nil)
        var settings = Harness.settings
        settings.isParking = true
        harness.feed(.held(.stop, true, Self.note("fire")))
        harness.feed(.configured(settings, path: nil))
        #expect(parked(harness) == nil, "it stands still already")
        harness.pass(3600)
        #expect(parked(harness) == nil)
        #expect(harness.report().isStopped)
    }

    @Test func aStopThatSomebodyPutsOverOursIsTheirs() throws {
        var (harness, _) = try town()
        harness.feed(.held(.stop, true, Self.note(Controller.parkReason)))
        harness.feed(.parked(isStop: true, failure: nil))
        harness.feed(.held(.stop, true, Self.note("fire")))
        #expect(harness.all("town.estop").last?["reason"] == "fire")
        harness.pass(3600)
        #expect(parked(harness) == nil)
    }

    @Test func whoThawsItByHandHasTheLastWordUntilAKeyWasReady() throws {
        var (harness, mayor) = try town()
        harness.feed(.held(.stop, true, Self.note(Controller.parkReason)))
        harness.feed(.parked(isStop: true, failure: nil))
        harness.feed(.held(.stop, false))
        #expect(parked(harness) == nil)
        harness.pass(300)
        let order = try #require(harness.controller.reload?.order)
        let again = try harness.perform(order)
        _ = mayor
        harness.pass(60)
        try harness.fail(again, Say.throttled, status: 429)
        #expect(parked(harness) == true)
    }

    @Test func afterACrashOurStopIsKnownByItsReason() throws {
        var harness = try Harness(keys: 1, isStarted: false)
        var settings = Harness.settings
        settings.isParking = true
        harness.feed(.configured(settings, path: nil))
        harness.feed(.held(.stop, true, Self.note(Controller.parkReason)))
        harness.feed(.started)
        #expect(parked(harness) == false)
    }

    @Test func gtsFailureIsTriedAgain() throws {
        var (harness, _) = try town()
        harness.feed(.parked(isStop: true, failure: "gt estop: exit 1"))
        #expect(parked(harness) == nil)
        harness.pass(2)
        harness.feed(.woke)
        var count = 0
        for _ in 0..<3 {
            if harness.controller.parking.state == .calling {
                count += 1
                harness.feed(.parked(isStop: true, failure: "again"))
            }
            harness.pass(10)
        }
        #expect(count >= 2)
    }
}
