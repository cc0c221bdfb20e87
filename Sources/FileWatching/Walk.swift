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
    case level(logical: FilePath, index: Int)
    /// A link of the spec named `logical` ends at this name here.
    case target([UInt8], logical: FilePath)

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
    var roles: [Int32: Set<Role>] = [:]
    var leaves: [FilePath: Leaf] = [:]
    var polled: [PolledPath] = []
    /// Directories that were not watched before.
    var added: [Int32: WatchedDirectory] = [:]
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
    /// How many directories it may watch in all.
    let watchesMax: Int
    var result = WalkResult()
    private var hops = 0
    /// Where a confined spec ends; known when its base has been found.
    private var boundary: FilePath?
    /// Linux follows at most 40 links in one name (path_resolution(7)).
    private static let hopsMax = 40

    init(spec: WatchSpec, instance: Instance, known: KnownWatches, watchesMax: Int) {
        self.spec = spec
        self.instance = instance
        self.known = known
        self.watchesMax = watchesMax
        if case .none(let reason) = instance { note(reason, at: spec.base) }
    }

    mutating func run() -> WalkResult {
        do throws(SystemError) {
            let root = try Syscalls.open("/", flags: Syscalls.pathOnly | O_DIRECTORY)
            if let base = try directory(below: root, names: components(of: spec.base)) {
                try verify(base)
                if spec.isConfined { boundary = try Syscalls.path(of: base.raw) }
                try level(base, logical: spec.base, index: 0)
            }
        } catch {
            noteUnlessMoved(error, at: spec.base)
        }
        return result
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
    private mutating func directory(
        below start: borrowing Descriptor, names: [[UInt8]]
    ) throws(SystemError) -> Descriptor? {
        var current = try Syscalls.open(".", flags: Syscalls.pathOnly | O_DIRECTORY, at: start.raw)
        for (position, name) in names.enumerated() {
            switch try step(current, name) {
            case .missing: return nil
            case .directory:
                current = try Syscalls.open(
                    FilePath(bytes: name), flags: Syscalls.pathOnly | O_DIRECTORY | O_NOFOLLOW, at: current.raw)
                watch(current, .ancestor)
            case .link(let target):
                guard countHop() else { return nil }
                let rest = components(of: target) + names[(position + 1)...]
                if target.isAbsolute {
                    let root = try Syscalls.open("/", flags: Syscalls.pathOnly | O_DIRECTORY)
                    return try directory(below: root, names: rest)
                }
                return try directory(below: current, names: rest)
            }
        }
        return current
    }

    private enum Step {
        case directory
        case link(FilePath)
        case missing
    }

    /// What the name is. What is missing, a link or closed to us is watched for, and looked at once more after that.
    private mutating func step(_ directory: borrowing Descriptor, _ name: [UInt8]) throws(SystemError) -> Step {
        let path = FilePath(bytes: name)
        var isArmed = false
        while true {
            do throws(SystemError) {
                _ = try Syscalls.open(path, flags: Syscalls.pathOnly | O_DIRECTORY | O_NOFOLLOW, at: directory.raw)
                return .directory
            } catch {
                switch error.errno {
                case .noSuchFileOrDirectory: break
                case .notDirectory, .tooManySymbolicLinkLevels:
                    // A link, or something that is no directory: EINVAL from readlink tells them apart.
                    watch(directory, .hop(name))
                    do throws(SystemError) {
                        return .link(try Syscalls.linkTarget(path, at: directory.raw))
                    } catch  where error.errno == .invalidArgument || error.errno == .noSuchFileOrDirectory {
                        if isArmed { return .missing }
                    }
                default:
                    watch(directory, .hop(name))
                    note(error, at: path)
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

    private mutating func level(
        _ directory: borrowing Descriptor, logical: FilePath, index: Int
    ) throws(SystemError) {
        guard isInside(directory) else { return }
        watch(directory, .level(logical: logical, index: index))
        let pattern = spec.pattern[index]
        let names: [[UInt8]]
        if let literal = pattern.literal {
            names = [literal]
        } else {
            do throws(SystemError) {
                names = try Syscalls.names(inDirectory: directory.raw).filter(pattern.matches)
            } catch {
                note(error, at: logical)
                return
            }
        }
        let isLast = index == spec.pattern.count - 1
        for name in names {
            hops = 0
            let path = logical.entry(name)
            if isLast {
                leaf(directory, name, logical: path)
                continue
            }
            do throws(SystemError) {
                if let child = try self.directory(below: directory, names: [name]) {
                    try level(child, logical: path, index: index + 1)
                }
            } catch {
                noteUnlessMoved(error, at: path)
            }
        }
    }

    private mutating func leaf(_ directory: borrowing Descriptor, _ name: [UInt8], logical: FilePath) {
        do throws(SystemError) {
            let target = try Syscalls.linkTarget(FilePath(bytes: name), at: directory.raw)
            var leaf = Leaf(status: nil, isLink: true)
            // The link's way: the folder of each hop is watched, and where it ends the file itself.
            do throws(SystemError) {
                if countHop(), try !follow(target, from: directory, logical: logical) { return }
            } catch {
                noteUnlessMoved(error, at: logical)
            }
            do throws(SystemError) { leaf.status = try Syscalls.status(of: logical) } catch {}
            result.leaves[logical] = leaf
        } catch {
            switch error.errno {
            case .invalidArgument:
                do throws(SystemError) {
                    let file = try Syscalls.open(
                        FilePath(bytes: name), flags: Syscalls.pathOnly | O_NOFOLLOW, at: directory.raw)
                    result.leaves[logical] = Leaf(status: try Syscalls.status(of: file.raw), isLink: false)
                } catch {
                    if error.errno != .noSuchFileOrDirectory { note(error, at: logical) }
                }
            case .noSuchFileOrDirectory: break
            default: note(error, at: logical)
            }
        }
    }

    /// - Returns: Whether the way stays where it may lead.
    private mutating func follow(
        _ target: FilePath, from directory: borrowing Descriptor, logical: FilePath
    ) throws(SystemError) -> Bool {
        var names = components(of: target)
        guard let last = names.popLast() else { return true }
        let start = try Syscalls.open(
            target.isAbsolute ? "/" : ".", flags: Syscalls.pathOnly | O_DIRECTORY, at: directory.raw)
        guard let folder = try self.directory(below: start, names: names) else { return true }
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

    private mutating func watch(_ directory: borrowing Descriptor, _ role: Role) {
        guard isInside(directory), case .open(let inotify) = instance else { return }
        do throws(SystemError) {
            if known.directories.count + result.added.count >= watchesMax {
                // No more, but what is watched already stays.
                let own = try Syscalls.status(of: directory.raw).identity
                guard known.identities.contains(own) || result.added.values.contains(where: { $0.identity == own })
                else {
                    return note("more than \(watchesMax) directories would have to be watched", at: spec.base)
                }
            }
            let number = try inotify.add(directory: directory.raw, mask: role.mask(spec.use))
            result.roles[number, default: []].insert(role)
            let place: WatchedDirectory
            if let there = result.added[number] ?? known.directories[number] {
                place = there
            } else {
                place = WatchedDirectory(
                    path: try Syscalls.path(of: directory.raw),
                    identity: try Syscalls.status(of: directory.raw).identity,
                    fileSystem: FileSystem(type: try Syscalls.fileSystemType(of: directory.raw)),
                    since: Timestamp.now)
                result.added[number] = place
            }
            if role != .ancestor, !place.fileSystem.tellsOfChanges {
                note("its file system (\(place.fileSystem)) need not tell of changes", at: place.path)
            }
        } catch {
            note(error, at: spec.base)
        }
    }

    private mutating func note(_ error: SystemError, at path: FilePath) {
        let reason: String
        switch error.errno {
        case .noSpace: reason = "the limit of watches is reached (sysctl fs.inotify.max_user_watches)"
        case .permissionDenied, .notPermitted: reason = "permission denied"
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

/// The inotify instance of a watcher, or why there is none.
enum Instance {
    case open(Inotify)
    case none(reason: String)
}

private func components(of path: FilePath) -> [[UInt8]] {
    path.bytes.split(separator: UInt8(ascii: "/")).map(Array.init).filter { $0 != [UInt8(ascii: ".")] }
}
