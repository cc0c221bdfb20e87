// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage
import Timekeeping

/// Why a spec takes part in the events of a directory.
enum Role: Hashable {
    /// The directory lies on the way; only its own move or end matters.
    case ancestor
    /// Something by this name decides how the way goes on: a link, or what is missing.
    case hop([UInt8])
    /// The directory's entries are matched against the pattern with this index; `logical` is its name in the spec.
    case level(logical: BytePath, index: Int)
    /// A link of the spec named `logical` ends at this name here.
    case target([UInt8], logical: BytePath)

    func mask(_ use: WatchSpec.Use) -> Inotify.Mask {
        switch self {
        case .ancestor: [.selfMoved, .selfDeleted]
        case .hop: [.selfMoved, .selfDeleted, .created, .deleted, .movedFrom, .movedTo, .attributes]
        case .level, .target:
            [
                .selfMoved, .selfDeleted, .created, .deleted, .movedFrom, .movedTo, .attributes,
                use == .log ? .modified : .closedAfterWriting,
            ]
        }
    }
}

/// A file that a spec matched.
struct Leaf: Equatable {
    /// What stands at the end of all links; nil if nothing can be reached.
    var status: FileStatus?
    var isLink: Bool
}

/// What one walk found: the watches that the spec needs and the files that it matches.
struct WalkResult {
    var roles: [Int32: Few<Role>] = [:]
    var leaves: [BytePath: Leaf] = [:]
    var polled: [PolledPath] = []
    /// Directories that were not watched before, or are called something else now.
    var added: [Int32: WatchedDirectory] = [:]
    /// How many of them were not watched before.
    var newCount = 0
    /// Something moved under the walk: it has to be made again.
    var isUnsettled = false
}

/// One pass over all that a spec names. Each directory is opened, watched, and only then read: what is made before
/// the watch is found by reading, what is made after it by an event (inotify(7), "Limitations and caveats").
struct Walk {
    let spec: WatchSpec
    let instance: Instance
    /// What the watcher watches already.
    let known: KnownWatches
    /// How many directories may be watched in all.
    let watchesMax: Int
    /// How many others watch.
    let watchedByOthers: Int
    var result = WalkResult()
    private var hops = 0
    /// What is watched already, once no more may be.
    private var watchedIdentities: Set<FileIdentity>?
    /// By device: one call each.
    private var fileSystems: [UInt64: FileSystem] = [:]
    /// Where a confined spec ends; known when its base has been found.
    private var boundary: FilePath?
    /// Linux follows at most 40 links in one name (path_resolution(7)).
    private static let hopsMax = 40

    private init(
        spec: WatchSpec, instance: Instance, known: KnownWatches, watchesMax: Int, watchedByOthers: Int
    ) {
        self.spec = spec
        self.instance = instance
        self.known = known
        self.watchesMax = watchesMax
        self.watchedByOthers = watchedByOthers
        if case .none(let reason) = instance { note(reason, at: spec.base) }
    }

    static func result(
        of spec: WatchSpec, instance: Instance, known: KnownWatches, watchesMax: Int, watchedByOthers: Int
    ) -> WalkResult {
        var walk = Walk(
            spec: spec, instance: instance, known: known, watchesMax: watchesMax, watchedByOthers: watchedByOthers)
        walk.run()
        return walk.result
    }

    private mutating func run() {
        do throws(SystemError) {
            let root = try Syscalls.open("/", flags: Syscalls.pathOnly | O_DIRECTORY)
            if let base = try directory(below: root, names: components(of: spec.base)[...]) {
                watch(base, .ancestor)
                try verify(base)
                let place = try Syscalls.path(of: base.raw)
                if spec.isConfined { boundary = place }
                let logical = BytePath(spec.base)
                let physical = BytePath(place)
                // One text for both where they are the same.
                try level(base, logical: logical, physical: physical == logical ? logical : physical, index: 0)
            }
        } catch {
            noteUnlessMoved(error, at: spec.base)
        }
    }

