// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing

@testable import GasTown

@Suite struct TownListingTests {
    @Test func agentsOfTheTownAndOfRigsAreReadAndTheRestIsPassedOver() throws {
        let text = #"""
            {"name":"t","news":{"from":"later"},
             "agents":[{"name":"mayor","session":"hq-mayor","role":"coordinator","running":true,"shoe_size":44},
                       {"session":"","running":true},{"session":"hq-x","running":"yes"},7],
             "rigs":[{"name":"p","agents":[{"session":"pr-crew-ada","running":false}]},{"name":"q"}]}
            """#
        #expect(try TownListing(Array(text.utf8)).agents == ["hq-mayor": true, "pr-crew-ada": false])
    }

    @Test(arguments: [
        "", "No agent sessions running.", "[]", "null", "{}", #"{"agents":{}}"#, #"{"agents":[{"session":"x""#,
    ])
    func whatIsNoListIsRefused(text: String) {
        #expect(throws: JSONError.self) { try TownListing(Array(text.utf8)) }
    }

    @Test func onlyWhatDiffersIsSaid() throws {
        let text =
            #"{"agents":[{"session":"a","running":true},{"session":"b","running":true},{"session":"c","running":false},"#
            + #"{"session":"d","running":false}]}"#
        let found = try TownListing(Array(text.utf8)).disagreements(living: ["a", "c", "of somebody else"])
        #expect(found.keys.sorted() == ["b", "c"])
        #expect(found["b"]?.contains("lists it as running") == true)
        #expect(found["c"] == "gt does not see it running")
    }
}
