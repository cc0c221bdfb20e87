// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// What an interactive client asks on its terminal and waits for.
enum ClaudeQuestion: Equatable {
    /// The wizard of a first start (kimi-claude.md C.4, `hasCompletedOnboarding`).
    case onboarding
    /// An ANTHROPIC_API_KEY that was never approved (kimi-claude.md C.1; transcripts/README.md "Seen").
    case apiKey
    /// A folder it does not know; "No, exit" is preselected (transcripts/README.md "Seen").
    case trust
    /// Bypass mode that was never accepted (kimi-claude.md C.4, `skipDangerousModePermissionPrompt`).
    case bypass
    /// A tool call outside of bypass mode (design.md section 6).
    case tool

    /// The questions that a start has to ask, in order.
    static func open(
        state: JSONObject, settings: ClaudeSettings, isBypassing: Bool, cwd: String
    ) throws(Failure) -> [ClaudeQuestion] {
        var questions: [ClaudeQuestion] = []
        if state["hasCompletedOnboarding"]?.bool != true { questions.append(.onboarding) }
        if let approval, !isListed(approval, "approved", state), !isListed(approval, "rejected", state) {
            questions.append(.apiKey)
        }
        if state["projects"]?[cwd]?["hasTrustDialogAccepted"]?.bool != true { questions.append(.trust) }
        if isBypassing, !settings.skipsBypassQuestion { questions.append(.bypass) }
        return questions
    }

    /// A declined key is ignored without a word (kimi-claude.md C.1).
    static func isKeyRejected(state: JSONObject) throws(Failure) -> Bool {
        guard let approval else { return false }
        return isListed(approval, "rejected", state) && !isListed(approval, "approved", state)
    }

    func text(cwd: String) -> String {
        switch self {
        case .onboarding:
            """
            Welcome to Claude Code v\(Transcript.version)
            Choose the text style that looks best with your terminal
            ❯ 1. Dark mode
              2. Light mode
            """
        case .apiKey:
            """
            Detected a custom API key in your environment
            Do you want to use this API key?
              1. Yes
            ❯ 2. No (recommended)
            """
        case .trust:
            """
            Accessing workspace: \(cwd)
            Quick safety check: Is this a project you created or one you trust?
              1. Yes, I trust this folder
            ❯ 2. No, exit
            Enter to confirm · Esc to cancel
            """
        case .bypass:
            """
            WARNING: Claude Code running in Bypass Permissions mode
            ❯ 1. No, exit
              2. Yes, I accept
            Enter to confirm · Esc to cancel
            """
        case .tool:
            """
            Bash command
            Do you want to proceed?
            ❯ 1. Yes
              2. No
            Esc to cancel
            """
        }
    }

    /// Whether a typed line says yes: a number, or arrow keys away from what is preselected; Enter alone takes what
    /// is preselected.
    func isAccepted(by line: String) -> Bool {
        let digit = line.last { $0.isNumber }
        let moves = line.contains("\u{1B}[A") || line.contains("\u{1B}[B")
        switch self {
        case .onboarding: return true
        case .apiKey, .trust: return digit == "1" || (digit == nil && moves)
        case .bypass: return digit == "2" || (digit == nil && moves)
        case .tool: return digit == "1" || (digit == nil && !moves)
        }
    }

    var endsWhenDeclined: Bool { self == .trust || self == .bypass }

    func accept(_ files: ClaudeFiles, cwd: String) throws(Failure) {
        switch self {
        case .onboarding:
            try files.changeState { state in
                state["hasCompletedOnboarding"] = true
                state["theme"] = "dark"
                state["lastOnboardingVersion"] = .string(Transcript.version)
            }
        case .apiKey: try Self.answer("approved", files)
        case .trust: try files.changeProject(cwd) { $0["hasTrustDialogAccepted"] = true }
        case .bypass:
            var settings = try Disk.object(files.settings) ?? [:]
            settings["skipDangerousModePermissionPrompt"] = true
            try Disk.replace(files.settings, settings)
        case .tool: break
        }
    }

    func decline(_ files: ClaudeFiles) throws(Failure) {
        if self == .apiKey { try Self.answer("rejected", files) }
    }

    // MARK: - Approved keys

    /// The last 20 characters, by which a key is remembered; nil where no key is given.
    private static var approval: String? {
        guard Environment.value("ANTHROPIC_AUTH_TOKEN") == nil, let key = Environment.value("ANTHROPIC_API_KEY") else {
            return nil
        }
        return String(key.suffix(20))
    }

    private static func isListed(_ approval: String, _ list: String, _ state: JSONObject) -> Bool {
        state["customApiKeyResponses"]?[list]?.array?.contains(.string(approval)) ?? false
    }

    private static func answer(_ list: String, _ files: ClaudeFiles) throws(Failure) {
        guard let approval else { return }
        try files.changeState { state in
            var responses = state["customApiKeyResponses"]?.object ?? ["approved": [], "rejected": []]
            responses[list] = .array((responses[list]?.array ?? []) + [.string(approval)])
            state["customApiKeyResponses"] = .object(responses)
        }
    }
}