    /// Something that was there a moment ago and is not any more, or is something else: look again at once.
    private mutating func noteUnlessMoved(_ error: SystemError, at path: FilePath) {
        switch error.errno {
        case .noSuchFileOrDirectory, .notDirectory, .tooManySymbolicLinkLevels: result.isUnsettled = true
        default: note(error, at: path)
        }
    }

    // MARK: - The way to a directory

    /// Follows names from an open directory; nil if something is missing on the way, which is then watched for.
    ///
    /// Whoever calls it watches where the way ends.
    private mutating func directory(
        below start: borrowing Descriptor, names: ArraySlice<[UInt8]>
    ) throws(SystemError) -> Descriptor? {
        guard let name = names.first else {
            return try Syscalls.open(".", flags: Syscalls.pathOnly | O_DIRECTORY, at: start.raw)
        }
        let rest = names.dropFirst()
        switch try step(start, name) {
        case .missing: return nil
        case .directory(let next):
            if rest.isEmpty { return next }
            watch(next, .ancestor)
            return try directory(below: next, names: rest)
        case .link(let target):
            guard countHop() else { return nil }
            let names = components(of: target) + rest
            guard target.isAbsolute else { return try directory(below: start, names: names[...]) }
            let root = try Syscalls.open("/", flags: Syscalls.pathOnly | O_DIRECTORY)
            return try directory(below: root, names: names[...])
        }
    }

    private enum Step: ~Copyable {
        case directory(Descriptor)
        case link(FilePath)
        case missing
    }

    /// What the name is. What is missing, a link or closed to us is watched for, and looked at once more after that.
    private mutating func step(_ directory: borrowing Descriptor, _ name: [UInt8]) throws(SystemError) -> Step {
        var isArmed = false
        while true {
            do throws(SystemError) {
                return .directory(
                    try Syscalls.open(
                        name: name, flags: Syscalls.pathOnly | O_DIRECTORY | O_NOFOLLOW, in: directory.raw))
            } catch {
                switch error.errno {
                case .noSuchFileOrDirectory: break
                case .notDirectory, .tooManySymbolicLinkLevels:
                    // A link, or something that is no directory: EINVAL from readlink tells them apart.
                    watch(directory, .hop(name))
                    do throws(SystemError) {
                        return .link(try Syscalls.linkTarget(FilePath(bytes: name), at: directory.raw))
                    } catch  where error.errno == .invalidArgument || error.errno == .noSuchFileOrDirectory {
                        if isArmed { return .missing }
                    }
                default:
                    watch(directory, .hop(name))
                    // What may not be entered is the directory, not what is in it.
                    note(error, at: place(of: directory))
                    return .missing
                }
            }
            if isArmed { return .missing }
            watch(directory, .hop(name))
            isArmed = true
        }
    }

    /// A directory that was moved between being opened and being watched would never be heard of again.
    private mutating func verify(_ base: borrowing Descriptor) throws(SystemError) {
        let opened = try Syscalls.status(of: base.raw).identity
        do throws(SystemError) {
            if try Syscalls.status(of: spec.base).identity != opened { result.isUnsettled = true }
        } catch {
            result.isUnsettled = true
        }
    }

    private mutating func countHop() -> Bool {
        hops += 1
        guard hops <= Self.hopsMax else {
            // A loop of links: every folder of it is watched, so its mending is seen.
            return false
        }
        return true
    }

    // MARK: - The patterns

