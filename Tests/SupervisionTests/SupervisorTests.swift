// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing
import Timekeeping

@testable import Supervision

@Suite struct RetryDelayTests {
    @Test func itGrowsToTenMinutesAndBeginsAnew() {
        var delay = RetryDelay()
        var random = SplitMix64(seed: 7)
        var waits = (0..<12).map { _ in delay.next(using: &random) }
        #expect((Duration.seconds(15)...Duration.seconds(30)).contains(waits[0]))
        for (earlier, later) in zip(waits, waits.dropFirst(2)) where later < .seconds(300) {
            #expect(earlier < later)
        }
        #expect(waits.suffix(6).allSatisfy { (Duration.seconds(300)...Duration.seconds(600)).contains($0) })
        delay.reset()
        waits = [delay.next(using: &random)]
        #expect(waits[0] <= .seconds(30))
    }
}

@Suite struct SupervisorTests {
    @Test func eachIsStartedWhenTheOneBeforeIsUp() {
        var stage = Stage()
        #expect(stage.starts(.dolt) == 1)
        #expect(stage.starts(.daemon) == 0)
        #expect(stage.detail(.daemon) == "waits for dolt")
        stage.answer(.dolt)
        #expect(stage.starts(.daemon) == 1)
        #expect(stage.starts(.mayor) == 0)
        stage.answer(.daemon)
        #expect(stage.starts(.mayor) == 1)
        stage.answer(.mayor)
        #expect(ServiceName.allCases.map(stage.state) == ["up", "up", "up"])
        #expect(stage.news(.mayor) == ["starting", "up"])
    }

    @Test func nothingIsStartedBeforeWhatLivesWasLookedFor() {
        var stage = Stage(isOpen: false)
        #expect(stage.handle(.woke).isEmpty)
        let dolt = stage.newProcess()
        stage.handle(.found(.dolt, dolt, detail: "taken up"))
        stage.handle(.opened)
        #expect(stage.starts(.dolt) == 0)
        #expect(stage.starts(.daemon) == 1)
        #expect(stage.actions.contains(.watch(.dolt, dolt)))
    }

    @Test func whatIsNotManagedIsNotWaitedFor() {
        let stage = Stage([.mayor])
        #expect(stage.starts(.mayor) == 1)
        #expect(stage.supervisor.items(at: stage.now).map(\.name) == [.mayor])
    }

    @Test func whatSomebodyElseHasIsWaitedForAndNoFailure() {
        var stage = Stage([.dolt])
        for round in 1...7 {
            stage.handle(.blocked(.dolt, attempt: stage.attempt(.dolt) ?? 0, reason: "the port is held by pid 7"))
            #expect(stage.state(.dolt) == "parked")
            #expect(stage.supervisor.problem(at: stage.now) == "dolt is parked: the port is held by pid 7")
            #expect(stage.supervisor.isSettled(at: stage.now))
            stage.pass(.seconds(590))
            #expect(stage.starts(.dolt) == round)
            // Its time comes, or whoever had it goes.
            if round.isMultiple(of: 2) { stage.pass(.seconds(10)) } else { stage.handle(.unblocked(.dolt)) }
            #expect(stage.starts(.dolt) == round + 1)
        }
        #expect(!stage.news(.dolt).contains("backoff"))
        stage.fail(.dolt)
        #expect(stage.state(.dolt) == "backoff")
        // One that failed by itself is not helped by that.
        stage.handle(.unblocked(.dolt))
        #expect(stage.state(.dolt) == "backoff")
    }

    @Test func aParkedOneThatIsTriedAgainIsInTroubleUntilItIsUp() {
        var stage = Stage([.dolt])
        stage.handle(.blocked(.dolt, attempt: stage.attempt(.dolt) ?? 0, reason: "the port is held"))
        stage.handle(.wanted(.dolt, .start))
        #expect(stage.state(.dolt) == "starting")
        #expect(stage.supervisor.problem(at: stage.now) == "dolt is not up (starting)")
        stage.handle(.blocked(.dolt, attempt: stage.attempt(.dolt) ?? 0, reason: "the port is held"))
        #expect(stage.supervisor.problem(at: stage.now) != nil)
        stage.handle(.unblocked(.dolt))
        #expect(stage.supervisor.problem(at: stage.now) != nil)
        stage.answer(.dolt)
        #expect(stage.supervisor.problem(at: stage.now) == nil)
        // Its next end is one as any other.
        stage.kill(.dolt)
        #expect(stage.supervisor.problem(at: stage.now) == nil)
    }

