"""Print what step-ca itself gives to a gateway: its list, then its issuers. Runs in a container."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from reconciler.clients.step_ca.client import CaClient
from reconciler.config import load_settings, require
from reconciler.operations.gateway_files import read_roots


async def main() -> None:
    """Ask as `serve` does."""
    settings = load_settings({}, os.environ, Path.cwd())
    roots = read_roots(require(settings.ca_root, "ca_root"))
    async with CaClient(require(settings.ca_url, "ca_url"), roots) as ca:
        answers = [(await ca.crl()).hex(), *(await ca.intermediates())]
    sys.stdout.write(json.dumps(answers))


asyncio.run(main())
