// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON
import NIOCore
import NIOHTTP1
import NIOPosix
import Timekeeping

/// One connection: takes requests one after the other and writes what the daemon answers.
final class ClientHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// What the kernel says of the other end (`struct ucred`, unix(7)).
    private struct PeerCredentials: Sendable {
        var pid: Int32 = 0
        var uid: UInt32 = .max
        var gid: UInt32 = .max
    }
    private enum Peer {
        case unknown
        case known(PeerCredentials)
        case refused(ControlError)
    }

    /// A follower that does not read is given a gap when more than this waits for it, in bytes.
    static let pendingMax = 1 << 20

    private let clients: ClientList
    private let userID: UInt32
    private let bootID: String
    private let onEvent: @Sendable (ControlEvent) -> Void

    private var context: ChannelHandlerContext?
    private var peer = Peer.unknown
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var isTooLarge = false
    private var isComplete = false
    private var isInputClosed = false
    /// The call that waits for its answer.
    private var open: UInt64?
    private var healthTimer: Scheduled<Void>?
    private var idleTimer: Scheduled<Void>?
    /// A connection without a whole request for this long is given up: its place may be an agent's.
    static let idleMax = TimeAmount.seconds(30)

    // Following
    private(set) var isFollowing = false
    private var types: Set<String> = []
    private var lastSeq = 0
    private var pending = 0
    /// What it has taken in all, in bytes, and when it is looked whether it takes more.
    private var taken = 0
    private var stallTimer: Scheduled<Void>?
    private let readerPatience: TimeAmount
    private var dropped = 0
    private var lastDropped = (seq: 0, time: Timestamp(microseconds: 0))

    init(
        clients: ClientList, userID: UInt32, bootID: String, readerPatience: TimeAmount,
        onEvent: @escaping @Sendable (ControlEvent) -> Void
    ) {
        self.readerPatience = readerPatience
        self.clients = clients
        self.userID = userID
        self.bootID = bootID
        self.onEvent = onEvent
    }

    // MARK: - The connection

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { identify(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        identify(context)
        context.fireChannelActive()
    }

    private func identify(_ context: ChannelHandlerContext) {
        guard case .unknown = peer, clients.all[ObjectIdentifier(self)] == nil else { return }
        if clients.all.count >= ControlServer.clientsMax {
            peer = .refused(
                ControlError(
                    code: "too_many_clients", message: "there are more than \(ControlServer.clientsMax) clients"))
        }
        clients.all[ObjectIdentifier(self)] = self
        if case .refused = peer { dismiss(context) }
        awaitRequest()
        guard case .unknown = peer, let provider = context.channel as? any SocketOptionProvider else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        let found: EventLoopFuture<PeerCredentials> = provider.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: 17))  // SO_PEERCRED
        found.whenComplete { result in
            let handler = bound.value
            switch result {
            case .success(let credentials) where credentials.uid == handler.userID || credentials.uid == 0:
                handler.peer = .known(credentials)
            default:
                handler.peer = .refused(ControlError(code: "forbidden", message: "this socket belongs to another user"))
                if let context = handler.context { handler.dismiss(context) }
            }
            handler.answerIfComplete()
        }
    }

    private func awaitRequest() {
        guard let context else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        idleTimer?.cancel()
        idleTimer = context.eventLoop.scheduleTask(in: Self.idleMax) { bound.value.end() }
    }

    /// Whoever is refused is told so when it asks, but soon or never: its descriptor is not left with it.
    private func dismiss(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .seconds(1)) { bound.value.end() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        clients.all[ObjectIdentifier(self)] = nil
        isFollowing = false
        healthTimer?.cancel()
        idleTimer?.cancel()
        stallTimer?.cancel()
        if let open { onEvent(.withdrawn(open)) }
        open = nil
        self.context = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A peer that breaks off is its own affair; one that speaks something else is told so.
        if error is HTTPParserError, !isFollowing, !isTooLarge, open == nil {
            write(.failure(ControlError(code: "bad_request", message: "that is no HTTP/1.1 request")), closing: true)
        }
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent {
            // It has said all. This comes behind all requests, so the last one at most waits for its answer.
            isInputClosed = true
            if !isFollowing, head == nil || open == nil && !isComplete { end() }
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Ends the connection after what was written.
    func end() {
        guard let context else { return }
        if isFollowing { context.write(wrapOutboundOut(.end(nil)), promise: nil) }
        isFollowing = false
        context.flush()
        context.close(promise: nil)
    }

    // MARK: - Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
            isTooLarge = false
            isComplete = false
            let length = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
            if length > ControlServer.bodyMax { refuseBody() }
        case .body(let buffer):
            guard !isTooLarge else { return }
            guard body.count + buffer.readableBytes <= ControlServer.bodyMax else { return refuseBody() }
            body += buffer.readableBytesView
        case .end:
            if isTooLarge, self.head == nil { return end() }
            isComplete = true
            answerIfComplete()
        }
    }

    /// It is told at once, and what is still on its way is read for a moment: many clients read the answer only then.
    private func refuseBody() {
        isTooLarge = true
        body = []
        answerIfComplete()
    }

    private func answerIfComplete() {
        guard isComplete || isTooLarge, open == nil, let head, let context else { return }
        let credentials: PeerCredentials
        switch peer {
        case .unknown: return
        case .refused(let error): return finish(.failure(error), closing: true)
        case .known(let known): credentials = known
        }
        guard !isTooLarge else {
            let isAllHere = isComplete
            finish(
                .failure(ControlError(code: "too_large", message: "the body is larger than 1 MiB")), closing: true,
                atOnce: isAllHere)
            if !isAllHere { dismiss(context) }
            return
        }
        let route: (request: ControlCall.Request, isFollowing: Bool)
        do throws(ControlError) {
            route = try Route.parse(method: head.method.rawValue, target: head.uri, body: body)
        } catch {
            return finish(.failure(error))
        }
        isComplete = false
        let serial = clients.nextSerial
        clients.nextSerial += 1
        open = serial
        idleTimer?.cancel()
        if case .health = route.request { watchHealth(serial, context) }
        if route.isFollowing, case .events(_, let types) = route.request { self.types = types }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        let loop = context.eventLoop
        let isFollowing = route.isFollowing
        onEvent(
            .call(
                ControlCall(request: route.request, peer: credentials.pid, serial: serial) { reply in
                    loop.execute { bound.value.take(reply, for: serial, isFollowing: isFollowing) }
                }))
    }

    /// 200 while the loop answers within 1 s (contract B).
    private func watchHealth(_ serial: UInt64, _ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        healthTimer = context.eventLoop.scheduleTask(in: .seconds(1)) {
            bound.value.take(
                .failure(ControlError(code: "unavailable", message: "the event loop did not answer within 1 s")),
                for: serial, isFollowing: false)
        }
    }

    private func take(_ reply: ControlReply, for serial: UInt64, isFollowing: Bool) {
        guard open == serial else { return }
        open = nil
        healthTimer?.cancel()
        healthTimer = nil
        if isFollowing, case .lines(let lines, let seq) = reply {
            follow(lines, seq)
        } else {
            finish(reply)
        }
    }

    // MARK: - Answers

    /// - Parameter atOnce: The connection is closed when the answer is out; else somebody else sees to it.
    private func finish(_ reply: ControlReply, closing: Bool = false, atOnce: Bool = true) {
        guard let head else { return }
        // Before the answer is written: its end lets the next request of the connection in, at once.
        self.head = nil
        isComplete = false
        // Also where it ends behind the answer: whoever does not read it is not waited for.
        awaitRequest()
        let isLast = !head.isKeepAlive || isInputClosed
        let written = write(reply, closing: isLast || closing, hasBody: head.method != .HEAD)
        guard let context, let written, closing && atOnce || isLast && !closing else { return }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        written.whenComplete { _ in bound.value.close(promise: nil) }
    }

    /// - Parameter hasBody: Not behind HEAD (RFC 9110, section 9.3.2).
    @discardableResult
    private func write(_ reply: ControlReply, closing: Bool, hasBody: Bool = true) -> EventLoopFuture<Void>? {
        guard let context else { return nil }
        var status = 200
        var content: [UInt8]
        var type = "application/json"
        var allowed: String?
        switch reply {
        case .value(let value): content = value.encoded()
        case .valueWithStatus(let value, let code):
            content = value.encoded()
            status = code
        case .failure(let error):
            content = error.json.encoded()
            status = error.status
            // RFC 9110, section 15.5.6, demands it.
            allowed = error.allowed
        case .text(let text, let name):
            content = Array(text.utf8)
            type = name
        case .lines(let lines, _):
            content = []
            for line in lines { content += Array(line.utf8) + [10] }
            type = "application/x-ndjson"
        }
        if type == "application/json" { content.append(10) }
        var headers = HTTPHeaders([("content-type", type), ("content-length", String(content.count))])
        if let allowed { headers.add(name: "allow", value: allowed) }
        if closing { headers.add(name: "connection", value: "close") }
        let answer = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: headers)
        context.write(wrapOutboundOut(.head(answer)), promise: nil)
        if hasBody { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: content)))), promise: nil) }
        return context.writeAndFlush(wrapOutboundOut(.end(nil)))
    }

    private func follow(_ lines: [String], _ seq: Int) {
        guard let context else { return }
        let headers = HTTPHeaders([("content-type", "application/x-ndjson"), ("cache-control", "no-store")])
        let answer = HTTPResponseHead(version: .http1_1, status: .ok, headers: headers)
        context.write(wrapOutboundOut(.head(answer)), promise: nil)
        isFollowing = true
        lastSeq = seq
        for line in lines { write(line) }
        context.flush()
    }

    func publish(_ event: PublishedEvent) {
        // What the first answer held already comes once more if it was published on its way.
        guard isFollowing, event.seq > lastSeq else { return }
        lastSeq = event.seq
        guard types.isEmpty || types.contains(event.type) else { return }
        if pending > Self.pendingMax || (dropped > 0 && pending > Self.pendingMax / 2) {
            dropped += 1
            lastDropped = (event.seq, event.time)
            watchReader()
            return
        }
        if dropped > 0 {
            write(EventHistory.gap(count: dropped, bootID: bootID, seq: lastDropped.seq, time: lastDropped.time))
            dropped = 0
        }
        write(event.line)
        context?.flush()
    }

    /// One that stands still keeps its place and what waits for it from others: it is given up.
    private func watchReader() {
        guard stallTimer == nil, let context else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        let before = taken
        stallTimer = context.eventLoop.scheduleTask(in: readerPatience) {
            let handler = bound.value
            handler.stallTimer = nil
            guard handler.isFollowing, handler.taken == before else { return }
            if case .known(let peer) = handler.peer { handler.onEvent(.abandoned(peer: peer.pid)) }
            handler.end()
        }
    }

    private func write(_ line: String) {
        guard let context else { return }
        let buffer = ByteBuffer(bytes: Array(line.utf8) + [10])
        let size = buffer.readableBytes
        pending += size
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.write(wrapOutboundOut(.body(.byteBuffer(buffer)))).whenComplete { _ in
            bound.value.pending -= size
            bound.value.taken += size
        }
    }
}
