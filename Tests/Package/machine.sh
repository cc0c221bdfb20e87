#!/usr/bin/env bash
# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
#
# The life of the package on a machine, from the first installation to the purge. Runs as root in the lab.
set -uo pipefail
cd /lab || exit 1
# shellcheck source=Tests/Systemd/checks/lib.sh
. ./lib.sh

launcher=/usr/lib/gasclawd/bin/claude

installs() {
    echo /usr/local/lib/gasclawd-lab >/etc/ld.so.conf.d/gasclawd-lab.conf
    ldconfig
    # A machine as it was before, to compare with at the end.
    find / -xdev -path /lab -prune -o -path /proc -prune -o -iname '*gasclawd*' -print | sort >/lab/before
    dpkg -i first.deb
    same "$(dpkg-query -W -f '${db:Status-Status}' gasclawd)" installed
    same "$(stat -c '%U %a' $home $accounts)" "$(printf 'gastown 700\ngastown 700')"
    same "$(property LoadState) $(property ActiveState)" "loaded inactive"
    same "$(systemd-analyze verify $unit gasclawd@ada.service 2>&1)" ""
    journalctl --dump-catalog | grep '^Subject: Another key is active' >/dev/null
}
check "the package installs: user, closed home, units that verify, catalog; nothing is started" installs

is_at_hand() {
    gasclawd check
    man -P cat gasclawd | grep -q 'gasclawd keys rotate'
    man -P cat 5 gasclawd.toml | grep -q keys.cooldown
    refuse gasclawd status
}
check "commands and manual pages are at hand" is_at_hand

installs_again() { dpkg -i first.deb; }
check "installing it again changes nothing" installs_again

starts() {
    local account
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
    systemctl enable --now $unit
    same "$(value version)" "$(gasclawd version | cut -d ' ' -f 2)"
    eventually 30 grep -q "\"command\": *\"$launcher\"" $town/settings/config.json
    refuse test -e /var/lib/gasclawd/bin
}
check "with keys and a town the service starts, and agents are registered with the package's links" starts

# shellcheck disable=SC1090
. <(sed -n '/^start_fleet()/,/^}/p; /^tmux_name()/,/^has_agent()/p; /^agent_has_key()/p; /^active_account()/p' agents.sh)
identity() { echo "$1 $(start_time "$1")"; }
is_held() {
    local pid id
    pid=$(agent_pid)
    id=$(id_of "$(agent_key)")
    status | tr -d '\n ' | grep "\"session\":\"pr-crew-ada\"[^}]*\"pid\":$pid,[^}]*\"key\":\"$id\"" >/dev/null
}
agent_starts() {
    start_fleet
    eventually 20 is_held
    tr '\0' '\n' <"/proc/$(agent_pid)/environ" | grep -qx "CLAUDE_CODE_SHELL_PREFIX=${launcher%/*}/agent-shell"
}
check "an agent that gt starts through them holds a key, and its tools do not" agent_starts

rotates() {
    local cursor old id
    cursor=$(mark)
    old=$(agent_key)
    id=$(id_of "$old")
    runuser -u gastown -- sh -c "echo quota-5h-403 >$home/sim/home/faults/$id"
    eventually 60 has_record "$cursor" "\"MESSAGE\":\"key.cooled .*$id"
    eventually 60 eval '[ -n "$(agent_key)" ] && [ "$(agent_key)" != '"$old"' ]'
    eventually 20 is_held
    rm $home/sim/home/faults/"$id"
}
check "a key that is exhausted is rotated, and the agent goes on with another one" rotates

upgrades() {
    local agent main
    agent=$(identity "$(agent_pid)")
    main=$(identity "$(main_pid)")
    dpkg -i second.deb
    same "$(dpkg-query -W -f '${Version}' gasclawd)" "$(dpkg-deb -f second.deb Version)"
    eventually 60 is_serving
    [ "$(identity "$(main_pid)")" != "$main" ]
    # The program in force is the one of the new package.
    same "$(realpath "/proc/$(main_pid)/exe")" /usr/bin/gasclawd
    same "$(identity "$(agent_pid)")" "$agent"
    eventually 20 is_held
    grep -q "^root = \"$town\"" $config
}
check "an upgrade restarts the daemon; the agent lives on with its lease, and the owner's configuration stays" upgrades

still_rotates() {
    local new
    new=$(new_key)
    write_account "$(active_account)" "$new"
    eventually 30 agent_has_key "$new"
}
check "afterwards an edit of a key file reaches the agent" still_rotates

starts_without() {
    agent_tmux kill-server || true
    systemctl kill --kill-whom=main -s KILL $unit
    systemctl stop $unit
    login "cd $town && gt crew start project/ada --agent kimi-claude"
    eventually 20 has_agent
    systemctl start $unit
    eventually 20 is_held
}
check "an agent that starts while no daemon runs finds its key through the package's links" starts_without

removes() {
    local agent
    agent=$(agent_pid)
    systemctl restart $unit
    dpkg -r gasclawd
    same "$(property LoadState)" not-found
    refuse pgrep -x gasclawd
    test -e $config
    test -d /var/lib/gasclawd
    refuse test -e /usr/lib/gasclawd
    # A stop is the end of the town, of the agents too that somebody started from a login shell.
    eventually 10 refuse test -e "/proc/$agent"
}
check "removal ends the service with the town's agents, and keeps configuration and state" removes

comes_back() {
    dpkg -i second.deb
    systemctl start $unit
    status >/dev/null
    # Cooldowns are known from before.
    status | grep -q '"state" *: *"cooling"'
    eventually 20 has_agent
    agent_pid >/lab/agent
}
check "installed again it goes on where it was" comes_back

purge_keeps_work() {
    local agent
    agent=$(cat /lab/agent)
    dpkg -P gasclawd 2>&1 | tee /lab/purge
    grep -q "$home stays" /lab/purge
    # What the service ran is gone with it.
    eventually 10 refuse test -e "/proc/$agent"
    refuse test -e /etc/gasclawd
    refuse test -e /var/lib/gasclawd
    refuse test -e /run/gasclawd
    test -e $accounts/1/config.toml
    test -e $town/mayor/town.json
    getent passwd gastown
}
check "a purge takes configuration and state, and leaves keys and work of the agents' user" purge_keeps_work

leaves_nothing() {
    login "gt dolt stop; true"
    pkill -u gastown || true
    rm -rf $home
    dpkg -i second.deb
    systemctl start $unit
    status >/dev/null
    rm -rf $dropins
    systemctl daemon-reload
    dpkg -P gasclawd
    find $home -ls || true
    refuse getent passwd gastown
    refuse getent group gastown
    refuse test -e $home
    find / -xdev -path /lab -prune -o -path /proc -prune -o -iname '*gasclawd*' -print | sort | grep -v '^/var/\(log\|cache/man\)/' |
        diff /lab/before -
    find /run /tmp -iname '*gasclawd*' | diff /dev/null -
    # It fails where there is none.
    same "$(systemctl list-unit-files --no-legend 'gasclawd*' || true)" ""
    journalctl --dump-catalog >/lab/catalog
    refuse grep GASCLAWD /lab/catalog
    refuse dpkg-query -W gasclawd
}
check "purged on a machine without work of that user, nothing is left" leaves_nothing

echo "1..$count"
[ $failures -eq 0 ] || echo "# $failures of $count do not hold"
[ $failures -eq 0 ]
