// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import ArgumentParser
import JSON

/// Prints `gasclawd(8)`.
struct ManualCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "print-manual", abstract: "Print the manual page.", shouldDisplay: false)

    mutating func run() throws {
        do throws(JSONError) {
            Output.write(Manual.page(of: try CommandDescription.program()))
        } catch {
            throw CommandFailure(code: 70, "print-manual: \(error)")
        }
    }
}

/// The manual page, in the macros of man(7): prose from here, commands and options from the parser.
enum Manual {
    /// Of the version.
    static let date = "2026-11-26"

    static func page(of program: CommandDescription) -> String {
        let everywhere = common(program)
        let text = """
            .\\" Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
            .\\" Printed by gasclawd print-manual.
            .TH GASCLAWD 8 \(date) "gasclawd \(gasclawdVersion)" "System Manager\\(aqs Manual"
            .SH NAME
            gasclawd \\- keeps the agents of a Gas Town supplied with working API keys
            .SH SYNOPSIS
            .B gasclawd
            .I command
            .RI [ options ]
            \(opening)
            .SH COMMANDS
            \(commands(program, without: everywhere)).SH OPTIONS OF ALL COMMANDS
            \(everywhere.map(describe).joined())\(closing)

            """
        return wrapped(text)
    }

    /// The options that every command takes.
    private static func common(_ program: CommandDescription) -> [CommandDescription.Argument] {
        let leaves = program.leaves
        return (leaves.first?.arguments ?? []).filter { argument in
            leaves.allSatisfy { $0.arguments.contains(argument) }
        }
    }

    private static func commands(
        _ program: CommandDescription, without everywhere: [CommandDescription.Argument]
    ) -> String {
        program.leaves.map { command in
            let positional = command.arguments.filter { !$0.usage.hasPrefix("-") }
            let title = (["gasclawd"] + command.path + positional.map(\.usage)).joined(separator: " ")
            return ".SS \(escape(title))\n\(line(command.abstract))\n"
                + (command.discussion.isEmpty ? "" : ".PP\n\(line(command.discussion))\n")
                + command.arguments.filter { !everywhere.contains($0) }.map(describe).joined()
        }.joined()
    }

    private static func describe(_ argument: CommandDescription.Argument) -> String {
        var text = ".TP\n.B \(escape(argument.usage))\n\(line(argument.abstract))\n"
        if let value = argument.defaultValue { text += "Default: \(escape(value)).\n" }
        if !argument.choices.isEmpty { text += "One of: \(escape(argument.choices.joined(separator: " "))).\n" }
        return text
    }

