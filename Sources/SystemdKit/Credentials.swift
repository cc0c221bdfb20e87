// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys
import SystemPackage

/// What systemd hands over in secret: a folder of files that only this service can read (systemd.exec(5),
/// LoadCredential=; https://systemd.io/CREDENTIALS).
public struct Credentials: Sendable {
    /// systemd takes no larger one. In bytes.
    public static let lengthMax = 1 << 20
    private static let nameLengthMax = 255

    public let directory: FilePath

    /// Why a credential cannot be had. It never quotes what is in it.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// The folder that `$CREDENTIALS_DIRECTORY` names; nil where the service has none, or the variable is not an
    /// absolute path, as systemd's always is.
    public init?(environment: (String) -> String? = CurrentProcess.environmentValue) {
        guard let path = environment("CREDENTIALS_DIRECTORY"), path.hasPrefix("/") else { return nil }
        directory = FilePath(path)
    }

    /// The credentials' names, sorted.
    public func names() throws(Failure) -> [String] {
        do throws(SystemError) {
            let folder = try Syscalls.open(directory, flags: Syscalls.directory)
            return try Syscalls.names(inDirectory: folder.raw)
                .compactMap { String(validating: $0, as: UTF8.self) }.filter(Self.isName).sorted()
        } catch {
            throw Failure(description: "the credentials cannot be listed: \(error)")
        }
    }

    /// The bytes of a credential; nil if the service has none of this name.
    ///
    /// - Parameters:
    ///   - name: As in `LoadCredential=`.
    ///   - limit: The largest size taken, in bytes.
    public func read(_ name: String, limit: Int = lengthMax) throws(Failure) -> [UInt8]? {
        guard Self.isName(name) else { throw Failure(description: "that is no name of a credential") }
        do throws(FileReadError) {
            return try RegularFile.read(directory.appending(name), limit: min(limit, Self.lengthMax)).bytes
        } catch {
            if case .system(let system) = error, system.errno == .noSuchFileOrDirectory { return nil }
            throw Failure(description: "the credential \(name) cannot be read: \(error)")
        }
    }

    /// One component of a path, printable ASCII without a colon (systemd: credential_name_valid).
    private static func isName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && name.utf8.count <= nameLengthMax
            && name.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") }
    }
}
