// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import KeyPool
import LinuxSys
import Secrets
import SystemPackage
import Timekeeping

/// Why the accounts directory was not changed.
public struct AccountFolderError: Error, Sendable, CustomStringConvertible {
    /// The exit code of contract A.
    public let code: Int32
    /// It holds no key.
    public let description: String
}

/// The accounts directory, for whoever changes it: `keys add`, `keys remove`, and keys from the environment.
///
/// Changes are made under a lock, so that two of them do not take the same folder; whoever only reads needs none, for
/// each file is put in place in one step. A running daemon sees the change by itself.
public struct AccountFolder: Sendable {
    public let directory: FilePath
    /// `ANTHROPIC_BASE_URL` for keys that name none.
    let baseURL: String

    private static let patience = Duration.seconds(10)

    public init(directory: FilePath, baseURL: String) {
        self.directory = directory
        self.baseURL = baseURL
    }

    /// Where a key is now.
    public struct Place: Sendable, Hashable {
        public let account: String
        public let path: String
        /// It was not there before.
        public let isNew: Bool
    }

    // MARK: - Adding

    /// Writes a key into a folder of its own, unless an account has it already.
    ///
    /// - Parameters:
    ///   - key: What is written.
    ///   - account: The folder's name; nil: the first free number.
    ///   - baseURL: The key's endpoint; nil: the usual one.
    public func add(_ key: Key, account: String? = nil, baseURL: String? = nil) throws(AccountFolderError) -> Place {
        try locked { () throws(AccountFolderError) in
            try addLocked(key, account, baseURL ?? self.baseURL)
        }
    }

    private func addLocked(_ key: Key, _ account: String?, _ baseURL: String) throws(AccountFolderError) -> Place {
        for found in readAll() where found.file?.keys.contains(where: { $0.key == key }) ?? false {
            return Place(account: AccountReader.name(of: found.path), path: found.path.safe, isNew: false)
        }
        let folder: FilePath
        if let account { folder = try take(account) } else { folder = try takeFree() }
        let path = folder.appending("config.toml")
        do throws(SystemError) {
            try AtomicFile.replace(path, with: Array(AccountFile.text(key, baseURL: baseURL).utf8))
        } catch {
            // Empty as we made it; another's folder is not removed, for it is not empty.
            folder.withPlatformString { _ = rmdir($0) }
            throw AccountFolderError(code: 1, description: "\(path.safe): \(error) (nothing was changed)")
        }
        return Place(account: AccountReader.name(of: path), path: path.safe, isNew: true)
    }

    /// The first number whose folder is not there, or is empty.
    private func takeFree() throws(AccountFolderError) -> FilePath {
        for number in 1...100_000 {
            let folder = directory.appending("\(number)")
            do throws(SystemError) {
                try Syscalls.makeDirectory(folder)
                return folder
            } catch {
                guard error.errno == .fileExists else { throw AccountFolderError(code: 1, description: "\(error)") }
            }
            if isEmpty(folder) { return folder }
        }
        throw AccountFolderError(code: 1, description: "\(directory.safe): there is no free number")
    }

    private func isEmpty(_ folder: FilePath) -> Bool {
        do throws(SystemError) {
            let opened = try Syscalls.open(folder, flags: Syscalls.directory | O_NOFOLLOW)
            return try Syscalls.names(inDirectory: opened.raw).isEmpty
        } catch {
            return false
        }
    }

    private func take(_ name: String) throws(AccountFolderError) -> FilePath {
        let shown = Redactor().redact(name)
        guard let component = FilePath.Component(name), component.kind == .regular, !name.hasPrefix("."),
            shown == name, name.utf8.count <= 255
        else {
            throw AccountFolderError(
                code: 64, description: "\(shown) is no name for an account (a plain folder name, not hidden)")
        }
        let folder = directory.appending(name)
        do throws(SystemError) { try Syscalls.makeDirectory(folder) } catch {
            guard error.errno == .fileExists else { throw AccountFolderError(code: 1, description: "\(error)") }
            guard !Syscalls.exists(folder.appending("config.toml")) else {
                throw AccountFolderError(
                    code: 1, description: "account \(name) has a key file already (choose another name)")
            }
        }
        return folder
    }

    // MARK: - Removing

