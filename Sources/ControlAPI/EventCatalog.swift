// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

/// What the kinds of events mean: the one table from which records get their MESSAGE_ID and `units/gasclawd.catalog`
/// its texts (journald's message catalogs, https://systemd.io/CATALOG).
public enum EventCatalog {
    public struct Entry: Sendable {
        /// The event's type.
        public let type: String
        /// 32 hexadecimal digits. They never change: people search for them.
        public let id: String
        public let subject: String
        /// `@FIELD@` stands for a field of the record.
        public let text: String
    }

    /// The id of an event type; nil for one without an entry.
    public static func id(of type: String) -> String? { ids[type] }

    private static let ids = Dictionary(uniqueKeysWithValues: entries.map { ($0.type, $0.id) })

    /// The catalog file.
    public static var file: String {
        entries.map { entry in
            """
            -- \(entry.id)
            Subject: \(entry.subject)
            Defined-By: gasclawd

            \(entry.text)

            """
        }.joined(separator: "\n")
    }

    public static let entries: [Entry] = [
        Entry(
            type: "daemon.ready", id: "ba952021b89648a0924b6444217cf633",
            subject: "gasclawd is ready",
            text: """
                Keys are loaded, files are watched, and the control socket answers:
                @GASCLAWD_DETAIL@
                """),
        Entry(
            type: "daemon.degraded", id: "d634cd7331a247e9ab4de6c9cd6d461f",
            subject: "gasclawd works, but something is wrong",
            text: """
                @GASCLAWD_DETAIL@

                `gasclawd status` shows all of it; `gasclawd events` shows since when.
                """),
        Entry(
            type: "daemon.stopping", id: "3f50d4166e6e4829b61c38068f109783",
            subject: "gasclawd is stopping",
            text: """
                It was told to: @GASCLAWD_DETAIL@
                """),
        Entry(
            type: "bootstrap.step", id: "2c20ef4749174d21b2461d117bca19ec",
            subject: "A step of the town's set-up",
            text: """
                @GASCLAWD_STEP@: @GASCLAWD_RESULT@. @GASCLAWD_DETAIL@
                """),
        Entry(
            type: "config.applied", id: "79bf84bef5a94c3e981ebb1efdb7537f",
            subject: "A changed configuration is in force",
            text: """
                @GASCLAWD_PATH@ was read and taken as a whole.
                """),
        Entry(
            type: "config.rejected", id: "075bbd3f50d34f35b3ef24f7362aa1d5",
            subject: "A changed configuration was refused",
            text: """
                @GASCLAWD_PATH@ cannot be used; the last good configuration stays in force.
                The errors name file, line and column. `gasclawd check` reads the file without using it.
                """),
        Entry(
            type: "key.added", id: "70a6c8eaf6a1407f864cfea632730fa2",
            subject: "A key joined the pool",
            text: """
                Key @GASCLAWD_ID@ of account @GASCLAWD_ACCOUNT@ (@GASCLAWD_REASON@).
                """),
        Entry(
            type: "key.removed", id: "8633782d04c04be1b3bbc37a3d05616a",
            subject: "A key left the pool",
            text: """
                Key @GASCLAWD_ID@ of account @GASCLAWD_ACCOUNT@ (@GASCLAWD_REASON@). Agents that
                hold it are given another one.
                """),
        Entry(
            type: "key.activated", id: "a6df492750ef472db7fd6b5ec67444cd",
            subject: "Another key is active",
            text: """
                Agents that start from now on get key @GASCLAWD_ID@ of account @GASCLAWD_ACCOUNT@
                (@GASCLAWD_REASON@).
                """),
        Entry(
            type: "key.recovered", id: "5a0e397032094f9dac15ecdd2a0ada2c",
            subject: "A key is ready again",
            text: """
                Key @GASCLAWD_ID@ of account @GASCLAWD_ACCOUNT@ (@GASCLAWD_REASON@).
                """),
        Entry(
            type: "key.cooled", id: "e87dd7def5d6428b8ad9bc479c8d463c",
            subject: "A key rests",
            text: """
                Key @GASCLAWD_ID@ of account @GASCLAWD_ACCOUNT@ is not given out until
                @GASCLAWD_UNTIL@: @GASCLAWD_REASON@.
                """),
        Entry(
            type: "key.disabled", id: "591b2f6fc943488484e029487e4b76f3",
            subject: "A key is out of use",
            text: """
                Key @GASCLAWD_ID@ of account @GASCLAWD_ACCOUNT@: @GASCLAWD_REASON@.
                It comes back when its file changes.
                """),
        Entry(
            type: "keys.exhausted", id: "08f126f7ce194433a1677033916676a2",
            subject: "No key is ready",
            text: """
                All keys rest or are out of use; nobody is restarted. The first one is ready at
                @GASCLAWD_UNTIL@, and agents that stopped go on then by themselves.
                A further account in the accounts directory takes effect at once.
                """),
        Entry(
            type: "keys.rejected", id: "b46d76bd63454157a62949e30c35a352",
            subject: "A key file cannot be used",
            text: """
                @GASCLAWD_PATH@: @GASCLAWD_ERROR@.
                The keys that it held before, if any, stay in use.
                """),
        Entry(
            type: "keys.imported", id: "a6afd4df2e4245fbbd9ffb0e3226f467",
            subject: "Keys were imported",
            text: """
                @GASCLAWD_COUNT@ keys from @GASCLAWD_PATH@.
                """),
        Entry(
            type: "sighting", id: "23df8e99de48458082898d2362550475",
            subject: "A request of an agent failed",
            text: """
                Key @GASCLAWD_ID@, session @GASCLAWD_SESSION@, cause @GASCLAWD_CAUSE@,
                consequence: @GASCLAWD_WHY@.
                """),
        Entry(
            type: "agent.leased", id: "aaaa9ac1b8b14adda5a29c18e509b027",
            subject: "An agent was started with a key",
            text: """
                Session @GASCLAWD_SESSION@ (@GASCLAWD_ROLE@), process @GASCLAWD_PID@, key @GASCLAWD_ID@.
                """),
        Entry(
            type: "agent.exited", id: "78ec0d750e1944adb798f22153d89e80",
            subject: "An agent has ended",
            text: """
                Session @GASCLAWD_SESSION@ (@GASCLAWD_ROLE@), process @GASCLAWD_PID@.
                """),
        Entry(
            type: "agent.stalled", id: "6e28806dc53f4eecb0a6bebd897ff34b",
            subject: "An agent has stopped at an error",
            text: """
                Session @GASCLAWD_SESSION@ (@GASCLAWD_ROLE@) waits; it is restarted if another key
                can help it.
                """),
        Entry(
            type: "agent.unmanaged", id: "b50528a5b7674c009a64774c14787a0e",
            subject: "An agent runs without a key of the pool",
            text: """
                Session @GASCLAWD_SESSION@ (@GASCLAWD_ROLE@) was not started through gasclawd;
                a rotation does not reach it until it is started anew.
                """),
        Entry(
            type: "agent.unsafe_settings", id: "2a2cf1c73ae24710a406388d7e14338a",
            subject: "An agent was not started because of its settings",
            text: """
                Session @GASCLAWD_SESSION@: a settings file could take the key elsewhere:
                @GASCLAWD_DETAIL@. Remove it and start the agent again.
                """),
        Entry(
            type: "agent.reload.started", id: "a974ed65652e4cc5aa93b70a7fe2a6db",
            subject: "An agent is being restarted",
            text: """
                Session @GASCLAWD_SESSION@ (@GASCLAWD_ROLE@), because of: @GASCLAWD_REASON@.
                """),
        Entry(
            type: "agent.reload.finished", id: "a35b116bfe2b44c69a7e0a70450b514a",
            subject: "An agent is back",
            text: """
                Session @GASCLAWD_SESSION@ (@GASCLAWD_ROLE@) goes on with another key.
                """),
        Entry(
            type: "agent.reload.failed", id: "29f13cf17cef49b3ad92aaeca775d8fe",
            subject: "An agent could not be restarted",
            text: """
                Session @GASCLAWD_SESSION@ (@GASCLAWD_ROLE@): @GASCLAWD_DETAIL@.
                """),
        Entry(
            type: "service.starting", id: "c3875b4eab8c4f27b09fa2a2dcc032e3",
            subject: "A service is being started",
            text: """
                @GASCLAWD_NAME@
                """),
        Entry(
            type: "service.up", id: "451d3bdb9faa4f54832ac7e626a0e31a",
            subject: "A service is up",
            text: """
                @GASCLAWD_NAME@, process @GASCLAWD_PID@.
                """),
        Entry(
            type: "service.exited", id: "f7dd38b7d0e1452ea20ffe58302a2f63",
            subject: "A service has ended",
            text: """
                @GASCLAWD_NAME@: @GASCLAWD_STATUS@.
                """),
        Entry(
            type: "service.backoff", id: "0759ec6d38584b4dbc5d2394f20cbb35",
            subject: "A service waits before it is started again",
            text: """
                @GASCLAWD_NAME@ is tried again at @GASCLAWD_NEXT_RETRY_AT@.
                """),
        Entry(
            type: "service.parked", id: "56de3ee3a47849e1bb08ce9d430dbab4",
            subject: "A service ended too often",
            text: """
                @GASCLAWD_NAME@ is tried again at @GASCLAWD_NEXT_RETRY_AT@:
                @GASCLAWD_DETAIL@. Once the reason is gone, start it at once with
                `gasclawd services restart @GASCLAWD_NAME@`.
                """),
        Entry(
            type: "service.stopped", id: "15810e978efe4fc9abc0a006c6bb7836",
            subject: "A service was stopped",
            text: """
                @GASCLAWD_NAME@
                """),
        Entry(
            type: "watch.overflow", id: "2c6e4290605047f59ab51d9d00b996e0",
            subject: "File events came faster than they could be read",
            text: """
                Nothing is lost: everything that is watched is read again.
                """),
        Entry(
            type: "watch.degraded", id: "3c3bea7b684a4dd7a19a86fa143961f0",
            subject: "A path is polled instead of watched",
            text: """
                @GASCLAWD_PATH@: @GASCLAWD_DETAIL@.
                Changes there are seen within 2 s. A limit on watches is raised with
                `sysctl fs.inotify.max_user_watches=524288`.
                """),
        Entry(
            type: "watch.recovered", id: "f78e5d48a36e48c1a79adf6581741b13",
            subject: "A path is watched again",
            text: """
                @GASCLAWD_PATH@
                """),
        Entry(
            type: "town.estop", id: "4c996b34882440259a15e60a8e52bfe7",
            subject: "The town's emergency stop is on",
            text: """
                No agent is restarted until `gt thaw`.
                """),
        Entry(
            type: "town.thaw", id: "1ba4221bb2e946b3a91d8c6deea1b001",
            subject: "The town's emergency stop is off",
            text: """
                Agents are restarted again where that is due.
                """),
        Entry(
            type: "town.session_death", id: "113b1bfa61b745189623afde59cdd840",
            subject: "gt reports that a session died",
            text: """
                gt reports that a session died.
                """),
        Entry(
            type: "town.mass_death", id: "52d268d911ff4012ae924527862659c0",
            subject: "gt reports that many sessions died at once",
            text: """
                Look at the machine's memory and at the provider before restarting them all.
                """),
        Entry(
            type: "town.crash_loop", id: "9cff1ec82af841578bfb52fef3c80d80",
            subject: "gt reports a crash loop",
            text: """
                gt does not start this agent any more until `gt daemon clear-backoff`.
                """),
        Entry(
            type: "town.changed", id: "6ea0f216446443e8b295e95dbbe79507",
            subject: "A file of the town has changed",
            text: """
                @GASCLAWD_PATH@ was written. Nothing follows from it here.
                """),
    ]
}
