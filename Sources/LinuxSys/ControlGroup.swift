// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import SystemPackage

/// A control group (cgroups(7), version 2).
public struct ControlGroup: Sendable, Hashable {
    /// Its folder below /sys/fs/cgroup.
    public let path: FilePath

    /// The group that systemd made for this service alone, if we are its main process (systemd.exec(5),
    /// SYSTEMD_EXEC_PID); a shell that was started from a service is in its group too and must not end it.
    public static var ofOurService: ControlGroup? {
        guard CurrentProcess.environmentValue("SYSTEMD_EXEC_PID") == "\(CurrentProcess.pid)" else { return nil }
        do throws(FileReadError) {
            let lines = try RegularFile.read("/proc/self/cgroup", limit: 64 << 10).bytes.split(separator: 10)
            // Version 2 is hierarchy 0, without a controller's name: `0::/system.slice/x.service`.
            guard let line = lines.first(where: { $0.starts(with: "0::/".utf8) }) else { return nil }
            let path = FilePath(bytes: Array("/sys/fs/cgroup".utf8) + line.dropFirst(3))
            guard path.lastName.suffix(8).elementsEqual(".service".utf8) else { return nil }
            return ControlGroup(path: path)
        } catch {
            return nil
        }
    }

    /// The processes in it now, without those of groups below.
    public func processes() throws(FileReadError) -> [Int32] {
        try RegularFile.read(path.appending("cgroup.procs"), limit: 1 << 20).bytes.split(separator: 10)
            .compactMap { Int32(String(decoding: $0, as: UTF8.self)) }
    }
}
