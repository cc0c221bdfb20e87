// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import LinuxSys

struct ProcessTests {
    /// Starts a process that is no child of ours.
    private func stranger(_ command: String, on loop: EventLoop) throws -> ProcessIdentity {
        let number = try pid(in: loop.shell("setsid \(command) >/dev/null 2>&1 & echo $!").text)
        var identity: ProcessIdentity?
        try loop.run {
            // setsid(1) may still be about to become the program.
            identity = ProcessTable.status(of: number).flatMap { $0.session == number ? $0.identity : nil }
            return identity != nil
        }
        return try #require(identity)
    }

    @Test func theUserOfAProcess() {
        #expect(ProcessTable.userID(of: CurrentProcess.pid) == CurrentProcess.userID)
        #expect(ProcessTable.userID(of: -1) == nil)
    }

    @Test func theEndOfAProcessThatIsNoChildIsAnEvent() throws {
        let loop = try EventLoop()
        let identity = try stranger("sleep 600", on: loop)
        #expect(ProcessTable.status(of: identity.pid)?.parent != CurrentProcess.pid)
        var ends = 0
        let handle = try #require(try ProcessHandle(identity, on: loop) { ends += 1 })
        #expect(ProcessTable.isAlive(identity))
        try handle.send(SIGKILL)
        #expect(try loop.run { ends == 1 })
        #expect(!ProcessTable.isAlive(identity))
        try handle.send(SIGTERM)
    }

    @Test func aProcessThatEndedAlreadyHasNoHandle() throws {
        let loop = try EventLoop()
        let identity = try stranger("sleep 600", on: loop)
        #expect(kill(identity.pid, SIGKILL) == 0)
        try loop.run { !ProcessTable.isAlive(identity) }
        #expect(try ProcessHandle(identity, on: loop) { Issue.record("it has ended before") } == nil)
    }

    @Test func aNumberThatIsAnothersNowHasNoHandleAndNoTree() throws {
        let loop = try EventLoop()
        let identity = try stranger("sleep 600", on: loop)
        defer { kill(identity.pid, SIGKILL) }
        let earlier = ProcessIdentity(pid: identity.pid, startTime: identity.startTime - 1)
        #expect(try ProcessHandle(earlier, on: loop) {} == nil)
        #expect(ProcessTable.tree(of: earlier).isEmpty)
        #expect(ProcessTable.tree(of: identity).map(\.identity) == [identity])
    }

    @Test func aNameWithParenthesesAndSpacesHidesNothing() throws {
        let folder = try TemporaryFolder()
        let loop = try EventLoop()
        #expect(symlink("/bin/sleep", folder.path.appending("a) Z 1 (b").string) == 0)
        let identity = try stranger("'\(folder.path.string)/a) Z 1 (b' 600", on: loop)
        defer { kill(identity.pid, SIGKILL) }
        #expect(try loop.run { ProcessTable.status(of: identity.pid)?.name == Array("a) Z 1 (b".utf8) })
        #expect(ProcessTable.isAlive(identity))
    }

