// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// What a launcher tells of the agent that it is about to become (`POST /v1/leases`).
public struct LeaseRequest: Sendable, Equatable {
    public var pid: Int32
    /// The tmux pane, `%3`; nil outside of tmux.
    public var pane: String?
    /// The tmux server's socket.
    public var tmuxSocket: String?
    public var session: String?
    /// `GT_ROLE` and `GT_RIG` as gt set them.
    public var role: String?
    public var rig: String?
    public var directory: String
    /// The conversation that the caller's own arguments name.
    public var conversation: String?
    /// Whether the caller's arguments leave the choice of the conversation to us.
    public var mayResume: Bool
    /// `CLAUDE_CODE_PROJECT_DIR_NAME`: the transcripts' folder where it is not made from the directory.
    public var slug: String?
    /// Settings that could take the key elsewhere, `FILE: NAME`; the start is refused if there are any.
    public var unsafeSettings: [String]
    /// Whether the answer may wait for a key while there is none.
    public var mayWait: Bool

    public init(
        pid: Int32, pane: String? = nil, tmuxSocket: String? = nil, session: String? = nil, role: String? = nil,
        rig: String? = nil, directory: String, conversation: String? = nil, mayResume: Bool = true, slug: String? = nil,
        unsafeSettings: [String] = [], mayWait: Bool = false
    ) {
        self.pid = pid
        self.pane = pane
        self.tmuxSocket = tmuxSocket
        self.session = session
        self.role = role
        self.rig = rig
        self.directory = directory
        self.conversation = conversation
        self.mayResume = mayResume
        self.slug = slug
        self.unsafeSettings = unsafeSettings
        self.mayWait = mayWait
    }

    /// - Throws: What is missing or wrong.
    public init(_ json: JSONValue) throws(ControlError) {
        func text(_ name: String, max: Int = 4096) throws(ControlError) -> String? {
            guard let value = json[name], !value.isNull else { return nil }
            guard let text = value.string, text.utf8.count <= max, !text.utf8.contains(0) else {
                throw ControlError(code: "bad_request", message: "\(name) is not a text of at most \(max) bytes")
            }
            return text
        }
        guard let pid = json["pid"]?.integer, let pid = Int32(exactly: pid), pid > 0 else {
            throw ControlError(code: "bad_request", message: "pid is missing or no process number")
        }
        guard let directory = try text("cwd"), directory.hasPrefix("/") else {
            throw ControlError(code: "bad_request", message: "cwd is missing or not absolute")
        }
        self.init(
            pid: pid, pane: try text("pane", max: 32), tmuxSocket: try text("tmux_socket"),
            session: try text("session", max: 256), role: try text("role", max: 256), rig: try text("rig", max: 256),
            directory: directory, conversation: try text("conversation", max: 64),
            mayResume: json["may_resume"]?.bool ?? true, slug: try text("slug", max: 512),
            mayWait: json["wait"]?.bool ?? false)
        let number = pane?.dropFirst().utf8
        if let pane, let number,
            !(pane.hasPrefix("%") && !number.isEmpty && number.allSatisfy { (48...57).contains($0) })
        {
            throw ControlError(code: "bad_request", message: "pane is no tmux pane id")
        }
        // It becomes the name of a folder that is watched.
        if let name = slug, name.contains("/") || name.hasPrefix(".") || name.isEmpty || name.utf8.count > 255 {
            slug = nil
        }
        if let tmuxSocket, !tmuxSocket.hasPrefix("/") {
            throw ControlError(code: "bad_request", message: "tmux_socket is not absolute")
        }
        unsafeSettings = (json["unsafe_settings"]?.array ?? []).prefix(64).compactMap(\.string)
    }

    public var json: JSONValue {
        [
            "pid": JSONValue(pid), "pane": .optional(pane), "tmux_socket": .optional(tmuxSocket),
            "session": .optional(session), "role": .optional(role), "rig": .optional(rig), "cwd": .string(directory),
            "conversation": .optional(conversation), "may_resume": .bool(mayResume), "slug": .optional(slug),
            "unsafe_settings": .array(unsafeSettings.map(JSONValue.string)), "wait": .bool(mayWait),
        ]
    }
}

