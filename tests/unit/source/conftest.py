"""What tests of sources share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.manifests.text import PEER
from tests.support.repositories.repository import Checkout

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    return Checkout.make(tmp_path / "repository", beta=PEER)
