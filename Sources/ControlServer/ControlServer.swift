// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import JSON
import NIOCore
import NIOHTTP1
import NIOPosix

/// The control socket: HTTP/1.1 on one thread of NIO. It owns no state of the daemon; each request is handed over and
/// its answer comes back.
public final class ControlServer: Sendable {
    /// Clients beyond this number are answered 503 (contract B).
    public static let clientsMax = 200
    /// The largest body, in bytes.
    public static let bodyMax = 1 << 20

    /// One thread for all servers of the process. It ends with the process: shutting a group down starts threads of
    /// Dispatch for it.
    private static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    private let channel: any Channel
    private let clients: NIOLoopBound<ClientList>

    /// Listens on a socket; nothing may stand under its name.
    ///
    /// - Parameters:
    ///   - socketPath: At most 107 bytes (unix(7)).
    ///   - bootID: Of this process.
    ///   - userID: Ours: it and root may call.
    ///   - readerPatience: How long a reader of events may stand still while more waits for it than is kept.
    ///   - onEvent: Called on the server's thread.
    public init(
        socketPath: String, userID: UInt32, bootID: String, readerPatience: Duration = .seconds(30),
        onEvent: @escaping @Sendable (ControlEvent) -> Void
    ) throws {
        let loop = Self.group.next()
        let clients = try loop.submit { NIOLoopBound(ClientList(), eventLoop: loop) }.wait()
        self.clients = clients
        channel = try ServerBootstrap(group: Self.group)
            // Agents start all at once: who finds no place waits, and takes the fall-back file after a second.
            .serverChannelOption(.backlog, value: 512)
            // Whoever has said all closes its half, as `nc -N` and socat do, and still waits for the answer.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // What is no HTTP is answered by our handler: NIO's own says nothing in the body.
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: false)
                    try channel.pipeline.syncOperations.addHandler(
                        ClientHandler(
                            clients: clients.value, userID: userID, bootID: bootID,
                            readerPatience: .nanoseconds(readerPatience.wholeMicroseconds * 1000), onEvent: onEvent))
                }
            }
            .bind(unixDomainSocketPath: socketPath).wait()
    }

    /// Gives an event to those who follow. Calls from one thread keep their order.
    public func publish(_ event: PublishedEvent) {
        clients.execute { clients in
            for client in clients.following { client.publish(event) }
        }
    }

    /// Ends every connection and stops listening; answers that were given before still go out.
    public func close() throws {
        do { try channel.close().wait() } catch ChannelError.alreadyClosed {
            // The listener may have failed by itself; closed is what was wanted.
        }
        let clients = clients
        try Self.group.next().submit { for client in clients.value.all.values { client.end() } }.wait()
    }
}

extension NIOLoopBound {
    /// Runs a body on the value's own thread.
    fileprivate func execute(_ body: @escaping @Sendable (Value) -> Void) {
        eventLoop.execute { body(self.value) }
    }
}

/// The connections; touched on the server's thread alone.
final class ClientList {
    var all: [ObjectIdentifier: ClientHandler] = [:]
    var nextSerial: UInt64 = 1
    var following: [ClientHandler] { all.values.filter(\.isFollowing) }
}
