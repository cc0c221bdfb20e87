# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
# shellcheck shell=bash
#
# What the checks share. They run as root in the lab.

socket=/run/gasclawd/control.sock
unit=gasclawd.service
home=/home/gastown
accounts=$home/.kimi-accounts
town=$home/gt
config=/etc/gasclawd/gasclawd.toml
dropins=/run/systemd/system/$unit.d
count=0
failures=0

# Runs a function as a check: it holds if none of its commands fails. 77 means that this machine cannot show it; the
# last line says why.
check() { # NAME FUNCTION…
    local name=$1 log=/lab/log code
    shift
    count=$((count + 1))
    (
        set -Eeuo pipefail
        trap 'echo "failed: $BASH_COMMAND (${BASH_SOURCE[0]##*/}:$LINENO)" >&2' ERR
        "$@"
    ) >$log 2>&1 </dev/null
    code=$?
    case $code in
    0) echo "ok $count - $name" ;;
    77) echo "ok $count - $name # SKIP $(tail -n 1 $log)" ;;
    *)
        failures=$((failures + 1))
        echo "not ok $count - $name"
        tail -n 40 $log | sed 's/^/#   /'
        ;;
    esac
}

skip() {
    echo "$*"
    exit 77
}

# Waits until a command succeeds.
eventually() { # SECONDS COMMAND…
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/lab/try 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            cat /lab/try
            echo "not in time: $*"
            return 1
        fi
        sleep 0.05
    done
}

refuse() { # COMMAND…: it has to fail
    if "$@"; then
        echo "succeeded: $*"
        return 1
    fi
}

same() { # GIVEN WANTED
    [ "$1" = "$2" ] || {
        printf 'given:  %s\nwanted: %s\n' "$1" "$2"
        return 1
    }
}

ask() { gasclawd "$@" --socket $socket; }
status() { ask status --json; }
# A value of a status on standard input by its name; the first of that name.
pick() { sed -n "s/^ *\"$1\": \"\{0,1\}\(.*[^\",]\)\"\{0,1\},\{0,1\}\$/\1/p" | sed -n '1{s/\\\(["\\]\)/\1/g;p}'; }
value() { status | pick "$1"; }
property() { systemctl show -P "$1" "${2:-$unit}"; }
main_pid() { property MainPID; }
start_time() { sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 20; }
is_serving() { status >/dev/null; }

# Records of the unit since a cursor, one JSON object a line.
mark() { journalctl -n 1 -o json --output-fields=_PID | sed 's/.*"__CURSOR":"\([^"]*\)".*/\1/'; }
records() { # CURSOR [MATCHES…]
    local cursor=$1
    shift
    journalctl --sync
    # Chosen here: with a match of its own journalctl 252 leaves out the first record after a cursor.
    journalctl -o json --all --after-cursor="$cursor" "$@" | sed -n "/\"\(_SYSTEMD_UNIT\|UNIT\)\":\"$unit\"/p"
}
has_record() { # CURSOR PATTERN [MATCHES…]
    local cursor=$1 pattern=$2
    shift 2
    # Read to its end: a reader that goes early makes the writer fail.
    records "$cursor" "$@" | grep -- "$pattern" >/dev/null
}

as_agent_user() { runuser -u gastown -- env HOME=$home "$@"; }
login() { runuser -l gastown -c "$1"; }

write_account() { # NAME KEY
    install -d -o gastown -g gastown -m 0700 "$accounts/$1"
    printf '[providers.kimi]\ntype = "kimi"\nbase_url = "https://api.kimi.com/coding/v1"\napi_key = "%s"\n' "$2" \
        >"$accounts/$1/.new"
    chown gastown:gastown "$accounts/$1/.new"
    chmod 0600 "$accounts/$1/.new"
    mv "$accounts/$1/.new" "$accounts/$1/config.toml"
}

# A key that opens nothing. Every one is noted, to look for it where it must not be.
new_key() {
    local key
    key=sk-kimi-$(head -c 512 /dev/urandom | tr -dc 'A-Za-z0-9' | cut -c 1-48)
    echo "$key" >>/lab/keys
    echo "$key"
}
id_of() { printf %s "$1" | sha256sum | cut -c 1-12; }

write_config() { # [MORE LINES]
    cat >$config.new <<TOML
[town]
root = "$town"
path = ["$home/sim/bin"]
[agent]
program = "$home/sim/bin/claude"
[paths]
state = "/var/lib/gasclawd"
runtime = "/run/gasclawd"
${1:-}
$(case ${1:-} in *"[services]"*) ;; *) printf '[services]\nmanage = []' ;; esac)
TOML
    mv $config.new $config
}

dropin() { # NAME; the text comes from standard input
    mkdir -p $dropins
    cat >"$dropins/$1.conf"
    systemctl daemon-reload
}
no_dropin() {
    rm -f "$dropins/$1.conf"
    systemctl daemon-reload
}

# Whatever an earlier check left behind.
fresh_start() {
    write_config
    systemctl reset-failed $unit 2>/dev/null || true
    systemctl restart $unit
}
