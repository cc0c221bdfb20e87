// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import ControlServer
import Controller
import GasTown
import Glibc
import JSON
import LinuxSys
import Logging
import Secrets
import SystemPackage
import Timekeeping

extension Daemon {
    private var socket: FilePath { ControlClient.socketPath(runtime: configuration.paths.runtime) }

    func startServer() throws(DaemonFailure) {
        do { try listen() } catch {
            throw DaemonFailure(
                code: 1, message: "run: the control socket \(socket.shown) cannot be opened: \(error)")
        }
        watchSocket(socket)
    }

    private func listen() throws {
        guard let mailbox else { return }
        // The lock says that nobody else serves it.
        if Syscalls.exists(socket) { try Syscalls.unlink(socket) }
        // An address holds 107 bytes; a longer path is reached through its directory.
        let directory = try Syscalls.open(configuration.paths.runtime, flags: Syscalls.directory)
        // The socket is nobody else's from its first moment. The mask is the process's: it is put back at once, for
        // what gt makes in the town is not ours to close.
        let mask = umask(0o177)
        defer { umask(mask) }
        server = try ControlServer(
            socketPath: "/proc/self/fd/\(directory.raw)/control.sock", userID: CurrentProcess.userID, bootID: bootID
        ) { mailbox.post($0) }
        serverDirectory = consume directory
    }

    func removeSocket() {
        do throws(SystemError) { if Syscalls.exists(socket) { try Syscalls.unlink(socket) } } catch {
            log.warning("the control socket stays", metadata: ["error": "\(error)"])
        }
    }

    /// The runtime directory or the socket was removed: both are made again (contract H).
    func restoreSocket() {
        guard !isStopping, !Syscalls.exists(socket) else { return }
        log.warning("the control socket is gone; it is made again", metadata: ["path": "\(socket.shown)"])
        do {
            try Syscalls.makeDirectories(configuration.paths.runtime)
            guard try holdPlace() else { return stop("another gasclawd has taken our runtime directory") }
            let old = server
            server = nil
            // Its socket's folder may be gone, which it cannot clean up then.
            do { try old?.close() } catch { log.debug("the old socket: \(error)") }
            try listen()
            // A directory that is gone says so only when nothing of it is open any more, and the lock in it was.
            watcher?.audit()
        } catch {
            log.error("the control socket cannot be made again", metadata: ["error": "\(error)"])
            // systemd makes it at the next start; what we know is in the state directory, and agents live on.
            if isMadeBySystemd(configuration.paths.runtime) {
                return stop("the runtime directory is gone, and only systemd can make it again", code: 1)
            }
            loop.schedule(after: .seconds(2)) { [unowned self] in restoreSocket() }
        }
    }

    /// Whether a directory is one of the unit's (systemd.exec(5), RUNTIME_DIRECTORY), in a place where we may not make
    /// any.
    private func isMadeBySystemd(_ directory: FilePath) -> Bool {
        guard !Syscalls.exists(directory), CurrentProcess.environmentValue("NOTIFY_SOCKET") != nil else { return false }
        let made = CurrentProcess.environmentValue("RUNTIME_DIRECTORY") ?? ""
        return made.split(separator: ":").contains { FilePath(String($0)) == directory }
    }

    /// Locks the runtime directory again if the lock's file went with the old one.
    ///
    /// - Returns: Whether it is ours.
    private func holdPlace() throws(SystemError) -> Bool {
        let path = LockFile.path(runtime: configuration.paths.runtime)
        guard !Syscalls.exists(path) else { return true }
        guard let new = try LockFile(path) else { return false }
        lock = new
        return true
    }

    func take(_ event: ControlEvent) {
        switch event {
        case .call(let call): serve(call)
        case .withdrawn(let serial):
            if calls.removeValue(forKey: serial) != nil { handle(.leaseWithdrawn(ReplyToken(serial: serial))) }
        case .abandoned(let peer):
            log.notice("a reader of events was disconnected: it does not read", metadata: ["pid": "\(peer)"])
        }
    }

