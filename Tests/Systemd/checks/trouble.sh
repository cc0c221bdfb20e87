# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
# shellcheck shell=bash
#
# What systemd and the machine do not do in good order.

[ "$(type -t start_fleet)" = function ] || . <(sed '/^check /d' ./agents.sh)

# Runs a daemon without systemd, beside the service, and ends it: each variable is a word NAME=VALUE. The service has the
# town.
alone() { # VARIABLES…
    local place=/tmp/alone pid code=0
    rm -rf $place
    install -d -o gastown $place
    # Nothing of it forks: the pid is the daemon's.
    setpriv --reuid gastown --regid gastown --init-groups env HOME=$home "$@" \
        GASCLAWD_PATHS_RUNTIME=$place/run GASCLAWD_PATHS_STATE=$place/state \
        GASCLAWD_TOWN_ROOT=$place/town GASCLAWD_TOWN_BOOTSTRAP=false gasclawd run >$place.log 2>&1 &
    pid=$!
    # shellcheck disable=SC2064
    trap "kill -9 $pid" EXIT
    eventually 20 eval "gasclawd status --check --socket $place/run/control.sock"
    # Half of the time of a processor would be a daemon that spins.
    local began=${EPOCHREALTIME/[.,]/} before spent
    before=$(ticks $pid)
    for _ in $(seq 5); do timeout 1 gasclawd status --socket $place/run/control.sock >/dev/null; done
    spent=$((($(ticks $pid) - before) * 1000000 / $(getconf CLK_TCK) * 100 / (${EPOCHREALTIME/[.,]/} - began)))
    echo "processor: $spent %"
    [ $spent -le 70 ]
    kill -TERM $pid
    wait $pid || code=$?
    trap - EXIT
    cat $place.log
    same $code 0
}
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }

check "no NOTIFY_SOCKET: the daemon works" alone A=1
check "a NOTIFY_SOCKET that nobody reads: the daemon works and says so" alone NOTIFY_SOCKET=/run/nobody-there
check "a NOTIFY_SOCKET that is no path: the daemon works" alone NOTIFY_SOCKET=relative
abstract_socket() {
    perl -MSocket -e '
        socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; bind($s, pack_sockaddr_un("\0lab-notify")) or die "bind: $!";
        $| = 1; print "bound\n"; while (defined recv($s, my $m, 4096, 0)) { print "$m\n" }' >/lab/notified &
    local listener=$!
    eventually 10 grep bound /lab/notified
    alone NOTIFY_SOCKET=@lab-notify
    eventually 10 grep -x STOPPING=1 /lab/notified
    kill $listener
    grep -x READY=1 /lab/notified
    grep '^STATUS=3 keys' /lab/notified
}
check "an abstract NOTIFY_SOCKET is told all" abstract_socket
for microseconds in 0 1 -1 18446744073709551615 9223372036854775807 99999999999999999999 soon ""; do
    check "WATCHDOG_USEC='$microseconds': the daemon works" alone "WATCHDOG_USEC=$microseconds"
done

second_daemon() {
    fresh_start
    local code=0
    as_agent_user gasclawd run || code=$?
    same $code 75
    same "$(value state)" ready
}
check "a second daemon ends with 75, and the first goes on" second_daemon

# Neither gastown nor the sandbox can make a folder in /run, systemd can: the daemon ends, and finds it at its next
# start.
runtime_removed() {
    local began=$SECONDS main
    main=$(main_pid)
    # The daemon may make its socket anew between the removal of what is in there and of the folder.
    eventually 5 rm -rf /run/gasclawd
    eventually 10 eval '[ "$(value state)" = ready ]'
    echo "mended after $((SECONDS - began)) s, pid $main, then $(main_pid)"
    [ $((SECONDS - began)) -le 5 ]
    same "$(stat -c '%U %a' /run/gasclawd)" "gastown 700"
}
check "a runtime directory that is removed comes back with its socket within 5 s" runtime_removed

state_removed() {
    rm -rf /var/lib/gasclawd
    # Where the folder cannot be made again, that is said, and nothing is called done.
    local said
    said=$(ask keys rotate 2>&1) || [[ $said == *"holds only until gasclawd ends"* ]]
    eventually 10 eval '[ "$(value state)" = degraded ] || [ -s /var/lib/gasclawd/keys.json ]'
    value detail
    fresh_start
    same "$(value state)" ready
    test -s /var/lib/gasclawd/keys.json
}
check "a state directory that is removed is said, and a restart mends it" state_removed

# Every key that was ever made here, by any eight characters of it in a row, while an agent holds one.
keys_are_nowhere() {
    start_fleet
    sed 's/^sk-kimi-//' /lab/keys | awk '{ for (i = 1; i <= length($0) - 7; i++) print substr($0, i, 8) }' >/lab/pieces
    # They are found where they do belong.
    grep -raqFf /lab/pieces $accounts
    grep -aqFf /lab/pieces "/proc/$(agent_pid)/environ"
    journalctl --sync
    journalctl --all -o export >/lab/journal.export
    [ -s /lab/journal.export ]
    refuse grep -aqFf /lab/pieces /lab/journal.export
    status >/lab/said
    systemctl status $unit --no-pager >>/lab/said || true
    local process
    for process in /proc/[0-9]*; do
        cat "$process/cmdline" >>/lab/said 2>/dev/null || true
        [ "$(cat "$process/comm" 2>/dev/null)" = claude ] || cat "$process/environ" >>/lab/said 2>/dev/null || true
    done
    refuse grep -aqFf /lab/pieces /lab/said
    refuse grep -raqFf /lab/pieces $town
    agent_tmux kill-server || true
    no_dropin fleet
}
check "no key is in the journal, the status, a command line, another environment or the town" keys_are_nowhere
