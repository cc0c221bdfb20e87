// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Daemon
import GasTown
import JSON
import LinuxSys
import SystemPackage
import Timekeeping

/// The town's database.
enum DoltChecks {
    static func run(_ x: Examination) -> [Check] {
        let configured = Int(x.configuration.services.doltPort)
        let port = BeadsClient.port(of: x.town) ?? configured
        let listener: Holders.Listener?
        do throws(FileReadError) {
            listener = try Holders.listener(port: UInt16(clamping: port))
        } catch {
            return [.skipped("dolt.port", "port \(port)", "who listens cannot be told: \(error)")]
        }
        var checks = [owner(x, port, listener)]
        guard x.isInstalled else { return checks }
        checks.append(answer(x, port, isListening: listener != nil))
        checks.append(agreement(x, port, configured))
        checks.append(health(x))
        return checks
    }

    /// A port that somebody else has is named, not fought over.
    private static func owner(_ x: Examination, _ port: Int, _ listener: Holders.Listener?) -> Check {
        let (id, title) = ("dolt.port", "port \(port)")
        guard let listener else {
            return x.isInstalled
                ? .skipped(id, title, "nobody listens there") : .ok(id, title, "free")
        }
        guard let pid = listener.pid, let process = x.process(pid) else {
            guard listener.userID != CurrentProcess.userID else {
                return .ok(id, title, "held by a process of this user")
            }
            return .failed(
                id, title, "held by a process of user \(listener.userID), which is not the town's",
                fix: "ss -ltnp 'sport = :\(port)' as root shows it; end it, or choose another services.dolt_port")
        }
        let shown = "pid \(pid) (\(process.words.prefix(3).joined(separator: " ")))"
        guard process.name == "dolt" || process.words.contains("sql-server") else {
            return .failed(
                id, title, "held by \(shown), which is not dolt",
                fix: "end it (kill \(pid)), or choose another services.dolt_port")
        }
        guard isTowns(process, x) else {
            return .failed(
                id, title, "held by a dolt of another town: \(shown)",
                fix: "stop it there (gt dolt stop), or choose another services.dolt_port")
        }
        guard process.words.contains("--config") else {
            return .warning(
                id, title, "dolt was started by hand, without gt's limits: \(shown)",
                fix: "in \(x.town.shown): gt dolt stop; gt dolt start")
        }
        return .ok(id, title, "held by the town's dolt, pid \(pid)")
    }

    /// By the configuration or data folder in its arguments, or by the folder that it runs in (gt: doltserver.go).
    private static func isTowns(_ process: Examination.Process, _ x: Examination) -> Bool {
        var roots = [x.town.string]
        do throws(SystemError) {
            roots.append(try Syscalls.realPath(x.town).string)
            let directory = try Syscalls.linkTarget(FilePath("/proc/\(process.pid)/cwd"))
            if roots.contains(where: { directory.string.hasPrefix($0 + "/") }) { return true }
        } catch {
            // Its arguments still tell.
        }
        return process.words.contains { word in roots.contains { word.contains($0 + "/") } }
    }

    /// The query names the server: without a host dolt answers for the folder it is called in.
    private static func answer(_ x: Examination, _ port: Int, isListening: Bool) -> Check {
        let (id, title) = ("dolt.answer", "dolt")
        guard let dolt = x.find("dolt") else { return .skipped(id, title, "there is no dolt") }
        let fix =
            "\(x.status == nil ? "gasclawd run" : "gasclawd services start dolt"), or in \(x.town.shown): gt dolt start; \(x.town.shown)/daemon/dolt.log tells more"
        guard isListening else {
            guard isManaged(x) else { return .skipped(id, title, "not running, and not in services.manage") }
            return .failed(id, title, "nobody listens on 127.0.0.1:\(port)", fix: fix)
        }
        let data = x.town.appending(".dolt-data")
        // Called elsewhere it leaves a folder .doltcfg behind.
        let outcome = x.run(
            Examination.Call(
                words: [
                    dolt, "--host", "127.0.0.1", "--port", "\(port)", "--user", "root", "--no-tls", "sql", "-q",
                    "SELECT 1",
                ], variables: ["DOLT_CLI_PASSWORD": ""], directory: Syscalls.isDirectory(data) ? data : "/"))
        switch outcome {
        case .success(let result) where result.status.isSuccess && !result.timedOut:
            return .ok(id, title, "answers on 127.0.0.1:\(port)")
        case .success(let result) where result.timedOut:
            return .failed(id, title, "no answer within \(Examination.timeout.brief)", fix: fix)
        case .success(let result):
            let said = result.errors.isEmpty ? result.output : result.errors
            return .failed(id, title, "\(result.status): \(shownText(said.prefix(200)))", fix: fix)
        case .failure(let error): return .failed(id, title, "\(error)", fix: fix)
        }
    }

    private static func isManaged(_ x: Examination) -> Bool { x.configuration.services.managed.contains(.dolt) }

    /// gt's own files go before ours.
    private static func agreement(_ x: Examination, _ port: Int, _ configured: Int) -> Check {
        let (id, title) = ("dolt.port-agreement", "services.dolt_port")
        // A default says nothing of a town that was made otherwise.
        guard port != configured, configured != 3307 else { return .ok(id, title, "\(port)") }
        return .warning(
            id, title, "the configuration says \(configured), the town's files say \(port)",
            fix: "set services.dolt_port = \(port), or change GT_DOLT_PORT in mayor/daemon.json and restart dolt")
    }

    private static func health(_ x: Examination) -> Check {
        let (id, title) = ("dolt.health", "gt's view of dolt")
        guard let value = x.json(x.town.appending("daemon/DOLT_UNHEALTHY")).json else {
            return .ok(id, title, "no complaint")
        }
        let reason = [value["reason"]?.string, value["detail"]?.string].compactMap(\.self).joined(separator: ": ")
        return .failed(
            id, title, "daemon/DOLT_UNHEALTHY: \(reason)",
            fix: "in \(x.town.shown): gt dolt stop; gt dolt start (never remove .dolt/noms/LOCK)")
    }
}
