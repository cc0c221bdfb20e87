// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import FileWatching
import GasTown
import JSON
import LinuxSys
import LogFollowing
import Logging
import Supervision
import SystemPackage
import Timekeeping

/// Who asks for a service by hand, and who waits for one.
extension Services {
    /// Reports how a service stands as soon as it is up or will not be soon.
    func whenSettled(_ name: ServiceName, completion: @escaping (Result<JSONValue, ControlError>) -> Void) {
        waiters.append(Waiter(name: name, isUpWanted: true, reply: completion))
        answerWaiters()
    }

    /// Reports that a service is down, or that it will not be.
    func whenDown(_ name: ServiceName, completion: @escaping () -> Void) {
        waiters.append(Waiter(name: name, isUpWanted: false) { _ in completion() })
        answerWaiters()
    }

    /// `services start|stop|restart`: answered when it is done or cannot be.
    func request(
        _ name: String, _ wish: ServiceWish, reply: @escaping (Result<JSONValue, ControlError>) -> Void
    ) {
        guard let service = ServiceName(rawValue: name) else {
            let known = ServiceName.allCases.map(\.rawValue).joined(separator: ", ")
            return reply(
                .failure(
                    ControlError(
                        code: "not_found", message: "there is no service \(owner.redact(name)) (there are \(known))")))
        }
        guard supervisor.managed.contains(service) else {
            return reply(
                .failure(ControlError(code: "not_found", message: "\(name) is not managed (services.manage)")))
        }
        refreshObstacles()
        if wish == .restart, let why = supervisor.refusalOfRestart(service) {
            return reply(
                .failure(
                    ControlError(
                        code: "unavailable", message: "\(name) is left as it is, for it could not be started: \(why)")))
        }
        handle(.wanted(service, wish))
        waiters.append(Waiter(name: service, isUpWanted: wish != .stop, isByHand: true, reply: reply))
        answerWaiters()
    }

    func answerWaiters() {
        guard !waiters.isEmpty, !isHandling else { return }
        let all = waiters
        waiters = []
        for waiter in all {
            guard let item = supervisor.item(waiter.name) else {
                waiter.reply(.failure(ControlError(code: "not_found", message: "it is not managed any more")))
                continue
            }
            if item.isWanted != waiter.isUpWanted {
                waiter.reply(.failure(ControlError(code: "busy", message: "something else was asked for meanwhile")))
                continue
            }
            switch item.state {
            case "starting", "stopping": waiters.append(waiter)
            case "down" where waiter.isUpWanted && supervisor.isOnItsWay(waiter.name): waiters.append(waiter)
            case "up" where waiter.isUpWanted, "down" where !waiter.isUpWanted:
                if waiter.isByHand, let stateProblem {
                    waiter.reply(.failure(.unsaved(stateProblem)))
                } else {
                    waiter.reply(.success(["ok": true, "service": StatusReport.ServiceItem(item).json]))
                }
            default:
                let why = item.detail.isEmpty ? "" : ": \(item.detail)"
                waiter.reply(
                    .failure(ControlError(code: "unavailable", message: "\(item.name.rawValue) is \(item.state)\(why)"))
                )
            }
        }
    }

    var items: [StatusReport.ServiceItem] { supervisor.items(at: Timestamp.now).map(StatusReport.ServiceItem.init) }
    var problem: String? { supervisor.problem(at: Timestamp.now) }
    var isSettled: Bool { supervisor.isSettled(at: Timestamp.now) }
}

extension ServiceProcess {
    init(_ identity: ProcessIdentity) { self.init(pid: identity.pid, startTime: identity.startTime) }
}

extension ProcessIdentity {
    init(_ process: ServiceProcess) { self.init(pid: process.pid, startTime: process.startTime) }
}

extension StatusReport.ServiceItem {
    init(_ item: ServiceItem) {
        self.init(
            name: item.name.rawValue, isWanted: item.isWanted, state: item.state, pid: item.pid,
            restarts: item.restarts, since: item.since, nextRetryAt: item.nextRetryAt, detail: item.detail)
    }
}