    @Test func whetherItIsStillBlockedIsTriedAtTheNextStart() {
        var stage = Stage([.dolt])
        stage.handle(.blocked(.dolt, attempt: 1, reason: "the port is held"))
        var next = Supervisor(managed: [.dolt], saved: stage.supervisor.snapshot, seed: 2, at: stage.now)
        let actions = next.handle(.opened, at: stage.now)
        #expect(actions.contains { if case .start(.dolt, _) = $0 { true } else { false } })
    }

    @Test func whatCouldNotBeStartedAgainIsNotEndedForARestart() {
        var stage = Stage.up()
        #expect(ServiceName.allCases.allSatisfy { stage.supervisor.refusalOfRestart($0) == nil })
        stage.handle(.obstacle(.mayor, .held("the emergency stop is on")))
        #expect(stage.supervisor.refusalOfRestart(.mayor) == "the emergency stop is on")
        #expect(stage.supervisor.refusalOfRestart(.daemon) == nil)
        stage.kill(.mayor)
        #expect(stage.state(.mayor) == "down")
        #expect(stage.detail(.mayor) == "the emergency stop is on; before: it ended: signal 9")
        #expect(!stage.supervisor.isOnItsWay(.mayor) && stage.supervisor.isSettled(at: stage.now))
        stage.handle(.obstacle(.mayor, nil))
        #expect(stage.state(.mayor) == "starting")
        #expect(stage.detail(.mayor) == "it ended: signal 9; it may be brought back")
        // A service that waits for one in trouble is not ended either; for one that is about to come it is.
        stage = Stage.up()
        stage.kill(.dolt)
        #expect(stage.supervisor.refusalOfRestart(.daemon) == "dolt is not up")
        #expect(stage.supervisor.refusalOfRestart(.dolt) == nil)
        stage.pass(.seconds(5))
        #expect(stage.state(.dolt) == "starting")
        #expect(stage.supervisor.refusalOfRestart(.daemon) == nil)
    }

    @Test func theEndOfOneTouchesNoOther() {
        var stage = Stage.up()
        stage.actions = []
        stage.kill(.dolt)
        #expect(stage.state(.dolt) == "backoff")
        #expect(stage.state(.daemon) == "up")
        #expect(stage.state(.mayor) == "up")
        #expect(stage.news(.dolt) == ["exited", "backoff"])
        stage.pass(.seconds(3))
        #expect(stage.starts(.dolt) == 1)
        stage.answer(.dolt)
        #expect(stage.starts(.daemon) == 0)
        #expect(stage.starts(.mayor) == 0)
        #expect(stage.supervisor.item(.dolt)?.restarts == 1)
    }

    @Test func aServiceThatEndsWaitsUntilTheOneBeforeIsUpAgain() {
        var stage = Stage.up()
        stage.kill(.dolt)
        stage.kill(.daemon)
        stage.actions = []
        stage.pass(.seconds(5))
        #expect(stage.starts(.daemon) == 0)
        #expect(stage.detail(.daemon).hasPrefix("waits for dolt; before: it ended"))
        stage.answer(.dolt)
        #expect(stage.starts(.daemon) == 1)
    }

    @Test func theFifthFailureInAQuarterOfAnHourParks() {
        var stage = Stage([.dolt])
        for count in 1...4 {
            stage.fail(.dolt)
            #expect(stage.state(.dolt) == "backoff", "after \(count)")
            stage.pass(.seconds(40))
        }
        #expect(stage.starts(.dolt) == 5)
        stage.fail(.dolt, "port 3307 is taken")
        #expect(stage.state(.dolt) == "parked")
        #expect(stage.supervisor.problem(at: stage.now) == "dolt is parked: port 3307 is taken")
        #expect(stage.supervisor.item(.dolt)?.nextRetryAt == stage.now + .seconds(600))
        stage.pass(.seconds(599))
        #expect(stage.starts(.dolt) == 5)
        stage.pass(.seconds(2))
        #expect(stage.starts(.dolt) == 6)
        // Parked once, a single failure parks it again.
        stage.fail(.dolt)
        #expect(stage.state(.dolt) == "parked")
    }

    @Test func halfAnHourUpIsACleanSlate() {
        var stage = Stage([.dolt])
        for _ in 1...4 {
            stage.fail(.dolt)
            stage.pass(.seconds(40))
        }
        stage.answer(.dolt)
        stage.pass(.seconds(29 * 60))
        #expect(stage.supervisor.nextWake(after: stage.now) != nil)
        stage.pass(.seconds(2 * 60))
        stage.kill(.dolt)
        let wait = (stage.supervisor.item(.dolt)?.nextRetryAt ?? stage.now) - stage.now
        #expect(wait >= .seconds(1) && wait <= .seconds(2))
    }

