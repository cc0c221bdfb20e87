// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Fixtures
import Glibc
import SystemPackage
import Testing

@testable import LinuxSys

struct CommandTests {
    @Test func bothPipesAndTheExitCodeComeBack() throws {
        let result = try EventLoop().shell("echo out; echo err >&2; exit 3")
        #expect(result.text == "out\n")
        #expect(String(decoding: result.errors, as: UTF8.self) == "err\n")
        #expect(result.status == .exited(3))
        #expect(!result.timedOut)
    }

    @Test func aMissingFolderIsNotTakenForAMissingProgram() throws {
        func failure(_ program: String, in directory: FilePath) throws -> String {
            do throws(SystemError) {
                try Command.run(
                    [program], environment: [], directory: directory, timeout: .seconds(60), on: try EventLoop()
                ) { _ in }
                return ""
            } catch { return "\(error)" }
        }
        #expect(try failure("/bin/true", in: "/nowhere/at/all").hasPrefix("chdir /nowhere/at/all: "))
        #expect(try failure("/bin/true", in: "/etc/passwd").hasPrefix("chdir /etc/passwd: "))
        #expect(try failure("/nowhere/true", in: "/").hasPrefix("posix_spawn /nowhere/true: "))
    }

    @Test func aDeathBySignalIsNotAnExit() throws {
        #expect(try EventLoop().shell("kill -KILL $$").status == .signalled(SIGKILL))
    }

    @Test func whatIsBeyondTheLimitIsThrownAwayAndBlocksNobody() throws {
        let script = "head -c 3000000 /dev/zero; head -c 300000 /dev/zero >&2; exit 7"
        let result = try EventLoop().shell(script, outputMax: 1000)
        #expect(result.output.count == 1000)
        #expect(result.errors.count == 1000)
        #expect(result.status == .exited(7))
    }

    @Test func whatACommandIsGivenItReadsToTheEnd() throws {
        let input = [UInt8](repeating: UInt8(ascii: "x"), count: 3_000_000)
        #expect(try EventLoop().shell("wc -c", input: input).text.filter(\.isNumber) == "3000000")
    }

    @Test func aCommandThatReadsNothingIsNotWaitedFor() throws {
        SignalReceiver.ignoreBrokenPipes()
        let input = [UInt8](repeating: UInt8(ascii: "x"), count: 3_000_000)
        #expect(try EventLoop().shell("exec <&-; sleep 0.1; exit 4", input: input).status == .exited(4))
    }

    @Test func theLastWordsOfACommandAreNotLost() throws {
        let result = try EventLoop().shell("head -c 500000 /dev/zero | tr '\\0' x; echo end")
        #expect(result.output.count == 500_004)
        #expect(result.text.hasSuffix("xend\n"))
    }

    @Test func aCommandThatNeverEndsIsEndedAtItsTimeout() throws {
        let result = try EventLoop().shell("echo begun; exec sleep 600", timeout: .milliseconds(200))
        #expect(result.timedOut)
        #expect(result.status == .signalled(SIGTERM))
        #expect(result.text == "begun\n")
    }

    @Test func aCommandThatWritesWithoutEndStillMeetsItsTimeout() throws {
        let result = try EventLoop().shell("yes & yes >&2 & wait", timeout: .milliseconds(200), outputMax: 10)
        #expect(result.timedOut)
        #expect(result.output.count == 10)
    }

    @Test func aGrandchildThatKeepsThePipeDelaysNothing() throws {
        let loop = try EventLoop()
        let result = try loop.shell("sleep 600 & echo $!")
        let left = try pid(in: result.text)
        #expect(result.status == .exited(0))
        #expect(ProcessTable.status(of: left) != nil)
        #expect(kill(left, SIGKILL) == 0)
    }

    @Test func aGrandchildThatKeepsWritingDelaysNothing() throws {
        let loop = try EventLoop()
        let result = try loop.shell("echo $$; yes & yes & yes & sleep 0.05; exit 5", outputMax: 10)
        #expect(result.status == .exited(5))
        // The pipe is closed with the command, so they end by themselves.
        let session = try pid(in: result.text)
        #expect(
            try loop.run {
                !ProcessTable.all().compactMap(ProcessTable.status(of:)).contains {
                    $0.session == session && $0.isAlive
                }
            })
    }

    @Test func aMissingProgramIsAnErrorThatNamesIt() throws {
        let loop = try EventLoop()
        let error = #expect(throws: SystemError.self) {
            try Command.run(["/nowhere/x"], environment: [], timeout: .seconds(1), on: loop) { _ in
                Issue.record("it cannot have run")
            }
        }
        #expect(error == SystemError(call: "posix_spawn", subject: "/nowhere/x", errno: .noSuchFileOrDirectory))
    }

    @Test func aCommandRunsInItsFolderWithItsEnvironmentAndNoneOfOurDescriptors() throws {
        let folder = try TemporaryFolder()
        let loop = try EventLoop()
        let leaked = Descriptor(owning: dup(1))
        var result: CommandResult?
        try Command.run(
            ["/bin/sh", "-c", "pwd; echo $ONLY; for f in /proc/$$/fd/*; do [ -e $f ] && echo ${f##*/}; done; cat"],
            environment: ["PATH=/usr/bin:/bin", "ONLY=this"], directory: folder.path, timeout: .seconds(20), on: loop
        ) { result = $0 }
        try loop.run { result != nil }
        #expect(result?.text == "\(folder.path.string)\nthis\n0\n1\n2\n")
        withExtendedLifetime(leaked.raw) {}
    }

    @Test func aChildThatCannotBeHeldIsEnded() throws {
        let loop = try EventLoop()
        let folder = try TemporaryFolder()
        let script = "echo $$ > \(folder.path.string)/pid; exec sleep 600"
        // EMFILE once the child runs: nobody would ever learn of its end.
        #expect(throws: SystemError(call: "pidfd_open", errno: .tooManyOpenFiles)) {
            try Faults.$plan.withValue({ call, _ in call == "pidfd_open" ? .tooManyOpenFiles : nil }) {
                try Command.run(
                    ["/bin/sh", "-c", script], environment: ["PATH=/usr/bin:/bin"], timeout: .seconds(20), on: loop
                ) { _ in }
            }
        }
        let children = ProcessTable.all().compactMap(ProcessTable.status(of:)).filter {
            $0.parent == CurrentProcess.pid
                && ProcessTable.commandLine(of: $0.identity.pid).contains { $0 == Array(script.utf8) }
        }
        #expect(children.isEmpty)
        if Syscalls.exists(folder.path.appending("pid")) {
            #expect(try !ProcessTable.isRunning(pid(in: folder.text("pid"))))
        }
    }
}

extension ProcessTable {
    static func isRunning(_ pid: Int32) -> Bool { status(of: pid)?.isAlive ?? false }

    static func commandLine(of pid: Int32) -> [[UInt8]] {
        do throws(FileReadError) {
            return try RegularFile.read(FilePath("/proc/\(pid)/cmdline"), limit: 1 << 20).bytes
                .split(separator: 0).map(Array.init)
        } catch {
            return []
        }
    }
}
