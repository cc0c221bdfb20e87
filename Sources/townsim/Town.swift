// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import LinuxSys

/// A folder with everything that a town of townsim and a daemon for it need; nothing is started.
struct MiniatureTown {
    let directory: String

    init(at path: String) { directory = Environment.absolute(path) }

    var home: String { directory + "/home" }
    var root: String { directory + "/town" }
    var accounts: String { directory + "/accounts" }
    var bin: String { directory + "/bin" }
    var configDirectory: String { directory + "/claude" }
    var configuration: String { directory + "/gasclawd.toml" }
    var runtime: String { directory + "/run" }
    var state: String { directory + "/state" }
    /// An empty repository for the rig `project`.
    var repository: String { directory + "/repo.git" }

    func accountFile(_ account: String) -> String { "\(accounts)/\(account)/config.toml" }

    /// The links `gt`, `dolt`, `bd` and `claude` to this program.
    static func makeLinks(in directory: String) throws(Failure) {
        try Disk.makeDirectories(directory)
        let program = try Environment.ownProgram()
        for tool in Townsim.tools { try Disk.link("\(directory)/\(tool)", to: program) }
    }

    func make() throws(Failure) {
        guard !Disk.exists(configuration) else { throw Failure("townsim: there is a town already: \(directory)") }
        try Disk.makeDirectories(directory, home, home + "/faults", configDirectory, runtime, state, mode: 0o700)
        try Self.makeLinks(in: bin)
        for account in ["1", "2", "3"] {
            try Disk.makeDirectories("\(accounts)/\(account)", mode: 0o700)
            try Disk.replace(accountFile(account), Array(Self.account(key: Self.newKey()).utf8))
        }
        if Environment.find("git") != nil { _ = try Program.run(["git", "init", "-q", "--bare", repository]) }
        try Disk.replace(configuration, Array(daemonConfiguration.utf8), mode: 0o644)
    }

    /// A key of the form that Kimi gives out (kimi-claude.md A.1); it opens nothing.
    static func newKey() -> String {
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        return "sk-kimi-" + String((0..<48).map { _ in letters[Int.random(in: letters.indices)] })
    }

    /// An account's file (kimi-claude.md F.1).
    static func account(key: String) -> String {
        """
        default_model = "kimi-code/kimi-for-coding"
        default_thinking = true
        default_yolo = false

        [models."kimi-code/kimi-for-coding"]
        provider = "kimi-api"
        model = "kimi-for-coding"
        max_context_size = 262144
        capabilities = ["thinking", "image_in", "video_in"]

        [providers.kimi-api]
        type = "kimi"
        base_url = "https://api.kimi.com/coding/v1"
        api_key = "\(key)"

        """
    }

    /// The one place but the demo where gasclawd is known (contract E).
    private var daemonConfiguration: String {
        """
        [town]
        root = "\(root)"
        path = ["\(bin)"]
        rigs = [{ name = "project", url = "\(repository)" }]

        [accounts]
        directory = "\(accounts)"

        [agent]
        program = "\(bin)/claude"
        config_dir = "\(configDirectory)"
        sandboxed = "yes"

        [services]
        dolt_port = \(Dolt.freePort())

        [paths]
        state = "\(state)"
        runtime = "\(runtime)"

        """
    }
}
