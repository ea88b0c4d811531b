"""What tests of `destroy` share: a gateway of their own, on the disk."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.support.gateways.destroyed import data_of
from tests.support.gateways.gateway import TestGateway, gateway_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def gateway() -> Iterator[TestGateway]:
    """Give a folder that other accounts cannot enter: as root, the data lie in /var/lib.

    It is on the disk: what tells a home from its copy is a link to it from there.
    """
    with gateway_folder("zeta", tempfile.gettempdir()) as made:
        made.cwd.chmod(0o700)
        yield made


@pytest.fixture
def data(gateway: TestGateway) -> Path:
    """Make the gateway, and give the folder of its database."""
    gateway.ok("init")
    return data_of(gateway)
