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
    cursor=$(mark)
    systemctl stop $unit
    same "$(property Result)" success
    local pid
    for pid in $before; do refuse test -e "/proc/$pid"; done
    # systemd removes a control group when nobody is in it.
    eventually 5 refuse test -e /sys/fs/cgroup/system.slice/$unit
    # First who brings agents back, then they, then what they work with.
    grep -q 'Daemon shutting down$' <(tail -n 1 $town/daemon/daemon.log)
    local order
    order=$(records "$cursor" | sed -n 's/.*"MESSAGE":"\(agent.exited\|[^"]*Dolt server stopped\).*/\1/p' | tr '\n' ' ')
    [[ $order == agent.exited*Dolt\ server\ stopped* ]]
    fresh_start
}
check "services are up before the start is done, survive kill -9, and end with the unit" services_live

# A gt of our own in the place of the other one, which is called by it as `real`.
with_gt() { # the script comes from standard input
    install -d $home/sim/real
    [ -e $home/sim/real/gt ] || mv $home/sim/bin/gt $home/sim/real/gt
    { printf '#!/bin/bash\nreal=%s/sim/real/gt\n' $home && cat; } >$home/sim/bin/gt
    chmod 0755 $home/sim/bin/gt
}
without_gt() { mv $home/sim/real/gt $home/sim/bin/gt; }

has_identifier() { has_record "$1" "\"SYSLOG_IDENTIFIER\":\"gasclawd-$2\""; }
children_are_heard() {
    local cursor key name
    systemctl stop $unit
    key=$(cat $accounts/1/config.toml | sed -n 's/^api_key = "\(.*\)"/\1/p')
    with_gt <<SH
echo "gt \$*: $key"
exec \$real "\$@"
SH
    cursor=$(mark)
    write_config '[services]
manage = ["dolt", "daemon", "mayor"]'
    systemctl start $unit
    eventually 60 all_up
    # Whoever started the mayor, its restart calls gt.
    gasclawd services restart mayor --socket $socket
    for name in dolt daemon gt; do
        eventually 10 has_identifier "$cursor" $name
    done
    has_record "$cursor" '"MESSAGE":"gt daemon run: \[key\]"'
    refuse has_record "$cursor" "$key"
    without_gt
}
check "dolt, the gt daemon and gt have identifiers of their own in the journal, and no key comes with their words" \
    children_are_heard

slow_start_is_waited_for() {
    systemctl stop $unit
    with_gt <<'SH'
[ "$1 $2" = "dolt start" ] && sleep 25
exec $real "$@"
SH
    dropin slow <<UNIT
[Service]
TimeoutStartSec=10
UNIT
    local began=$SECONDS
    systemctl start $unit
    [ $((SECONDS - began)) -ge 25 ]
    same "$(property ActiveState) $(property NRestarts)" "active 0"
    eventually 10 all_up
    no_dropin slow
    without_gt
}
check "a start that takes longer than systemd would wait is not ended, and ready when services are up" \
    slow_start_is_waited_for

# gt is in the middle of its call, and does not listen to TERM.
stop_during_start() {
    systemctl stop $unit
    with_gt <<'SH'
trap '' TERM
[ "$1 $2" = "dolt start" ] && sleep 600
exec $real "$@"
SH
    systemctl start --no-block $unit
    # Its exit code says that the unit is not active yet.
    is_calling() { grep "gt dolt start" <(systemctl status -l $unit) >/dev/null; }
    eventually 20 is_calling
    local began=$SECONDS
    systemctl stop $unit
    [ $((SECONDS - began)) -le 30 ]
    same "$(property Result) $(property ActiveState)" "success inactive"
    eventually 5 refuse test -e /sys/fs/cgroup/system.slice/$unit
    without_gt
    fresh_start
}
check "a stop in the middle of a start ends what gt was doing, too" stop_during_start
