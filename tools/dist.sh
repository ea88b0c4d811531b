#!/bin/sh
# dist.sh [DIR]: build what a release is, from the commit that is checked out and nothing else: wheel,
# source distribution, SBOM, and the pinned requirements. Built again anywhere, they have the same
# bytes: times are those of the commit.
set -eu
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
mkdir -p "${1:-dist}"
out=$(cd "${1:-dist}" && pwd)

MOSAIC_COMMIT=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export MOSAIC_COMMIT SOURCE_DATE_EPOCH
[ -z "$(git status --porcelain)" ] || echo 'dist: changes that are not committed are left out' >&2

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' INT TERM HUP
# whatever the user's own git converts
git -c core.autocrlf=false -c core.attributesFile=/dev/null archive HEAD | tar -x -C "$tree"
(cd "$tree" && "$python" -m hatchling build --directory "$tree/dist" >/dev/null)
"$python" tools/sbom.py "$tree/requirements.txt" "$tree"/dist/*.whl >"$tree/sbom"

wheel=$(basename "$tree"/dist/*.whl)
name=${wheel%-py3-none-any.whl}
mv "$tree/sbom" "$tree/dist/$name.spdx.json"
cp "$tree/requirements.txt" "$tree/dist/$name.requirements.txt"
(cd "$tree/dist" && sha256sum "$name"*) >"$tree/sums"
mv "$tree/sums" "$tree/dist/$name.sha256"
cp "$tree/dist/$name"* "$out"
cat "$out/$name.sha256"
