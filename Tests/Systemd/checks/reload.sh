# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
# shellcheck shell=bash
#
# `systemctl reload`, good and bad.

# The daemon would read the file by itself after this time: the reload comes first.
patient='[reload]
settle = "1m"'

good_reload() {
    fresh_start
    write_config "$patient"
    systemctl reload $unit
    local before pid
    before=$(value generation)
    pid=$(main_pid)
    write_config "$patient
[keys]
cooldown = \"7m\""
    systemctl reload $unit
    same "$(value generation)" $((before + 1))
    # The same bytes once more change nothing.
    systemctl reload $unit
    same "$(value generation) $(main_pid)" "$((before + 1)) $pid"
}
check "a good configuration is in force when systemctl reload returns, as the next generation" good_reload

bad_reload() {
    local before pid cursor
    before=$(value generation)
    pid=$(main_pid)
    cursor=$(mark)
    write_config "$patient
[keys]
cooldwn = \"7m\"
strategy = \"random\""
    refuse systemctl reload $unit
    same "$(value generation) $(main_pid) $(property ActiveState)" "$before $pid active"
    has_record "$cursor" "$config:12:1: .*cooldown"
    has_record "$cursor" "$config:13:1[0-9]*: "
    same "$(value state)" degraded
    same "$(property StatusText)" "$(value detail)"
}
check "a bad one makes systemctl reload fail, the journal names each place, and the old one lives" bad_reload

recovers() {
    write_config
    systemctl reload $unit
    same "$(value state)" ready
    same "$(property StatusText)" "$(value detail)"
}
check "the next good one mends it" recovers

hangup() {
    local before
    write_config "$patient"
    systemctl reload $unit
    before=$(value generation)
    write_config "$patient
[keys]
cooldown = \"8m\""
    systemctl kill --kill-whom=main -s HUP $unit
    eventually 10 eval "[ \"\$(value generation)\" = $((before + 1)) ]"
    write_config
    systemctl reload $unit
}
check "SIGHUP reads the configuration too" hangup
