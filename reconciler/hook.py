"""A command that an operator has set, which runs after something has changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import printable
from reconciler.process import Bounds, OutputTooLarge, ProcessTimeout, run_process

if TYPE_CHECKING:
    from collections.abc import Mapping

BOUNDS: Final = Bounds(seconds=30, output=1024 * 1024, file=None)
_SHOWN: Final = 500  # characters of what it wrote


def run_hook(
    words: tuple[str, ...],
    variables: Mapping[str, str],
    content: bytes | None = None,
    bounds: Bounds = BOUNDS,
) -> str | None:
    """Run the command and return None, or why it failed; `content` is its standard input.

    It sees `variables`, and none of this gateway's settings: some hold secrets.
    """
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith("MOSAIC_")
    }
    try:
        result = run_process(
            words, bounds=bounds, env={**environment, **variables}, content=content
        )
    except ProcessTimeout:
        return f"{words[0]} ran longer than {bounds.seconds:g} s, and was killed"
    except OutputTooLarge:
        return f"{words[0]} wrote more than {bounds.output:,} octets, and was killed"
    except OSError as error:
        return f"{words[0]} cannot be started: {error.strerror}"
    if result.code == 0:
        return None
    ending = f"exit status {result.code}" if result.code > 0 else f"signal {-result.code}"
    wrote = (result.errors or result.output).decode(errors="replace").strip()
    message = f"{words[0]} failed ({ending})"
    return f"{message}: {printable(wrote[-_SHOWN:], _SHOWN)}" if wrote else message
