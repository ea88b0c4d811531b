"""What tests of an endpoint's processes share: a gateway without a home that can serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.commands.in_process import Quick, shell
from tests.support.gateways.step_ca import authority
from tests.support.ports import free_port
from tests.support.worker_processes import BURST, PROXY, WORKERS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory, shared_database_url: str) -> Iterator[Quick]:
    folder, port = tmp_path_factory.mktemp("shared"), free_port()
    url = f"https://127.0.0.1:{port}"
    (folder / "ca").mkdir()
    with authority(folder / "ca", url) as ca:
        made = shell(folder, shared_database_url)
        made.variables.update(
            MOSAIC_PUBLIC_URL=url,
            MOSAIC_LISTEN=f"127.0.0.1:{port}",
            MOSAIC_PRIVATE_LISTEN=f"127.0.0.1:{free_port()}",
            MOSAIC_CA_URL=ca.url,
            MOSAIC_CA_ROOT=str(ca.folder / "root_ca.crt"),
            MOSAIC_CA_PROVISIONERS=str(ca.folder),
            MOSAIC_WORKERS=str(WORKERS),
            MOSAIC_RATE_LIMIT=f"0.001/s:{BURST}",
            MOSAIC_TRUSTED_PROXIES=f"{PROXY}/32",
            MOSAIC_PROXY_PROTOCOL="true",
        )
        yield made
