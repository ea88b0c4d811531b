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
git archive HEAD | tar -x -C "$tree"
(cd "$tree" && "$python" -m hatchling build --directory "$tree/dist" >/dev/null)
"$python" tools/sbom.py "$tree/requirements.txt" "$tree"/dist/*.whl >"$tree/sbom"

wheel=$(basename "$tree"/dist/*.whl)
name=${wheel%-py3-none-any.whl}
mv "$tree"/dist/*.whl "$tree"/dist/*.tar.gz "$out"
mv "$tree/sbom" "$out/$name.spdx.json"
cp "$tree/requirements.txt" "$out/$name.requirements.txt"
(cd "$out" && sha256sum "$name"* | tee "$name.sha256")
