"""The command that runs after a credential has changed, such as the reload of a proxy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import printable
from reconciler.process import Bounds, OutputTooLarge, ProcessTimeout, run_process

if TYPE_CHECKING:
    from pathlib import Path

BOUNDS: Final = Bounds(seconds=30, output=1024 * 1024)
_SHOWN: Final = 500  # characters of what it wrote


def run_hook(words: tuple[str, ...], peer: str, folder: Path) -> str | None:
    """Run the command and return None, or why it failed.

    It sees `MOSAIC_PEER` and `MOSAIC_CREDENTIALS`, and no other of this gateway's settings: some
    hold secrets.
    """
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith("MOSAIC_")
    }
    environment |= {"MOSAIC_PEER": peer, "MOSAIC_CREDENTIALS": str(folder)}
    try:
        result = run_process(words, bounds=BOUNDS, env=environment)
    except ProcessTimeout:
        return f"{words[0]} ran longer than {BOUNDS.seconds:.0f} s, and was killed"
    except OutputTooLarge:
        return f"{words[0]} wrote more than {BOUNDS.output:,} octets, and was killed"
    except OSError as error:
        return f"{words[0]} cannot be started: {error.strerror}"
    if result.code == 0:
        return None
    ending = f"exit status {result.code}" if result.code > 0 else f"signal {-result.code}"
    wrote = (result.errors or result.output).decode(errors="replace").strip()
    message = f"{words[0]} failed ({ending})"
    return f"{message}: {printable(wrote[-_SHOWN:], _SHOWN)}" if wrote else message
