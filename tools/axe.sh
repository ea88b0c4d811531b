#!/bin/sh
# axe.sh: fetch axe-core, by which a test judges the pages, into build/; once, pinned by its hash.
set -eu
cd "$(dirname "$0")/.."

version=4.14.1
integrity=FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==
script=build/axe-core-$version.js
[ -e "$script" ] && exit 0

command -v npm >/dev/null || sh tools/apt.sh npm 'the tests of the pages use axe-core'
printf 'setup: download axe-core %s into build\n' "$version"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && npm pack --silent --ignore-scripts "axe-core@$version" >/dev/null)
archive=$folder/axe-core-$version.tgz
digest=$(openssl dgst -sha512 -binary "$archive" | openssl base64 -A)
if [ "$digest" != "$integrity" ]; then
    printf 'setup: axe-core %s: got sha512-%s, expected sha512-%s\n' \
        "$version" "$digest" "$integrity" >&2
    exit 1
fi
mkdir -p build
tar -xzf "$archive" -C "$folder" package/axe.min.js
mv "$folder/package/axe.min.js" "$script"
