// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import GasTown
import JSON
import KeyPool
import Secrets
import Timekeeping

/// A launcher that waits for a key.
struct WaitingLaunch: Sendable {
    let token: ReplyToken
    let request: LeaseRequest
    let process: ProcessName
    let isNested: Bool
    let deadline: Timestamp
}

/// The conversation that the next agent in a pane goes on with; used once.
struct ResumeTicket: Sendable {
    let conversation: ConversationID?
    let expires: Timestamp
    /// The key that somebody moved the agent away from.
    var avoids: KeyID?

    /// As the state file holds them: an agent that is between two processes when we crash keeps its conversation.
    static func json(_ tickets: [PanePlace: ResumeTicket]) -> JSONValue {
        .array(
            tickets.sorted { ($0.key.socket, $0.key.pane) < ($1.key.socket, $1.key.pane) }.map { place, ticket in
                [
                    "tmux_socket": .string(place.socket), "pane": .string(place.pane),
                    "conversation": .optional(ticket.conversation?.text), "expires": .string(ticket.expires.rfc3339),
                ]
            })
    }

    static func read(_ json: JSONValue?) -> [PanePlace: ResumeTicket] {
        var tickets: [PanePlace: ResumeTicket] = [:]
        for entry in json?.array ?? [] {
            guard let socket = entry["tmux_socket"]?.string, let pane = entry["pane"]?.string,
                let expires = entry["expires"]?.string.flatMap({ Timestamp(rfc3339: $0) })
            else { continue }
            tickets[PanePlace(socket: socket, pane: pane)] = ResumeTicket(
                conversation: entry["conversation"]?.string.flatMap(ConversationID.init), expires: expires)
        }
        return tickets
    }
}

extension Controller {
    /// How long a launcher waits while there is no key at all (contract G).
    static let keyWait = Duration.seconds(60)

    mutating func requestLease(
        _ request: LeaseRequest, _ process: ProcessName, _ token: ReplyToken, _ isNested: Bool, _ now: Timestamp
    ) {
        guard !noted.contains(process) else {
            // It has not waited for us and is an agent by now: nobody reads this answer.
            let error = ControlError(code: "bad_request", message: "this process was started without a daemon already")
            effects.append(.answerLease(token, .failure(error)))
            return
        }
        let session = sessionName(of: request)
        if !request.unsafeSettings.isEmpty {
            let names = request.unsafeSettings.map(redactor.redact).joined(separator: ", ")
            let role = AgentIdentity(role: request.role, rig: request.rig, session: session).role
            effects.append(
                .emit(
                    .agent(
                        "unsafe_settings", session: session, role: role.rawValue, pid: process.pid, id: nil,
                        detail: redactor.redact(names))))
            effects.append(
                .answerLease(
                    token,
                    .failure(
                        ControlError(
                            code: "refused",
                            message:
                                "settings that could take the key elsewhere: \(names) (remove them and start again)"))
                ))
            return
        }
        guard pool.activeRecord != nil else {
            guard request.mayWait else {
                let error = ControlError(code: "unavailable", message: "there is no key in the pool")
                effects.append(.answerLease(token, .failure(error)))
                return
            }
            waiting.append(
                WaitingLaunch(
                    token: token, request: request, process: process, isNested: isNested,
                    deadline: now + Self.keyWait))
            return
        }
        grant(request, process, token, isNested, now)
    }

    mutating func answerWaiting(_ now: Timestamp) {
        if pool.activeRecord != nil {
            let ready = waiting
            waiting = []
            for launch in ready { grant(launch.request, launch.process, launch.token, launch.isNested, now) }
        }
        for launch in waiting where launch.deadline <= now {
            effects.append(
                .answerLease(
                    launch.token, .failure(ControlError(code: "unavailable", message: "there is no key in the pool"))))
        }
        waiting.removeAll { $0.deadline <= now }
    }

    /// How many living agents each key has.
    var leaseCounts: [KeyID: Int] { leases.values.reduce(into: [:]) { $0[$1.key, default: 0] += 1 } }

    /// Where each agent gets a key of its own the next one follows them.
    mutating func followLeases(_ now: Timestamp) {
        for case .activated(let id, let account, let reason) in pool.follow(leaseCounts, at: now) {
            activatedAt = now
            firedRules = []
            effects.append(.emit(.key("activated", id: id.text, account: account, reason: reason)))
            effects.append(.launchValuesChanged)
            effects.append(.persist)
        }
    }