    /// Lines of at most 80 bytes, as the readers of man(7) want them. Requests and examples stay as they are.
    private static func wrapped(_ text: String) -> String {
        var lines: [String] = []
        var isExample = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix(".EX") || line.hasPrefix(".EE") { isExample = line.hasPrefix(".EX") }
            guard !isExample, !line.hasPrefix("."), line.utf8.count > 79 else {
                lines.append(String(line))
                continue
            }
            var current = ""
            for word in line.split(separator: " ") {
                if !current.isEmpty, current.utf8.count + word.utf8.count + 1 > 72 {
                    lines.append(current)
                    current = ""
                }
                current += (current.isEmpty ? "" : " ") + word
            }
            lines.append(current)
        }
        return lines.joined(separator: "\n")
    }

    /// A line of text: not empty, and no request of roff.
    private static func line(_ text: String) -> String { text.isEmpty ? "\\&" : "\\&\(escape(text))" }

    /// groff_char(7): these four would be turned into typographic signs, which nobody can type.
    private static func escape(_ text: String) -> String {
        var escaped = ""
        for character in text {
            switch character {
            case "\\": escaped += "\\e"
            case "-": escaped += "\\-"
            case "'": escaped += "\\(aq"
            case "`": escaped += "\\(ga"
            case "^": escaped += "\\(ha"
            case "~": escaped += "\\(ti"
            case "\n": escaped += " "
            default: escaped.append(character)
            }
        }
        return escaped
    }

    private static let opening = """
        .SH DESCRIPTION
        .B gasclawd
        watches a Gas Town workspace
        .RB ( gt (1))
        and a folder of key files with
        .BR inotify (7).
        When a key file changes, or when the transcript of an agent shows that its key is exhausted, the agents concerned
        go on with the next key, in the same conversation.
        .PP
        Agents are started through a link to
        .B gasclawd
        that is called
        .IR claude :
        it asks the daemon for a key, sets the environment, and becomes the real client under the same process id.
        A second link,
        .IR agent\\-shell ,
        keeps the key from the commands that an agent runs.
        .PP
        Keys are never shown. Where one is meant its id stands for it: the first 12 hexadecimal digits of its SHA-256
        .RB ( "printf %s \\(dq$KEY\\(dq | sha256sum" ).
        Times are in UTC.
        .PP
        Use only keys that were issued to you or your organization under terms that allow your use.
        """

    private static let closing = """
        .SH EXIT STATUS
        .TP
        .B 0
        Done.
        .TP
        .B 1
        Failed;
        .BR "status \\-\\-check" :
        not ready.
        .TP
        .B 64
        The command line is wrong.
        .TP
        .B 69
        No daemon answers.
        .TP
        .B 70
        A fault of
        .B gasclawd
        itself.
        .TP
        .B 75
        Busy: another daemon has this runtime directory, or the wait was over. Try again.
        .TP
        .B 78
        The configuration is refused. Each error is told as
        .IR FILE : LINE : COLUMN : " MESSAGE" .
        .SH ENVIRONMENT
        .TP
        .B GASCLAWD_CONFIG
        The configuration file, unless
        .B \\-\\-config
        names one.
        .TP
        .B GASCLAWD_SOCKET
        The control socket, unless
        .B \\-\\-socket
        names one.
        .TP
        .BI GASCLAWD_ SECTION _ KEY
        A setting; it goes over the file. See
        .BR gasclawd.toml (5).
        .TP
        .BR GASTOWN_KIMI_KEYS ", " KIMI_API_KEYS
        Keys, separated by colons:
        .B run
        and
        .B bootstrap
        write those that are new to account folders, and take the variables out of the environment.
        .TP
        .BR GT_RIG_URL ", " DOLT_PORT ", " LOG_LEVEL
        The URL of the town\\(aqs rig, and other names of
        .B GASCLAWD_SERVICES_DOLT_PORT
        and
        .BR GASCLAWD_LOG_LEVEL .
        .TP
        .BR NOTIFY_SOCKET ", " WATCHDOG_USEC ", " JOURNAL_STREAM ", " RUNTIME_DIRECTORY ", " STATE_DIRECTORY
        As
        .BR systemd.exec (5)
        and
        .BR sd_notify (3)
        say.
        .SH FILES
        .TP
        .I /etc/gasclawd/gasclawd.toml
        The configuration; without it
        .IR \\(ti/.config/gasclawd/gasclawd.toml .
        .TP
        .I \\(ti/.kimi\\-accounts/NAME/config.toml
        The key files, one folder an account.
        .TP
        .I /run/gasclawd/control.sock
        The control socket, for the user of the daemon and root. For a daemon that is no service it is below
        .IR $XDG_RUNTIME_DIR .
        .TP
        .I /var/lib/gasclawd
        What outlives a restart: cooldowns, leases, how far transcripts were read. For a daemon that is no service:
        .IR \\(ti/.local/state/gasclawd .
        .TP
        .I /usr/lib/gasclawd/bin
        The links by which agents are started, where a package brought them; else they are in
        .I bin
        below the state directory.
        .TP
        .I \\(ti/.local/state/gasclawd/installed.json
        Where the daemon of this user is, for the links of the package.
        .SH SIGNALS
        .TP
        .BR SIGTERM ", " SIGINT
        The daemon ends; agents and services live on. As the main process of a systemd service that is being stopped, and
        as the first process of a container, it ends these first.
        .TP
        .B SIGHUP
        The configuration is read again.
        .SH EXAMPLES
        .EX
        gasclawd keys add <FILE        # the key in FILE, and no other way
        gasclawd check                 # is the configuration right?
        gasclawd status                # keys, agents, and what is wrong
        gasclawd events \\-\\-follow       # what happens, as it happens
        gasclawd keys rotate           # the next key, now
        gasclawd doctor                # what is wrong, and how to mend it
        gasclawd stop                  # ends the town and the daemon
        journalctl \\-u gasclawd \\-x     # the journal, with explanations
        .EE
        .SH SEE ALSO
        .BR gasclawd.toml (5),
        .BR systemctl (1),
        .BR journalctl (1),
        .BR tmux (1),
        .BR inotify (7)
        .PP
        The book is in
        .IR /usr/share/doc/gasclawd .
        """
}
