# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
# shellcheck shell=bash
#
# Records, read back as a reader reads them, and a journald that is not well.

fields_are_kept() {
    fresh_start
    local cursor record id
    cursor=$(mark)
    ask keys rotate >/dev/null
    eventually 10 has_record "$cursor" '"MESSAGE":"key.activated '
    id=$(value active)
    record=$(records "$cursor" | grep '"MESSAGE":"key.activated ')
    echo "$record"
    local field
    for field in '"MESSAGE_ID":"[0-9a-f]\{32\}"' '"PRIORITY":"5"' "\"GASCLAWD_ID\":\"$id\"" '"GASCLAWD_REASON":"' \
        '"SYSLOG_IDENTIFIER":"gasclawd"' '"CODE_FILE":"[^"]*\.swift"' '"CODE_LINE":"[0-9]' '"CODE_FUNC":"' \
        "\"_SYSTEMD_UNIT\":\"$unit\""; do
        grep -q -- "$field" <<<"$record" || { echo "missing: $field"; return 1; }
    done
    # Records of a kind are found by its id.
    id=$(sed 's/.*"MESSAGE_ID":"\([0-9a-f]*\)".*/\1/' <<<"$record")
    journalctl -o cat "MESSAGE_ID=$id" | grep '^key.activated ' >/dev/null
}
check "a record has its fields in the journal" fields_are_kept

errors_repeat() {
    local cursor record
    cursor=$(mark)
    write_config '[keys]
cooldwn = "7m"
strategy = "random"'
    refuse systemctl reload $unit
    write_config
    systemctl reload $unit
    record=$(records "$cursor" | grep '"MESSAGE":"config.rejected ' | head -n 1)
    echo "$record"
    grep -q "\"GASCLAWD_ERRORS\":\[\"$config:[0-9:]* [^]]*\",\"$config:" <<<"$record"
    grep -q '"PRIORITY":"4"' <<<"$record"
}
check "several errors are a repeated field" errors_repeat

catalog_is_shown() {
    local cursor id said
    cursor=$(mark)
    ask keys rotate >/dev/null
    eventually 10 has_record "$cursor" '"MESSAGE":"key.activated '
    id=$(value active)
    said=$(journalctl -u $unit --after-cursor="$cursor" -x)
    echo "$said"
    grep -q "Subject: Another key is active" <<<"$said"
    # With the record's own fields filled in.
    grep -q "get key $id of account" <<<"$said"
}
check "journalctl -x shows the catalog's text" catalog_is_shown

# Answers within a second, again and again, while a command makes records.
answers_during() { # COMMAND…
    "$@" &
    local maker=$! answers=0
    while kill -0 $maker 2>/dev/null || [ $answers -lt 10 ]; do
        timeout 1 gasclawd status --socket $socket >/dev/null || {
            echo "no answer within a second, after $answers"
            kill $maker 2>/dev/null || true
            return 1
        }
        answers=$((answers + 1))
    done
    wait $maker
    echo "$answers answers"
}
rotate_often() { for _ in $(seq 20); do ask keys rotate >/dev/null; done; }
# Each refused configuration is a record as large as its errors are many: the daemon keeps 4 MiB of them.
refuse_often() {
    local round
    for round in $(seq 100); do
        write_config "$(seq -f "[r$round-%g]" 400)"
        ask reload >/dev/null 2>&1 && return 1
    done
    write_config
    ask reload >/dev/null
}
# Without runuser, whose own log lines wait for journald.
dropped() { perl -MIO::Socket::UNIX -e '
    my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "connect: $!";
    print $s "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    while (<$s>) { print $1 if /^gasclawd_journal_dropped_total (\d+)/ }' $socket; }
journald="systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald.service"

# The kernel keeps fewer datagrams for a journald that does not read, so that it takes fewer to fill it.
short_queue() {
    # shellcheck disable=SC2086
    systemctl stop $journald
    echo 10 >/proc/sys/net/unix/max_dgram_qlen
    # shellcheck disable=SC2086
    systemctl start $journald
    fresh_start
}

stuck_journald() {
    local cursor before pid
    short_queue
    # The daemon reads the file when it is asked, and not by itself.
    write_config '[reload]
settle = "1m"'
    ask reload
    cursor=$(mark)
    before=$(dropped)
    pid=$(property MainPID systemd-journald.service)
    kill -STOP "$pid"
    # Whatever happens, it goes on again.
    trap 'kill -CONT '"$pid" EXIT
    answers_during refuse_often
    [ "$(dropped)" -gt "${before:-0}" ] || { echo "nothing was dropped: $(dropped)"; return 1; }
    kill -CONT "$pid"
    trap - EXIT
    eventually 30 has_record "$cursor" '"GASCLAWD_DROPPED":"[1-9]'
    same "$(property NRestarts)" 0
}
check "a stuck journald costs records, which are counted and told, and never an answer" stuck_journald

restarted_journald() {
    local cursor
    cursor=$(mark)
    systemctl restart systemd-journald.service
    answers_during rotate_often
    eventually 10 has_record "$cursor" '"MESSAGE":"key.activated '
}
check "records go on after journald was restarted" restarted_journald

absent_journald() {
    local before after
    before=$(dropped)
    # shellcheck disable=SC2086
    systemctl stop $journald
    # shellcheck disable=SC2064,SC2086
    trap "systemctl start $journald" EXIT
    answers_during rotate_often
    # shellcheck disable=SC2086
    systemctl start $journald
    trap - EXIT
    local cursor
    cursor=$(mark)
    ask keys rotate >/dev/null
    eventually 10 has_record "$cursor" '"MESSAGE":"key.activated '
    after=$(dropped)
    echo "dropped: $before, then $after"
    [ "$after" -gt "${before:-0}" ]
    eventually 10 eval 'journalctl -u '$unit' -b -o json --since=-60s | grep "\"GASCLAWD_DROPPED\":\"[1-9]" >/dev/null'
}
check "without any journald every call is answered; what was lost is counted and told afterwards" absent_journald
