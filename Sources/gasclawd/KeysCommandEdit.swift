// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import Configuration
import Daemon
import Glibc
import JSON
import KeyPool
import LinuxSys
import Secrets
import SystemPackage

extension KeysCommand {
    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put a key into an account folder of its own.",
            discussion: """
                The key is read from standard input, or from a file that holds nothing else. It never goes on the \
                command line, where every user of the machine can read it. A running daemon takes it up by itself.
                """)
        @OptionGroup var options: CommonOptions
        @Option(help: ArgumentHelp("A file that holds the key.", valueName: "path")) var file: String?
        @Option(help: ArgumentHelp("The folder's name; without it, the first free number.", valueName: "name"))
        var account: String?
        @Option(help: ArgumentHelp("Its endpoint; without it, agent.base_url.", valueName: "url"))
        var baseURL: String?
        @Flag(help: "Print JSON.") var json = false
        /// Only to say better than the parser, which would quote it, that nothing belongs here.
        @Argument(help: .hidden) var stray: [String] = []

        mutating func run() throws {
            guard stray.isEmpty else {
                throw CommandFailure(
                    code: 64,
                    "keys add: a key does not belong on the command line, where others can read it"
                        + " (gasclawd keys add < FILE)")
            }
            if let baseURL, AccountFile.anthropicBase(baseURL) == nil {
                throw CommandFailure(
                    code: 64, "keys add: --base-url is no http(s) URL (give it without a user, query and fragment)")
            }
            let (configuration, _) = try options.configuration()
            let key = try readKey()
            let folder = AccountFolder(directory: configuration.accounts, baseURL: configuration.agent.baseURL)
            let place: AccountFolder.Place
            do throws(AccountFolderError) {
                place = try folder.add(key, account: account, baseURL: baseURL)
            } catch {
                throw CommandFailure(code: error.code, "keys add: \(error)")
            }
            if json {
                let answer: JSONValue = [
                    "ok": true, "id": .string(key.id.text), "account": .string(place.account),
                    "path": .string(place.path), "added": .bool(place.isNew),
                ]
                return Output.write(answer.line + "\n")
            }
            Output.write(
                place.isNew
                    ? "added: \(key.id) as account \(place.account)\n"
                    : "nothing to do: account \(place.account) has \(key.id) already\n")
        }

        private func readKey() throws -> Key {
            let bytes: [UInt8]
            if let file {
                do throws(FileReadError) {
                    bytes = try RegularFile.read(FilePath(file), limit: AccountFile.lengthMax).bytes
                } catch {
                    throw CommandFailure(code: 1, "keys add: \(FilePath(file).shown): \(error) (see --file)")
                }
            } else {
                bytes = try StandardInput.readSecret(prompt: "key: ", limit: AccountFile.lengthMax)
            }
            // What separates keys in variables and lists is in none.
            let words = String(decoding: bytes, as: UTF8.self)
                .split { $0.isWhitespace || $0 == ":" || $0 == "," || $0 == ";" }
            guard words.count <= 1 else {
                throw CommandFailure(code: 1, "keys add: there is more than one word (give one key at a time)")
            }
            guard let text = words.first.map(String.init) else {
                throw CommandFailure(code: 1, "keys add: there is no key (give it on standard input, or with --file)")
            }
            guard let key = Key(text) else {
                throw CommandFailure(
                    code: 1,
                    "keys add: that is no key: it does not begin with sk-, or has characters that no key has"
                        + " (nothing was changed)")
            }
            return key
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a key out of its account's file.",
            discussion: """
                A file that `keys add` wrote goes with its folder. In any other one the key's text becomes empty, and \
                all else stays. A running daemon moves the key's agents after 2 s.
                """)
        @OptionGroup var options: CommonOptions
        @Argument(help: "The key's id.") var id: String
        @Flag(help: "Print JSON.") var json = false

        mutating func run() throws {
            let key = try KeysCommand.keyID(id)
            let (configuration, _) = try options.configuration()
            let folder = AccountFolder(directory: configuration.accounts, baseURL: configuration.agent.baseURL)
            let paths: [String]
            do throws(AccountFolderError) { paths = try folder.remove(key) } catch {
                throw CommandFailure(code: error.code, "keys remove: \(error)")
            }
            if json {
                let answer: JSONValue = [
                    "ok": true, "id": .string(key.text), "paths": .array(paths.map(JSONValue.string)),
                ]
                return Output.write(answer.line + "\n")
            }
            Output.write("removed: \(key) from \(paths.joined(separator: ", "))\n")
        }
    }
}

enum StandardInput {
    private static let interrupt: UInt8 = 3

    /// Reads all of standard input; on a terminal one line, which is not shown.
    static func readSecret(prompt: String, limit: Int) throws -> [UInt8] {
        var saved = termios()
        let isTerminal = tcgetattr(0, &saved) == 0
        if isTerminal {
            var quiet = saved
            // Ctrl-C as a character that ends the line: its signal would leave a terminal that shows nothing.
            quiet.c_lflag &= ~UInt32(ECHO | ISIG)
            quiet.c_cc.11 = interrupt
            tcsetattr(0, TCSAFLUSH, &quiet)
            write(prompt)
        }
        defer {
            if isTerminal {
                tcsetattr(0, TCSAFLUSH, &saved)
                write("\n")
            }
        }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count <= limit {
            let count = Glibc.read(0, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
            if isTerminal, bytes.contains(interrupt) {
                throw CommandFailure(code: 1, "keys add: interrupted (nothing was changed)")
            }
            if isTerminal, bytes.contains(10) { return bytes }
        }
        throw CommandFailure(code: 1, "keys add: more than \(limit) bytes: that is no key (nothing was changed)")
    }

    private static func write(_ text: String) {
        // Without a terminal to write to there is nobody to ask.
        _ = text.withCString { Glibc.write(2, $0, strlen($0)) }
    }
}