    /// Takes a key out of all account files that hold it. A file that `add` wrote goes with its folder; in any other one
    /// the key's text becomes empty, and all else stays.
    ///
    /// - Returns: The files that were changed.
    public func remove(_ id: KeyID) throws(AccountFolderError) -> [String] {
        try locked { () throws(AccountFolderError) in
            var removed: [String] = []
            for found in readAll() {
                guard let entry = found.file?.keys.first(where: { $0.key.id == id }) else { continue }
                try remove(entry, from: found.path, found.bytes)
                removed.append(found.path.safe)
            }
            guard !removed.isEmpty else {
                throw AccountFolderError(
                    code: 1,
                    description: "no account in \(directory.safe) has the key \(id) (gasclawd keys list shows the ids)")
            }
            return removed
        }
    }

    private func remove(_ entry: AccountKey, from path: FilePath, _ bytes: [UInt8]) throws(AccountFolderError) {
        let isOurs = bytes == Array(AccountFile.text(entry.key, baseURL: entry.baseURL ?? baseURL).utf8)
        let rest = isOurs ? [] : Self.without(entry.key, bytes)
        do throws(AccountFileError) {
            let isLeft = isOurs ? false : try AccountFile.read(rest).keys.contains { $0.key == entry.key }
            guard !isLeft else { throw AccountFileError(message: "the key is not written in plain letters") }
        } catch {
            throw AccountFolderError(
                code: 1, description: "\(path.safe) was not changed: \(error) (edit it by hand)")
        }
        do throws(SystemError) {
            guard isOurs else { return try AtomicFile.replace(path, with: rest) }
            try Syscalls.unlink(path)
            // Something else in it keeps the folder.
            path.removingLastComponent().withPlatformString { _ = rmdir($0) }
        } catch {
            throw AccountFolderError(code: 1, description: "\(path.safe): \(error) (it was not changed)")
        }
    }

    /// The bytes without the key's text, wherever it stands by itself.
    private static func without(_ key: Key, _ bytes: [UInt8]) -> [UInt8] {
        let text = Array(key.reveal().utf8)
        var rest: [UInt8] = []
        var position = 0
        while position < bytes.count {
            if bytes[position...].starts(with: text), !isWithinLonger(bytes, position, text.count) {
                position += text.count
            } else {
                rest.append(bytes[position])
                position += 1
            }
        }
        return rest
    }

    /// Whether what was found is only the beginning or the end of another, longer key.
    private static func isWithinLonger(_ bytes: [UInt8], _ position: Int, _ count: Int) -> Bool {
        func isKeyCharacter(_ index: Int) -> Bool {
            guard bytes.indices.contains(index) else { return false }
            let byte = bytes[index]
            return (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
        }
        return isKeyCharacter(position - 1) || isKeyCharacter(position + count)
    }

    // MARK: - Reading

    struct Found {
        let path: FilePath
        let bytes: [UInt8]
        /// nil where it cannot be used.
        let file: AccountFile?
    }

    /// Each account's file, sorted by the names of their folders.
    func readAll() -> [Found] {
        Self.files(in: directory).compactMap { path in
            do {
                let bytes = try RegularFile.read(path, limit: AccountFile.lengthMax).bytes
                do throws(AccountFileError) {
                    return Found(path: path, bytes: bytes, file: try AccountFile.read(bytes))
                } catch {
                    return Found(path: path, bytes: bytes, file: nil)
                }
            } catch {
                // Absent or unreadable: there is no key to find in it.
                return nil
            }
        }
    }

    /// The places of the accounts' files, whether they are there or not.
    static func files(in directory: FilePath) -> [FilePath] {
        do throws(SystemError) {
            let folder = try Syscalls.open(directory, flags: Syscalls.directory)
            return try Syscalls.names(inDirectory: folder.raw)
                .filter { $0.first != UInt8(ascii: ".") }.sorted { $0.lexicographicallyPrecedes($1) }
                .map { directory.entry($0).appending("config.toml") }
        } catch {
            return []
        }
    }

    // MARK: - The lock

    private func locked<Result>(
        _ body: () throws(AccountFolderError) -> Result
    ) throws(AccountFolderError) -> Result {
        let deadline = EventLoop.now + Self.patience.wholeMicroseconds * 1000
        let path = directory.appending(".gasclawd.lock")
        while true {
            let lock: LockFile?
            do throws(SystemError) {
                try Syscalls.makeDirectories(directory)
                lock = try LockFile(path)
            } catch {
                throw AccountFolderError(
                    code: 1, description: "\(directory.safe) cannot be written: \(error) (nothing was changed)")
            }
            if let lock {
                defer { withExtendedLifetime(lock) {} }
                return try body()
            }
            guard EventLoop.now < deadline else {
                throw AccountFolderError(code: 75, description: "another gasclawd changes the accounts (try again)")
            }
            // The other one is a command that writes one file.
            usleep(20_000)
        }
    }
}
