// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import LinuxSys
import Supervision
import SystemPackage

/// dolt: through `gt dolt start|stop`; that it works is asked of the server itself.
extension Services {
    private static let startTimeout = Duration.seconds(120)
    /// From gt's word that it runs to its first answer.
    private static let answerTime = Duration.seconds(30)
    private static let queryTimeout = Duration.seconds(10)
    private static let queryInterval = Duration.seconds(60)
    private static let secondLook = Duration.seconds(5)
    private static let failuresMax = 3
    /// gt drains for 10 s, then TERM, 5 s, KILL (gt: doltserver.go).
    private static let stopTimeout = Duration.seconds(30)
    static let doltIdentifier = "gasclawd-dolt"

    /// Takes up a server that runs already; whether it works is asked at once.
    func adoptDolt() {
        // The files that name it may be away.
        guard supervisor.managed.contains(.dolt), let process = place.dolt ?? leftover(.dolt) else { return }
        handle(.found(.dolt, ServiceProcess(process), detail: ""))
        checkDolt()
    }

    func startDolt(_ attempt: UInt64) {
        if let process = place.dolt { return awaitDolt(attempt, process, until: Self.answerTime) }
        // gt would end whoever has the port (gt: doltserver.go): it is named instead, and left alone.
        if let conflict = place.doltConflict { return blocked(.dolt, attempt, conflict) }
        guard let gt = place.toolbox.gt else { return failed(.dolt, attempt, "gt is not found") }
        run(.dolt, gt, TownCommands.startDolt, timeout: Self.startTimeout, identifier: Self.doltIdentifier) {
            [self] failure in
            guard isCurrent(.dolt, attempt) else { return }
            // Its word for success is not taken, nor the one for failure where the server runs.
            guard let process = place.dolt else {
                return failed(
                    .dolt, attempt, failure ?? "gt says that it has started dolt, but there is no process of it")
            }
            awaitDolt(attempt, process, until: Self.answerTime)
        }
    }

    /// Asks until it answers, ends, or the time is over.
    private func awaitDolt(_ attempt: UInt64, _ process: ProcessIdentity, until limit: Duration) {
        let deadline = EventLoop.now + limit.wholeMicroseconds * 1000
        func ask() {
            queryDolt { [self] failure in
                guard isCurrent(.dolt, attempt) else { return }
                guard let failure else { return answered(.dolt, attempt, place.dolt ?? process, portRemark) }
                guard ProcessTable.isAlive(process) else {
                    return failed(.dolt, attempt, "dolt ended at its start (see \(place.files.doltLog.shown))")
                }
                guard EventLoop.now < deadline else { return failed(.dolt, attempt, failure) }
                // A server tells nobody that it is ready; only asking does.
                loop.schedule(after: .milliseconds(200)) { [self] in if isCurrent(.dolt, attempt) { ask() } }
            }
        }
        ask()
    }

    private var portRemark: String {
        let port = place.effectivePort
        return port == place.doltPort ? "" : "it answers on port \(port), as \(place.files.doltConfig.shown) says"
    }

    /// Asks the server on its port, with the connection's options where dolt wants them.
    private func queryDolt(completion: @escaping (_ failure: String?) -> Void) {
        guard let dolt = place.toolbox.dolt else { return completion("dolt is not found") }
        let arguments = TownCommands.queryDolt(port: place.effectivePort)
        do throws(SystemError) {
            try Command.run(
                [dolt] + arguments, environment: place.environment + ["DOLT_CLI_PASSWORD="],
                directory: place.files.doltData, timeout: Self.queryTimeout, outputMax: 64 << 10, on: loop
            ) { result in
                completion(Self.failure(of: ["SELECT 1"], result, tool: Array("dolt".utf8)))
            }
        } catch {
            completion("\(error)")
        }
    }

    /// Asks once a minute as long as it is up.
    func watchDolt() {
        doltFailures = 0
        planQuery(Self.queryInterval)
    }

    private func planQuery(_ wait: Duration) {
        if let timer = timers[.dolt] { loop.cancel(timer) }
        timers[.dolt] = loop.schedule(after: wait) { [unowned self] in
            timers[.dolt] = nil
            checkDolt()
        }
    }

    /// Asks now: also after a call of gt or bd has failed, for which dolt may be the reason.
    func checkDolt() {
        guard !isEnding, supervisor.isUp(.dolt), let process = supervisor.process(of: .dolt) else { return }
        // It is not judged while its folder is away.
        guard place.isInstalled else { return planQuery(Self.queryInterval) }
        queryDolt { [self] failure in
            guard !isEnding, supervisor.process(of: .dolt) == process, supervisor.isUp(.dolt) else { return }
            guard let failure, place.isInstalled else {
                doltFailures = 0
                return planQuery(Self.queryInterval)
            }
            doltFailures += 1
            log.warning("dolt does not answer", metadata: ["error": "\(owner.redact(failure))"])
            guard doltFailures >= Self.failuresMax else { return planQuery(Self.secondLook) }
            handle(.unhealthy(.dolt, process, reason: "it does not answer: \(owner.redact(failure))"))
        }
    }

    func stopDolt(_ process: ProcessIdentity?, completion: @escaping (_ problem: String?) -> Void) {
        guard let target = process.flatMap({ ProcessTable.isAlive($0) ? $0 : nil }) ?? place.dolt else {
            return completion(nil)
        }
        func end() {
            guard ProcessTable.isAlive(target) else { return completion(nil) }
            TreeTermination.end(target, grace: .seconds(10), on: loop) { error in
                completion(error.map { "dolt (pid \(target.pid)) cannot be ended: \($0)" })
            }
        }
        guard let gt = place.toolbox.gt else { return end() }
        run(.dolt, gt, TownCommands.stopDolt, timeout: Self.stopTimeout, identifier: Self.doltIdentifier) { _ in end() }
    }
}
