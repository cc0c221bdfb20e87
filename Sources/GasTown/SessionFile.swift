// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import JSON

/// What `<config dir>/sessions/<pid>.json` tells of a running client. The file is optional, and so is each field.
public struct SessionFile: Sendable, Hashable {
    public let pid: Int32
    public let conversation: ConversationID?
    public let directory: String?
    /// Whether a turn is going on; nil if the file does not say.
    public let isBusy: Bool?

    /// The largest file read, in bytes.
    public static let lengthMax = 64 << 10

    /// - Parameters:
    ///   - bytes: What is in it.
    ///   - name: The file's name, `<pid>.json`; a file that names another process is not believed.
    /// - Returns: nil for anything that is not understood: the client may be writing it.
    public static func read(_ bytes: [UInt8], name: some Collection<UInt8>) -> SessionFile? {
        guard let pid = pid(ofName: name) else { return nil }
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: bytes) } catch { return nil }
        guard value.object != nil else { return nil }
        if let said = value["pid"]?.integer, said != Int(pid) { return nil }
        let isBusy: Bool? =
            switch value["status"]?.string ?? value["state"]?.string {
            case "busy", "working", "running": true
            case "idle", "waiting", "ready": false
            default: nil
            }
        return SessionFile(
            pid: pid, conversation: value["sessionId"]?.string.flatMap(ConversationID.init),
            directory: value["cwd"]?.string, isBusy: isBusy)
    }

    public static func pid(ofName name: some Collection<UInt8>) -> Int32? {
        let text = String(decoding: name, as: UTF8.self)
        let digits = text.dropLast(5)
        guard text.hasSuffix(".json"), digits.utf8.allSatisfy({ (48...57).contains($0) }), let pid = Int32(digits),
            pid > 0
        else { return nil }
        return pid
    }
}