/// What an agent is started with. It holds a key: it travels over the control socket and stands in `launch.json`
/// (0600), and nowhere else.
public struct LeaseAnswer: Sendable {
    public var baseURL: String
    public var credential: String
    /// The credential's id.
    public var keyID: String
    public var environment: [(name: String, value: String)]
    public var configDirectory: String
    /// The real client, where it is configured.
    public var program: String?
    public var isSandboxed: Bool
    /// The folder with the links to us.
    public var bin: String
    /// Where pinned settings are written.
    public var settingsDirectory: String
    public var bypassesPermissions: Bool
    public var townRoot: String
    public var resume: String?
    public var resumePrompt: String

    public init(
        baseURL: String, credential: String, keyID: String, environment: [(name: String, value: String)],
        configDirectory: String, program: String?, isSandboxed: Bool, bin: String, settingsDirectory: String,
        bypassesPermissions: Bool, townRoot: String, resume: String?, resumePrompt: String
    ) {
        self.baseURL = baseURL
        self.credential = credential
        self.keyID = keyID
        self.environment = environment
        self.configDirectory = configDirectory
        self.program = program
        self.isSandboxed = isSandboxed
        self.bin = bin
        self.settingsDirectory = settingsDirectory
        self.bypassesPermissions = bypassesPermissions
        self.townRoot = townRoot
        self.resume = resume
        self.resumePrompt = resumePrompt
    }

    public init?(_ json: JSONValue) {
        guard let baseURL = json["base_url"]?.string, let credential = json["credential"]?.string,
            let configDirectory = json["config_dir"]?.string, let bin = json["bin"]?.string,
            let settingsDirectory = json["settings_dir"]?.string
        else { return nil }
        self.init(
            baseURL: baseURL, credential: credential, keyID: json["id"]?.string ?? "",
            environment: (json["env"]?.object?.members ?? []).compactMap { member in
                member.value.string.map { (member.name, $0) }
            },
            configDirectory: configDirectory, program: json["program"]?.string,
            isSandboxed: json["sandboxed"]?.bool ?? false, bin: bin, settingsDirectory: settingsDirectory,
            bypassesPermissions: json["bypass"]?.bool ?? false, townRoot: json["town"]?.string ?? "",
            resume: json["resume"]?.string, resumePrompt: json["resume_prompt"]?.string ?? "")
    }

    public var json: JSONValue {
        var variables = JSONObject()
        for (name, value) in environment { variables[name] = .string(value) }
        return [
            "id": .string(keyID), "base_url": .string(baseURL), "credential": .string(credential),
            "env": .object(variables), "config_dir": .string(configDirectory), "program": .optional(program),
            "sandboxed": .bool(isSandboxed), "bin": .string(bin), "settings_dir": .string(settingsDirectory),
            "bypass": .bool(bypassesPermissions), "town": .string(townRoot), "resume": .optional(resume),
            "resume_prompt": .string(resumePrompt),
        ]
    }
}

/// An error as the API answers it.
public struct ControlError: Error, Sendable, Equatable, CustomStringConvertible {
    public let code: String
    public let message: String
    /// With `method_not_allowed`: the method that the path takes.
    public let allowed: String?

    public init(code: String, message: String, allowed: String? = nil) {
        self.code = code
        self.message = message
        self.allowed = allowed
    }

    /// What was asked for is in force, but a restart of ours would forget it.
    ///
    /// - Parameter problem: Why it is not on disk.
    public static func unsaved(_ problem: String) -> ControlError {
        ControlError(
            code: "unsaved",
            message: "it is done, but holds only until gasclawd ends: \(problem)"
                + " (once that is mended it is written without being asked)")
    }

    /// The HTTP status that goes with the code (contract B).
    public var status: Int {
        switch code {
        case "bad_request": 400
        case "forbidden": 403
        case "not_found": 404
        case "method_not_allowed": 405
        case "busy": 409
        case "too_large": 413
        case "refused": 422
        case "unavailable", "stopping", "too_many_clients", "unsaved": 503
        default: 500
        }
    }

    public var json: JSONValue { ["error": ["code": .string(code), "message": .string(message)]] }
    public var description: String { message }
}