    private func sessionName(of request: LeaseRequest) -> String {
        request.session.map(redactor.redact) ?? "pid-\(request.pid)"
    }

    private mutating func grant(
        _ request: LeaseRequest, _ process: ProcessName, _ token: ReplyToken, _ isNested: Bool, _ now: Timestamp
    ) {
        let session = sessionName(of: request)
        // The pane is its parent's, and so is the conversation that waits for the pane.
        var place: PanePlace?
        if !isNested, let pane = request.pane, let socket = request.tmuxSocket {
            place = PanePlace(socket: socket, pane: pane)
        }
        // One that waits for the pane is nearer than one that waits for the session.
        let ofSession = isNested ? nil : sessionTickets.removeValue(forKey: session)
        let ticket = place.flatMap { tickets[$0] } ?? ofSession
        guard let record = pool.recordForLease(leaseCounts, avoiding: ticket?.avoids, at: now) else { return }
        if let place { tickets[place] = nil }
        var resume: ConversationID?
        if let ticket, ticket.expires > now, request.mayResume, !settings.resumePrompt.isEmpty {
            resume = ticket.conversation
        }
        let baseURL = record.baseURL ?? settings.launch.baseURL
        let identity = AgentIdentity(role: request.role, rig: request.rig, session: session)
        var lease = Lease(
            process: process, session: session,
            identity: AgentIdentity(
                role: identity.role, rig: identity.rig.map(redactor.redact), name: identity.name.map(redactor.redact)),
            place: place,
            directory: request.directory,
            slug: request.slug.map(ProjectSlug.exact) ?? ProjectSlug(directory: request.directory), key: record.id,
            baseURL: baseURL, launch: settings.launch, since: now, mayResume: request.mayResume,
            wasResumed: resume != nil, conversation: resume ?? request.conversation.flatMap(ConversationID.init))
        lease.isNested = isNested
        // In the same pane it is the same command as before, whatever the files say by now.
        let former = place.flatMap { deaths[$0] }.flatMap { $0.session == session ? $0.settingsDigest : nil }
        lease.settingsDigest = former ?? town.effective(for: lease.identity).digest
        unmanaged[process] = nil
        leases[process] = lease
        pool.used(record.id, at: now)
        if let place {
            revivals[place] = nil
            // Who was there before has been followed by this one, also if its end is not known yet.
            for other in leases.values where other.place == place && other.process != process {
                leases[other.process]?.pending = nil
            }
        }
        followLeases(now)
        if isInTown(request.directory) { effects.append(.trust(directory: request.directory)) }
        effects.append(.leasesChanged)
        // On disk before it is answered: an agent must not hold a key that a crash makes us forget.
        effects.append(.persist)
        effects.append(.answerLease(token, .success(answer(record, resume: resume))))
        effects.append(.watch(process))
        effects.append(
            .emit(
                .agent(
                    "leased", session: session, role: lease.identity.role.rawValue, pid: process.pid,
                    id: record.id.text)))
        if !isNested { returns[session] = nil }
        if let place, let reload, reload.order?.place == place {
            finish(reload, isResumed: resume != nil)
        } else if !isNested, reload?.restart?.session == session {
            // gt is still at work on it: it waits for the prompt.
            reload?.returned = RunningReload.Returned(isResumed: resume != nil)
            if reload?.isPerformed == true, let reload { finish(reload, isResumed: resume != nil) }
        }
        // In its old pane it may have been started with what the files said before.
        if former != nil { reconcileTown(now) }
    }

    /// Whether an agent is on its way back in a pane.
    public func awaits(_ place: PanePlace) -> Bool { reload?.order?.place == place }

    /// What an agent is started with when the daemon cannot be asked; nil while there is no key.
    public var launchValues: LeaseAnswer? { pool.activeRecord.map { answer($0, resume: nil) } }

    private func answer(_ record: KeyPool.Record, resume: ConversationID?) -> LeaseAnswer {
        LeaseAnswer(
            baseURL: record.baseURL ?? settings.launch.baseURL, credential: record.key.reveal(), keyID: record.id.text,
            environment: settings.launch.environment.map { ($0.name, $0.value) },
            configDirectory: settings.launch.configDirectory, program: settings.launch.program,
            isSandboxed: settings.launch.isSandboxed, bin: settings.bin,
            settingsDirectory: settings.settingsDirectory,
            bypassesPermissions: settings.launch.bypassesPermissions, townRoot: canonicalRoot ?? settings.townRoot,
            resume: resume?.text, resumePrompt: settings.resumePrompt)
    }
}