    /// - Parameters:
    ///   - physical: What the kernel calls the directory.
    ///   - isReadable: The descriptor is open for reading, and nobody has read it.
    private mutating func level(
        _ directory: borrowing Descriptor, logical: BytePath, physical: BytePath, index: Int, isReadable: Bool = false
    ) throws(SystemError) {
        guard isInside(directory) else { return }
        watch(directory, .level(logical: logical, index: index), physical)
        let pattern = spec.pattern[index]
        var entries: [(name: [UInt8], kind: FileStatus.Kind?)] = []
        if let literal = pattern.literal, !spec.isDeep {
            entries = [(literal, nil)]
        } else {
            do throws(SystemError) {
                try Syscalls.eachEntry(of: directory.raw, isReadable: isReadable) { [spec] name, kind in
                    if spec.leadsOn(name, at: index) || spec.isFile(name, at: index) { entries.append((name, kind)) }
                }
            } catch {
                // Its end (ENOENT) is none of our troubles: the next walk finds what there is instead.
                noteUnlessMoved(error, at: logical.path)
                return
            }
        }
        let isPlain = physical == logical
        for (name, kind) in entries {
            hops = 0
            let path = logical.entry(name)
            if spec.leadsOn(name, at: index), kind?.mayLeadOn ?? true {
                do throws(SystemError) {
                    // The usual case: a directory without a link. Whatever is wrong with it, the long way finds out.
                    if kind == .directory, let child = plainDirectory(name, in: directory) {
                        try level(
                            child, logical: path, physical: isPlain ? path : physical.entry(name), index: index + 1,
                            isReadable: true)
                        continue
                    }
                    if let child = try self.directory(below: directory, names: [name][...]) {
                        let place = BytePath(try Syscalls.path(of: child.raw))
                        try level(child, logical: path, physical: place == path ? path : place, index: index + 1)
                        continue
                    }
                } catch {
                    noteUnlessMoved(error, at: path.path)
                    continue
                }
                hops = 0
            }
            if spec.isFile(name, at: index) { leaf(directory, name, logical: path, index) }
        }
    }

    private func plainDirectory(_ name: [UInt8], in directory: borrowing Descriptor) -> Descriptor? {
        do throws(SystemError) {
            return try Syscalls.open(name: name, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, in: directory.raw)
        } catch {
            return nil
        }
    }

    private mutating func leaf(
        _ directory: borrowing Descriptor, _ name: [UInt8], logical: BytePath, _ index: Int
    ) {
        do throws(SystemError) {
            guard let own = try Syscalls.status(ofName: name, in: directory.raw) else { return }
            // On the way a directory is none of the files.
            if own.kind == .directory, !spec.isLast(index) { return }
            guard own.kind == .link else {
                result.leaves[logical] = Leaf(status: own, isLink: false)
                return
            }
            let target = try Syscalls.linkTarget(FilePath(bytes: name), at: directory.raw)
            var leaf = Leaf(status: nil, isLink: true)
            // The link's way: the folder of each hop is watched, and where it ends the file itself.
            do throws(SystemError) {
                if countHop(), try !follow(target, from: directory, logical: logical) { return }
            } catch {
                noteUnlessMoved(error, at: logical.path)
            }
            do throws(SystemError) { leaf.status = try Syscalls.status(of: logical.path) } catch {}
            result.leaves[logical] = leaf
        } catch {
            switch error.errno {
            case .invalidArgument:
                // It was a link a moment ago.
                result.isUnsettled = true
            case .noSuchFileOrDirectory: break
            case .permissionDenied: note(error, at: logical.path.removingLastComponent())
            default: note(error, at: logical.path)
            }
        }
    }

    /// - Returns: Whether the way stays where it may lead.
    private mutating func follow(
        _ target: FilePath, from directory: borrowing Descriptor, logical: BytePath
    ) throws(SystemError) -> Bool {
        var names = components(of: target)
        guard let last = names.popLast() else { return true }
        let start = try Syscalls.open(
            target.isAbsolute ? "/" : ".", flags: Syscalls.pathOnly | O_DIRECTORY, at: directory.raw)
        guard let folder = try self.directory(below: start, names: names[...]) else { return true }
        guard isInside(folder) else { return false }
        watch(folder, .target(last, logical: logical))
        do throws(SystemError) {
            let next = try Syscalls.linkTarget(FilePath(bytes: last), at: folder.raw)
            return try countHop() ? follow(next, from: folder, logical: logical) : true
        } catch {
            // EINVAL: it is no link, the way ends here. ENOENT: a dangling link, its folder is watched.
            if error.errno != .invalidArgument && error.errno != .noSuchFileOrDirectory { throw error }
            return true
        }
    }

    /// Whether a directory lies where the spec may lead.
    private func isInside(_ directory: borrowing Descriptor) -> Bool {
        guard let boundary else { return true }
        do throws(SystemError) { return try Syscalls.path(of: directory.raw).isWithin(boundary) } catch { return false }
    }

