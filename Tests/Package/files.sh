#!/usr/bin/env bash
# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
#
# What can be seen of an installation without one: manual pages, completions, the package's own files.
#   files.sh PROJECT GASCLAWD PACKAGE FOLDER
set -uo pipefail
project=$1 gasclawd=$2 package=$3 work=$4/files
cd "$project" || exit 1
mkdir "$work"
server=gasclawd-completion-$$
trap 'for shell in bash zsh fish; do tmux -L "$server-$shell" kill-server 2>/dev/null; done' EXIT
count=0
failures=0

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
need() { # PROGRAM…
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || {
            echo "$program is missing (scripts/deps.sh --package)"
            exit 77
        }
    done
}
same() { # GIVEN WANTED
    [ "$1" = "$2" ] || {
        printf 'given:  %s\nwanted: %s\n' "$1" "$2"
        return 1
    }
}

# Manual pages

pages_are_clean() {
    need mandoc man
    local version page
    version=$("$gasclawd" version | cut -d ' ' -f 2)
    "$gasclawd" print-manual >"$work/gasclawd.8"
    scripts/configuration-manual "$version" 2026-01-01 >"$work/gasclawd.toml.5"
    for page in gasclawd.8 gasclawd.toml.5; do
        same "$(mandoc -Tlint -Wall "$work/$page" 2>&1)" ""
        same "$(LC_ALL=C.UTF-8 MANROFFSEQ='' man --warnings -E UTF-8 -l -Tutf8 -Z "$work/$page" 2>&1 >/dev/null)" ""
    done
}
check "the manual pages have nothing that mandoc and groff warn of" pages_are_clean

every_command_is_on_the_page() {
    local command option page=$work/gasclawd.8.text
    MANWIDTH=200 man -E UTF-8 -l "$work/gasclawd.8" | sed 's/.\x08//g' >"$page"
    "$gasclawd" version --json | sed 's/.*"features":\[//; s/\].*//' | tr ',' '\n' | tr -d '"' | tr . ' ' >"$work/commands"
    [ -s "$work/commands" ]
    while read -r command; do
        # From its heading to the next, and what holds for all.
        sed -n "/^   gasclawd $command\( .*\)*\$/,/^   gasclawd/p; /^OPTIONS OF ALL/,\$p" "$page" >"$work/section"
        grep -q "^   gasclawd $command" "$work/section" || {
            echo "gasclawd $command is not in gasclawd(8)"
            return 1
        }
        # shellcheck disable=SC2086
        for option in $("$gasclawd" $command --help | grep -o '^  \(-[a-z], \)*--[a-z-]*' | grep -o -- '--[a-z-]*'); do
            grep -q -- "^ .*$option\b" "$work/section" || {
                echo "gasclawd $command $option is not in gasclawd(8)"
                return 1
            }
        done
    done <"$work/commands"
}
check "gasclawd(8) has every command with each option that its help shows" every_command_is_on_the_page

every_setting_has_its_entry() {
    local key
    # The parser's own list: what check says of the defaults.
    for key in $(GASCLAWD_CONFIG=/dev/null "$gasclawd" check --json | grep -o '"key":"[^"]*"' | cut -d '"' -f 4); do
        grep -q "^\\\\fB$key\\\\fR = " "$work/gasclawd.toml.5" || {
            echo "$key is not in gasclawd.toml(5)"
            return 1
        }
    done
}
check "gasclawd.toml(5) has every setting that the parser knows" every_setting_has_its_entry

default_configuration_is_the_defaults() {
    scripts/default-configuration >"$work/as-it-is.toml"
    # Each line that is no prose, taken into force.
    sed 's/^#\([^ ]\)/\1/' "$work/as-it-is.toml" >"$work/in-force.toml"
    values() { "$gasclawd" check --json "$1" | grep -o '"key":"[^"]*","value":"\(\\.\|[^"\\]\)*"'; }
    values "$work/as-it-is.toml" >"$work/defaults"
    values "$work/in-force.toml" | diff "$work/defaults" -
    # None is missing; tables that there may be several of have an example.
    local key
    for key in $(sed 's/"key":"\([^"]*\)".*/\1/' "$work/defaults"); do
        grep -q "^#${key##*.} = \|^# $key: " "$work/as-it-is.toml" || {
            echo "$key is missing"
            return 1
        }
    done
}
check "the installed configuration has every setting, and each line means the default" \
    default_configuration_is_the_defaults

