# Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
# shellcheck shell=bash
#
# Agents: processes in tmux that the service's own cgroup holds, under the sandbox of the shipped unit.

# gt starts them from within the service, as it does when gasclawd brings up a town.
start_fleet() {
    cat >/usr/local/bin/lab-fleet <<'FLEET'
#!/bin/bash
# Waits for the registration, then starts an agent unless it runs.
cd "$HOME/gt" || exit 1
export PATH=$HOME/sim/bin:$PATH
for _ in $(seq 200); do
    grep -q '"default_agent": *"kimi-claude"' settings/config.json 2>/dev/null && break
    sleep 0.1
done
exec gt crew start project/ada --agent kimi-claude
FLEET
    chmod 0755 /usr/local/bin/lab-fleet
    dropin fleet <<UNIT
[Service]
ExecStartPost=-/usr/local/bin/lab-fleet
UNIT
    fresh_start
    eventually 20 has_agent
    agent_pid >/lab/agent
}

tmux_name() { as_agent_user sh -c 'ls /tmp/tmux-$(id -u)' | head -n 1; }
agent_tmux() { as_agent_user env TERM=xterm tmux -u -L "$(tmux_name)" "$@"; }
agent_pid() { agent_tmux display-message -p -t pr-crew-ada '#{pane_pid}'; }
# The key of an agent: the only place that shows it is the process's own environment.
key_of() { tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^ANTHROPIC_API_KEY=//p'; }
agent_key() { key_of "$(agent_pid)"; }
has_agent() { [ -n "$(agent_key)" ]; }
agent_has_key() { [ "$(agent_key)" = "$1" ]; }
active_account() { grep -l "$(agent_key)" $accounts/*/config.toml | xargs dirname | xargs basename; }

check "gt starts an agent from within the service, and it holds a key" start_fleet

agent_is_in_the_cgroup() {
    grep -q "/$unit\$" "/proc/$(agent_pid)/cgroup"
    # The sandbox is on it: privileges that cannot be gained, system calls that are filtered.
    same "$(sed -n 's/^\(NoNewPrivs\|Seccomp\):\t//p' "/proc/$(agent_pid)/status" | tr '\n' ' ')" "1 2 "
}
check "the agent is in the service's cgroup and sandbox" agent_is_in_the_cgroup

edit_is_seen() {
    local new cursor
    new=$(new_key)
    cursor=$(mark)
    write_account "$(active_account)" "$new"
    eventually 30 agent_has_key "$new"
    eventually 10 has_record "$cursor" '"MESSAGE":"agent.reload.finished '
    eventually 10 grep "$(id_of "$new")" $home/sim/home/requests.jsonl
}
check "an edit of a key file is seen by the agent in tmux" edit_is_seen

login_shell_attaches() {
    # script(1) gives the terminal that a person would have.
    local client keyboard
    # Nobody types: a pipe that is open at both ends and empty.
    mkfifo /lab/keyboard
    exec {keyboard}<>/lab/keyboard
    login "script -qec 'tmux -u -L $(tmux_name) attach -t pr-crew-ada' /dev/null" >/lab/attached 2>&1 <&$keyboard &
    client=$!
    eventually 10 eval '[ -n "$(agent_tmux list-clients -t pr-crew-ada)" ]'
    agent_tmux detach-client -s pr-crew-ada
    wait $client || { cat -v /lab/attached; return 1; }
}
check "a person attaches to the agent's terminal from a login shell" login_shell_attaches

# A command in a pane of the agents' tmux server: what an agent's tool call is.
work() { # COMMAND
    rm -f $home/work.done
    agent_tmux new-window -d -t pr-crew-ada "cd $home; ( $1 ) >$home/work.log 2>&1; echo \$? >$home/work.done"
    eventually 120 test -s $home/work.done
    cat $home/work.log
    same "$(cat $home/work.done)" 0
}
needs() { command -v "$1" >/dev/null || skip "there is no $1 here"; }

clones() {
    work "rm -rf copy && git clone -q repo.git copy && cd copy && git commit -q --allow-empty -m x && git push -q origin HEAD:refs/heads/lab"
}
check "an agent clones a repository, commits and pushes" clones
makes() {
    needs make
    work "printf 'all: ; @echo made\n' >lab.mk && make -j2 -f lab.mk"
}
check "an agent runs make" makes
builds_venv() {
    needs python3
    python3 -c 'import venv, ensurepip' || skip "there is no python3-venv here"
    work "rm -rf venv && python3 -m venv venv && venv/bin/python -c 'import multiprocessing; print(multiprocessing.cpu_count())' && venv/bin/pip --version"
}
check "an agent makes a Python environment" builds_venv
syncs() {
    needs rsync
    work "rm -rf synced && rsync -a sim/ synced/"
}
check "an agent copies with rsync -a" syncs
keeps_owner() { work "rm -rf kept && cp -a sim kept && tar -C kept -cf - . | tar -C kept -xpf -"; }
check "an agent copies with cp -a and tar -p" keeps_owner
compiles() {
    needs node
    work "node -e 'let s = 0; for (let i = 0; i < 5e6; i++) s += i; console.log(s, require(\"os\").cpus().length)'"
}
check "an agent runs node, which compiles at run time" compiles
installs() {
    needs npm
    work "mkdir -p pack && cd pack && echo '{\"name\":\"x\",\"version\":\"1.0.0\"}' >package.json && npm install --offline --no-audit --no-fund"
}
check "an agent runs npm" installs

sees_no_other() {
    install -d -m 0755 /home/other
    echo private >/home/other/file
    work "! cat /home/other/file && ! touch /etc/x && ! touch /usr/x && test -z \"\$(ls -A /root)\" && ! sudo -n true && ! cat /etc/shadow"
}
check "an agent sees no other home and cannot write to the system" sees_no_other

# What docs/systemd.md says of clients that put their tools into a sandbox of their own.
makes_namespaces() {
    refuse work "unshare --map-root-user --mount --pid --fork true"
    agent_tmux kill-server || true
    dropin namespaces <<UNIT
[Service]
RestrictNamespaces=user mnt pid net ipc uts
SystemCallFilter=@mount
UNIT
    fresh_start
    eventually 20 has_agent
    work "unshare --map-root-user --mount --pid --net --fork mount -t tmpfs none /tmp"
    agent_tmux kill-server || true
    no_dropin namespaces
}
check "a drop-in lets an agent make a sandbox of its own" makes_namespaces

# gt in a login shell has its tmux server outside of the service, and with it the agents.
outside_is_managed() {
    no_dropin fleet
    agent_tmux kill-server || true
    login "cd $town && gt crew start project/ada --agent kimi-claude"
    eventually 20 has_agent
    refuse grep -q "$unit" "/proc/$(agent_pid)/cgroup"
    local new
    new=$(new_key)
    write_account "$(active_account)" "$new"
    eventually 30 agent_has_key "$new"
    agent_tmux kill-server || true
}
check "an agent that was started from a login shell gets its key, and the next one, too" outside_is_managed
