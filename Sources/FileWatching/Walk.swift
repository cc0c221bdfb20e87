// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

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
    /// Something moved under the walk: it has to be made again.
    var isUnsettled = false
}

/// One pass over all that a spec names. Each directory is opened, watched, and only then read: what is made before
/// the watch is found by reading, what is made after it by an event (inotify(7), "Limitations and caveats").
struct Walk {
    let spec: WatchSpec
    let inotify: Inotify?
    /// How many more directories may be watched.
    let watchesMax: Int
    var result = WalkResult()
    private var hops = 0
    /// Linux follows at most 40 links in one name (path_resolution(7)).
    private static let hopsMax = 40

    init(spec: WatchSpec, inotify: Inotify?, watchesMax: Int) {
        self.spec = spec
        self.inotify = inotify
        self.watchesMax = watchesMax
        if inotify == nil {
            result.polled.append(PolledPath(path: spec.base, reason: "no inotify instance could be made"))
        }
    }

    mutating func run() -> WalkResult {
        do throws(SystemError) {
            let root = try Syscalls.open("/", flags: Syscalls.pathOnly | O_DIRECTORY)
            if let base = try directory(below: root, names: components(of: spec.base)) {
                try verify(base)
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
        watch(directory, .level(logical: logical, index: index))
        if isRemote(directory) {
            result.polled.append(
                PolledPath(path: logical, reason: "the file system tells of no changes made elsewhere"))
        }
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
                if countHop() { try follow(target, from: directory, logical: logical) }
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

    private mutating func follow(
        _ target: FilePath, from directory: borrowing Descriptor, logical: FilePath
    ) throws(SystemError) {
        var names = components(of: target)
        guard let last = names.popLast() else { return }
        let start = try Syscalls.open(
            target.isAbsolute ? "/" : ".", flags: Syscalls.pathOnly | O_DIRECTORY, at: directory.raw)
        guard let folder = try self.directory(below: start, names: names) else { return }
        watch(folder, .target(last, logical: logical))
        do throws(SystemError) {
            let next = try Syscalls.linkTarget(FilePath(bytes: last), at: folder.raw)
            if countHop() { try follow(next, from: folder, logical: logical) }
        } catch {
            // EINVAL: it is no link, the way ends here. ENOENT: a dangling link, its folder is watched.
            if error.errno != .invalidArgument && error.errno != .noSuchFileOrDirectory { throw error }
        }
    }

    // MARK: - Watches

    private mutating func watch(_ directory: borrowing Descriptor, _ role: Role) {
        guard let inotify else { return }
        guard result.roles.count < watchesMax else {
            note(SystemError(call: "inotify_add_watch", errno: .noSpace), at: spec.base)
            return
        }
        do throws(SystemError) {
            let number = try inotify.add(directory: directory.raw, mask: role.mask(spec.use))
            result.roles[number, default: []].insert(role)
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
        let place = path.isAbsolute ? path : spec.base
        if !result.polled.contains(where: { $0.path == place }) {
            result.polled.append(PolledPath(path: place, reason: reason))
        }
    }

    /// File systems whose changes may be made by another machine, of which inotify(7) hears nothing.
    /// Numbers: statfs(2) and linux/magic.h.
    private func isRemote(_ directory: borrowing Descriptor) -> Bool {
        let remote: Set<Int> = [
            0x6969, 0x517B, 0xFF53_4D42, 0xFE53_4D42, 0x6573_5546, 0x0102_1997, 0x5346_414F, 0x00C3_6400,
            0x7375_7245, 0x0BD0_0BD0, 0x5844_4C4D, 0x786F_4256, 0x2030_524F,
        ]
        do throws(SystemError) {
            let real = try Syscalls.open(".", flags: O_RDONLY | O_DIRECTORY, at: directory.raw)
            return remote.contains(try Syscalls.fileSystemType(of: real.raw) & 0xFFFF_FFFF)
        } catch {
            return false
        }
    }
}

private func components(of path: FilePath) -> [[UInt8]] {
    path.bytes.split(separator: UInt8(ascii: "/")).map(Array.init).filter { $0 != [UInt8(ascii: ".")] }
}
