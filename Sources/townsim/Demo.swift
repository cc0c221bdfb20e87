// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

enum Demo { static func run(_ a: [String]) throws(Failure) -> Int32 { throw Failure("not yet") } }