# Completions, with a Tab in a shell that has a terminal

# Waits until the screen of a shell shows something.
shows() { # SHELL TEXT
    local deadline=$((SECONDS + 60)) screen
    while :; do
        screen=$(tmux -L "$server-$1" capture-pane -p -N -t "$1")
        ! grep -qF -- "$2" <<<"$screen" || break
        [ $SECONDS -lt $deadline ] || {
            printf '%s does not show %s:\n%s\n' "$1" "$2" "$screen"
            return 1
        }
        sleep 0.1
    done
}
completes() { # SHELL TYPED WANTED
    tmux -L "$server-$1" send-keys -t "$1" C-u
    tmux -L "$server-$1" send-keys -t "$1" -l "$2"
    shows "$1" "> $2"
    tmux -L "$server-$1" send-keys -t "$1" Tab
    shows "$1" "> $3"
}
shell_completes() { # SHELL COMMAND…
    local shell=$1
    shift
    need "$shell" tmux
    mkdir -p "$work/bin" "$work/$shell"
    ln -sf "$(realpath "$gasclawd")" "$work/bin/gasclawd"
    env -i HOME="$work/$shell" PATH="$work/bin:$PATH" TERM=screen LANG=C.UTF-8 \
        tmux -L "$server-$shell" -f /dev/null new-session -d -s "$shell" -x 200 -y 50 "$@"
    shows "$shell" "> "
    completes "$shell" "gasclawd stat" "gasclawd status "
    completes "$shell" "gasclawd keys rot" "gasclawd keys rotate "
    completes "$shell" "gasclawd events --typ" "gasclawd events --type "
    completes "$shell" "gasclawd events --type key.act" "gasclawd events --type key.activated"
    tmux -L "$server-$shell" kill-server
}
in_bash() {
    "$gasclawd" --generate-completion-script bash >"$work/completion.bash"
    printf 'PS1="> "\nbind "set bell-style none"\n. %q\n' "$work/completion.bash" >"$work/bashrc"
    shell_completes bash bash --noprofile --rcfile "$work/bashrc" -i
}
check "completes in bash" in_bash
in_zsh() {
    need zsh
    mkdir -p "$work/zsh/functions"
    "$gasclawd" --generate-completion-script zsh >"$work/zsh/functions/_gasclawd"
    # shellcheck disable=SC2016
    printf 'PS1="> "\nfpath=(%q $fpath)\nautoload -U compinit && compinit -u\n' "$work/zsh/functions" >"$work/zsh/.zshrc"
    shell_completes zsh zsh -d -i
}
check "completes in zsh" in_zsh
in_fish() {
    mkdir -p "$work/fish/.config/fish/completions"
    "$gasclawd" --generate-completion-script fish >"$work/fish/.config/fish/completions/gasclawd.fish"
    printf 'set fish_greeting\nfunction fish_prompt\n echo -n "> "\nend\n' >"$work/fish/.config/fish/config.fish"
    shell_completes fish fish -i
}
check "completes in fish" in_fish

# Installation

