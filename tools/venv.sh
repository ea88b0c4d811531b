#!/bin/sh
# Make .venv from $PYTHON if it is set, else from python3.11, else from python3; 3.11 or later.
set -eu
cd "$(dirname "$0")/.."

# a name on PATH proves nothing (it may be a version manager's shim), so each one is asked
print_python() {
    for candidate; do
        "$candidate" -c '
import sys
sys.version_info >= (3, 11) or sys.exit(1)
print(sys.executable)
' 2>/dev/null && return
    done
    {
        printf 'setup: no Python 3.11 or later (tried: %s)\n' "$*"
        echo 'setup: install one (Debian 12: apt-get install python3 python3-venv),'
        echo 'setup: or name one: make setup PYTHON=/path/to/python3'
    } >&2
    return 1
}

if [ -n "${PYTHON:-}" ]; then
    python=$(print_python "$PYTHON")
else
    python=$(print_python python3.11 python3)
fi
# Debian keeps what a virtual environment needs (ensurepip) in a package of its own
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    sh tools/apt.sh "python$version-venv" "$python cannot make virtual environments without it"
fi

printf 'setup: make .venv from %s\n' "$python"
"$python" -m venv --clear .venv
