// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Daemon
import JSON
import KeyPool
import LinuxSys
import Secrets
import SystemPackage

/// The accounts' files, and what is known of their keys.
enum KeyChecks {
    struct Account {
        let name: String
        let path: FilePath
        var keys: [AccountKey] = []
        /// Why it holds none that can be used.
        var problem: String?
        var status: FileStatus?
    }

    static func run(_ x: Examination) -> [Check] {
        let accounts = accounts(x)
        return [folder(x), files(x, accounts), modes(x, accounts), ready(x, accounts), state(x)]
            + KeyProbe.run(x, accounts)
    }

    /// Each account's file as it is now.
    static func accounts(_ x: Examination) -> [Account] {
        x.names(x.configuration.accounts).compactMap { folder in
            let path = folder.appending("config.toml")
            var account = Account(name: shownText(folder.lastName), path: path)
            account.status = x.stat(path)
            do {
                let file = try AccountFile.read(try RegularFile.read(path, limit: AccountFile.lengthMax).bytes)
                account.keys = file.keys
                if file.keys.isEmpty { account.problem = file.remark ?? "it holds no key" }
            } catch let error as FileReadError where error.isAbsence {
                guard Syscalls.isDirectory(folder) else { return nil }
                account.problem = "it has no config.toml"
            } catch {
                account.problem = "\(error)"
            }
            return account
        }
    }

    private static func folder(_ x: Examination) -> Check {
        let (id, title) = ("keys.folder", "accounts directory")
        let path = x.configuration.accounts
        guard let status = x.stat(path) else {
            return .failed(
                id, title, "\(path.shown) is not there",
                fix:
                    "mkdir -p -m 700 \(path.shown)/1, then write \(path.shown)/1/config.toml (README), or gasclawd keys add"
            )
        }
        guard status.kind == .directory else {
            return .failed(id, title, "\(path.shown) is no folder", fix: "set accounts.directory")
        }
        do throws(SystemError) { _ = try Syscalls.open(path, flags: Syscalls.directory) } catch {
            return .failed(
                id, title, "\(path.shown): \(error.errno)",
                fix: "chown \(CurrentProcess.userID) \(path.shown); chmod 700 \(path.shown)")
        }
        return .ok(id, title, path.shown)
    }

    private static func files(_ x: Examination, _ accounts: [Account]) -> Check {
        let (id, title) = ("keys.files", "key files")
        let broken = accounts.filter { $0.problem != nil && $0.keys.isEmpty }
        let keys = Set(accounts.flatMap(\.keys).map(\.key.id))
        guard !keys.isEmpty else {
            let why = broken.first.map { "\($0.path.shown): \($0.problem ?? "")" } ?? "there is no account"
            return .failed(
                id, title, "no key: \(why)",
                fix: "write \(x.configuration.accounts.shown)/1/config.toml (README shows one), or gasclawd keys add")
        }
        guard !broken.isEmpty else {
            return .ok(id, title, "\(keys.count) in \(accounts.count) \(accounts.count == 1 ? "account" : "accounts")")
        }
        let problems = broken.map { "\($0.path.shown): \($0.problem ?? "")" }
        return .warning(
            id, title, "\(keys.count) usable; \(problems.joined(separator: "; "))",
            fix: "mend or remove \(broken.map(\.path.shown).joined(separator: ", "))")
    }

    private static func modes(_ x: Examination, _ accounts: [Account]) -> Check {
        let (id, title) = ("keys.modes", "who can read key files")
        let open = accounts.filter { $0.status.map { $0.mode & 0o077 != 0 } ?? false && !$0.keys.isEmpty }
        guard open.isEmpty else {
            let names = open.map(\.path.shown)
            return .warning(
                id, title, "others can read \(names.joined(separator: ", "))",
                fix: "chmod 600 \(names.joined(separator: " "))")
        }
        if let other = accounts.first(where: { account in
            account.status.map { $0.owner != CurrentProcess.userID } ?? false && CurrentProcess.userID != 0
        }) {
            return .warning(
                id, title, "\(other.path.shown) belongs to user \(other.status?.owner ?? 0)",
                fix: "chown \(CurrentProcess.userID) \(other.path.shown)")
        }
        return .ok(id, title, accounts.isEmpty ? "there is none" : "this user alone")
    }

    private static func ready(_ x: Examination, _ accounts: [Account]) -> Check {
        let (id, title) = ("keys.ready", "keys that are ready")
        let keys = x.status?["keys"] ?? OfflineKeys.list(x.configuration, at: x.now).keys
        let (total, ready) = (keys["total"]?.integer ?? 0, keys["ready"]?.integer ?? 0)
        guard total > 0 else { return .skipped(id, title, "there is no key") }
        let out = (keys["items"]?.array ?? []).filter { ["cooling", "disabled"].contains($0["state"]?.string) }
        let shown = out.map { key in
            "\(key["id"]?.string ?? "?") \(key["state"]?.string ?? "?") (\(key["cause"]?.string ?? "?"))"
        }.joined(separator: ", ")
        guard ready > 0 else {
            return .failed(
                id, title, "none of \(total): \(shown)",
                fix:
                    "wait, add an account, or gasclawd keys clear (gasclawd keys explain TEXT tells what an error means)"
            )
        }
        let disabled = out.filter { $0["state"]?.string == "disabled" }.compactMap { $0["id"]?.string }
        guard disabled.isEmpty else {
            return .warning(
                id, title, "\(ready) of \(total); \(shown)",
                fix: "put another key into the file of \(disabled.joined(separator: ", ")), or gasclawd keys enable ID")
        }
        // Resting is what keys do.
        return .ok(id, title, "\(ready) of \(total)\(shown.isEmpty ? "" : "; \(shown)")")
    }

    /// launch.json holds the active key; the rest is nobody else's business.
    private static func state(_ x: Examination) -> Check {
        let (id, title) = ("keys.state", "state directory")
        let folder = x.configuration.paths.state
        guard let status = x.stat(folder) else { return .skipped(id, title, "\(folder.shown) is not there yet") }
        guard status.mode & 0o077 == 0 || status.owner != CurrentProcess.userID else {
            return .warning(id, title, "others can look into \(folder.shown)", fix: "chmod 700 \(folder.shown)")
        }
        guard Syscalls.isWritable(folder) else {
            return .failed(
                id, title, "\(folder.shown) cannot be written by this user",
                fix: "chown -R \(CurrentProcess.userID) \(folder.shown), or set paths.state")
        }
        for name in ["launch.json", "keys.json", "alerts.json", "incidents.json"] {
            guard let file = x.stat(folder.appending(name)), file.mode & 0o077 != 0 else { continue }
            return .failed(
                id, title, "others can read \(folder.appending(name).shown)",
                fix: "chmod 600 \(folder.appending(name).shown)")
        }
        let corrupt = x.names(folder).filter { $0.lastName.suffix(8).elementsEqual(".corrupt".utf8) }
        guard corrupt.isEmpty else {
            return .warning(
                id, title, "set aside because it was not understood: \(corrupt.map(\.shown).joined(separator: ", "))",
                fix: "look at it, then remove it")
        }
        return .ok(id, title, folder.shown)
    }
}
