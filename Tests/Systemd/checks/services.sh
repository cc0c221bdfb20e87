# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
# shellcheck shell=bash
#
# dolt, the gt daemon and the mayor under the unit.

service_pids() { ask services list --json | sed -n 's/^ *"pid": \([0-9]*\),*$/\1/p' | tr '\n' ' '; }
all_up() { status | grep -q 'dolt, daemon, mayor up' && [ "$(value state)" = ready ]; }

services_live() {
    local cursor main before
    cursor=$(mark)
    write_config '[services]
manage = ["dolt", "daemon", "mayor"]'
    # Ready is said when they are up, so the start waits for them.
    systemctl restart $unit
    eventually 60 all_up
    same "$(property StatusText)" "$(value detail)"
    before=$(service_pids)
    [ "$(wc -w <<<"$before")" = 3 ]
    main=$(main_pid)
    kill -9 "$main"
    is_another() { [ "$(main_pid)" != "$main" ] && [ "$(main_pid)" != 0 ]; }
    eventually 60 is_another
    eventually 60 all_up
    same "$(service_pids)" "$before"
    has_record "$cursor" '"SYSLOG_IDENTIFIER":"gasclawd-d' || has_record "$cursor" '"SYSLOG_IDENTIFIER":"gasclawd-gt'
    systemctl stop $unit
    same "$(property Result)" success
    local pid
    for pid in $before; do refuse test -e "/proc/$pid"; done
    fresh_start
}
check "services are up before the start is done, survive kill -9, and end with the unit" services_live
