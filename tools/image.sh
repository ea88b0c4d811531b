#!/bin/sh
# image.sh [DOCKER ARGUMENT…]: build the image of the commit that is checked out, from the images that
# compose/images.env names by their digests. It is tagged mosaic-federation:VERSION.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
# shellcheck disable=SC2046 # a word for each image
git archive HEAD | docker build $(sed -n 's/^\([A-Z_]*\)=/--build-arg &/p' compose/images.env) \
    --build-arg MOSAIC_COMMIT="$(git rev-parse HEAD)" \
    --build-arg HTTP_PROXY --build-arg HTTPS_PROXY --build-arg NO_PROXY \
    --file compose/Dockerfile --tag "mosaic-federation:$version" "$@" -
