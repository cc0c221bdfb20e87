// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// The name that a user most likely meant: the one with the fewest edits, if those are few enough to be a slip.
///
/// - Returns: nil if no name is near.
func nearestName(to name: String, among names: some Sequence<String>) -> String? {
    let length = name.utf8.count
    // Nobody's slip is that long, and the distance costs the product of the lengths.
    guard length <= 64 else { return nil }
    let nearest = names.map { (name: $0, edits: editDistance(name.lowercased(), $0.lowercased())) }
        .min { ($0.edits, $0.name) < ($1.edits, $1.name) }
    guard let nearest, nearest.edits <= max(2, length / 3), nearest.edits < nearest.name.utf8.count else { return nil }
    return nearest.name
}

/// Insertions, deletions, replacements and swaps of neighbours that make one text of the other
/// (the optimal string alignment distance).
func editDistance(_ a: String, _ b: String) -> Int {
    let a = Array(a.utf8)
    let b = Array(b.utf8)
    var beforeLast = [Int](repeating: 0, count: b.count + 1)
    var last = Array(0...b.count)
    for i in a.indices {
        var row = [i + 1]
        for j in b.indices {
            var edits = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { edits = min(edits, beforeLast[j - 1] + 1) }
            row.append(edits)
        }
        (beforeLast, last) = (last, row)
    }
    return last[b.count]
}
