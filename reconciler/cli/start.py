"""The start of the program. The help of a group that is asked for most is printed without click.

It is generated from the commands, by `make docs`. Click's import takes three times as long as the
start of Python itself.
"""

from __future__ import annotations

import os
import sys

from reconciler.cli.group_help import GROUPS

WIDTH = 80  # columns in which no line of the help is wrapped


def main() -> None:
    """Run the command line and exit."""
    text = _help(sys.argv[1:])
    if text is not None and _written(text.encode()):
        return
    try:
        from reconciler.cli.main import main as run

        run()
    except KeyboardInterrupt:  # while modules are imported: a later one is reported by `run`
        os.write(2, b"\nerror: interrupted\n")
        sys.exit(130)


def _help(arguments: list[str]) -> str | None:
    """Return the help that is asked for, or None where click has more to say or to judge."""
    *path, flag = arguments or [""]
    text = GROUPS.get(" ".join(path))
    if flag not in ("-h", "--help") or text is None or _columns() < WIDTH:
        return None
    plain = all(value.isascii() for name, value in os.environ.items() if "MOSAIC_" in name)
    return text if plain and "_MOSAIC_COMPLETE" not in os.environ else None


def _columns() -> int:
    """Return the width of the terminal, as `shutil.get_terminal_size` finds it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or WIDTH
    except OSError:  # no terminal
        return WIDTH


def _written(octets: bytes) -> bool:
    """Write to standard output; return False if that fails, for which there is a report."""
    try:
        while octets:
            octets = octets[os.write(1, octets) :]
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
