# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
# shellcheck shell=bash
#
# The shipped files by themselves.

units_are_clean() {
    local said
    for name in gasclawd.service gasclawd@ada.service; do
        said=$(systemd-analyze verify "$name" 2>&1)
        same "$said" ""
    done
    said=$(XDG_RUNTIME_DIR=/run systemd-analyze verify --user /usr/lib/systemd/user/gasclawd.service 2>&1)
    same "$said" ""
}
check "systemd-analyze verify has nothing to say" units_are_clean

score_is_low() { # TENTHS FILE [--user]
    local score
    score=$(XDG_RUNTIME_DIR=/run systemd-analyze "${@:3}" security --offline=true --no-pager "$2" |
        sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
    echo "score: $score"
    [ -n "$score" ] && [ "${score/./}" -le "$1" ]
}
check "gasclawd.service is exposed at most 1.7" score_is_low 17 /usr/lib/systemd/system/gasclawd.service
check "gasclawd@.service is exposed at most 1.7" score_is_low 17 /usr/lib/systemd/system/gasclawd@.service
# A user's unit has no User=, which is taken for root; with it systemd 252 does not start it.
check "user/gasclawd.service is exposed at most 2.0" score_is_low 20 /usr/lib/systemd/user/gasclawd.service --user

user_and_home_are_made() {
    same "$(getent passwd gastown | cut -d : -f 6,7)" "$home:/bin/bash"
    same "$(stat -c '%U %a' $home)" "gastown 700"
    same "$(stat -c '%U %a' $accounts)" "gastown 700"
}
check "sysusers and tmpfiles make the user and the closed folders" user_and_home_are_made

catalog_is_the_programs() {
    gasclawd print-catalog >/lab/catalog
    cmp /lab/catalog /usr/lib/systemd/catalog/gasclawd.catalog
    local ids
    ids=$(grep -c '^-- ' /lab/catalog)
    same "$(journalctl --dump-catalog $(sed -n 's/^-- //p' /lab/catalog) | grep -c '^Defined-By: gasclawd')" "$ids"
}
check "the catalog is the program's own, and compiles" catalog_is_the_programs
