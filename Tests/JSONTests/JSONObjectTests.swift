// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON
import Testing

@Suite struct JSONObjectTests {
    /// Small objects are looked through, large ones have an index: nobody may see where one becomes the other.
    @Test(arguments: [1, 10, 11, 12, 13, 14, 40]) func membersAreFoundReplacedAndTakenOutAtAnySize(_ count: Int) {
        var object = JSONObject()
        for number in 0..<count { object["n\(number)"] = JSONValue(number) }
        for number in 0..<count { #expect(object["n\(number)"] == JSONValue(number)) }
        #expect(object["other"] == nil)
        for number in 0..<count { object["n\(number)"] = "new" }
        #expect(object.names == (0..<count).map { "n\($0)" } && object.members.allSatisfy { $0.value == "new" })
        for number in 0..<count {
            object["n\(number)"] = nil
            #expect(object["n\(number)"] == nil && object.members.count == count - number - 1)
            for left in (number + 1)..<max(count, number + 1) { #expect(object["n\(left)"] == "new") }
            // One comes and one goes around the same size.
            object["more"] = 1
            #expect(object["more"] == 1)
            object["more"] = nil
        }
        #expect(object.isEmpty)
    }
}
