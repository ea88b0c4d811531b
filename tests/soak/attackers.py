"""One attack, as a process of its own: `python -m tests.soak.attackers NAME SECONDS PORT…`.

It reads tokens that it may spend from standard input, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress

from reconciler.web.limits import raise_descriptor_limit
from tests.soak.attacks import attack
from tests.soak.target import Target

NICENESS = 10  # they would be other machines


async def _run(name: str, seconds: float, target: Target) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await attack(name, target)


def main() -> None:
    """Attack for so long, and print what came of it as JSON."""
    os.nice(NICENESS)
    raise_descriptor_limit()
    name, seconds, *ports = sys.argv[1:]
    target = Target(tuple(map(int, ports)), tuple(json.load(sys.stdin)))
    asyncio.run(_run(name, float(seconds), target))
    json.dump(dict(sorted(target.results.items())), sys.stdout)


if __name__ == "__main__":
    main()
