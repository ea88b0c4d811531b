#!/bin/sh
# Print the Python to build .venv from: $PYTHON if set, else python3.11, else python3; 3.11 or later.
# A name on PATH proves nothing (it may be a version manager's shim), so each one is asked.
set -eu

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3.11 python3
fi

for candidate; do
    found=$("$candidate" -c '
import sys
print(sys.executable if sys.version_info >= (3, 11) else "")
' 2>/dev/null) || continue
    if [ -n "$found" ]; then
        printf '%s\n' "$found"
        exit 0
    fi
done

{
    printf 'setup: no Python 3.11 or later (tried: %s)\n' "$*"
    echo 'setup: install one (Debian 12: apt-get install python3 python3-venv),'
    echo 'setup: or name one: make setup PYTHON=/path/to/python3'
} >&2
exit 1
