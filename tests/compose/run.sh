#!/bin/sh
# run.sh [PYTEST ARGUMENT…]: bring compose/ and deploy/kubernetes up by a real engine and test them.
# An engine that answers is used with the images it has or pulls. Where none does, one is started here as root, with its own
# socket, data and images (stand-ins.sh), and stopped at the end.
set -eu
cd "$(dirname "$0")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mosaic-federation

if [ "${SKIP_COMPOSE:-}" = 1 ]; then
    echo 'compose: skipped, because SKIP_COMPOSE=1 is set'
    exit 0
fi

fail() {
    echo "compose: $1" >&2
    echo 'compose: to do without at a desk: SKIP_COMPOSE=1' >&2
    exit 1
}

# own_engine: start dockerd, or say why there is none
own_engine() {
    [ "$(id -u)" -eq 0 ] || fail 'no container engine answers, and only root can start one'
    for each in dockerd:docker.io docker-compose:docker-compose debootstrap:debootstrap; do
        command -v "${each%%:*}" >/dev/null ||
            sh tools/apt.sh "${each#*:}" 'compose/ is run for real' || fail "no ${each#*:}"
    done
    mkdir -p "$cache/engine"
    exec 9>"$cache/engine.lock"
    flock --wait 600 9 || fail 'another run keeps its engine for ten minutes'
    work=$(mktemp -d)
    DOCKER_HOST=unix://$work/docker.sock
    export DOCKER_HOST
    dockerd --storage-driver=overlay2 --host "$DOCKER_HOST" --data-root "$cache/engine" \
        --exec-root "$work/exec" --pidfile "$work/pid" 9>&- >"$work/log" 2>&1 &
    engine=$!
    trap stop_engine EXIT
    trap 'exit 1' INT TERM HUP
    for _ in $(seq 60); do
        docker info >/dev/null 2>&1 && { clear_engine; return; }
        kill -0 "$engine" 2>/dev/null || break
        sleep 0.5
    done
    tail -5 "$work/log" >&2
    fail 'the engine does not start'
}

# clear_engine: remove what a run that was killed has left; the engine is ours alone
clear_engine() {
    docker ps --all --quiet | xargs -r docker rm --force --volumes >/dev/null
    docker volume prune --force >/dev/null
    docker network prune --force >/dev/null
}

stop_engine() {
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
    umount "$work"/exec/netns/* 2>/dev/null || true # of containers that used the host's network
    rm -rf "$work"
}

began=$(date +%s)
if ! command -v docker >/dev/null || ! timeout 20 docker info >/dev/null 2>&1; then
    own_engine
    network='--network host' # a proxy of this machine is reached from it alone
    sh tests/compose/stand-ins.sh base
    sh tests/compose/stand-ins.sh others &
    others=$!
fi

# build WORD…: build our image; the first stage has a name, so that pruning leaves its layers
build() {
    # shellcheck disable=SC2086 # two words, or none
    docker build ${network:-} --build-arg HTTP_PROXY --build-arg HTTPS_PROXY --build-arg NO_PROXY \
        --build-arg MOSAIC_COMMIT="$(git rev-parse HEAD)" \
        --file compose/Dockerfile "$@" . >"$log" 2>&1 || { tail -30 "$log"; exit 1; }
}

echo 'compose: build the image'
log=$(mktemp)
build --target build --tag mosaic-federation:build
build --tag mosaic-federation
rm "$log"
[ -z "${others:-}" ] || wait "$others"
docker image prune --force >/dev/null

echo "compose: images are there after $(($(date +%s) - began)) s; bring it up"
.venv/bin/pytest --junit-xml=build/junit-compose.xml -p no:cacheprovider \
    tests/compose/kubernetes.py tests/compose/acceptance.py tests/compose/remote.py tests/compose/settings.py \
    tests/compose/lasting.py tests/compose/monitoring.py "$@"
echo "compose: $(($(date +%s) - began)) s in all"