    // MARK: - Watches

    /// - Parameter physical: What the kernel calls the directory; nil to ask it.
    private mutating func watch(_ directory: borrowing Descriptor, _ role: Role, _ physical: BytePath? = nil) {
        guard isInside(directory), case .open(let inotify) = instance else { return }
        do throws(SystemError) {
            if known.directories.count + result.newCount + watchedByOthers >= watchesMax {
                // No more, but what is watched already stays.
                guard try isWatched(directory) else {
                    return note("more than \(watchesMax) directories would have to be watched", at: spec.base)
                }
            }
            let number = try inotify.add(directory: directory.raw, mask: role.mask(spec.use))
            result.roles.insert(role, for: number)
            let place: WatchedDirectory
            if let there = result.added[number] {
                place = there
            } else if let there = known.directories[number] {
                if let physical, there.path != physical {
                    // One above it was moved, which no event tells of it.
                    place = there.moved(to: physical)
                    result.added[number] = place
                } else {
                    place = there
                }
            } else {
                place = try look(directory, physical)
                result.added[number] = place
                result.newCount += 1
            }
            if role != .ancestor, !place.fileSystem.tellsOfChanges {
                note("its file system (\(place.fileSystem)) need not tell of changes", at: place.path.path)
            }
        } catch {
            // A limit concerns all of the spec, closed is one directory.
            let isClosed = error.errno == .permissionDenied
            note(error, at: isClosed ? physical?.path ?? place(of: directory) : spec.base)
        }
    }

    /// What the kernel calls a directory; the spec's base where it does not say.
    private func place(of directory: borrowing Descriptor) -> FilePath {
        do throws(SystemError) { return try Syscalls.path(of: directory.raw) } catch { return spec.base }
    }

    private mutating func isWatched(_ directory: borrowing Descriptor) throws(SystemError) -> Bool {
        let own = try Syscalls.status(of: directory.raw).identity
        if let watchedIdentities { return watchedIdentities.contains(own) }
        let all = Set(known.directories.values.map(\.identity) + result.added.values.map(\.identity))
        watchedIdentities = all
        return all.contains(own)
    }

    private mutating func look(
        _ directory: borrowing Descriptor, _ physical: BytePath?
    ) throws(SystemError) -> WatchedDirectory {
        let identity = try Syscalls.status(of: directory.raw).identity
        let fileSystem: FileSystem
        if let there = fileSystems[identity.device] {
            fileSystem = there
        } else {
            fileSystem = FileSystem(type: try Syscalls.fileSystemType(of: directory.raw))
            fileSystems[identity.device] = fileSystem
        }
        let path: BytePath
        if let physical { path = physical } else { path = BytePath(try Syscalls.path(of: directory.raw)) }
        return WatchedDirectory(path: path, identity: identity, fileSystem: fileSystem, since: Timestamp.now)
    }

    private mutating func note(_ error: SystemError, at path: FilePath) {
        let reason: String
        switch error.errno {
        case .noSpace: reason = "the limit of watches is reached (sysctl fs.inotify.max_user_watches)"
        case .permissionDenied, .notPermitted:
            reason = "permission denied (this user must be able to read and enter it: chmod u+rx)"
        default: reason = error.description
        }
        note(reason, at: path)
    }

    private mutating func note(_ reason: String, at path: FilePath) {
        let place = path.isAbsolute ? path : spec.base
        if !result.polled.contains(where: { $0.path == place }) {
            result.polled.append(PolledPath(path: place, reason: reason, since: Timestamp.now))
        }
    }
}

extension FileStatus.Kind {
    /// Whether it may be the way to something else.
    fileprivate var mayLeadOn: Bool { self == .directory || self == .link }
}

/// The inotify instance of a watcher, or why there is none.
enum Instance {
    case open(Inotify)
    case none(reason: String)
}

private func components(of path: FilePath) -> [[UInt8]] {
    path.bytes.split(separator: UInt8(ascii: "/")).map(Array.init).filter { $0 != [UInt8(ascii: ".")] }
}
