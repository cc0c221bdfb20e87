#!/usr/bin/env bash
# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
#
# Runs the checks inside of the lab, one file after the other.
set -uo pipefail
cd /lab || exit 1
# shellcheck source=Tests/Systemd/checks/lib.sh
. ./lib.sh

topics=("$@")
[ ${#topics[@]} -gt 0 ] || topics=(units start agents reload survival services journal trouble other)

# The machine as docs/systemd.md has it made, with a miniature town and keys that open nothing.
prepare() {
    echo /usr/local/lib/gasclawd-lab >/etc/ld.so.conf.d/gasclawd-lab.conf
    ldconfig
    systemd-sysusers gasclawd.conf
    systemd-tmpfiles --create gasclawd.conf
    journalctl --update-catalog
    systemctl daemon-reload
    for account in 1 2 3; do write_account $account "$(new_key)"; done
    runuser -u gastown -- townsim town $home/sim
    cat >$home/.profile <<PROFILE
export PATH=$home/sim/bin:\$PATH TOWNSIM_HOME=$home/sim/home TOWNSIM_TURN_MS=200 TERM=xterm
PROFILE
    login "cd && git config --global user.name gastown && git config --global user.email gastown@localhost &&
        gt install $town --git --dolt-port 33307 && git init -q --bare $home/repo.git &&
        cd $town && gt rig add project file://$home/repo.git"
    write_config
    dropin town <<UNIT
[Service]
Environment=TOWNSIM_HOME=$home/sim/home TOWNSIM_TURN_MS=200
UNIT
}
check "the machine is prepared as the documentation says" prepare
if [ $failures -eq 0 ]; then
    for topic in "${topics[@]}"; do
        # shellcheck disable=SC1090
        . "./$topic.sh"
    done
fi
systemctl stop $unit 2>/dev/null
echo "1..$count"
[ $failures -eq 0 ] || echo "# $failures of $count do not hold"
[ $failures -eq 0 ]
