# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
# shellcheck shell=bash
#
# What lives on when the daemon does not.

[ "$(type -t start_fleet)" = function ] || . <(sed '/^check /d' ./agents.sh)

with_fleet() {
    start_fleet
    dropin watchdog <<UNIT
[Service]
WatchdogSec=3
UNIT
    fresh_start
    eventually 20 is_held
}
# The status knows the agent with its pid and its key.
is_held() {
    local pid id
    pid=$(agent_pid)
    id=$(id_of "$(agent_key)")
    status | tr -d '\n ' | grep "\"session\":\"pr-crew-ada\"[^}]*\"pid\":$pid,[^}]*\"key\":\"$id\"" >/dev/null
}
is_new_main() { [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ] && is_serving; }
identity() { echo "$1 $(start_time "$1")"; }
count_of() { # CURSOR PATTERN
    records "$1" | grep -c -- "$2" || true
}

check "a fleet runs, and its leases are known" with_fleet

# Ends the main process by a command and looks at what is left.
survives() { # WHY COMMAND…
    local cursor agent main server
    cursor=$(mark)
    agent=$(identity "$(agent_pid)")
    server=$(agent_tmux display-message -p '#{pid}')
    main=$(main_pid)
    local why=$1
    shift
    "$@" "$main"
    eventually 60 is_new_main "$main"
    [ -z "$why" ] || has_record "$cursor" "Failed with result '$why'"
    same "$(identity "$(agent_pid)")" "$agent"
    same "$(agent_tmux display-message -p '#{pid}')" "$server"
    eventually 20 is_held
    # Nothing of the past is done once more: the agent is neither started anew nor given another key.
    journalctl --sync
    same "$(count_of "$cursor" '"MESSAGE":"agent.reload.started ')" 0
    same "$(count_of "$cursor" '"MESSAGE":"agent.leased ')" 0
}
check "SIGSTOP: the watchdog ends the daemon, the agent lives on and is taken up again under its pid" \
    survives watchdog kill -STOP
check "kill -9: likewise" survives signal kill -9
# The daemon can tell a restart from a stop.
upgrade() {
    cp /usr/bin/gasclawd /usr/bin/gasclawd.new
    mv /usr/bin/gasclawd.new /usr/bin/gasclawd
    systemctl restart $unit
}
check "an upgrade and systemctl restart: likewise" survives "" upgrade

still_rotates() {
    local new
    new=$(new_key)
    write_account "$(active_account)" "$new"
    eventually 30 agent_has_key "$new"
}
check "afterwards an edit of a key file still reaches the agent" still_rotates

# A key that failed was dealt with; a death right after it must not deal with it again.
nothing_twice() {
    local cursor old id main
    cursor=$(mark)
    old=$(agent_key)
    id=$(id_of "$old")
    echo quota-5h-403 >$home/sim/home/faults/"$id"
    chown gastown: $home/sim/home/faults/"$id"
    eventually 60 has_record "$cursor" "\"MESSAGE\":\"key.cooled .*$id"
    main=$(main_pid)
    kill -9 "$main"
    eventually 60 is_new_main "$main"
    eventually 30 eval '[ "$(agent_key)" != '"$old"' ] && has_agent'
    eventually 20 is_held
    rm $home/sim/home/faults/"$id"
    status | tr -d '\n ' | grep "\"id\":\"$id\"[^}]*\"state\":\"cooling\"" >/dev/null
    journalctl --sync
    # One cooling and one restart of the agent, whichever of the two processes did it.
    same "$(count_of "$cursor" '"MESSAGE":"key.cooled ')" 1
    # A restart that the death has interrupted is begun again, but there is one new agent.
    same "$(count_of "$cursor" '"MESSAGE":"agent.leased ')" 1
    ask keys rotate >/dev/null
    eventually 20 is_held
}
check "a death right after a key has cooled: it is not acted upon twice" nothing_twice

stops_in_time() {
    local began=$SECONDS agent
    agent=$(agent_pid)
    systemctl stop $unit
    same "$(property Result) $(property ActiveState)" "success inactive"
    [ $((SECONDS - began)) -le 20 ]
    refuse test -e "/proc/$agent"
    # systemd removes a control group when nobody is in it.
    eventually 5 refuse test -e /sys/fs/cgroup/system.slice/$unit
}
check "stop ends in time, and nothing is left in the control group" stops_in_time

# The launcher works while no daemon does.
starts_without() {
    no_dropin fleet
    agent_tmux kill-server || true
    login "cd $town && gt crew start project/ada --agent kimi-claude"
    eventually 20 has_agent
    systemctl start $unit
    eventually 20 is_held
    agent_tmux kill-server || true
    no_dropin watchdog
}
check "an agent that starts while the daemon is away has a key, and is known to the next daemon" starts_without