    @Test func aWaitIsBetweenASecondAndTenMinutesAndNotAlwaysTheSame() {
        var waits: Set<Int64> = []
        for seed in 1...50 as ClosedRange<UInt64> {
            var stage = Stage([.dolt], seed: seed)
            for failures in 1...3 {
                stage.fail(.dolt)
                let wait = (stage.supervisor.item(.dolt)?.nextRetryAt ?? stage.now) - stage.now
                #expect(wait >= .seconds(1) && wait <= .seconds(1 << failures))
                waits.insert(wait.wholeMilliseconds)
                stage.pass(wait)
            }
        }
        #expect(waits.count > 100)
    }

    @Test func aMayorThatEndsIsFirstGtsToMend() {
        var stage = Stage.up()
        stage.actions = []
        stage.kill(.mayor)
        #expect(stage.state(.mayor) == "starting")
        stage.pass(.seconds(10))
        #expect(stage.starts(.mayor) == 0)
        stage.handle(.found(.mayor, stage.newProcess(), detail: ""))
        #expect(stage.state(.mayor) == "up")
        #expect(stage.supervisor.item(.mayor)?.restarts == 1)
        #expect(stage.news(.mayor) == ["exited", "up"])
        stage.kill(.mayor)
        stage.pass(.seconds(16))
        #expect(stage.starts(.mayor) == 1)
    }

    @Test func aMayorThatIsRestartedOnPurposeHasNotFailed() {
        var stage = Stage.up()
        for _ in 1...20 {
            stage.kill(.mayor, isExpected: true)
            #expect(stage.state(.mayor) == "starting")
            stage.handle(.found(.mayor, stage.newProcess(), detail: ""))
            #expect(stage.state(.mayor) == "up")
        }
        #expect(stage.supervisor.item(.mayor)?.restarts == 0)
        #expect(stage.starts(.mayor) == 1)
    }

    @Test func aMayorThatDiesOverAndOverIsParkedThoughGtBringsItBack() {
        var stage = Stage.up()
        for _ in 1...4 {
            stage.kill(.mayor)
            stage.handle(.found(.mayor, stage.newProcess(), detail: ""))
        }
        stage.kill(.mayor)
        #expect(stage.state(.mayor) == "parked")
        // What lives is not called down.
        stage.handle(.found(.mayor, stage.newProcess(), detail: ""))
        #expect(stage.state(.mayor) == "up")
    }

    @Test func obstaclesAreHeeded() {
        var stage = Stage.up()
        stage.handle(.obstacle(.mayor, .held("ESTOP")))
        stage.kill(.mayor)
        stage.actions = []
        stage.pass(.seconds(3600))
        #expect(stage.starts(.mayor) == 0)
        stage.handle(.obstacle(.mayor, nil))
        #expect(stage.starts(.mayor) == 1)
    }

    @Test func whatIsAbsentIsSaidAndSettled() {
        var stage = Stage(isOpen: false)
        for name in ServiceName.allCases { stage.handle(.obstacle(name, .absent("gt is not found"))) }
        stage.handle(.opened)
        #expect(ServiceName.allCases.map(stage.state) == ["absent", "absent", "absent"])
        #expect(stage.supervisor.isSettled(at: stage.now))
        #expect(stage.supervisor.problem(at: stage.now) == "dolt is absent: gt is not found")
        #expect(ServiceName.allCases.allSatisfy { stage.starts($0) == 0 })
    }

    @Test func aMinuteWithoutAWantedServiceIsTrouble() {
        var stage = Stage([.dolt, .daemon])
        #expect(!stage.supervisor.isSettled(at: stage.now))
        #expect(stage.supervisor.problem(at: stage.now) == nil)
        stage.pass(.seconds(59))
        #expect(stage.supervisor.problem(at: stage.now) == nil)
        #expect(stage.supervisor.nextWake(after: stage.now) == stage.now + .seconds(1))
        stage.pass(.seconds(1))
        #expect(stage.supervisor.problem(at: stage.now) == "dolt is not up (starting)")
        #expect(stage.supervisor.isSettled(at: stage.now))
        stage.answer(.dolt)
        stage.answer(.daemon)
        #expect(stage.supervisor.problem(at: stage.now) == nil)
    }

    @Test func whatIsHeldOrWaitsForABootstrap() {
        var stage = Stage(isOpen: false)
        stage.handle(.obstacle(.dolt, .waiting("the bootstrap")))
        stage.handle(.opened)
        #expect(!stage.supervisor.isSettled(at: stage.now))
        stage.handle(.obstacle(.dolt, .held("gt down")))
        stage.handle(.obstacle(.daemon, .held("gt down")))
        stage.handle(.obstacle(.mayor, .held("gt down")))
        #expect(stage.supervisor.isSettled(at: stage.now))
        #expect(stage.state(.dolt) == "down")
        #expect(stage.detail(.dolt) == "gt down")
    }

