#!/bin/sh
# Write schemas/ from the models; with --check, only say where it differs from them.
set -eu
cd "$(dirname "$0")/.."

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
for kind in peer grant scope trust plan; do
    .venv/bin/mosaic federation schema "$kind" >"$fresh/$kind.schema.json"
done
.venv/bin/mosaic federation schema openapi >"$fresh/openapi.json"

if [ "${1:-}" = --check ]; then
    diff -ru schemas "$fresh" || {
        echo 'schemas/ differs from the models; type: make schemas' >&2
        exit 1
    }
else
    mkdir -p schemas
    cp "$fresh"/*.json schemas/
fi
