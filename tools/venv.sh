#!/bin/sh
# Make .venv. Debian keeps what a virtual environment needs (ensurepip) in a package of its own.
set -eu
cd "$(dirname "$0")/.."

python=$(sh tools/python.sh)
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    sh tools/apt.sh "python$version-venv" "$python cannot make virtual environments without it"
fi

printf 'setup: make .venv from %s\n' "$python"
"$python" -m venv --clear .venv
