// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import GasTown
import JSON
import LinuxSys
import Logging
import SystemPackage

/// gt's own list of agents, held against what is seen here. It is asked for seldom: its probe can make a gt daemon fail
/// that is just starting (gt: daemon/daemon.go:2227-2262). Nothing is done because of what it says.
extension Daemon {
    /// Contract G.
    private static let listingTimeout = Duration.seconds(10)
    /// Agents that have just been started are there by then, as gt sees it too.
    private static let listingDelay = Duration.seconds(15)

    /// Plans a look: after the start, after a plan of reloads. Several are one.
    func planListing() {
        if let listingTimer { loop.cancel(listingTimer) }
        listingTimer = loop.schedule(after: Self.listingDelay) { [unowned self] in
            listingTimer = nil
            askForListing()
        }
    }

    /// What gt said is about agents that are others now.
    func forgetListing() {
        guard !surroundings.disagreements.isEmpty else { return }
        surroundings.disagreements = [:]
        planListing()
    }

    private func askForListing() {
        guard let gt = toolbox.gt, let services, !isStopping, !controller.hasPendingReloads,
            services.place.isInstalled, services.supervisor.isUp(.daemon)
        else { return }
        do throws(SystemError) {
            try Command.run(
                [gt] + TownListing.arguments, environment: services.place.environment, directory: services.place.root,
                timeout: Self.listingTimeout, outputMax: 4 << 20, on: loop
            ) { [unowned self] result in
                if !isStopping { takeListing(result) }
            }
        } catch {
            log.debug("gt cannot be asked for its agents", metadata: ["error": "\(error)"])
        }
    }

    private func takeListing(_ result: CommandResult) {
        if let failure = Services.failure(of: TownListing.arguments, result, tool: Array("gt".utf8)) {
            return log.warning("\(controller.redactor.redact(failure))")
        }
        let listing: TownListing
        do throws(JSONError) { listing = try TownListing(result.output) } catch {
            return log.warning("gt status --json --fast is not understood: \(error)")
        }
        let living = Set(status.agents.filter(\.isRunning).map(\.session))
        let found = listing.disagreements(living: living)
        guard found != surroundings.disagreements else { return }
        surroundings.disagreements = found
        for (session, text) in found.sorted(by: { $0.key < $1.key }) {
            log.notice("\(controller.redactor.redact(session)): \(text)")
        }
        planTurnEnd()
    }
}