    @Test func anAnswerOfAnEarlierAttemptCountsForNothing() {
        var stage = Stage([.dolt])
        let first = stage.attempt(.dolt) ?? 0
        stage.fail(.dolt)
        stage.pass(.seconds(5))
        stage.handle(.answered(.dolt, attempt: first, stage.newProcess(), detail: ""))
        #expect(stage.state(.dolt) == "starting")
        stage.handle(.failed(.dolt, attempt: first, reason: "late"))
        #expect(stage.state(.dolt) == "starting")
    }

    @Test func theEndOfAnotherProcessCountsForNothing() {
        var stage = Stage.up([.dolt])
        stage.handle(.exited(.dolt, ServiceProcess(pid: 9, startTime: 9), status: "exit 0", isExpected: false))
        #expect(stage.state(.dolt) == "up")
    }

    @Test func whatDoesNotAnswerIsEndedAndStartedAgain() {
        var stage = Stage.up([.dolt])
        let process = stage.supervisor.process(of: .dolt)
        stage.actions = []
        stage.handle(.unhealthy(.dolt, process ?? stage.newProcess(), reason: "no answer"))
        #expect(stage.actions.contains(.stop(.dolt, process)))
        #expect(stage.state(.dolt) == "stopping")
        stage.handle(.stopped(.dolt, problem: nil))
        #expect(stage.state(.dolt) == "backoff")
        #expect(stage.detail(.dolt) == "no answer")
    }
}

@Suite struct WishTests {
    @Test func whatIsStoppedByHandStaysDown() {
        var stage = Stage.up()
        stage.actions = []
        stage.handle(.wanted(.mayor, .stop))
        #expect(stage.state(.mayor) == "stopping")
        stage.handle(.stopped(.mayor, problem: nil))
        stage.pass(.seconds(3600))
        #expect(stage.state(.mayor) == "down")
        #expect(stage.starts(.mayor) == 0)
        #expect(stage.supervisor.item(.mayor)?.isWanted == false)
        #expect(stage.supervisor.problem(at: stage.now) == nil)
        stage.handle(.wanted(.mayor, .start))
        #expect(stage.starts(.mayor) == 1)
    }

    @Test func whatSomebodyElseBringsBackIsShownAndLeftAlone() {
        var stage = Stage.up()
        stage.handle(.wanted(.mayor, .stop))
        stage.handle(.stopped(.mayor, problem: nil))
        stage.handle(.found(.mayor, stage.newProcess(), detail: ""))
        let item = stage.supervisor.item(.mayor)
        #expect(item?.state == "up" && item?.isWanted == false)
        #expect(item?.detail == "somebody else has started it")
    }

    @Test func aRestartByHandUnparksAtOnce() {
        var stage = Stage([.dolt])
        for _ in 1...5 {
            stage.fail(.dolt)
            stage.pass(.seconds(40))
        }
        #expect(stage.state(.dolt) == "parked")
        let before = stage.starts(.dolt)
        stage.handle(.wanted(.dolt, .restart))
        #expect(stage.starts(.dolt) == before + 1)
        stage.fail(.dolt)
        #expect(stage.state(.dolt) == "backoff")
    }

    @Test func aRestartEndsItFirst() {
        var stage = Stage.up([.daemon])
        stage.actions = []
        stage.handle(.wanted(.daemon, .restart))
        #expect(stage.state(.daemon) == "stopping")
        #expect(stage.starts(.daemon) == 0)
        // Its end is what was wanted.
        stage.kill(.daemon)
        #expect(stage.news(.daemon).isEmpty)
        stage.handle(.stopped(.daemon, problem: nil))
        #expect(stage.starts(.daemon) == 1)
    }

    @Test func aStopOfAStartUndoesIt() {
        var stage = Stage([.mayor])
        stage.handle(.wanted(.mayor, .stop))
        #expect(stage.actions.contains(.stop(.mayor, nil)))
        stage.answer(.mayor)
        #expect(stage.state(.mayor) == "stopping")
        stage.handle(.stopped(.mayor, problem: nil))
        #expect(stage.state(.mayor) == "down")
    }

    @Test func aStartDuringAStopFollowsIt() {
        var stage = Stage.up([.dolt])
        stage.handle(.wanted(.dolt, .stop))
        stage.handle(.wanted(.dolt, .start))
        #expect(stage.state(.dolt) == "stopping")
        stage.handle(.stopped(.dolt, problem: nil))
        #expect(stage.state(.dolt) == "starting")
    }
}

