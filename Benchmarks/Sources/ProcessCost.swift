// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc
import LinuxSys
import SystemPackage

/// What a process, or a few of them together, take from the machine.
struct ProcessCost {
    let pids: [pid_t]

    init(_ pids: [pid_t]) { self.pids = pids }

    /// A process and its descendants.
    init(tree pid: pid_t) {
        var all = [pid]
        let others = ProcessTable.all().compactMap { ProcessTable.status(of: $0) }
        for _ in 0..<4 {
            for status in others where all.contains(status.parent) && !all.contains(status.identity.pid) {
                all.append(status.identity.pid)
            }
        }
        pids = all
    }

    /// Resident memory of the largest one, in kB: the others of a pipeline are shells and clients.
    var residentKilobytes: Int { pids.map { field("VmRSS:", in: "/proc/\($0)/status") }.max() ?? 0 }

    /// The same with shared pages counted in part (proc(5), smaps_rollup), in kB.
    var proportionalKilobytes: Int { pids.map { field("Pss:", in: "/proc/\($0)/smaps_rollup") }.max() ?? 0 }

    /// Processor time of all of them, in seconds.
    var processorSeconds: Double {
        var ticks = 0
        for pid in pids {
            let fields = text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ") ?? []
            if fields.count > 12 { ticks += (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0) }
        }
        return Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// How often their threads gave the processor up by themselves: each wait that ended was a wake-up.
    var switches: Int {
        var sum = 0
        for pid in pids {
            for thread in names("/proc/\(pid)/task") {
                sum += field("voluntary_ctxt_switches:", in: "/proc/\(pid)/task/\(thread)/status")
            }
        }
        return sum
    }

    /// Watches of inotify and marks of fanotify that they hold (proc(5), fdinfo).
    var watches: Int {
        var sum = 0
        for pid in pids {
            for name in names("/proc/\(pid)/fdinfo") {
                sum += text("/proc/\(pid)/fdinfo/\(name)").split(separator: "\n").count {
                    $0.hasPrefix("inotify ") || $0.hasPrefix("fanotify ino:")
                }
            }
        }
        return sum
    }

    /// The kernel's own memory that cannot be taken back, of the whole machine, in kB (proc(5), meminfo).
    static var kernelKilobytes: Int { Self([]).field("SUnreclaim:", in: "/proc/meminfo") }

    private func field(_ name: String, in path: String) -> Int {
        let line = text(path).split(separator: "\n").first { $0.hasPrefix(name) }
        return line.flatMap { Int($0.dropFirst(name.count).trimmed.prefix { $0.isNumber }) } ?? 0
    }

    // What has ended takes nothing.
    private func text(_ path: String) -> String {
        do { return String(decoding: try RegularFile.read(FilePath(path), limit: 64 << 20).bytes, as: UTF8.self) } catch
        { return "" }
    }

    private func names(_ path: String) -> [String] {
        do {
            let folder = try Syscalls.open(FilePath(path), flags: Syscalls.directory)
            return try Syscalls.names(inDirectory: folder.raw).map { String(decoding: $0, as: UTF8.self) }
        } catch { return [] }
    }
}
