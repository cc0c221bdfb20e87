#!/usr/bin/env bash
# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
#
# Says what the build and the tests need and this machine lacks, and installs it. Changes nothing if all is there.
#   scripts/deps.sh           installs Debian's packages
#   scripts/deps.sh --check   only says; exit 1 if something is missing
#   scripts/deps.sh --build   installs only what the build needs
#   scripts/deps.sh --docs    also what Tests/Docs and Tests/Dependencies need
#   scripts/deps.sh --lab     also what Tests/Systemd needs: a systemd to boot
#   scripts/deps.sh --bench   also what Benchmarks compares with; what cannot be had is said, and left out
#   scripts/deps.sh --package also what Tests/Package needs: readers of pages, shells, a Debian to install into
set -euo pipefail
cd "$(dirname "$0")/.."

# libsystemd, toml++ and PCRE2 for the build; tmux, git, ps and inotifywait for the tests and the demo.
packages=(libsystemd-dev libtomlplusplus-dev libpcre2-dev pkg-config)
[ "${1:-}" = --build ] || packages+=(tmux git procps inotify-tools curl)
[ "${1:-}" != --docs ] || packages+=(binutils curl)
# systemctl --user asks logind for a place, over D-Bus.
[[ ${1:-} != --lab && ${1:-} != --package ]] || packages+=(systemd dbus)
[ "${1:-}" != --package ] || packages+=(binutils debootstrap dpkg-dev fish lintian man-db mandoc xz-utils zsh)

fail() {
    echo "deps: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "installing needs root, and there is no sudo: run as root: apt-get install ${missing[*]}"
    fi
}

# The manifest's first line says which Swift it needs.
wanted=$(sed -n '1s/^\/\/ swift-tools-version: *\([0-9.]*\).*/\1/p' Package.swift)
command -v swift >/dev/null ||
    fail "Swift $wanted or newer is missing; https://www.swift.org/install/linux says how to install it"
have=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1)
[ -n "$have" ] || fail "swift --version does not say a version; is the toolchain whole?"
if [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" != "$wanted" ]; then
    fail "Swift $have is too old: $wanted or newer is needed; https://www.swift.org/install/linux says how to install it"
fi

command -v dpkg-query >/dev/null ||
    fail "this is not Debian or Ubuntu: install by hand what these packages hold: ${packages[*]}"
# Measured against, not needed.
compared=()
[ "${1:-}" != --bench ] || compared=(entr incron systemd watchman python3-venv)

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
compare() {
    local package
    for package in ${compared[@]+"${compared[@]}"}; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] ||
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" ||
            echo "deps: $package cannot be had: it is left out" >&2
    done
    [ "${1:-}" = --bench ] || return 0
    local python=.build/bench-python
    if ! "$python/bin/python" -c 'import watchfiles, watchdog' 2>/dev/null; then
        python3 -m venv "$python" && "$python/bin/python" -m pip install -q watchfiles==1.3.0 watchdog==7.1.0 ||
            echo "deps: watchfiles and watchdog cannot be had: they are left out" >&2
    fi
}

if [ ${#missing[@]} -eq 0 ]; then
    compare "$@"
    exit 0
fi

echo "deps: missing: ${missing[*]}" >&2
[ "${1:-}" != --check ] || exit 1
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
compare "$@"