@Suite struct MemoryTests {
    private func revived(_ stage: Stage, after duration: Duration = .seconds(1)) throws -> Stage {
        let bytes = stage.supervisor.snapshot.encoded()
        var next = stage
        next.now = stage.now + duration
        next.supervisor = Supervisor(
            managed: stage.supervisor.managed, saved: try JSONValue(parsing: bytes), seed: 2, at: next.now)
        next.actions = []
        return next
    }

    @Test func aWaitGoesOnAfterARestartOfOurs() throws {
        var stage = Stage([.dolt])
        for _ in 1...4 {
            stage.fail(.dolt)
            stage.pass(.seconds(40))
        }
        stage.fail(.dolt)
        var next = try revived(stage)
        next.handle(.opened)
        #expect(next.state(.dolt) == "parked")
        #expect(next.starts(.dolt) == 0)
        #expect(next.supervisor.item(.dolt)?.nextRetryAt == stage.supervisor.item(.dolt)?.nextRetryAt)
        next.pass(.seconds(600))
        #expect(next.starts(.dolt) == 1)
        next.fail(.dolt)
        #expect(next.state(.dolt) == "parked")
    }

    @Test func itsProcessesAreKnownAgain() throws {
        let stage = Stage.up()
        let saved = try JSONValue(parsing: stage.supervisor.snapshot.encoded())
        let processes = Supervisor.processes(in: saved)
        for name in ServiceName.allCases { #expect(processes[name] == stage.supervisor.process(of: name)) }
    }

    @Test func whatWasStoppedByHandStaysDownAfterARestartOfOurs() throws {
        var stage = Stage.up()
        stage.handle(.wanted(.daemon, .stop))
        stage.handle(.stopped(.daemon, problem: nil))
        var next = try revived(stage)
        next.handle(.opened)
        next.answer(.dolt)
        #expect(next.starts(.daemon) == 0)
        #expect(next.starts(.mayor) == 1)
    }

    @Test func aClockThatWasSetBackMakesNobodyWaitLonger() throws {
        var stage = Stage([.dolt])
        stage.fail(.dolt)
        var next = try revived(stage, after: .seconds(-86_400))
        next.handle(.opened)
        next.pass(.seconds(601))
        #expect(next.starts(.dolt) == 1)
    }

    @Test(arguments: [
        "{}", #"{"services":[]}"#, #"{"services":{"dolt":{"pid":-5,"retry":"x","backoff":{"failures":-3}}}}"#,
        #"{"services":{"dolt":{"tried":true,"restarts":9223372036854775807,"backoff":{"failures":9223372036854775807}}}}"#,
    ])
    func rubbishIsNoState(text: String) throws {
        let now = Timestamp(secondsSinceEpoch: 1_800_000_000)
        let saved = try JSONValue(parsing: Array(text.utf8))
        #expect(Supervisor.processes(in: saved).isEmpty)
        var supervisor = Supervisor(managed: [.dolt], saved: saved, seed: 1, at: now)
        #expect(supervisor.handle(.opened, at: now).contains(.start(.dolt, attempt: 1)))
        for wait in 1...8 {
            _ = supervisor.handle(.failed(.dolt, attempt: UInt64(wait), reason: ""), at: now + .seconds(wait))
        }
    }

    @Test(arguments: [-7200, 7200]) func aSetClockMakesNoWaitLongerOrShorter(_ jump: Int) {
        var stage = Stage([.dolt])
        stage.fail(.dolt)
        let wait = stage.supervisor.item(.dolt)?.nextRetryAt.map { $0 - stage.now }
        stage.now = stage.now + .seconds(jump)
        stage.handle(.clockSet(by: .seconds(jump)))
        #expect(stage.state(.dolt) == "backoff")
        #expect(stage.supervisor.item(.dolt)?.nextRetryAt.map { $0 - stage.now } == wait)
        stage.pass(.seconds(3))
        #expect(stage.starts(.dolt) == 2)
    }

    @Test func whatWasStoppedByHandAndStartedBySomebodyIsDownWhenItEnds() {
        var stage = Stage.up([.mayor])
        stage.handle(.wanted(.mayor, .stop))
        stage.handle(.stopped(.mayor, problem: nil))
        stage.handle(.found(.mayor, stage.newProcess(), detail: ""))
        #expect(stage.state(.mayor) == "up")
        stage.kill(.mayor, isExpected: true)
        #expect(stage.state(.mayor) == "down")
    }
}
