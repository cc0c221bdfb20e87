# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
# shellcheck shell=bash
#
# Start, readiness, status, stop.

# ExecStartPost= runs the moment that READY=1 is read: what it finds is what READY promised.
ready_means_serving() {
    dropin ready <<UNIT
[Service]
ExecStartPost=/bin/sh -c 'test -S $socket && /usr/bin/gasclawd status --json >%S/gasclawd/at-ready'
UNIT
    local round
    for round in 1 2 3; do
        systemctl restart $unit
        grep -q '"state" *: *"ready"' /var/lib/gasclawd/at-ready
        rm /var/lib/gasclawd/at-ready
    done
    no_dropin ready
}
check "READY is told only when the control socket answers" ready_means_serving

status_is_told() { same "$(property StatusText)" "$(value detail)"; }
check "systemd's status line is the status's detail" status_is_told
status_follows() {
    write_account 9 "$(new_key)"
    eventually 10 eval '[[ $(value detail) == 4\ keys* ]]'
    eventually 10 status_is_told
    rm -r $accounts/9
    eventually 10 eval '[[ $(value detail) == 3\ keys* ]]'
    eventually 10 status_is_told
}
check "the status line follows an account that comes and goes" status_follows

only_its_user() {
    same "$(stat -c '%U %a' /run/gasclawd $socket)" "$(printf 'gastown 700\ngastown 600')"
    as_agent_user gasclawd status --socket $socket
    refuse runuser -u nobody -- gasclawd status --socket $socket
}
check "the socket is open to the service's user alone" only_its_user

shell_finds_daemon() { login "gasclawd status"; }
check "a command in a login shell finds the daemon through the configuration" shell_finds_daemon

stop_is_quick() {
    local began=$SECONDS
    systemctl stop $unit
    same "$(property Result) $(property ActiveState)" "success inactive"
    [ $((SECONDS - began)) -le 10 ]
    refuse test -e $socket
}
check "stop ends in time and takes the socket away" stop_is_quick

broken_is_not_started() {
    local cursor
    cursor=$(mark)
    write_config 'keys = 5'
    refuse systemctl start $unit
    same "$(property ExecMainStatus) $(property NRestarts)" "78 0"
    # Nothing is planned either: failed and not auto-restart.
    same "$(property ActiveState)/$(property SubState)" "failed/failed"
    has_record "$cursor" "gasclawd.toml:[0-9]*:[0-9]*: "
    fresh_start
}
check "a broken configuration ends the start with 78, the place is in the journal, and nothing is tried again" \
    broken_is_not_started
