# What every script here shares: where things are, how to speak, how to get a
# missing command, how to end a process. Sourced, never run.
# shellcheck shell=bash disable=SC2034

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# All that the test environment writes is in here, so that removing this one
# folder (and ending its processes: `scripts/engine clean`) undoes it.
state=${COSMOS_TEST_STATE:-/var/tmp/cosmos-test}

say() { printf '%s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf 'hint: %s\n' "$@" >&2
    exit 1
}

be_root() {
    [ "$(id -u)" = 0 ] || die "the private test engine needs root (a network namespace and a dockerd)" \
        "run this as root, or name an engine you may use: COSMOS_TEST_ENGINE=unix:///run/docker.sock"
    mkdir -p "$state/run" "$state/log" "$state/cache"
}

# Holds a lock until the calling script ends. Daemons must be started with
# `9>&-`, else they inherit the lock and hold it for as long as they live.
lock() {
    exec 9>"$state/run/$1.lock"
    flock -n 9 || { say "waiting for another $1 to finish"; flock 9; }
}

# need COMMAND=PACKAGE..: installs what is missing. Looks for the command
# first: a warm run must not pay for apt.
need() {
    local want packages=()
    for want in "$@"; do
        command -v "${want%%=*}" >/dev/null || packages+=("${want#*=}")
    done
    [ ${#packages[@]} -eq 0 ] && return
    command -v apt-get >/dev/null ||
        die "missing packages, and no apt-get to install them: ${packages[*]}" "install them by hand, then run this again"
    say "installing ${packages[*]}"
    # Packages such as docker.io start a daemon of their own on the machine when
    # installed. Ours are private, so that is refused, unless somebody already
    # has a policy.
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e "$policy" ]; then
        ours=$policy
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    local log=$state/log/apt.log status=0
    apt_install "${packages[@]}" >"$log" 2>&1 9>&- || status=$?
    [ -z "$ours" ] || rm -f "$ours"
    [ "$status" = 0 ] || {
        tail -n 10 "$log" >&2
        die "could not install ${packages[*]}" "the whole output is in $log"
    }
}

apt_install() {
    local install=(apt-get install -y --no-install-recommends)
    export DEBIAN_FRONTEND=noninteractive
    # Lists of a fresh machine are missing or old; of a warm one, they serve.
    "${install[@]}" "$@" </dev/null || { apt-get update </dev/null && "${install[@]}" "$@" </dev/null; }
}

# is_alive PIDFILE NAME: the name is compared because a process id is reused
# after a reboot, and the file survives it. One that ended and was not yet
# collected has no command line: some machines' process 1 takes seconds over it.
is_alive() {
    local pid
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] &&
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] && grep -q . "/proc/$pid/cmdline" 2>/dev/null
}

# end_process PIDFILE NAME [SECONDS]: asks, waits, then insists.
end_process() {
    if is_alive "$1" "$2"; then
        local pid deadline=$((SECONDS + ${3:-10}))
        pid=$(cat "$1")
        kill "$pid"
        while is_alive "$1" "$2"; do
            [ $SECONDS -lt $deadline ] || kill -KILL "$pid" 2>/dev/null || true
            sleep 0.05
        done
    fi
    rm -f "$1"
}

# wait_until SECONDS CMD..: false when time is up.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.05
    done
}
