// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// The command lines that set up a town and run its services, each without the program's name.
///
/// They are called with the town as the folder and as GT_TOWN_ROOT, and what they print is read from standard output
/// alone. Their exit codes say that a call failed, never that a service runs: `status` is 0 either way.
public enum TownCommands {
    public static let doltPortDefault: UInt16 = 3307

    /// Not idempotent: a town that is installed makes it fail (gt: cmd/install.go).
    public static func install(_ root: String, doltPort: UInt16) -> [String] {
        ["install", root, "--git"] + (doltPort == doltPortDefault ? [] : ["--dolt-port", "\(doltPort)"])
    }

    /// The name goes first, and the repository is a URL (gt: cmd/rig.go).
    public static func addRig(_ name: String, url: String) -> [String] { ["rig", "add", name, repositoryURL(url)] }

    /// gt takes no bare paths: `/project` becomes `file:///project`.
    public static func repositoryURL(_ text: String) -> String {
        guard text.hasPrefix("/") else { return text }
        // What a URL's path must not hold as it is (RFC 3986, section 3.3).
        let plain = Array("-._~/!$&'()*+,;=:@".utf8)
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            let isLetter = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            if isLetter || plain.contains(byte) {
                bytes.append(byte)
            } else {
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return "file://" + String(decoding: bytes, as: UTF8.self)
    }

    public static let startDolt = ["dolt", "start"]
    public static let stopDolt = ["dolt", "stop"]
    /// In the foreground, for supervisors (gt: cmd/daemon.go).
    public static let runDaemon = ["daemon", "run"]
    /// Returns when the agent is at its prompt, after up to three minutes (gt: session/lifecycle.go).
    public static func startMayor(agent: String) -> [String] { ["mayor", "start", "--agent", agent] }
    public static func restartMayor(agent: String) -> [String] { ["mayor", "restart", "--agent", agent] }
    public static let stopMayor = ["mayor", "stop"]

    /// Asks the server on a port, not the folder: the connection's options go before `sql` (gt: doltserver.go). It runs
    /// in the data folder, or dolt leaves a `.doltcfg` where it runs.
    public static func queryDolt(port: UInt16) -> [String] {
        [
            "--host", "127.0.0.1", "--port", "\(port)", "--user", "root", "--no-tls", "sql", "-q", "SELECT 1",
        ]
    }

    /// The mayor's session on the town's tmux server (gt: session/names.go).
    public static let mayorSession = "hq-mayor"
}
