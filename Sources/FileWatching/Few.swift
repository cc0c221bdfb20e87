// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// A set that mostly holds one thing, which then needs no memory of its own: there is one for each watched directory.
enum Few<Element: Equatable>: Equatable {
    case one(Element)
    case several([Element])

    init(_ element: Element) { self = .one(element) }

    mutating func insert(_ element: Element) {
        switch self {
        case .one(element): break
        case .one(let other): self = .several([other, element])
        case .several(let elements): if !elements.contains(element) { self = .several(elements + [element]) }
        }
    }

    /// The rest, nil if nothing is left.
    func removing(_ element: Element) -> Few? {
        switch self {
        case .one(let own): return own == element ? nil : self
        case .several(let elements):
            let rest = elements.filter { $0 != element }
            return rest.count == 1 ? .one(rest[0]) : rest.isEmpty ? nil : .several(rest)
        }
    }

    var elements: [Element] {
        switch self {
        case .one(let element): [element]
        case .several(let elements): elements
        }
    }
}

extension Dictionary {
    mutating func insert<Element>(_ element: Element, for key: Key) where Value == Few<Element> {
        self[key, default: Few(element)].insert(element)
    }
}
