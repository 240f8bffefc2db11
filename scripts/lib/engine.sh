# The private engine: its places, and how to get inside. Sourced after
# common.sh.
# shellcheck shell=bash disable=SC2034,SC2154

# One namespace per state folder, so that two can live side by side.
netns=cosmos-test
[ "$state" = /var/tmp/cosmos-test ] || netns=cosmos-test-$(printf %s "$state" | cksum | cut -d' ' -f1)
netns_file=/var/run/netns/$netns

# The only resolver of the containers, see `start_resolver`.
resolver=192.0.2.53

if [ -n "${COSMOS_TEST_ENGINE:-}" ]; then
    engine_is_private=
    engine_host=$COSMOS_TEST_ENGINE
else
    engine_is_private=yes
    engine_host=unix://$state/run/docker.sock
fi

# in_netns CMD..: not `ip netns exec`, which mounts a fresh /sys and so hides
# the cgroups from the daemons and from whoever looks for them.
in_netns() {
    if [ -n "$engine_is_private" ]; then
        nsenter --net="$netns_file" -- "$@"
    else
        "$@"
    fi
}

# The engine's own command line. A Docker context of the user's must not win
# over the host, and none of the user's logins or plugins should take part.
engine() { DOCKER_CONTEXT='' DOCKER_CONFIG=$state/docker docker -H "$engine_host" "$@"; }

# An engine whose namespace is gone answers, too, but nobody can reach what it
# publishes.
engine_answers() {
    [ -z "$engine_is_private" ] || [ -e "$netns_file" ] || return 1
    engine version --format '{{.Server.Version}}' 2>/dev/null
}

# background NAME CMD..: a daemon inside the namespace, that outlives the
# script. Every descriptor is closed: a runner waits for whoever holds its
# output, and the next script for whoever holds the lock. `exec`, so that the
# process id is the daemon's.
background() {
    local name=$1 enter=()
    shift
    [ -z "$engine_is_private" ] || enter=(nsenter --net="$netns_file" --)
    (exec setsid "${enter[@]}" "$@") </dev/null >"$state/log/$name.log" 2>&1 9>&- &
    echo $! >"$state/run/$name.pid"
    disown
}

# Here, because the registry lives in the engine's namespace and ends with it.
stop_registry() {
    end_process "$state/run/registry.pid" docker-registry
    end_process "$state/run/registry-login.pid" docker-registry
}

# Before anything runs inside the namespace: there is no way out of it.
need_podman() {
    need podman=podman conmon=conmon catatonit=catatonit
    [ -x /usr/lib/podman/netavark ] || need netavark=netavark aardvark-dns=aardvark-dns
}

# podman_settings FOLDER: how Podman works in here, with its networks' files in FOLDER.
podman_settings() {
    cat <<-TOML
	[containers]
	# Its own defaults are higher than a nested root may set, who cannot raise
	# the limits of the service itself.
	default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
	[engine]
	cgroup_manager = "cgroupfs"
	runtime = "runc"
	events_logger = "file"
	[network]
	network_backend = "netavark"
	network_config_dir = "$1"
	TOML
}
