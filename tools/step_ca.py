"""Find a step-ca, or build it into the user's cache; it needs no package, so it need not wait."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reconciler.embedded.stepca.install import cache_folder, find_step_ca, install_step_ca
from reconciler.errors import EXIT_INTERRUPTED, MosaicError


def main() -> int:
    """Return the exit code of the set-up's step."""
    try:
        if find_step_ca() is None:
            _say(f"is {install_step_ca(_say, cache_folder())}")
    except MosaicError as error:
        sys.stderr.write(f"setup: {error.message}\n  {error.hint}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"setup: step-ca: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
