"""The watch of a folder alone, for namespaces of its own: `python -m … FOLDER`.

It writes a line once the watch has begun, one for each change, and what it logs between them.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import timedelta
from pathlib import Path

from reconciler.loops.folder_watch import FolderWatch

log = logging.getLogger(__name__)


async def main(folder: Path) -> None:
    watch, stop = FolderWatch(folder), asyncio.Event()
    await watch.begin()
    log.info("begun: %s", watch.polled or "events")
    while True:
        await watch.changed(stop, timedelta(hours=1))
        log.info("changed")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    asyncio.run(main(Path(sys.argv[1])))
