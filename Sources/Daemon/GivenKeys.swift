// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ControlAPI
import Controller
import KeyPool
import LinuxSys
import Logging
import Secrets
import SystemPackage
import Timekeeping

/// Keys that we were started with: in variables, and as a systemd credential.
public struct GivenKeys: Sendable {
    /// The account of the credential's keys. It has no folder.
    static let credentialAccount = "credential"
    /// The account of keys of variables that no folder took.
    static let environmentAccount = "environment"

    /// Of variables: to be written to account folders.
    let toWrite: [Key]
    /// Of the credential: they stay where systemd keeps them.
    let credential: [Key]
    let credentialPath: String?
    /// Entries that are no keys, for the log: `environment: NAME: …`.
    public let problems: [String]

    /// Variables that hold keys, separated by colons (contract E).
    static let variables = ["GASTOWN_KIMI_KEYS", "KIMI_API_KEYS"]
    private static let lengthMax = 64 << 10

    /// Takes the keys out of the environment and reads the credential `kimi-keys` (systemd.exec(5), LoadCredential=).
    ///
    /// Call it before the first thread is started.
    public static func take() -> GivenKeys {
        var keys: [Key] = []
        var problems: [String] = []
        func note(_ key: Key) { if !keys.contains(key) { keys.append(key) } }
        for name in variables {
            guard let value = CurrentProcess.takeFromEnvironment(name) else { continue }
            for (index, entry) in value.split(separator: UInt8(ascii: ":")).enumerated() {
                let text = String(decoding: entry, as: UTF8.self).trimmed
                if text.isEmpty { continue }
                if let key = Key(text) {
                    note(key)
                } else {
                    problems.append("environment: \(name): entry \(index + 1) is no key: it does not begin with sk-")
                }
            }
        }
        var credential: [Key] = []
        var path: FilePath?
        if let directory = CurrentProcess.environmentValue("CREDENTIALS_DIRECTORY"), directory.hasPrefix("/") {
            let file = FilePath(directory).appending("kimi-keys")
            do throws(FileReadError) {
                let bytes = try RegularFile.read(file, limit: lengthMax).bytes
                path = file
                for (index, line) in bytes.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
                    let text = String(decoding: line, as: UTF8.self).trimmed
                    if text.isEmpty || text.hasPrefix("#") { continue }
                    if let key = Key(text) {
                        if !credential.contains(key) { credential.append(key) }
                    } else {
                        problems.append("credential kimi-keys: line \(index + 1) is no key: it does not begin with sk-")
                    }
                }
            } catch {
                if !error.isAbsence { problems.append("credential kimi-keys: \(error)") }
            }
        }
        return GivenKeys(toWrite: keys, credential: credential, credentialPath: path?.shown, problems: problems)
    }

    public static let none = GivenKeys(toWrite: [], credential: [], credentialPath: nil, problems: [])

    private init(toWrite: [Key], credential: [Key], credentialPath: String?, problems: [String]) {
        self.toWrite = toWrite
        self.credential = credential
        self.credentialPath = credentialPath
        self.problems = problems
    }

    /// What came of writing the variables' keys to account folders.
    public struct Outcome: Sendable {
        /// `done`, `skipped` or `failed`, as in `bootstrap.step`.
        public let result: String
        public let detail: String
        /// Keys that no folder took.
        let left: [Key]
    }

    /// Writes the variables' keys to free account folders; one that an account has already is skipped.
    public func write(to folder: AccountFolder) -> Outcome {
        var accounts: [String] = []
        var left: [Key] = []
        var problem: String?
        for key in toWrite {
            do throws(AccountFolderError) {
                let place = try folder.add(key)
                if place.isNew { accounts.append(place.account) }
            } catch {
                left.append(key)
                problem = problem ?? error.description
            }
        }
        if let problem { return Outcome(result: "failed", detail: problem, left: left) }
        if accounts.isEmpty {
            let detail = toWrite.isEmpty ? "no variable gives a key" : "all keys of the variables are there already"
            return Outcome(result: "skipped", detail: detail, left: [])
        }
        return Outcome(result: "done", detail: "written to account \(accounts.joined(separator: ", "))", left: [])
    }
}

extension String {
    /// Without blanks at its ends.
    fileprivate var trimmed: String {
        let isBlank = { (character: Character) in character.isWhitespace || character == "\0" }
        return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}

extension Daemon {
    /// Puts the keys that we were started with where they belong. Before the accounts are read.
    func placeGivenKeys() {
        let given = options.givenKeys
        for problem in given.problems { log.warning("\(problem)") }
        var left: [Key] = []
        if !given.toWrite.isEmpty {
            let began = EventLoop.now
            let folder = AccountFolder(directory: configuration.accounts, baseURL: configuration.agent.baseURL)
            let outcome = given.write(to: folder)
            left = outcome.left
            emit(
                .bootstrapStep(
                    "accounts", result: outcome.result, took: .nanoseconds(EventLoop.now - began),
                    detail: outcome.detail))
        }
        take(given.credential, as: GivenKeys.credentialAccount, from: given.credentialPath ?? "credential")
        // Used all the same, as long as we live: they are nowhere else any more.
        take(left, as: GivenKeys.environmentAccount, from: "environment")
    }

    private func take(_ keys: [Key], as account: String, from path: String) {
        guard !keys.isEmpty else { return }
        let file = AccountFile(keys: keys.map { AccountKey(key: $0, baseURL: nil) })
        // A disabled key comes back when another one is given.
        let digest = SHA256.hex(keys.flatMap { Array($0.id.text.utf8) })
        handle(.accountRead(name: account, path: path, file: file, digest: digest))
    }
}
