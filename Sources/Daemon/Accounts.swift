// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import FileWatching
import KeyPool
import LinuxSys
import Secrets
import SystemPackage

/// Reads the accounts' files and says what came of it. The same bytes are no change.
final class AccountReader {
    enum Outcome {
        case read(AccountFile, digest: String)
        case rejected(String)
        /// It was rejected and can be used again; what it holds follows.
        case mended
        /// Absent, or no regular file (contract H).
        case gone
    }

    static let spec = "accounts"
    private let directory: FilePath
    private let watcher: FileWatcher
    private let onOutcome: (_ name: String, _ path: FilePath, Outcome) -> Void
    /// What each file held when it was last understood or refused.
    private var digests: [FilePath: String] = [:]
    /// Files that were told to be unusable, and those that are looked at once more before that.
    private var refused: Set<FilePath> = []
    private var doubted: Set<FilePath> = []
    private let loop: EventLoop
    private var isStarting = false

    /// A writer that makes a file and then fills it needs a moment; a refusal is in no hurry.
    private static let doubtTime = Duration.milliseconds(100)

    /// - Parameter onOutcome: Called for each file that is another than before.
    init(
        directory: FilePath, on loop: EventLoop, budget: WatchBudget, onTrouble: @escaping () -> Void,
        onOutcome: @escaping (_ name: String, _ path: FilePath, Outcome) -> Void
    ) {
        self.directory = directory
        self.onOutcome = onOutcome
        self.loop = loop
        var handler: ([WatchReport]) -> Void = { _ in }
        watcher = FileWatcher(on: loop, budget: budget, onTrouble: onTrouble) { handler($0) }
        handler = { [unowned self] reports in for report in reports { look(report.path) } }
    }

    /// Begins to watch, and reads all that is there.
    func start() {
        isStarting = true
        defer { isStarting = false }
        let spec = WatchSpec(
            id: Self.spec, base: directory, pattern: [.visible, .name("config.toml")], purpose: "key files")
        for path in watcher.add(spec) {
            look(path)
        }
    }

    var statistics: FileWatcher.Statistics { watcher.statistics }
    var polled: [PolledPath] { watcher.polled }
    var plan: WatchPlan { watcher.plan }
    func audit() { watcher.audit() }
    func close() { watcher.close() }

    /// The account's name is its folder's. A folder that is called like a key is not shown so.
    static func name(of path: FilePath) -> String {
        let folder = path.removingLastComponent().lastName
        let name = shownText(folder)
        let shown = Redactor().redact(name)
        let isTaken = name == GivenKeys.credentialAccount || name == GivenKeys.environmentAccount
        return shown == name && !isTaken && isUnmistakable(name, folder)
            ? name : "\(shown)#\(SHA256.hex(folder).prefix(8))"
    }

    /// Whether no other folder is called so: bytes that are no text are shown escaped, so a folder with a backslash could be
    /// (`\xff`), and texts that are composed otherwise are equal (Unicode's canonical equivalence).
    private static func isUnmistakable(_ name: String, _ folder: [UInt8]) -> Bool {
        !folder.contains(UInt8(ascii: "\\"))
            && name.unicodeScalars.allSatisfy { scalar in
                scalar.isASCII
                    || scalar.properties.canonicalCombiningClass == .notReordered
                        && !scalar.properties.isFullCompositionExclusion && !(0x1100...0x11FF).contains(scalar.value)
            }
    }

    private func look(_ path: FilePath, isSecondLook: Bool = false) {
        let name = Self.name(of: path)
        let contents: FileContents
        do throws(FileReadError) {
            contents = try RegularFile.read(path, limit: AccountFile.lengthMax)
        } catch {
            digests[path] = nil
            if error.isAbsence || error == .notRegular {
                refused.remove(path)
                onOutcome(name, path, .gone)
            } else {
                doubt(path, name, "\(error)", isSecondLook)
            }
            return
        }
        let digest = SHA256.hex(contents.bytes)
        guard digests[path] != digest || isSecondLook else { return }
        digests[path] = digest
        do throws(AccountFileError) {
            let file = try AccountFile.read(contents.bytes)
            guard !isSecondLook || refused.contains(path) || doubted.contains(path) else { return }
            if refused.remove(path) != nil { onOutcome(name, path, .mended) }
            onOutcome(name, path, .read(file, digest: digest))
        } catch {
            doubt(path, name, "\(error)", isSecondLook)
        }
    }

    private func doubt(_ path: FilePath, _ name: String, _ error: String, _ isSecondLook: Bool) {
        if isSecondLook || refused.contains(path) || isStarting {
            refused.insert(path)
            return onOutcome(name, path, .rejected(error))
        }
        guard doubted.insert(path).inserted else { return }
        loop.schedule(after: Self.doubtTime) { [weak self] in
            guard let self else { return }
            look(path, isSecondLook: true)
            doubted.remove(path)
        }
    }
}

extension FilePath {
    /// For status, events and logs: a name in it may look like a key.
    var safe: String { Redactor().redact(shown) }
}