goes_as_it_came() {
    local root=$work/root file
    DESTDIR=$root PREFIX=/opt/gasclawd scripts/install files "$(dirname "$gasclawd")"
    for file in bin/gasclawd lib/gasclawd/bin/{claude,agent-shell,gasclawd}; do
        same "$(realpath "$root/opt/gasclawd/$file")" "$(realpath "$root/opt/gasclawd/bin/gasclawd")"
    done
    same "$("$root/opt/gasclawd/bin/gasclawd" version)" "$("$gasclawd" version)"
    grep -q '^ExecStart=/opt/gasclawd/bin/gasclawd run$' "$root/opt/gasclawd/lib/systemd/system/gasclawd.service"
    refuse_match '/usr/bin/gasclawd' "$root/opt/gasclawd/lib/systemd"
    # A configuration that is there already is the owner's.
    echo '# mine' >"$root/etc/gasclawd/gasclawd.toml"
    DESTDIR=$root PREFIX=/opt/gasclawd scripts/install files "$(dirname "$gasclawd")"
    same "$(cat "$root/etc/gasclawd/gasclawd.toml")" '# mine'
    DESTDIR=$root PREFIX=/opt/gasclawd scripts/install remove
    same "$(cd "$root" && find . ! -type d)" ./etc/gasclawd/gasclawd.toml
}
refuse_match() { ! grep -r -- "$1" "$2"; } # PATTERN FOLDER
check "make install lays each file for its prefix, make uninstall takes all of them but the configuration" goes_as_it_came

# The package

has_what_it_promises() {
    local wanted
    dpkg-deb -c "$package" | awk '{ print substr($6, 2) }' >"$work/list"
    for wanted in /usr/bin/gasclawd /usr/lib/gasclawd/bin/claude /usr/lib/gasclawd/bin/agent-shell \
        /usr/lib/gasclawd/bin/gasclawd \
        /usr/lib/systemd/system/gasclawd.service /usr/lib/systemd/system/gasclawd@.service \
        /usr/lib/systemd/user/gasclawd.service /usr/lib/sysusers.d/gasclawd.conf /usr/lib/tmpfiles.d/gasclawd.conf \
        /usr/lib/systemd/catalog/gasclawd.catalog /usr/share/man/man8/gasclawd.8.gz \
        /usr/share/man/man5/gasclawd.toml.5.gz /usr/share/bash-completion/completions/gasclawd \
        /usr/share/zsh/vendor-completions/_gasclawd /usr/share/fish/vendor_completions.d/gasclawd.fish \
        /etc/gasclawd/gasclawd.toml /usr/share/doc/gasclawd/sbom.tsv /usr/share/doc/gasclawd/copyright /usr/share/doc/gasclawd/changelog.gz; do
        grep -qxF "$wanted" "$work/list" || {
            echo "$wanted is not in the package"
            return 1
        }
    done
    same "$(dpkg-deb -f "$package" Package)" gasclawd
    dpkg-deb -I "$package" conffiles | grep -qx /etc/gasclawd/gasclawd.toml
}
check "the package has the program, its links, units, pages, completions and configuration" has_what_it_promises

lacks() { # PATTERN COMMAND…
    if "${@:2}" | grep -E -- "$1"; then return 1; fi
}
is_stripped_and_whole() {
    dpkg-deb -x "$package" "$work/unpacked"
    local program=$work/unpacked/usr/bin/gasclawd
    lacks '\.symtab|\.debug_info' readelf -S "$program"
    lacks 'RPATH|RUNPATH' readelf -d "$program"
    # Swift is linked in, full Foundation is not.
    lacks 'swift|Foundation' ldd "$program"
    [ "$(stat -c %s "$program")" -le $((24 << 20)) ]
    "$program" version --json
    # The folder that it was built in is nobody's business.
    ! grep -qF "$project" "$program"
}
check "the program is stripped, needs no library of Swift, is at most 24 MiB, and does not name the build's folder" \
    is_stripped_and_whole

is_the_same_again() {
    mkdir "$work/again"
    cmp "$package" "$(scripts/deb "$(dirname "$gasclawd")" "$work/again" 1)"
}
check "the same program gives the same package" is_the_same_again

lintian_agrees() {
    need lintian
    # Nobody asked Debian for this package, so there is no bug that its first version closes.
    lintian --allow-root --fail-on error,warning --tag-display-limit 0 \
        --suppress-tags initial-upload-closes-no-bugs "$package"
}
check "lintian has no errors and no warnings" lintian_agrees

scripts_are_posix() {
    local script
    for script in packaging/debian/{postinst,prerm,postrm}; do sh -n $script; done
}
check "the maintainer scripts are read by sh" scripts_are_posix

echo "1..$count"
[ $failures -eq 0 ] || echo "# $failures of $count do not hold"
[ $failures -eq 0 ]
