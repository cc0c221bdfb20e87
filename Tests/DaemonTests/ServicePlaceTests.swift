// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Testing

@testable import Daemon

@Suite struct ServicePlaceTests {
    @Test(arguments: [
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/gastown-daemon.service\n",
        "12:pids:/x\n1:name=systemd:/user.slice/user@1000.service/gastown-daemon.service\n0::/gastown-daemon.service",
        "/user.slice/user@1000.service/app.slice/gastown-daemon.service",
    ])
    func gtsOwnUnitIsNamedWithTheCommandThatEndsIt(group: String) {
        let remark = ServicePlace.strangersDaemon(controlGroup: group)
        #expect(remark.hasPrefix("gastown-daemon.service runs it"))
        #expect(remark.contains("systemctl --user disable --now gastown-daemon.service"))
    }

    @Test(arguments: [nil, "", "0::/user.slice/not-gastown-daemon.service\n", "0::/gastown-daemon.service.d/x"])
    func everyOtherDaemonIsSomebodys(group: String?) {
        #expect(ServicePlace.strangersDaemon(controlGroup: group) == "somebody else has started it (gt daemon start)")
    }
}
