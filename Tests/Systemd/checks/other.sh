# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
# shellcheck shell=bash
#
# The other two units: for a user by name, and in a user's own systemd.

ada=/home/ada

prepare_ada() {
    id ada >/dev/null 2>&1 || useradd --create-home --shell /bin/bash ada
    install -d -o ada -g ada -m 0700 $ada/.kimi-accounts $ada/.kimi-accounts/1
    printf '[providers.kimi]\napi_key = "%s"\nbase_url = "https://api.kimi.com/coding/v1"\n' "$(new_key)" \
        >$ada/.kimi-accounts/1/config.toml
    chown ada:ada $ada/.kimi-accounts/1/config.toml
    chmod 0600 $ada/.kimi-accounts/1/config.toml
    # She has no town, and no gt.
    install -d -o ada -g ada $ada/.config $ada/.config/gasclawd
    printf '[town]\nbootstrap = false\n[services]\nmanage = []\n' >$ada/.config/gasclawd/gasclawd.toml
    # The file in /etc would name the folders of the other service.
    rm -f $config
}

named_unit() {
    prepare_ada
    systemctl start gasclawd@ada.service
    same "$(property ActiveState gasclawd@ada)" active
    gasclawd status --check --socket /run/gasclawd-ada/control.sock
    same "$(property StatusText gasclawd@ada)" \
        "$(gasclawd status --json --socket /run/gasclawd-ada/control.sock | pick detail)"
    same "$(ps -o user= -p "$(property MainPID gasclawd@ada)")" ada
    systemctl reload gasclawd@ada.service
    local main
    main=$(property MainPID gasclawd@ada)
    # It sees ada's home alone.
    same "$(nsenter -t "$main" -m ls /home)" ada
    systemctl stop gasclawd@ada.service
    same "$(property Result gasclawd@ada)" success
}
check "gasclawd@ada runs as ada, with her home alone" named_unit

as_ada() { runuser -u ada -- env HOME=$ada XDG_RUNTIME_DIR="/run/user/$(id -u ada)" "$@"; }
user_unit() {
    prepare_ada
    systemctl start "user@$(id -u ada).service" || skip "no user's systemd can be started here"
    as_ada systemctl --user start gasclawd.service || {
        journalctl -n 30 --no-pager
        return 1
    }
    cd $ada
    as_ada gasclawd status --check
    same "$(as_ada systemctl --user show -P StatusText gasclawd)" \
        "$(as_ada gasclawd status --json | pick detail)"
    as_ada systemctl --user reload gasclawd.service
    local main
    main=$(as_ada systemctl --user show -P MainPID gasclawd)
    as_ada kill -9 "$main"
    eventually 20 as_ada gasclawd status --check
    refuse nsenter -t "$(as_ada systemctl --user show -P MainPID gasclawd)" -m touch /usr/x
    as_ada systemctl --user stop gasclawd.service
    same "$(as_ada systemctl --user show -P Result gasclawd)" success
}
check "the user's unit runs in ada's own systemd, and comes back after kill -9" user_unit
