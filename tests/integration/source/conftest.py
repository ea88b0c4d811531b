"""What tests of remote repositories share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.gateways.liar import Liar, lying_to_git
from tests.support.manifests.text import PEER
from tests.support.repositories.repository import Checkout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    return Checkout.make(tmp_path / "repository", beta=PEER)


@pytest.fixture
def liar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Liar]:
    with lying_to_git(tmp_path, monkeypatch) as made:
        yield made
