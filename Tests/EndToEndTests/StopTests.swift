// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import JSON
import LinuxSys
import SystemPackage
import Testing

@testable import townsim

/// The end of a town.
@Suite(.serialized) struct StopTests {
    /// A tool that ignores TERM, with a child and a grandchild in a session of its own that do so too.
    private static let stubborn = "trap '' TERM; (setsid sh -c \"trap '' TERM; sleep 600\" &) ; sleep 600"

    @Test(arguments: [true, false]) func nothingIsLeftBehind(withDaemon: Bool) throws {
        try withTown(sections: ServiceTests.all) { town in
            try town.install()
            try Disk.replace(town.directory + "/home/tool", Array((Self.stubborn + "\n").utf8))
            try town.startDaemon()
            _ = try town.startCrew("ada")
            let socket = try town.tmuxSocket
            let pid = try town.daemonPID
            if !withDaemon { try town.endDaemon(SIGKILL) }
            let stop = try town.gasclawd("stop", "--json")
            #expect(stop.status == .exited(0), "\(text(stop.errors))")
            #expect(try JSONValue(parsing: stop.output)["ok"]?.bool == true)
            if withDaemon { #expect(try waitForEnd(of: pid) == .exited(0)) }
            town.forgetDaemon()
            let left = MiniatureTown.processes(of: town.directory).filter(Program.isAlive)
            #expect(left.isEmpty, "\(left.map { ProcessTable.arguments(of: $0) ?? [] })")
            #expect(!Disk.exists(socket))
            // Once more: there is nothing to do.
            #expect(try town.gasclawd("stop").status == .exited(0))
            // And a start brings all of it back.
            try town.startDaemon()
            let services = try town.status()?["services"]
            #expect(try town.servicePIDs().count == 3, "\(services?.line ?? "")")
        }
    }
}