    private func serve(_ call: ControlCall) {
        switch call.request {
        case .status: call.reply(.value(fullStatus.json.mappingStrings(controller.redactor.hidingOurKeys)))
        case .health: call.reply(.value(["ok": true]))
        case .readiness:
            let report = status
            var answer: JSONObject = [
                "ready": .bool(report.isServing), "state": .string(report.state.rawValue),
                "detail": .string(report.detail),
            ]
            if !report.isServing {
                answer["error"] =
                    ControlError(code: "unavailable", message: "not ready: \(report.detail)").json["error"]
            }
            call.reply(.valueWithStatus(.object(answer), report.isServing ? 200 : 503))
        case .metrics:
            let gauges = Metrics.Gauges(
                report: status, skippedLines: followed?.skippedLines ?? 0, droppedRecords: options.droppedRecords())
            call.reply(
                .text(metrics.text(gauges, at: Timestamp.now), type: "text/plain; version=0.0.4; charset=utf-8"))
        case .reload(let wait): reload(call, wait: wait)
        case .events(let since, let types):
            call.reply(.lines(history.lines(since: since, types: types), lastSeq: history.lastSeq))
        case .rotate:
            calls[call.serial] = call
            handle(.rotationRequested(ReplyToken(serial: call.serial)))
        case .key(let name, let text):
            guard let command = KeyCommand(rawValue: name) else { return }
            let key = text.flatMap(KeyID.init(text:))
            guard text == nil || key != nil else {
                return call.reply(
                    .failure(ControlError(code: "not_found", message: "that is no key's id (12 hexadecimal digits)")))
            }
            calls[call.serial] = call
            handle(.keyCommand(command, key: key, ReplyToken(serial: call.serial)))
        case .agentsReload(let sessions):
            calls[call.serial] = call
            handle(.reloadRequested(sessions: sessions, ReplyToken(serial: call.serial)))
        case .lease(let request): serve(request, call)
        case .sighting(let report):
            // Before anything else: whoever asks is gone in a moment, and its ancestors with it.
            let ancestors = ancestors(of: call.peer)
            call.reply(.value(["ok": true]))
            handle(
                .hook(
                    HookSighting(
                        conversation: report.conversation.flatMap(ConversationID.init), directory: report.directory,
                        text: report.text, status: report.status, errorType: report.error, ancestors: ancestors)))
        case .service(let name, let command): serveService(name, command, call)
        case .stop:
            guard !isStopping else {
                return call.reply(.failure(ControlError(code: "stopping", message: "gasclawd is stopping already")))
            }
            stopCall = call
            stop("gasclawd stop", endsTown: true)
        }
    }

    /// The processes above one, the nearest first.
    private func ancestors(of pid: Int32) -> [ProcessName] {
        var found: [ProcessName] = []
        var next = pid
        for _ in 0..<64 {
            guard next > 1, let status = ProcessTable.status(of: next) else { break }
            found.append(ProcessName(pid: status.identity.pid, startTime: status.identity.startTime))
            next = status.parent
        }
        return found
    }

    /// Whether a process was started by one of our agents: `claude -p` in a tool call, which shares its parent's pane.
    private func isNested(_ process: ProcessStatus) -> Bool {
        var parent = process.parent
        for _ in 0..<64 {
            guard parent > 1, let status = ProcessTable.status(of: parent) else { return false }
            let name = ProcessName(pid: status.identity.pid, startTime: status.identity.startTime)
            if controller.leases[name] != nil { return true }
            parent = status.parent
        }
        return false
    }

    private func serve(_ request: LeaseRequest, _ call: ControlCall) {
        guard let process = ProcessTable.status(of: request.pid), process.isAlive else {
            return call.reply(
                .failure(ControlError(code: "bad_request", message: "there is no process \(request.pid)")))
        }
        // A bootstrap registers agents before it starts them: they start with what it has just written.
        if otherBootstrap != nil { readDueTown(.change) }
        // Also while we stop: an agent that is on its way back must not be left without a key.
        calls[call.serial] = call
        handle(
            .leaseRequested(
                request,
                process: ProcessName(pid: process.identity.pid, startTime: process.identity.startTime),
                token: ReplyToken(serial: call.serial), isNested: isNested(process)))
        // Each time: a server that was started anew has lost it.
        if let socket = request.tmuxSocket { offerPath(socket) }
    }
}
