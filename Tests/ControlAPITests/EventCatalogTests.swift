// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage
import Testing

@testable import ControlAPI

@Suite struct EventCatalogTests {
    @Test func theShippedCatalogIsTheOneOfTheTable() throws {
        // Tests/ControlAPITests/EventCatalogTests.swift -> units/gasclawd.catalog
        var root = FilePath(#filePath)
        for _ in 0..<3 { root.removeLastComponent() }
        let shipped = try RegularFile.read(root.appending("units/gasclawd.catalog"), limit: 1 << 20).bytes
        #expect(String(decoding: shipped, as: UTF8.self) == EventCatalog.file)
    }

    @Test func eachKindOfEventHasAnIdOfItsOwn() {
        let ids = EventCatalog.entries.map(\.id)
        #expect(Set(ids).count == ids.count)
        for entry in EventCatalog.entries {
            #expect(entry.id.utf8.count == 32 && entry.id.allSatisfy(\.isHexDigit))
            #expect(EventCatalog.id(of: entry.type) == entry.id)
            #expect(!entry.subject.isEmpty && !entry.text.isEmpty)
        }
    }

    @Test func everyEventThatIsEmittedHasAnEntry() {
        let events: [Event] = [
            .daemonReady(detail: ""), .daemonDegraded(detail: ""), .daemonStopping(detail: ""),
            .bootstrapStep("", result: "", took: .zero, detail: ""), .configApplied(path: nil, generation: 1),
            .configRejected(path: nil, errors: []), .keysExhausted(until: nil), .keysRejected(path: "", error: ""),
            .sighting(id: nil, session: nil, cause: "", by: "", acted: false, why: "", text: ""),
        ]
        let names =
            events.map(\.type)
            + ["added", "removed", "activated", "recovered", "cooled", "disabled"].map { "key.\($0)" }
            + ["leased", "exited", "stalled", "unmanaged", "unsafe_settings"].map { "agent.\($0)" }
            + ["started", "finished", "failed"].map { "agent.reload.\($0)" }
            + ["overflow", "degraded", "recovered"].map { "watch.\($0)" }
            + ["estop", "thaw", "session_death", "mass_death", "crash_loop", "changed"].map { "town.\($0)" }
        for name in names { #expect(EventCatalog.id(of: name) != nil, "\(name)") }
    }
}