    @Test func aTreeEndsWithTheMemberThatIgnoresTermAndTheOneInAnotherSession() throws {
        let loop = try EventLoop()
        let folder = try TemporaryFolder()
        let path = folder.path.string
        try folder.write("other.sh", "echo $$ > \(path)/other; exec sleep 600\n")
        try folder.write("sub.sh", "echo $$ > \(path)/sub; exec sleep 600\n")
        let script = "trap \"\" TERM; sleep 600 & setsid sh \(path)/other.sh & sh \(path)/sub.sh & wait; sleep 600"
        let root = try stranger("sh -c '\(script)'", on: loop)
        #expect(
            try loop.run {
                ["other", "sub"].allSatisfy { Syscalls.exists(folder.path.appending($0)) }
                    && ProcessTable.tree(of: root).count >= 4
            })
        let members = ProcessTable.tree(of: root).map(\.identity)
        var outcome: [SystemError?] = []
        TreeTermination.end(root, grace: .milliseconds(200), on: loop) { outcome.append($0) }
        #expect(outcome.isEmpty, "never from inside the call")
        #expect(try loop.run { !outcome.isEmpty })
        #expect(outcome == [nil])
        #expect(members.filter(ProcessTable.isAlive).isEmpty)
    }

    @Test func whatAMemberOfAnotherSessionStartsMeanwhileEndsToo() throws {
        let loop = try EventLoop()
        let folder = try TemporaryFolder()
        let path = folder.path.string
        // The root obeys TERM and is gone; the member outlives it and answers TERM with a new process.
        try folder.write(
            "member",
            "trap 'sleep 600 & echo $! > \(path)/born' TERM\ntouch \(path)/begun\nwhile :; do sleep 0.05; done\n")
        let root = try stranger("sh -c 'setsid sh \(path)/member & exec sleep 600'", on: loop)
        #expect(try loop.run { Syscalls.exists(folder.path.appending("begun")) })
        var outcome: [SystemError?] = []
        TreeTermination.end(root, grace: .milliseconds(500), on: loop) { outcome.append($0) }
        #expect(try loop.run { !outcome.isEmpty })
        #expect(outcome == [nil])
        let born = try pid(in: folder.text("born"))
        #expect(!ProcessTable.isRunning(born))
        kill(born, SIGKILL)
    }

    @Test func aTreeThatIsGoneAlreadyIsDone() throws {
        let loop = try EventLoop()
        var outcome: [SystemError?] = []
        TreeTermination.end(ProcessIdentity(pid: 4_000_000, startTime: 1), grace: .seconds(5), on: loop) {
            outcome.append($0)
        }
        #expect(outcome.isEmpty)
        #expect(try loop.run { !outcome.isEmpty })
        #expect(outcome == [nil])
    }

    @Test func aMemberThatMayNotBeSignalledSparesNoOther() throws {
        let loop = try EventLoop()
        let root = try stranger("sh -c 'sleep 600 & sleep 600 & wait'", on: loop)
        #expect(try loop.run { ProcessTable.tree(of: root).count == 3 })
        let members = ProcessTable.tree(of: root).map(\.identity)
        defer { for member in members { kill(member.pid, SIGKILL) } }
        let calls = Mutex(0)
        var outcome: [SystemError?] = []
        let isOver = try Faults.$plan.withValue({ call, _ in
            guard call == "pidfd_send_signal" else { return nil }
            // The first one is somebody else's.
            return calls.withLock { count in
                count += 1
                return count == 1 ? .notPermitted : nil
            }
        }) {
            TreeTermination.end(root, grace: .milliseconds(200), on: loop) { outcome.append($0) }
            return try loop.run { !outcome.isEmpty }
        }
        #expect(isOver)
        #expect(outcome == [SystemError(call: "pidfd_send_signal", errno: .notPermitted)])
        #expect(members.filter(ProcessTable.isAlive).count <= 1)
    }

    @Test func theEnvironmentOfAProcessIsItsOwn() throws {
        let loop = try EventLoop()
        let identity = try stranger("env -i ONE=1 TWO=two sleep 600", on: loop)
        defer { kill(identity.pid, SIGKILL) }
        let expected = [Array("ONE=1".utf8), Array("TWO=two".utf8)]
        #expect(try loop.run { ProcessTable.environment(of: identity.pid) == expected })
        #expect(ProcessTable.environment(of: 4_000_000) == nil)
    }

    @Test func weOurselvesAreInTheTable() {
        #expect(ProcessTable.isAlive(CurrentProcess.identity))
        #expect(ProcessTable.all().contains(CurrentProcess.pid))
        #expect(ProcessTable.status(of: -1) == nil)
        #expect(ProcessTable.status(of: 0) == nil)
    }
}
