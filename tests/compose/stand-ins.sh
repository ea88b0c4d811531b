#!/bin/sh
# stand-ins.sh base|others: make, under their real names and tags, images that stand in for those
# that compose/ asks for, where nothing can be pulled: the one that ours is built from, or the others.
# Debian is fetched once, by debootstrap; DOCKER_HOST says which engine gets the images. Each
# Dockerfile says what differs from the real image.
#
# An image of that name that is there already is kept.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mosaic-federation

has() { docker image inspect "$1" >/dev/null 2>&1; }

# standin IMAGE FOLDER [FILE…]: build an image, with files beside its Dockerfile
standin() {
    image=$1 folder=$2
    shift 2
    ! has "$image" || return 0
    echo "compose: make a stand-in for $image"
    context=$(mktemp -d)
    cp -L "$here/stand-ins/$folder"/* "$@" "$context"
    docker build --network host --tag "$image" "$context" >"$context.log" 2>&1 ||
        { tail -20 "$context.log" >&2; exit 1; }
    rm -r "$context" "$context.log"
}

if ! has mosaic-standin/bookworm; then
    tarball=$cache/bookworm.tar
    if [ ! -s "$tarball" ]; then
        echo 'compose: fetch a minimal Debian (half a minute, once)'
        root=$(mktemp -d)
        debootstrap --variant=minbase bookworm "$root" >"$root.log" 2>&1 ||
            { tail -5 "$root.log" >&2; exit 1; }
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
        # a power cut may lose these images, and syncing every file takes half of the time
        echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
        mkdir -p "$cache"
        tar -C "$root" -cf "$tarball.new" .
        mv "$tarball.new" "$tarball"
        rm -rf "$root" "$root.log"
    fi
    docker import "$tarball" mosaic-standin/bookworm >/dev/null
fi

case $1 in
    base) standin python:3.11-slim-bookworm python /etc/ssl/certs/ca-certificates.crt ;;
    others)
        step_ca=$(mktemp -d)
        .venv/bin/mosaic federation ca install --dir "$step_ca" >/dev/null
        standin smallstep/step-ca:0.30.2 step-ca "$step_ca/step-ca"
        rm -r "$step_ca"
        standin haproxy:3.0-bookworm haproxy
        standin postgres:17-bookworm postgres
        standin prom/prometheus:v3.5.0 prometheus
        ;;
esac
